//! Signed calls outside the SDK: IAM's query API, and requests that a well-behaved client never makes.

use crate::{
    fault::{self, Refusal},
    read,
    wire::{self, Patience, Reach},
};
use aws_credential_types::Credentials;
use aws_sdk_s3::primitives::{ByteStream, SdkBody};
use aws_sigv4::{
    http_request::{
        PayloadChecksumKind, PercentEncodingMode, SignableBody, SignableRequest, SigningSettings,
        UriPathNormalizationMode, sign,
    },
    sign::v4,
};
use aws_smithy_http_client::Connector;
use aws_smithy_runtime_api::client::{
    http::HttpConnector,
    orchestrator::{HttpRequest, HttpResponse},
};
use bytes::Bytes;
use holdfast_model::{Error, Result};
use holdfast_runtime::Clock;
use std::{
    fmt,
    time::{Duration, UNIX_EPOCH},
};

/// Signs and sends single requests; no retries.
pub(crate) struct Caller {
    connector: Connector,
    credentials: Credentials,
    region: String,
    place: String,
    patience: Patience,
}

/// One request.
pub(crate) struct Call<'a> {
    /// `s3` or `iam`.
    pub(crate) service: &'static str,
    /// HTTP method.
    pub(crate) method: &'static str,
    /// Whole URL.
    pub(crate) url: &'a str,
    /// Headers, all of them signed.
    pub(crate) headers: Vec<(&'static str, String)>,
    /// Body.
    pub(crate) body: Bytes,
    /// SHA-256 in hex to sign instead of the body's own.
    pub(crate) claimed_hash: Option<String>,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    /// Status and headers in the table's terms; code and message filled from an XML body.
    pub(crate) said: Refusal,
    /// The body as text.
    pub(crate) text: String,
}

impl fmt::Debug for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Caller({})", self.place)
    }
}

impl Caller {
    pub(crate) fn new(reach: &Reach, place: String, patience: Patience) -> Result<Self> {
        Ok(Caller {
            connector: reach.connector()?,
            credentials: reach.aws_credentials(),
            region: reach.region.clone(),
            place,
            patience,
        })
    }

    pub(crate) fn place(&self) -> &str {
        &self.place
    }

    /// Sends the call; an answer of any status is an [`Answer`].
    pub(crate) async fn send(&self, call: Call<'_>) -> Result<Answer> {
        let request = self.signed(call)?;
        let limit = self.patience.connect + self.patience.answer;
        let answer = tokio::time::timeout(limit, self.connector.call(request))
            .await
            .map_err(|_| wire::too_late(&self.place))?
            .map_err(|error| fault::of_transport(&self.place, &error))?;
        self.read(answer).await
    }

    /// Sends the call and returns the body of a good answer.
    pub(crate) async fn text(&self, call: Call<'_>) -> Result<String> {
        let answer = self.send(call).await?;
        if (200..300).contains(&answer.said.status) {
            return Ok(answer.text);
        }
        Err(fault::of_refusal(&self.place, &answer.said))
    }

    fn signed(&self, call: Call<'_>) -> Result<HttpRequest> {
        let unusable = || Error::invalid("bucket.url", format!("no request can be made for {}", self.place));
        let now = Duration::from_millis(u64::try_from(Clock::system().now().millis()).unwrap_or(0));
        let identity = self.credentials.clone().into();
        let params = v4::SigningParams::builder()
            .identity(&identity)
            .region(&self.region)
            .name(call.service)
            .time(UNIX_EPOCH + now)
            .settings(settings(call.service))
            .build()
            .map_err(|_| unusable())?
            .into();
        let body = match call.claimed_hash {
            Some(hash) => SignableBody::Precomputed(hash),
            None => SignableBody::Bytes(&call.body),
        };
        let headers = call.headers.iter().map(|(name, value)| (*name, value.as_str()));
        let signable = SignableRequest::new(call.method, call.url, headers, body).map_err(|_| unusable())?;
        let (instructions, _) = sign(signable, &params).map_err(|_| unusable())?.into_parts();
        let mut request = http::Request::builder().method(call.method).uri(call.url);
        for (name, value) in &call.headers {
            request = request.header(*name, value);
        }
        let mut request = request.body(SdkBody::from(call.body.to_vec())).map_err(|_| unusable())?;
        instructions.apply_to_request_http1x(&mut request);
        HttpRequest::try_from(request).map_err(|_| unusable())
    }

    async fn read(&self, answer: HttpResponse) -> Result<Answer> {
        let mut said = Refusal::of_response(&answer);
        let body = read::small(ByteStream::new(answer.into_body()), self.patience.idle)
            .await
            .map_err(|_| fault::unreachable(&self.place, "its answer broke off"))?;
        let text = String::from_utf8_lossy(&body).into_owned();
        said.code = element(&text, "Code").unwrap_or_default();
        said.message = element(&text, "Message").unwrap_or_default();
        Ok(Answer { said, text })
    }
}

fn settings(service: &str) -> SigningSettings {
    let mut settings = SigningSettings::default();
    if service == "s3" {
        settings.percent_encoding_mode = PercentEncodingMode::Single;
        settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
        settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
    }
    settings
}

/// The text of the first element `name` in an XML answer. Answers here are flat enough for that.
pub(crate) fn element(xml: &str, name: &str) -> Option<String> {
    let (_, rest) = xml.split_once(&format!("<{name}>"))?;
    let (text, _) = rest.split_once(&format!("</{name}>"))?;
    Some(
        text.trim()
            .replace("&lt;", "<")
            .replace("&gt;", ">")
            .replace("&quot;", "\"")
            .replace("&apos;", "'")
            .replace("&#34;", "\"")
            .replace("&#39;", "'")
            .replace("&amp;", "&"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_are_found_and_unescaped() {
        let xml = "<R><Code>Access&amp;Denied</Code><Message/></R>";
        assert_eq!(element(xml, "Code").as_deref(), Some("Access&Denied"));
        assert_eq!(element(xml, "Message"), None);
        assert_eq!(element("<Code>open", "Code"), None);
    }
}
