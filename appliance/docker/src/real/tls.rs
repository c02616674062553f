//! Mutual TLS to a Docker host: only the host's own CA is trusted, our certificate is shown.
//!
//! The crypto provider is named here and nowhere else, so that two of them in one binary never
//! leave the choice to chance. Keys never reach a log or an error text.

use holdfast_model::{Error, Kind, Result, settings::HostTls};
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject};
use std::{io, sync::Arc};

/// Certificates as rustls wants them; an empty certificate means that the host asks for none.
pub(crate) fn config(host: &str, keys: &HostTls) -> Result<Arc<ClientConfig>> {
    let mut roots = RootCertStore::empty();
    for authority in certificates(host, "CA", &keys.ca)? {
        roots.add(authority).map_err(|error| wrong(host, "the CA is not a usable certificate").caused_by(error))?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| Error::bug("TLS versions and provider do not fit").caused_by(error))?
        .with_root_certificates(roots);
    if keys.cert.trim().is_empty() && keys.key.is_empty() {
        return Ok(Arc::new(builder.with_no_client_auth()));
    }
    let chain = certificates(host, "certificate", &keys.cert)?;
    // The parser's own error could quote the file: it is left out.
    let key = PrivateKeyDer::from_pem_slice(keys.key.reveal().as_bytes())
        .map_err(|_| wrong(host, "the client key is not a PEM private key"))?;
    let config = builder
        .with_client_auth_cert(chain, key)
        .map_err(|_| wrong(host, "the client key does not belong to the client certificate"))?;
    Ok(Arc::new(config))
}

/// The name that the host's certificate must carry: the address without its port.
pub(crate) fn server_name(address: &str) -> Result<ServerName<'static>> {
    let name = address.rsplit_once(':').map_or(address, |(name, _)| name);
    let name = name.trim_start_matches('[').trim_end_matches(']');
    ServerName::try_from(name.to_owned())
        .map_err(|_| Error::invalid("host.url", format!("“{name}” is neither a host name nor an address")))
}

/// A handshake that failed: wrong certificates are a matter of rights, everything else of reach.
pub(crate) fn refused(host: &str, error: io::Error) -> Error {
    let certificates = error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<rustls::Error>())
        .is_some_and(|inner| matches!(inner, rustls::Error::InvalidCertificate(_) | rustls::Error::AlertReceived(_)));
    if certificates {
        Error::new(Kind::Denied, "host.denied", format!("the Docker host {host} and we do not accept each other's TLS certificates"))
            .advice("Check CA, certificate and key of the host, their dates, and that the name in the URL is in the host's certificate.")
    } else {
        super::socket::unreachable(host, "the TLS handshake failed".to_owned())
    }
    .caused_by(error)
}

fn certificates(host: &str, what: &str, pem: &str) -> Result<Vec<CertificateDer<'static>>> {
    let all: Vec<_> = CertificateDer::pem_slice_iter(pem.as_bytes())
        .collect::<std::result::Result<_, _>>()
        .map_err(|_| wrong(host, &format!("the {what} is not PEM")))?;
    if all.is_empty() {
        return Err(wrong(host, &format!("the {what} holds no certificate")));
    }
    Ok(all)
}

fn wrong(host: &str, why: &str) -> Error {
    Error::invalid("host.tls", format!("the TLS settings of host {host} are not usable: {why}"))
}
