//! How the bucket is reached: SDK client, TLS roots, proxy, keys, patience. Making one touches no network.

use crate::{fault, proxy::Proxy};
use aws_credential_types::{
    Credentials as AwsCredentials,
    provider::{ProvideCredentials, future},
};
use aws_sdk_s3::config::{
    BehaviorVersion, Builder as ConfigBuilder, IdentityCache, Region, RequestChecksumCalculation,
    ResponseChecksumValidation, RuntimeComponents, SharedHttpClient, StalledStreamProtectionConfig, retry::RetryConfig,
    timeout::TimeoutConfig,
};
use aws_smithy_http_client::{
    Builder as HttpBuilder, Connector, ConnectorBuilder,
    proxy::ProxyConfig,
    tls::{Provider, TlsContext, TrustStore, rustls_provider::CryptoMode},
};
use holdfast_model::{
    Error, Result,
    bucket::{BucketUrl, Credentials, S3Place},
    settings::BucketSettings,
};
use rustls_pki_types::{CertificateDer, pem::PemObject};
use std::{
    fmt,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

/// Attempts of one call in the SDK, the first one included: the shipper above has the long patience.
const ATTEMPTS: u32 = 3;
/// A CA file is some kilobytes; more is a mistake.
const LARGEST_CA: usize = 1 << 20;

/// How long the bucket may take.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// To connect, TLS included.
    pub connect: Duration,
    /// For one attempt of a call that moves no data.
    pub answer: Duration,
    /// Silence in the middle of a download.
    pub idle: Duration,
    /// Silence of an upload. Longer: what the system has taken, some megabytes, leaves a slow line unseen, before the answer
    /// can come.
    pub silence: Duration,
    /// First wait between attempts; doubles.
    pub first_wait: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Patience {
            connect: Duration::from_secs(10),
            answer: Duration::from_secs(60),
            idle: Duration::from_secs(45),
            silence: Duration::from_secs(300),
            first_wait: Duration::from_millis(150),
        }
    }
}

impl Patience {
    /// Timeouts for one attempt of a call.
    fn for_calls(&self) -> TimeoutConfig {
        let common = TimeoutConfig::builder().connect_timeout(self.connect).disable_read_timeout();
        common.operation_attempt_timeout(self.answer).build()
    }

    /// Uploads are watched while they move; how long they take says nothing.
    pub(crate) fn for_uploads(&self) -> TimeoutConfig {
        let common = TimeoutConfig::builder().connect_timeout(self.connect).disable_read_timeout();
        common.disable_operation_attempt_timeout().build()
    }
}

/// An endpoint with credentials, before any bucket is named.
#[derive(Clone)]
pub struct Reach {
    /// Endpoint URL; `None` is AWS.
    pub endpoint: Option<String>,
    /// Region, free text.
    pub region: String,
    /// Path-style addressing.
    pub path_style: bool,
    /// Keys.
    pub credentials: Credentials,
    /// PEM of the endpoint's own CA.
    pub ca: Option<String>,
    /// The proxy on the way.
    pub proxy: Option<Proxy>,
}

/// The keys that a client signs with. Others count from the next request on; what is under way goes on under those of before.
#[derive(Clone)]
pub(crate) struct Keys(Arc<RwLock<AwsCredentials>>);

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keys")
    }
}

impl Keys {
    pub(crate) fn of(credentials: &Credentials) -> Keys {
        Keys(Arc::new(RwLock::new(aws_credentials(credentials))))
    }

    pub(crate) fn replace(&self, credentials: &Credentials) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = aws_credentials(credentials);
    }
}

impl ProvideCredentials for Keys {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        let now = self.0.read().unwrap_or_else(PoisonError::into_inner).clone();
        future::ProvideCredentials::ready(Ok(now))
    }
}

fn aws_credentials(credentials: &Credentials) -> AwsCredentials {
    let token = credentials.session_token.as_ref().map(|token| token.reveal().to_owned());
    AwsCredentials::new(&credentials.access_key, credentials.secret_key.reveal(), token, None, "holdfast")
}

impl fmt::Debug for Reach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reach").field("endpoint", &self.endpoint).field("region", &self.region).finish_non_exhaustive()
    }
}

