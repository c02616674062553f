//! Where the bucket is: `s3://NAME[/PREFIX][?endpoint=…&region=…&path_style=…&ca=…]` or `file:///DIR`.
//!
//! The URL never carries credentials; they come from files, the environment or an enrolment bundle.

use crate::{Error, Result, Secret};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Access key pair of an S3 account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Credentials {
    /// Access key id; not secret, but shown only in settings.
    pub access_key: String,
    /// Secret access key.
    pub secret_key: Secret,
    /// Session token of temporary credentials.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_token: Option<Secret>,
}

/// A bucket's place, without credentials.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum BucketUrl {
    /// An S3-compatible bucket.
    S3(S3Place),
    /// A directory that serves as a bucket (absolute path).
    Directory(String),
}

/// Coordinates of an S3 bucket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct S3Place {
    /// Bucket name.
    pub bucket: String,
    /// Key prefix without slashes at its ends; empty for none.
    pub prefix: String,
    /// Endpoint URL; `None` means AWS.
    pub endpoint: Option<String>,
    /// Region, free text.
    pub region: String,
    /// Path-style addressing; the default wherever an endpoint is given.
    pub path_style: bool,
    /// Path of a PEM file with the endpoint's own CA.
    pub ca: Option<String>,
}

impl BucketUrl {
    /// Parses a bucket URL.
    pub fn parse(text: &str) -> Result<Self> {
        // It is printed on the recovery kit, where a second line could pass for another word of the kit.
        if text.contains(char::is_control) {
            return Err(malformed(
                &text.escape_debug().to_string(),
                "it holds a line break or another control character",
            ));
        }
        if let Some(path) = text.strip_prefix("file://") {
            if !path.starts_with('/') || path.trim_end_matches('/').is_empty() {
                return Err(malformed(text, "a directory bucket needs an absolute path, as in file:///srv/bucket"));
            }
            return Ok(BucketUrl::Directory(path.trim_end_matches('/').to_owned()));
        }
        let Some(rest) = text.strip_prefix("s3://") else {
            return Err(malformed(text, "it must begin with s3:// or file://"));
        };
        let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (bucket, prefix) = place.split_once('/').unwrap_or((place, ""));
        if bucket.is_empty() || bucket.contains('@') || bucket.contains(':') {
            return Err(malformed(
                text,
                "the bucket's name must follow s3://; credentials and ports do not belong there",
            ));
        }
        let mut s3 = S3Place {
            bucket: bucket.to_owned(),
            prefix: prefix.trim_matches('/').to_owned(),
            endpoint: None,
            region: "us-east-1".to_owned(),
            path_style: false,
            ca: None,
        };
        let mut path_style = None;
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let value =
                percent_decode(value).ok_or_else(|| malformed(text, "a % in it is not followed by two hex digits"))?;
            match name {
                "endpoint" => s3.endpoint = Some(value.trim_end_matches('/').to_owned()),
                "region" => s3.region = value,
                "path_style" => path_style = Some(value == "true" || value == "1"),
                "ca" => s3.ca = Some(value),
                other => {
                    return Err(malformed(
                        text,
                        &format!("“{other}” is not known; it takes endpoint, region, path_style, ca"),
                    ));
                }
            }
        }
        s3.path_style = path_style.unwrap_or(s3.endpoint.is_some());
        Ok(BucketUrl::S3(s3))
    }
}

impl fmt::Display for BucketUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BucketUrl::Directory(path) => write!(f, "file://{path}"),
            BucketUrl::S3(s3) => {
                write!(f, "s3://{}", s3.bucket)?;
                if !s3.prefix.is_empty() {
                    write!(f, "/{}", s3.prefix)?;
                }
                let mut mark = '?';
                let mut pair = |f: &mut fmt::Formatter<'_>, name: &str, value: &str| {
                    let written = write!(f, "{mark}{name}={}", percent_encode(value));
                    mark = '&';
                    written
                };
                if let Some(endpoint) = &s3.endpoint {
                    pair(f, "endpoint", endpoint)?;
                }
                pair(f, "region", &s3.region)?;
                if s3.path_style != s3.endpoint.is_some() {
                    pair(f, "path_style", if s3.path_style { "true" } else { "false" })?;
                }
                if let Some(ca) = &s3.ca {
                    pair(f, "ca", ca)?;
                }
                Ok(())
            }
        }
    }
}

impl From<BucketUrl> for String {
    fn from(url: BucketUrl) -> String {
        url.to_string()
    }
}

impl TryFrom<String> for BucketUrl {
    type Error = Error;
    fn try_from(text: String) -> Result<Self> {
        BucketUrl::parse(&text)
    }
}

fn malformed(text: &str, why: &str) -> Error {
    Error::invalid("bucket.url", format!("the bucket URL “{text}” is not usable: {why}"))
}

fn percent_decode(text: &str) -> Option<String> {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut place = 0;
    while place < bytes.len() {
        if bytes[place] == b'%' {
            let digits = text.get(place + 1..place + 3)?;
            out.push(u8::from_str_radix(digits, 16).ok()?);
            place += 3;
        } else {
            out.push(bytes[place]);
            place += 1;
        }
    }
    String::from_utf8(out).ok()
}

fn percent_encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~:/".contains(&byte) {
            out.push(byte as char);
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_round_trip() {
        for text in [
            "file:///srv/bucket",
            "s3://acme?region=us-east-1",
            "s3://acme/holdfast?endpoint=http://127.0.0.1:8333&region=eu-central-1",
            "s3://acme?endpoint=https://s3.example&region=auto&path_style=false&ca=/etc/ca%20x.pem",
        ] {
            assert_eq!(BucketUrl::parse(text).unwrap().to_string(), text);
        }
    }

    #[test]
    fn a_url_is_one_line() {
        for text in ["s3://acme/x\nRecovery key: 0", "file:///srv\r", "s3://acme/\u{85}"] {
            let error = BucketUrl::parse(text).unwrap_err();
            assert_eq!(error.code(), "bucket.url");
            assert!(!error.to_string().contains(char::is_control), "{error}");
        }
    }

    #[test]
    fn wrong_urls_are_named() {
        for text in
            ["", "acme", "s3://", "file://relative", "s3://key:secret@acme", "s3://acme?colour=red", "file:////"]
        {
            assert_eq!(BucketUrl::parse(text).unwrap_err().code(), "bucket.url");
        }
    }
}
