//! `serve`: starts the appliance, opens its two doors, and ends it in good order.
//!
//! The unix socket lies in the data folder: mode 0600 in a folder of mode 0700 is its only guard.

use crate::{
    args::ServeArgs,
    client::SOCKET,
    commands::Desk,
    files::{self, environment},
    logs,
    outcome::{DONE, Outcome, STOPPED},
    proxies::Proxies,
    wire::World,
};
use holdfast_engine::{Appliance, Start};
use holdfast_model::{
    Error, Kind, Result,
    settings::{BucketSettings, Host},
};
use holdfast_runtime::{Clock, Stop};
use holdfast_web::{Web, WebSettings};
use serde_json::json;
use std::{
    net::SocketAddr,
    os::unix::fs::{DirBuilderExt, PermissionsExt},
    path::Path,
    sync::Arc,
    time::Duration,
};
use tokio::{
    net::{TcpListener, UnixListener},
    signal::unix::{SignalKind, signal},
    task::JoinSet,
};

/// Version of the program.
const VERSION: &str = env!("CARGO_PKG_VERSION");
/// Open requests may take this long after the signal to stop.
const LAST_ANSWERS: Duration = Duration::from_secs(10);
/// Where Docker listens unless somebody says otherwise.
const DOCKER: &str = "unix:///var/run/docker.sock";

/// `serve`.
pub async fn run(desk: &Desk, args: ServeArgs) -> Outcome {
    logs::begin("info");
    if desk.client.is_there().await {
        let what = format!("an appliance runs on {} already", desk.data.display());
        return Err(Error::new(Kind::Conflict, "appliance.running", what).into());
    }
    let bucket = args.bucket.as_deref().filter(|url| !url.is_empty());
    let bucket = bucket.map(|url| files::bucket(&environment, url)).transpose()?;
    let listener = listen(args.listen).await?;
    let stop = Stop::new();
    let appliance = start(&desk.data, &args.docker, bucket, &stop).await?;
    let served = serve(desk, args, listener, &appliance, &stop).await;
    stop.cancel();
    tokio::select! {
        () = appliance.finished() => {
            tracing::info!("stopped");
            served
        }
        () = asked_to_stop() => {
            tracing::warn!("stopped at once; what was not committed is undone at the next start");
            Ok(STOPPED)
        }
    }
}

/// Starts an appliance on a data folder; makes the folder if it is not there.
pub async fn start(data: &Path, docker: &str, bucket: Option<BucketSettings>, stop: &Stop) -> Result<Appliance> {
    prepare(data)?;
    let url = if docker.is_empty() { DOCKER } else { docker };
    let local_host = Host { name: "local".into(), url: url.to_owned(), tls: None, ssh: None };
    local_host.validate()?;
    let start = Start {
        data: data.to_owned(),
        clock: Clock::system(),
        outside: Arc::new(World::of(data, Proxies::of(&environment))),
        bucket,
        local_host,
        version: VERSION.into(),
    };
    Appliance::start(start, stop.clone()).await
}

async fn serve(desk: &Desk, args: ServeArgs, listener: TcpListener, appliance: &Appliance, stop: &Stop) -> Outcome {
    let listen = listener.local_addr().map_err(|error| Error::io("the listen address is gone", error))?;
    let settings = WebSettings {
        data: desk.data.clone(),
        listen,
        allow_hosts: args.allow_host,
        tls: args.tls_proxy,
        clock: Clock::system(),
    };
    let web = Web::new(appliance.clone(), settings).await?;
    let socket = open_socket(&desk.data)?;
    let mut doors = JoinSet::new();
    let (tcp, unix) = (web.clone(), web.clone());
    let (tcp_stop, unix_stop) = (stop.clone(), stop.clone());
    doors.spawn(async move { tcp.serve_tcp(listener, tcp_stop).await });
    doors.spawn(async move { unix.serve_unix(socket, unix_stop).await });
    announce(desk, listen, args.tls_proxy, web.setup_link().await);
    let ended = tokio::select! {
        () = asked_to_stop() => Ok(DONE),
        Some(door) = doors.join_next() => Err(broken(door)),
    };
    tracing::info!("stopping");
    stop.cancel();
    if tokio::time::timeout(LAST_ANSWERS, doors.join_all()).await.is_err() {
        tracing::warn!("some requests did not end in time");
    }
    let _ = std::fs::remove_file(desk.data.join(SOCKET));
    ended.map_err(Into::into)
}

fn announce(desk: &Desk, listen: SocketAddr, tls: bool, link: Option<String>) {
    if !listen.ip().is_loopback() && !tls {
        tracing::warn!(%listen, "passwords travel in clear text here; put a TLS proxy in front");
    }
    let (url, socket) = (format!("http://{listen}/"), desk.data.join(SOCKET));
    tracing::info!(%listen, data = %desk.data.display(), version = VERSION, "the appliance is ready");
    desk.output.show(&json!({ "url": url, "setup_link": link, "socket": socket }), |_| match &link {
        Some(link) => format!("Holdfast is ready at {url}\nSet it up here: {link}"),
        None => format!("Holdfast is ready at {url}"),
    });
}

fn broken(door: std::result::Result<Result<()>, tokio::task::JoinError>) -> Error {
    match door {
        Ok(Ok(())) => Error::bug("a door closed by itself"),
        Ok(Err(error)) => error,
        Err(error) => Error::bug("a door broke").caused_by(error),
    }
}

async fn listen(address: SocketAddr) -> Result<TcpListener> {
    TcpListener::bind(address).await.map_err(|error| match error.kind() {
        std::io::ErrorKind::AddrInUse => {
            Error::new(Kind::Conflict, "listen.taken", format!("another program listens on {address}"))
                .advice("Choose another address with --listen.")
                .caused_by(error)
        }
        _ => Error::io(format!("cannot listen on {address}"), error),
    })
}

/// Makes the data folder ours alone.
fn prepare(data: &Path) -> Result<()> {
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(data);
    made.and_then(|()| std::fs::set_permissions(data, std::fs::Permissions::from_mode(0o700)))
        .map_err(|error| Error::io(format!("cannot use the data folder {}", data.display()), error))
}

/// Opens the socket; one that a crash left is in nobody's use, for the appliance holds the folder's lock.
fn open_socket(data: &Path) -> Result<UnixListener> {
    let path = data.join(SOCKET);
    let _ = std::fs::remove_file(&path);
    UnixListener::bind(&path)
        .and_then(|socket| {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
            Ok(socket)
        })
        .map_err(|error| {
            let made = Error::io(format!("cannot open the socket {}", path.display()), error);
            made.advice("A socket's path may have about 100 characters; use a shorter --data.")
        })
}

async fn asked_to_stop() {
    let mut terminate = signal(SignalKind::terminate()).expect("SIGTERM can be listened to");
    tokio::select! {
        _ = terminate.recv() => {}
        _ = tokio::signal::ctrl_c() => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn folder_and_socket_are_private() {
        let parent = tempfile::tempdir().unwrap();
        let data = parent.path().join("a/b");
        prepare(&data).unwrap();
        std::fs::write(data.join(SOCKET), "left by a crash").unwrap();
        let _socket = open_socket(&data).unwrap();
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&data), mode(&data.join(SOCKET))), (0o700, 0o600));
    }

    #[tokio::test]
    async fn a_taken_address_is_a_conflict() {
        let first = listen("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let error = listen(first.local_addr().unwrap()).await.unwrap_err();
        assert_eq!((error.kind(), error.code()), (Kind::Conflict, "listen.taken"));
    }
}
