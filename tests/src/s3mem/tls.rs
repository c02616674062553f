//! TLS for the server in process, under a CA made for tests; its key is known to everybody and worth nothing.

use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use std::sync::Arc;
use tokio_rustls::rustls::{ServerConfig, crypto::ring};

/// Accepts TLS connections.
pub(super) type Acceptor = tokio_rustls::TlsAcceptor;

/// An acceptor with the tests' certificate for 127.0.0.1.
pub(super) fn acceptor() -> Acceptor {
    let chain = CertificateDer::from_pem_slice(include_bytes!("certificates/server.pem")).expect("a certificate");
    let key = PrivateKeyDer::from_pem_slice(include_bytes!("certificates/server.key")).expect("its key");
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("ring speaks all versions")
        .with_no_client_auth()
        .with_single_cert(vec![chain], key)
        .expect("the key fits the certificate");
    Arc::new(config).into()
}
