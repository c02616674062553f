//! A forward proxy in this process: tunnels (`CONNECT`), whole URLs, and a login that it may ask for.
//!
//! One request for each connection of whole URLs: after it the connection carries what it carries. Listens on loopback only.

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, Mutex},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

/// Longest head of a request.
const HEAD_MAX: usize = 64 << 10;

/// What it lets through.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Lets {
    /// Everybody.
    #[default]
    All,
    /// Who sends this `Proxy-Authorization`; others get 407.
    With(&'static str),
    /// Nobody: everything is answered with 403.
    None,
}

/// A running proxy; it ends when this is dropped.
#[derive(Debug)]
pub struct Forward {
    /// `127.0.0.1:PORT`.
    pub host: String,
    log: Arc<Mutex<Vec<String>>>,
    task: JoinHandle<()>,
}

impl Forward {
    /// Starts one on a free port.
    pub async fn start(lets: Lets) -> Forward {
        let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.expect("a free port on loopback");
        let host = listener.local_addr().expect("a bound socket has an address").to_string();
        let log = Arc::new(Mutex::new(Vec::new()));
        let kept = log.clone();
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                // A connection that breaks is no concern of the proxy.
                tokio::spawn(carry(client, lets, kept.clone()));
            }
        });
        Forward { host, log, task }
    }

    /// The requests so far, as `METHOD TARGET`.
    pub fn requests(&self) -> Vec<String> {
        self.log.lock().expect("log").clone()
    }
}

impl Drop for Forward {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn carry(mut client: TcpStream, lets: Lets, log: Arc<Mutex<Vec<String>>>) -> io::Result<()> {
    let (head, body) = head(&mut client).await?;
    let (first, fields) = head.split_once("\r\n").unwrap_or((head.as_str(), ""));
    let mut words = first.split(' ');
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    log.lock().expect("log").push(format!("{method} {target}"));
    let fields: Vec<&str> = fields.lines().collect();
    let told = |name: &str| fields.iter().find_map(|field| value(field, name));
    match lets {
        Lets::All => {}
        Lets::With(login) if told("proxy-authorization") == Some(login) => {}
        Lets::With(_) => {
            return refuse(client, "407 Proxy Authentication Required", "Proxy-Authenticate: Basic\r\n").await;
        }
        Lets::None => return refuse(client, "403 Forbidden", "").await,
    }
    if method == "CONNECT" {
        let mut server = TcpStream::connect(target).await?;
        client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await?;
        server.write_all(&body).await?;
        copy_bidirectional(&mut client, &mut server).await?;
        return Ok(());
    }
    let place = target.strip_prefix("http://").unwrap_or_default();
    let (authority, path) = place.split_once('/').unwrap_or((place, ""));
    let mut server = TcpStream::connect(authority).await?;
    let ours = ["proxy-authorization", "connection"];
    let kept = fields.iter().filter(|field| !ours.iter().any(|name| value(field, name).is_some()));
    let kept: String = kept.map(|field| format!("{field}\r\n")).collect();
    server.write_all(format!("{method} /{path} HTTP/1.1\r\n{kept}Connection: close\r\n\r\n").as_bytes()).await?;
    server.write_all(&body).await?;
    copy_bidirectional(&mut client, &mut server).await?;
    Ok(())
}

/// The value of a header field, if it has this name.
fn value<'a>(field: &'a str, name: &str) -> Option<&'a str> {
    field.split_once(':').filter(|(own, _)| own.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
}

async fn refuse(mut client: TcpStream, status: &str, field: &str) -> io::Result<()> {
    let page = "<html><body>This proxy says no.</body></html>";
    let length = page.len();
    let head = format!(
        "HTTP/1.1 {status}\r\n{field}Content-Type: text/html\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
    );
    client.write_all(format!("{head}{page}").as_bytes()).await?;
    client.shutdown().await?;
    // What the client still sends is read, so that it gets to see the answer.
    tokio::io::copy(&mut client, &mut tokio::io::sink()).await?;
    Ok(())
}

/// A request's head without the empty line at its end, and what came behind it.
async fn head(client: &mut TcpStream) -> io::Result<(String, Vec<u8>)> {
    let mut bytes: Vec<u8> = Vec::new();
    loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            let body = bytes.split_off(end + 4);
            bytes.truncate(end);
            return Ok((String::from_utf8(bytes).map_err(io::Error::other)?, body));
        }
        if bytes.len() > HEAD_MAX || client.read_buf(&mut bytes).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}
