//! The proxies that the environment names, for buckets whose URL says nothing of one: `HTTPS_PROXY`, `HTTP_PROXY`, `NO_PROXY`, also in
//! small letters.
//!
//! They count for as long as the process lives and are never kept with the bucket: another machine has others. Invariant: what stands in
//! them before an `@` is in no error and no answer.

use crate::files::Lookup;
use holdfast_model::{
    Error, Result, Secret,
    bucket::{BucketUrl, S3Place, percent_decode, proxy_url},
    settings::BucketSettings,
};
use holdfast_s3::Proxy;
use std::{fmt, net::IpAddr};

/// What the environment says.
#[derive(Default)]
pub struct Proxies {
    https: Option<String>,
    http: Option<String>,
    /// Hosts, domains and networks without a proxy.
    except: Vec<String>,
}

impl fmt::Debug for Proxies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Proxies")
    }
}

impl Proxies {
    /// Reads them. What is wrong with one is told when a bucket needs it: the appliance works without a bucket too.
    pub fn of(from: Lookup<'_>) -> Proxies {
        let first = |name: &str| from(name).or_else(|| from(&name.to_lowercase()));
        let except = first("NO_PROXY").unwrap_or_default();
        Proxies {
            https: first("HTTPS_PROXY"),
            http: first("HTTP_PROXY"),
            except: except.split(',').map(|rule| rule.trim().to_lowercase()).filter(|rule| !rule.is_empty()).collect(),
        }
    }

    /// The bucket with the proxy that counts for it, for use and not to be kept. `Invalid` (`bucket.proxy`).
    pub fn lead(&self, bucket: &BucketSettings) -> Result<BucketSettings> {
        let mut bucket = bucket.clone();
        if let BucketUrl::S3(place) = &mut bucket.url
            && place.proxy.is_none()
            && let Some(text) = self.on_the_way(place)
        {
            let (proxy, password) = read(text)?;
            place.proxy = Some(proxy);
            bucket.proxy_password = password;
        }
        Ok(bucket)
    }

    /// The proxy that counts for a bucket, for people.
    pub fn shown(&self, bucket: &BucketSettings) -> Option<String> {
        let BucketUrl::S3(place) = self.lead(bucket).ok()?.url else { return None };
        Some(Proxy::of(&place.proxy?, None)?.url())
    }

    fn on_the_way(&self, place: &S3Place) -> Option<&String> {
        let amazon = || format!("https://s3.{}.amazonaws.com", place.region);
        let endpoint = place.endpoint.clone().unwrap_or_else(amazon);
        let (scheme, rest) = endpoint.split_once("://")?;
        let authority = rest.split('/').next()?;
        let host = match authority.strip_prefix('[').and_then(|inner| inner.split_once(']')) {
            Some((address, _)) => address,
            None => authority.split(':').next()?,
        };
        let host =
            if place.path_style { host.to_lowercase() } else { format!("{}.{host}", place.bucket).to_lowercase() };
        let proxy = if scheme == "http" { &self.http } else { &self.https };
        proxy.as_ref().filter(|_| !self.except.iter().any(|rule| excepts(rule, &host)))
    }
}

/// Whether a rule of `NO_PROXY` means this host: `*`, a name with all below it, an address, a network.
fn excepts(rule: &str, host: &str) -> bool {
    if let Ok(address) = host.parse::<IpAddr>() {
        return rule == "*" || is_within(address, rule);
    }
    let name = rule.trim_start_matches("*.").trim_start_matches('.');
    let name = name.split(':').next().unwrap_or(name);
    rule == "*" || host == name || host.strip_suffix(name).is_some_and(|above| above.ends_with('.') && !name.is_empty())
}

fn is_within(address: IpAddr, rule: &str) -> bool {
    let Some((network, bits)) = rule.split_once('/') else {
        return rule.parse::<IpAddr>().is_ok_and(|one| one == address);
    };
    let (Ok(network), Ok(bits)) = (network.parse::<IpAddr>(), bits.parse::<u32>()) else { return false };
    // A shift by all bits is none that numbers know: then everything is within.
    match (address, network) {
        (IpAddr::V4(one), IpAddr::V4(two)) if bits <= 32 => {
            (u32::from(one) ^ u32::from(two)).checked_shr(32 - bits).unwrap_or(0) == 0
        }
        (IpAddr::V6(one), IpAddr::V6(two)) if bits <= 128 => {
            (u128::from(one) ^ u128::from(two)).checked_shr(128 - bits).unwrap_or(0) == 0
        }
        _ => false,
    }
}

