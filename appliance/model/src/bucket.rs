//! Where the bucket is: `s3://NAME[/PREFIX][?endpoint=…&region=…&path_style=…&ca=…&proxy=…&class=…]` or `file:///DIR`.
//!
//! The URL never carries secrets; they come from files, the environment or an enrolment bundle.

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
    /// The proxy on the way, as `http://[USER@]HOST[:PORT]`; [`NO_PROXY`] for none, whatever the environment says.
    pub proxy: Option<String>,
    /// Storage class of packs of data; `None` is what the bucket makes of them.
    pub class: Option<String>,
}

/// In the place of a proxy: none.
pub const NO_PROXY: &str = "none";
/// Storage classes whose objects have to be brought back by the provider before anybody can read them.
const SLEEPING: [&str; 2] = ["GLACIER", "DEEP_ARCHIVE"];
/// Longest name of a storage class.
const CLASS_MAX: usize = 32;

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
            proxy: None,
            class: None,
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
                "proxy" => s3.proxy = Some(proxy_url(&value).map_err(|why| malformed(text, why))?),
                "class" => s3.class = Some(class(value)?),
                other => {
                    return Err(malformed(
                        text,
                        &format!("“{other}” is not known; it takes endpoint, region, path_style, ca, proxy, class"),
                    ));
                }
            }
        }
        s3.path_style = path_style.unwrap_or(s3.endpoint.is_some());
        Ok(BucketUrl::S3(s3))
    }

    /// The proxy on the way, as the URL says it.
    pub fn proxy(&self) -> Option<&str> {
        match self {
            BucketUrl::S3(place) => place.proxy.as_deref(),
            BucketUrl::Directory(_) => None,
        }
    }
    /// Whether both name the same objects, whatever way leads there and however they are stored.
    pub fn is_same_place(&self, other: &BucketUrl) -> bool {
        match (self, other) {
            (BucketUrl::S3(one), BucketUrl::S3(two)) => {
                (&one.endpoint, &one.bucket, &one.prefix) == (&two.endpoint, &two.bucket, &two.prefix)
            }
            _ => self == other,
        }
    }
}

/// A proxy as it stands in the URL. The error says what is wrong with it, and repeats nothing of it.
pub fn proxy_url(value: &str) -> std::result::Result<String, &'static str> {
    if value == NO_PROXY {
        return Ok(value.to_owned());
    }
    let value = value.trim_end_matches('/');
    let rest = value.strip_prefix("http://").ok_or("a proxy is written like http://proxy:3128, or none")?;
    let (user, place) = rest.rsplit_once('@').unwrap_or(("", rest));
    if user.contains(':') {
        return Err("the password of the proxy does not belong there; it is given apart (HOLDFAST_S3_PROXY_PASSWORD)");
    }
    let is_plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~%[]:".contains(&byte));
    let port = place.rsplit_once(':').filter(|(_, port)| !port.contains(']')).map_or("80", |(_, port)| port);
    if place.is_empty()
        || place.starts_with(':')
        || !is_plain(place)
        || !is_plain(user)
        || !port.parse::<u16>().is_ok_and(|port| port != 0)
    {
        return Err("a proxy is written like http://proxy:3128 or http://user@proxy:3128");
    }
    Ok(value.to_owned())
}

