//! Speaks to the running appliance: HTTP over its unix socket. No password; the socket's mode is the guard.

use crate::outcome::Failure;
use bytes::Bytes;
use holdfast_model::{Error, Kind, view::ErrorView};
use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use serde::{Serialize, de::DeserializeOwned};
use std::path::{Path, PathBuf};
use tokio::net::UnixStream;

/// Name of the socket in the data folder.
pub const SOCKET: &str = "holdfast.sock";

/// Longest answer: a list of 100 000 snapshots fits.
const ANSWER_LIMIT: usize = 256 << 20;

/// The way to one appliance. One connection per call: calls are few and the socket is local.
#[derive(Clone, Debug)]
pub struct Client {
    data: PathBuf,
}

impl Client {
    /// For the appliance that runs on this data folder, if one does.
    pub fn new(data: &Path) -> Self {
        Client { data: data.to_owned() }
    }

    /// Whether an appliance answers.
    pub async fn is_there(&self) -> bool {
        self.connect().await.is_ok()
    }

    /// Reads something.
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Failure> {
        self.call(Method::GET, path, None::<&()>).await
    }

    /// Asks for a deed.
    pub async fn post<B: Serialize, T: DeserializeOwned>(&self, path: &str, body: &B) -> Result<T, Failure> {
        self.call(Method::POST, path, Some(body)).await
    }

    /// Replaces something.
    pub async fn put<B: Serialize, T: DeserializeOwned>(&self, path: &str, body: &B) -> Result<T, Failure> {
        self.call(Method::PUT, path, Some(body)).await
    }

    /// Removes something.
    pub async fn delete(&self, path: &str) -> Result<(), Failure> {
        self.call(Method::DELETE, path, None::<&()>).await
    }

    /// Removes something that leaves a word behind.
    pub async fn delete_for<T: DeserializeOwned>(&self, path: &str) -> Result<T, Failure> {
        self.call(Method::DELETE, path, None::<&()>).await
    }

    /// Begins to read contents.
    pub async fn download(&self, path: &str) -> Result<Download, Failure> {
        let response = self.send(Method::GET, path, None::<&()>).await?;
        let (head, body) = response.into_parts();
        if !head.status.is_success() {
            let bytes = Limited::new(body, ANSWER_LIMIT).collect().await.map_err(cut)?.to_bytes();
            return Err(refusal(head.status, &bytes));
        }
        let kind = head.headers.get(header::CONTENT_TYPE);
        let ending = match kind.map(|kind| kind.as_bytes()) {
            Some(b"application/x-tar") => ".tar",
            Some(b"application/zip") => ".zip",
            _ => "",
        };
        Ok(Download { body, ending })
    }

    async fn call<B: Serialize, T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<&B>,
    ) -> Result<T, Failure> {
        let (status, bytes) = self.exchange(method, path, body).await?;
        if !status.is_success() {
            return Err(refusal(status, &bytes));
        }
        // Answers without a body read as null.
        let bytes = if bytes.is_empty() { Bytes::from_static(b"null") } else { bytes };
        serde_json::from_slice(&bytes).map_err(|error| {
            Error::bug("the answer of the appliance makes no sense; is it of another version?").caused_by(error).into()
        })
    }

    async fn exchange<B: Serialize>(
        &self,
        method: Method,
        path: &str,
        body: Option<&B>,
    ) -> Result<(StatusCode, Bytes), Failure> {
        let response = self.send(method, path, body).await?;
        let status = response.status();
        let body = Limited::new(response.into_body(), ANSWER_LIMIT).collect().await;
        Ok((status, body.map_err(cut)?.to_bytes()))
    }

    async fn send<B: Serialize>(
        &self,
        method: Method,
        path: &str,
        body: Option<&B>,
    ) -> Result<http::Response<Incoming>, Failure> {
        let lost = |error: hyper::Error| {
            Error::new(Kind::Unavailable, "appliance.lost", "the appliance ended before it answered").caused_by(error)
        };
        let stream = TokioIo::new(self.connect().await?);
        let (mut sender, connection) = hyper::client::conn::http1::handshake(stream).await.map_err(lost)?;
        tokio::spawn(connection);
        Ok(sender.send_request(request(method, path, body)?).await.map_err(lost)?)
    }

    async fn connect(&self) -> Result<UnixStream, Error> {
        UnixStream::connect(self.data.join(SOCKET)).await.map_err(|error| self.nobody(error))
    }

    fn nobody(&self, error: std::io::Error) -> Error {
        let data = self.data.display();
        if error.kind() == std::io::ErrorKind::PermissionDenied {
            let what = format!("the appliance on {data} may only be asked by the user who runs it");
            return Error::new(Kind::Denied, "appliance.denied", what).advice("Run the command as that user.");
        }
        Error::new(Kind::Unavailable, "appliance.absent", format!("no appliance runs on {data}"))
            .advice(format!("Start it with holdfast serve --data {data}"))
    }
}

/// Contents on their way.
pub struct Download {
    body: Incoming,
    ending: &'static str,
}

impl Download {
    /// What the name of a folder gets at its end, by how it is packed; nothing for a file.
    pub fn ending(&self) -> &'static str {
        self.ending
    }

    /// The next bytes; `None` after the last ones. `Unavailable` (`appliance.lost`) if they broke off.
    pub async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        while let Some(frame) = self.body.frame().await {
            let frame = frame.map_err(|error| {
                Error::new(Kind::Unavailable, "appliance.lost", "the transfer broke off; what came is not whole")
                    .caused_by(error)
                    .advice("The log of the appliance says what could not be read. holdfast check --read-data heals what can be healed.")
            })?;
            if let Ok(bytes) = frame.into_data() {
                return Ok(Some(bytes));
            }
        }
        Ok(None)
    }
}