/// A proxy as environments have it, with or without its scheme, apart from its password.
fn read(text: &str) -> Result<(String, Option<Secret>)> {
    let wrong = |why: &str| {
        Error::invalid("bucket.proxy", format!("the proxy that HTTPS_PROXY or HTTP_PROXY names cannot be used: {why}"))
            .advice(
                "Write it like http://proxy:3128, name another one in the bucket URL (proxy=…), or none (proxy=none).",
            )
    };
    let rest = match text.split_once("://") {
        Some(("http", rest)) => rest,
        Some(_) => return Err(wrong("it is not spoken to by plain HTTP")),
        None => text,
    };
    let (login, host) = rest.rsplit_once('@').map_or(("", rest), |(login, host)| (login, host));
    let (user, password) = login.split_once(':').map_or((login, None), |(user, password)| (user, Some(password)));
    let url = if user.is_empty() { format!("http://{host}") } else { format!("http://{user}@{host}") };
    let url = proxy_url(&url).map_err(wrong)?;
    let password =
        password.map(|password| percent_decode(password).ok_or_else(|| wrong("its password is not readable")));
    Ok((url, password.transpose()?.map(Secret::new)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxies(pairs: &[(&str, &str)]) -> Proxies {
        Proxies::of(&|name| pairs.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned()))
    }

    fn bucket(url: &str) -> BucketSettings {
        BucketSettings {
            url: BucketUrl::parse(url).unwrap(),
            credentials: None,
            ca: None,
            proxy_password: None,
            lock: None,
        }
    }

    const TLS: &str = "s3://acme?endpoint=https://s3.example";
    const PLAIN: &str = "s3://acme?endpoint=http://s3.example:8333";

    #[test]
    fn the_environment_leads_buckets_that_say_nothing() {
        let proxies = proxies(&[("HTTPS_PROXY", "http://ada:ge%40im@proxy:3128/"), ("http_proxy", "other:8080")]);
        let led = proxies.lead(&bucket(TLS)).unwrap();
        assert_eq!(
            led.url.to_string(),
            "s3://acme?endpoint=https://s3.example&region=us-east-1&proxy=http://ada@proxy:3128"
        );
        assert_eq!(led.proxy_password.unwrap().reveal(), "ge@im");
        assert_eq!(proxies.shown(&bucket(TLS)).as_deref(), Some("http://proxy:3128"));
        assert_eq!(proxies.shown(&bucket("s3://acme")).as_deref(), Some("http://proxy:3128"), "AWS has TLS");
        assert_eq!(proxies.shown(&bucket(PLAIN)).as_deref(), Some("http://other:8080"));
        let own = bucket(&format!("{TLS}&proxy=http://own:1"));
        assert_eq!(proxies.lead(&own).unwrap(), own);
        assert_eq!(proxies.shown(&own).as_deref(), Some("http://own:1"));
        let none = bucket(&format!("{TLS}&proxy=none"));
        assert_eq!((proxies.lead(&none).unwrap(), proxies.shown(&none)), (none.clone(), None));
        assert_eq!(proxies.shown(&bucket("file:///b")), None);
        assert_eq!(Proxies::default().shown(&bucket(TLS)), None);
    }

    #[test]
    fn exceptions_are_names_with_all_below_them_addresses_and_networks() {
        let shown = |except: &str, url: &str| {
            proxies(&[("HTTPS_PROXY", "p:1"), ("HTTP_PROXY", "p:1"), ("NO_PROXY", except)]).shown(&bucket(url))
        };
        let address = "s3://acme?endpoint=http://10.1.2.3:9000";
        for (except, url) in [
            ("*", TLS),
            ("s3.example", TLS),
            ("other, .EXAMPLE", TLS),
            ("*.example:443", TLS),
            ("acme.s3.us-east-1.amazonaws.com", "s3://acme"),
            ("amazonaws.com", "s3://acme"),
            ("10.1.2.3", address),
            ("10.0.0.0/8", address),
            ("0.0.0.0/0", address),
            ("fd00::/8", "s3://acme?endpoint=http://[fd00::1]:9000"),
        ] {
            assert_eq!(shown(except, url), None, "{except} {url}");
        }
        for (except, url) in [
            ("", TLS),
            ("ample", TLS),
            ("www.s3.example", TLS),
            ("10.1.2.4", address),
            ("10.1.3.0/24", address),
            ("10.0.0.0/33", address),
            ("fd00::/8", address),
        ] {
            assert!(shown(except, url).is_some(), "{except} {url}");
        }
    }

    #[test]
    fn one_that_cannot_be_used_is_named_without_its_login() {
        for text in
            ["socks5://ada:geheim@proxy:1", "https://ada:geheim@proxy", "http://ada:geheim@", "http://ada:ge%zzheim@p"]
        {
            let error = proxies(&[("HTTPS_PROXY", text)]).lead(&bucket(TLS)).unwrap_err();
            assert_eq!(error.code(), "bucket.proxy", "{text}");
            assert!(!error.chain().contains("heim") && error.advice_text().is_some(), "{error}");
        }
    }
}