/// A storage class by its form: which ones there are differs from store to store.
fn class(value: String) -> Result<String> {
    let is_name = |text: &str| text.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_');
    if value.is_empty() || value.len() > CLASS_MAX || !is_name(&value) {
        let words = "a storage class is a name of capital letters, like STANDARD_IA".to_owned();
        return Err(Error::invalid("bucket.class", words));
    }
    if SLEEPING.contains(&value.as_str()) {
        let words = format!(
            "what lies in the storage class {value} has to be brought back by the provider before it can be read"
        );
        return Err(Error::invalid("bucket.class", words)
            .advice("Take a class that is read at once, such as STANDARD_IA or GLACIER_IR."));
    }
    Ok(value)
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
                for (name, value) in [("ca", &s3.ca), ("proxy", &s3.proxy), ("class", &s3.class)] {
                    if let Some(value) = value {
                        pair(f, name, value)?;
                    }
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

/// One that may hold a secret by mistake is not quoted.
fn malformed(text: &str, why: &str) -> Error {
    let rest = text.split_once("://").map_or(text, |(_, rest)| rest);
    let is_named_apart = rest.split('/').next().is_some_and(|name| !name.contains(':'));
    let may_hold = text.contains(['@', '?']) || text.contains("%40") || !is_named_apart;
    let shown = match may_hold {
        true => String::new(),
        false => format!("“{text}” "),
    };
    Error::invalid("bucket.url", format!("the bucket URL {shown}is not usable: {why}"))
}

/// A text in which signs may stand as `%` and two hex digits. `None` if those are missing.
pub fn percent_decode(text: &str) -> Option<String> {
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
        if byte.is_ascii_alphanumeric() || b"-._~:/@".contains(&byte) {
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
            "s3://acme?region=us-east-1&proxy=http://ada@proxy.example:3128&class=STANDARD_IA",
            "s3://acme?region=us-east-1&ca=/x&proxy=none",
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

    #[test]
    fn a_password_in_the_url_is_refused_and_not_repeated() {
        for text in [
            "s3://key:geheim@acme",
            "s3://acme?proxy=http://ada:geheim@proxy:3128",
            "s3://acme?proxy=http://ada:geheim%40proxy:3128",
            "s3://acme?colour=red&proxy=http://ada:geheim@proxy:3128",
            "http://ada:geheim@proxy",
        ] {
            let error = BucketUrl::parse(text).unwrap_err();
            assert_eq!(error.code(), "bucket.url");
            assert!(!error.chain().contains("geheim"), "{error}");
        }
    }

    #[test]
    fn proxies_and_classes_that_cannot_work_are_refused() {
        for proxy in [
            "",
            "proxy:3128",
            "https://proxy:3128",
            "socks5://proxy",
            "http://",
            "http://:1",
            "http://p:0",
            "http://p:x",
            "http://p/x",
        ] {
            let error = BucketUrl::parse(&format!("s3://acme?proxy={proxy}")).unwrap_err();
            assert_eq!(error.code(), "bucket.url", "{proxy}");
        }
        for proxy in ["http://p", "http://[::1]:3128", "http://[::1]", "http://dom%255Cada@p:3128/"] {
            BucketUrl::parse(&format!("s3://acme?proxy={proxy}")).unwrap_or_else(|error| panic!("{proxy}: {error}"));
        }
        for class in ["", "standard", "STANDARD IA", "GLACIER", "DEEP_ARCHIVE", &"A".repeat(33)] {
            let error = BucketUrl::parse(&format!("s3://acme?class={class}")).unwrap_err();
            assert_eq!(error.code(), "bucket.class", "{class}");
        }
        for class in ["STANDARD_IA", "GLACIER_IR", "INTELLIGENT_TIERING"] {
            assert!(BucketUrl::parse(&format!("s3://acme?class={class}")).is_ok(), "{class}");
        }
    }

    #[test]
    fn the_way_there_makes_no_other_place() {
        let at = |text: &str| BucketUrl::parse(text).unwrap();
        let here = at("s3://acme/site?endpoint=https://s3.example");
        assert!(
            here.is_same_place(&at("s3://acme/site?endpoint=https://s3.example&proxy=http://p:1&class=X&region=y"))
        );
        for other in
            ["s3://acme?endpoint=https://s3.example", "s3://acme/site", "s3://other/site?endpoint=https://s3.example"]
        {
            assert!(!here.is_same_place(&at(other)), "{other}");
        }
        assert!(at("file:///b").is_same_place(&at("file:///b/")) && !at("file:///b").is_same_place(&at("file:///c")));
    }
}
