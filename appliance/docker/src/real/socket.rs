//! How bytes reach an engine: unix socket, plain tcp, tcp with TLS, SSH. One connector for every HTTP call.
//!
//! Every failure to connect is a [`holdfast_model::Error`] already, so that the layers above find it
//! in the chain of causes instead of guessing from texts. Never here: HTTP.

use super::{ssh::Ssh, tls};
use futures::future::BoxFuture;
use holdfast_model::{Error, Kind, Result, settings::Host};
use hyper_util::{
    client::legacy::connect::{Connected, Connection},
    rt::TokioIo,
};
use std::{
    io,
    path::PathBuf,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpStream, UnixStream},
    time::timeout,
};

/// A handshake that takes longer than this will not come: LAN and WAN hosts answer within a second.
const CONNECT_LIMIT: Duration = Duration::from_secs(15);

/// Connects to one host, again and again.
#[derive(Clone)]
pub(crate) struct Connector(Arc<Place>);

struct Place {
    host: String,
    way: Way,
}

enum Way {
    Unix(PathBuf),
    Tcp(String),
    Ssh(Ssh),
    Tls { address: String, name: rustls_pki_types::ServerName<'static>, config: Arc<rustls::ClientConfig> },
}

impl Connector {
    /// Reads the host's URL and certificates; connects to nothing yet.
    pub(crate) fn new(host: &Host) -> Result<Connector> {
        host.validate()?;
        let way = match (host.url.strip_prefix("unix://"), host.url.strip_prefix("tcp://"), &host.tls) {
            (Some(path), _, _) => Way::Unix(PathBuf::from(path)),
            (None, Some(address), None) => Way::Tcp(address.trim_end_matches('/').to_owned()),
            (None, Some(address), Some(keys)) => {
                let address = address.trim_end_matches('/').to_owned();
                Way::Tls { name: tls::server_name(&address)?, config: tls::config(&host.name, keys)?, address }
            }
            (None, None, _) => Way::Ssh(Ssh::new(host)?),
        };
        Ok(Connector(Arc::new(Place { host: host.name.clone(), way })))
    }

    /// The host's registered name, for error texts.
    pub(crate) fn host(&self) -> &str {
        &self.0.host
    }
}

impl tower_service::Service<http::Uri> for Connector {
    type Response = TokioIo<Socket>;
    type Error = Error;
    type Future = BoxFuture<'static, Result<Self::Response, Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: http::Uri) -> Self::Future {
        let place = self.0.clone();
        Box::pin(async move {
            let socket = timeout(CONNECT_LIMIT, place.open()).await.map_err(|_| {
                unreachable(&place.host, "it did not answer the connection within 15 seconds".to_owned())
            })??;
            Ok(TokioIo::new(socket))
        })
    }
}

impl Place {
    async fn open(&self) -> Result<Socket> {
        match &self.way {
            Way::Unix(path) => {
                let stream = UnixStream::connect(path).await.map_err(|error| self.unix_refused(path, error))?;
                Ok(Socket(Box::new(stream)))
            }
            Way::Ssh(ssh) => Ok(Socket(Box::new(ssh.open()?))),
            Way::Tcp(address) => Ok(Socket(Box::new(self.tcp(address).await?))),
            Way::Tls { address, name, config } => {
                let stream = self.tcp(address).await?;
                let connector = tokio_rustls::TlsConnector::from(config.clone());
                let stream =
                    connector.connect(name.clone(), stream).await.map_err(|error| tls::refused(&self.host, error))?;
                Ok(Socket(Box::new(stream)))
            }
        }
    }

    async fn tcp(&self, address: &str) -> Result<TcpStream> {
        let stream = TcpStream::connect(address)
            .await
            .map_err(|error| unreachable(&self.host, format!("no connection to {address}")).caused_by(error))?;
        // Requests are small and waited for: batching them only adds delay.
        stream.set_nodelay(true).map_err(|error| Error::io("prepare the connection to the host", error))?;
        Ok(stream)
    }

    fn unix_refused(&self, path: &std::path::Path, error: io::Error) -> Error {
        let (host, path) = (&self.host, path.display());
        match error.kind() {
            io::ErrorKind::NotFound => Error::new(
                Kind::Unavailable,
                "host.socket_missing",
                format!("there is no Docker socket at {path} (host {host})"),
            )
            .advice("Start Docker, or correct the host's URL; in a container, mount the socket into it."),
            io::ErrorKind::PermissionDenied => {
                Error::new(Kind::Denied, "host.denied", format!("the Docker socket {path} (host {host}) is forbidden"))
                    .advice("Run the appliance as root or as a member of the socket's group (usually docker).")
            }
            _ => unreachable(host, format!("nobody answers at the socket {path}")),
        }
        .caused_by(error)
    }
}

/// The host cannot be reached now.
pub(crate) fn unreachable(host: &str, why: String) -> Error {
    Error::new(Kind::Unavailable, "host.unreachable", format!("the Docker host {host} cannot be reached: {why}"))
        .advice("Check that the machine and its Docker engine are up; what was backed up before stays restorable.")
}

trait Io: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// A connection of any kind.
pub(crate) struct Socket(Box<dyn Io>);

impl Connection for Socket {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl AsyncRead for Socket {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.0).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.0).poll_write(cx, bytes)
    }
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.0).poll_flush(cx)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.0).poll_shutdown(cx)
    }
}