impl Reach {
    /// The reach of a bucket's settings, with the bucket's place. A CA given by path is read now.
    /// Errors: `bucket.not_s3`, `bucket.no_key`, `bucket.ca`.
    pub fn of(settings: &BucketSettings) -> Result<(Reach, S3Place)> {
        let BucketUrl::S3(place) = &settings.url else {
            return Err(Error::invalid("bucket.not_s3", format!("{} is a directory, not an S3 bucket", settings.url)));
        };
        let Some(credentials) = settings.credentials.clone() else {
            return Err(Error::invalid("bucket.no_key", format!("the bucket {} has no access key", place.bucket))
                .advice("Give access key and secret key together with the bucket URL."));
        };
        let ca = match (&settings.ca, &place.ca) {
            (Some(pem), _) => Some(pem.clone()),
            (None, Some(path)) => Some(read_ca(path)?),
            (None, None) => None,
        };
        let reach = Reach {
            endpoint: place.endpoint.clone(),
            region: place.region.clone(),
            path_style: place.path_style,
            credentials,
            ca,
            proxy: place.proxy.as_deref().and_then(|url| Proxy::of(url, settings.proxy_password.as_ref())),
        };
        Ok((reach, place.clone()))
    }

    /// The endpoint's name for people.
    pub fn place(&self) -> String {
        let endpoint = self.endpoint.clone().unwrap_or_else(|| format!("AWS {}", self.region));
        match &self.proxy {
            Some(proxy) => fault::through(&endpoint, &proxy.url()),
            None => endpoint,
        }
    }

    pub(crate) fn aws_credentials(&self) -> AwsCredentials {
        aws_credentials(&self.credentials)
    }

    /// An SDK client.
    pub(crate) fn client(&self, patience: &Patience) -> Result<aws_sdk_s3::Client> {
        self.client_with(patience, &Keys::of(&self.credentials))
    }

    /// One whose keys can be replaced.
    pub(crate) fn client_with(&self, patience: &Patience, keys: &Keys) -> Result<aws_sdk_s3::Client> {
        let mut config = ConfigBuilder::new()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new(self.region.clone()))
            .credentials_provider(keys.clone())
            .identity_cache(IdentityCache::no_cache())
            .force_path_style(self.path_style)
            .http_client(self.http_client()?)
            .retry_config(
                RetryConfig::standard()
                    .with_max_attempts(ATTEMPTS)
                    .with_initial_backoff(patience.first_wait)
                    .with_max_backoff(patience.first_wait * 8),
            )
            .timeout_config(patience.for_calls())
            // Both ways have limits of their own, see `body` and `read`.
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
            // Uploads bring their own SHA-256; some stores stumble over checksums nobody asked for.
            .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
            .response_checksum_validation(ResponseChecksumValidation::WhenRequired);
        if let Some(endpoint) = &self.endpoint {
            check_endpoint(endpoint)?;
            config = config.endpoint_url(endpoint);
        }
        Ok(aws_sdk_s3::Client::from_conf(config.build()))
    }

    fn is_plain(&self) -> bool {
        self.endpoint.as_deref().is_some_and(|endpoint| endpoint.starts_with("http://"))
    }

    fn http_client(&self) -> Result<SharedHttpClient> {
        let (context, proxy) = (self.tls_context()?, self.proxy_config()?);
        Ok(HttpBuilder::new().build_with_connector_fn(move |settings, components| {
            let mut builder = Connector::builder();
            builder.set_connector_settings(settings.cloned());
            builder.set_sleep_impl(components.and_then(RuntimeComponents::sleep_impl));
            connector(builder, context.clone(), proxy.clone())
        }))
    }

    /// A bare connector for calls outside the S3 API.
    pub(crate) fn connector(&self) -> Result<Connector> {
        Ok(connector(Connector::builder(), self.tls_context()?, self.proxy_config()?))
    }

    fn proxy_config(&self) -> Result<Option<ProxyConfig>> {
        self.proxy.as_ref().map(Proxy::config).transpose()
    }

    /// `None` without TLS. The own CA replaces the system's roots: whoever brings a CA means exactly that one.
    fn tls_context(&self) -> Result<Option<TlsContext>> {
        if self.is_plain() {
            return Ok(None);
        }
        let store = match &self.ca {
            Some(pem) => {
                check_ca(pem)?;
                TrustStore::empty().with_pem_certificate(pem.as_bytes())
            }
            None => TrustStore::default(),
        };
        TlsContext::builder().with_trust_store(store).build().map(Some).map_err(|_| bad_ca("it cannot be used"))
    }
}