fn refusal(status: StatusCode, bytes: &[u8]) -> Failure {
    match serde_json::from_slice::<ErrorView>(bytes) {
        Ok(view) => view.into(),
        Err(_) => Error::bug(format!("the appliance answered {status} without saying why")).into(),
    }
}

fn cut(error: Box<dyn std::error::Error + Send + Sync>) -> Error {
    Error::new(Kind::Unavailable, "appliance.lost", "the appliance ended in the middle of its answer").caused_by(error)
}

fn request<B: Serialize>(method: Method, path: &str, body: Option<&B>) -> Result<Request<Full<Bytes>>, Error> {
    let wrong = |error: http::Error| Error::invalid("request.path", "the request cannot be written").caused_by(error);
    let place = format!("/api/v1{path}");
    let request = Request::builder().method(method).uri(place).header(header::HOST, "localhost");
    let Some(body) = body else { return request.body(Full::default()).map_err(wrong) };
    let bytes = serde_json::to_vec(body).map_err(|error| Error::bug("a request is not JSON").caused_by(error))?;
    request.header(header::CONTENT_TYPE, "application/json").body(Full::new(bytes.into())).map_err(wrong)
}

/// A name as one part of a path.
pub fn part(name: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    name.bytes().map(|byte| if plain(byte) { (byte as char).to_string() } else { format!("%{byte:02X}") }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::UnixListener,
    };

    /// Answers one request with fixed bytes; returns what was asked.
    async fn answering(answer: &'static str) -> (tempfile::TempDir, Client, tokio::task::JoinHandle<String>) {
        let data = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(data.path().join(SOCKET)).unwrap();
        let asked = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut text = vec![0; 4096];
            let length = stream.read(&mut text).await.unwrap();
            stream.write_all(answer.as_bytes()).await.unwrap();
            String::from_utf8(text[..length].to_vec()).unwrap()
        });
        let client = Client::new(data.path());
        (data, client, asked)
    }

    #[tokio::test]
    async fn a_question_and_its_answer() {
        let (_data, client, asked) =
            answering("HTTP/1.1 200 OK\r\ncontent-length: 7\r\nconnection: close\r\n\r\n{\"a\":1}").await;
        let value: Value = client.post("/backups", &json!({"apps": ["shop"]})).await.unwrap();
        assert_eq!(value, json!({"a": 1}));
        let asked = asked.await.unwrap();
        assert!(asked.starts_with("POST /api/v1/backups HTTP/1.1\r\n"), "{asked}");
        assert!(asked.contains("content-type: application/json"), "{asked}");
    }

    #[tokio::test]
    async fn no_content_is_fine() {
        let (_data, client, _) = answering("HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n").await;
        client.delete("/hosts/edge").await.unwrap();
    }

    #[tokio::test]
    async fn a_problem_keeps_its_kind() {
        let (_data, client, _) = answering(
            "HTTP/1.1 404 Not Found\r\nconnection: close\r\n\r\n\
             {\"status\":404,\"kind\":\"not_found\",\"code\":\"app.none\",\"title\":\"t\",\"detail\":\"d\",\"hint\":null}",
        )
        .await;
        let failure = client.get::<Value>("/apps/local/x").await.unwrap_err();
        assert_eq!((failure.exit_code(), failure.0.code.as_str()), (4, "app.none"));
    }

    #[tokio::test]
    async fn nobody_there_is_said_so() {
        let data = tempfile::tempdir().unwrap();
        let client = Client::new(data.path());
        assert!(!client.is_there().await);
        let failure = client.get::<Value>("/status").await.unwrap_err();
        assert_eq!((failure.exit_code(), failure.0.code.as_str()), (6, "appliance.absent"));
        let path = data.path().display();
        assert_eq!(failure.0.title, format!("no appliance runs on {path}"));
        assert_eq!(failure.0.hint.unwrap(), format!("Start it with holdfast serve --data {path}"));
    }

    #[tokio::test]
    async fn an_answer_cut_short_is_a_lost_appliance() {
        let (_data, client, _) = answering("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{").await;
        let failure = client.get::<Value>("/status").await.unwrap_err();
        assert_eq!((failure.exit_code(), failure.0.code.as_str()), (6, "appliance.lost"));
    }

    #[tokio::test]
    async fn contents_that_break_off_are_an_error() {
        let whole = "HTTP/1.1 200 OK\r\ncontent-type: application/x-tar\r\ncontent-length: 3\r\n\r\nabc";
        let (_data, client, _) = answering(whole).await;
        let mut download = client.download("/x").await.unwrap();
        assert_eq!(download.ending(), ".tar");
        assert_eq!(download.next().await.unwrap().unwrap(), "abc");
        assert!(download.next().await.unwrap().is_none());
        for short in [
            "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n",
        ] {
            let (_data, client, _) = answering(short).await;
            let mut download = client.download("/x").await.unwrap();
            let mut end = download.next().await;
            while matches!(end, Ok(Some(_))) {
                end = download.next().await;
            }
            assert_eq!(end.unwrap_err().code(), "appliance.lost", "{short}");
        }
    }

    #[test]
    fn names_become_parts_of_paths() {
        assert_eq!(part("my app/1"), "my%20app%2F1");
        assert_eq!(part("shop-1.2_x~"), "shop-1.2_x~");
    }
}
