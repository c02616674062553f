//! The proxy on the way to a bucket, as the HTTP client takes it.
//!
//! The client asks it for a tunnel (`CONNECT`) where the endpoint has TLS, so that it sees nothing of what goes through; else it hands it
//! whole URLs. Invariant: its password is in no error, log line or `Debug` output.

use aws_smithy_http_client::proxy::ProxyConfig;
use holdfast_model::{Error, Result, Secret, bucket::NO_PROXY};
use std::fmt;

/// A proxy, with what it asks for.
#[derive(Clone)]
pub struct Proxy {
    /// `HOST[:PORT]`.
    host: String,
    /// User, percent-encoded as in a URL, and password.
    login: Option<(String, Secret)>,
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Proxy({})", self.url())
    }
}

impl Proxy {
    /// Of `http://[USER@]HOST[:PORT]` as a bucket URL has it. `None` if it says that there is none.
    pub fn of(text: &str, password: Option<&Secret>) -> Option<Proxy> {
        if text == NO_PROXY {
            return None;
        }
        let rest = text.strip_prefix("http://").unwrap_or(text);
        let (user, host) = match rest.rsplit_once('@') {
            Some((user, host)) => (Some(user), host),
            None => (None, rest),
        };
        let login = user.map(|user| (user.to_owned(), password.cloned().unwrap_or_default()));
        Some(Proxy { host: host.to_owned(), login })
    }

    /// Where it is, for people.
    pub fn url(&self) -> String {
        format!("http://{}", self.host)
    }

    /// What the client needs. One that it cannot read is refused here: the client would pass over it in silence.
    pub(crate) fn config(&self) -> Result<ProxyConfig> {
        let whole = match &self.login {
            Some((user, password)) => format!("http://{user}:{}@{}", encoded(password.reveal()), self.host),
            None => self.url(),
        };
        ProxyConfig::all(whole).map_err(|_| {
            Error::invalid("bucket.proxy", format!("{} is not the address of a proxy", self.url()))
                .advice("Write it like http://proxy:3128 or http://user@proxy:3128.")
        })
    }
}

/// Every sign that could mean something in a URL, as its number.
fn encoded(secret: &str) -> String {
    secret.bytes().fold(String::new(), |out, byte| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => out + &char::from(byte).to_string(),
        _ => out + &format!("%{byte:02X}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_is_in_no_text() {
        let proxy = Proxy::of("http://ada@proxy:3128", Some(&Secret::new("ge/h:e@im"))).unwrap();
        assert_eq!(
            (proxy.url().as_str(), format!("{proxy:?}").as_str()),
            ("http://proxy:3128", "Proxy(http://proxy:3128)")
        );
        proxy.config().unwrap();
        let odd = Proxy::of("http://a b@proxy", Some(&Secret::new("geheim"))).unwrap();
        let error = odd.config().unwrap_err();
        assert_eq!(error.code(), "bucket.proxy");
        assert!(!error.chain().contains("geheim"), "{error}");
        assert!(Proxy::of("none", None).is_none());
    }

    #[test]
    fn passwords_of_any_kind_fit_into_a_url() {
        assert_eq!(encoded("aZ9-ü"), "aZ9%2D%C3%BC");
    }
}