/// Nothing of it comes from the environment: what proxy counts was decided above.
fn connector(mut builder: ConnectorBuilder, context: Option<TlsContext>, proxy: Option<ProxyConfig>) -> Connector {
    builder.set_proxy_config(proxy);
    match context {
        None => builder.build_http(),
        Some(context) => builder.tls_provider(Provider::Rustls(CryptoMode::Ring)).tls_context(context).build(),
    }
}

fn check_endpoint(endpoint: &str) -> Result<()> {
    let parsed = endpoint.parse::<http::Uri>().ok();
    let good = parsed.as_ref().is_some_and(|uri| {
        matches!(uri.scheme_str(), Some("http" | "https"))
            && uri.authority().is_some_and(|place| !place.as_str().contains('@') && !place.host().is_empty())
    });
    if good {
        return Ok(());
    }
    Err(Error::invalid("bucket.url", "the bucket's endpoint is not a URL like https://s3.example.com".to_owned()))
}

fn read_ca(path: &str) -> Result<String> {
    let size = std::fs::metadata(path).map_err(|error| Error::io(format!("read the CA file {path}"), error))?.len();
    if size > LARGEST_CA as u64 {
        return Err(bad_ca("the file is far too large"));
    }
    std::fs::read_to_string(path).map_err(|error| Error::io(format!("read the CA file {path}"), error))
}

/// The HTTP client panics on certificates it cannot read, so they are read here first.
fn check_ca(pem: &str) -> Result<()> {
    if pem.len() > LARGEST_CA {
        return Err(bad_ca("it is far too large"));
    }
    let mut roots = rustls::RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
        let certificate = certificate.map_err(|_| bad_ca("it is not PEM"))?;
        roots.add(certificate).map_err(|_| bad_ca("a certificate in it cannot be read"))?;
    }
    if roots.is_empty() {
        return Err(bad_ca("there is no certificate in it"));
    }
    Ok(())
}

fn bad_ca(why: &str) -> Error {
    Error::invalid("bucket.ca", format!("the bucket's CA is not usable: {why}"))
        .advice("Give the PEM of the CA that signed the endpoint's certificate (-----BEGIN CERTIFICATE-----).")
}

/// The error of a call that took longer than our patience.
pub(crate) fn too_late(place: &str) -> Error {
    fault::unreachable(place, "it did not answer in time")
}

#[cfg(test)]
mod tests {
    use super::*;
    use holdfast_model::Secret;

    fn reach(endpoint: &str, ca: Option<&str>) -> Reach {
        Reach {
            endpoint: Some(endpoint.into()),
            region: "us-east-1".into(),
            path_style: true,
            credentials: Credentials {
                access_key: "AK".into(),
                secret_key: Secret::new("geheim"),
                session_token: None,
            },
            ca: ca.map(Into::into),
            proxy: None,
        }
    }

    #[test]
    fn a_wrong_ca_is_an_error_not_a_panic() {
        for ca in ["", "nonsense", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
            let error = reach("https://s3.example", Some(ca)).client(&Patience::default()).unwrap_err();
            assert_eq!(error.code(), "bucket.ca");
        }
    }

    #[test]
    fn endpoints_that_are_no_urls_are_refused() {
        for endpoint in ["s3.example", "ftp://s3.example", "http://key:secret@s3.example", "http://"] {
            let error = reach(endpoint, None).client(&Patience::default()).unwrap_err();
            assert_eq!(error.code(), "bucket.url", "{endpoint}");
            assert!(!error.chain().contains("secret"));
        }
    }

    #[test]
    fn debug_shows_no_secret() {
        assert!(!format!("{:?}", reach("http://127.0.0.1:1", None)).contains("geheim"));
    }
}
