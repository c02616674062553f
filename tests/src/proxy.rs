//! A proxy in front of an engine's socket that lets through what is on a list and nothing else.
//!
//! One request for each connection: what is allowed goes through as it is, byte for byte, with upgrades and streams of any length; the rest is
//! answered with 403 and remembered.

use std::{
    io::{self, Read, Write},
    net::Shutdown,
    os::unix::net::{UnixListener, UnixStream},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

/// A running proxy; its threads end with their connections, its socket with the folder that it lies in.
#[derive(Clone, Debug)]
pub struct Proxy {
    /// Its socket.
    pub socket: PathBuf,
    allowed: Arc<Mutex<Vec<(String, String)>>>,
    refused: Arc<Mutex<Vec<String>>>,
}

impl Proxy {
    /// Starts one at `socket` for the engine at `engine`, with lists in the form of `deploy/docs/socket-proxy`.
    pub fn start(socket: &Path, engine: &str, lists: &[PathBuf]) -> Proxy {
        let listener = UnixListener::bind(socket).expect("the proxy's socket can be made");
        let proxy = Proxy { socket: socket.to_owned(), allowed: Arc::default(), refused: Arc::default() };
        proxy.allow(lists);
        let (serve, engine) = (proxy.clone(), engine.to_owned());
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let (serve, engine) = (serve.clone(), engine.clone());
                std::thread::spawn(move || serve.carry(client, &engine));
            }
        });
        proxy
    }

    /// Takes other lists from now on.
    pub fn allow(&self, lists: &[PathBuf]) {
        let text: Vec<String> =
            lists.iter().map(|list| std::fs::read_to_string(list).expect("the list is there")).collect();
        let lines = text.iter().flat_map(|text| text.lines()).filter(|line| !line.is_empty() && !line.starts_with('#'));
        let pairs = lines.map(|line| line.split_once(' ').expect("METHOD PATH"));
        let pairs = pairs.map(|(method, path)| (method.to_owned(), path.trim().to_owned())).collect();
        *self.allowed.lock().unwrap_or_else(PoisonError::into_inner) = pairs;
    }

    /// Takes one line off the list. Panics if it is not on it.
    pub fn forbid(&self, method: &str, path: &str) {
        let mut allowed = self.allowed.lock().unwrap_or_else(PoisonError::into_inner);
        let before = allowed.len();
        allowed.retain(|(m, p)| (m.as_str(), p.as_str()) != (method, path));
        assert_eq!(allowed.len() + 1, before, "{method} {path} is not on the list");
    }

    /// What was refused since the last question.
    pub fn refused(&self) -> Vec<String> {
        std::mem::take(&mut self.refused.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn allows(&self, method: &str, path: &str) -> bool {
        let parts: Vec<&str> = path.split('/').skip(1).collect();
        let parts = match parts.as_slice() {
            [version, rest @ ..] if version.starts_with("v1.") => rest,
            all => all,
        };
        let allowed = self.allowed.lock().unwrap_or_else(PoisonError::into_inner);
        allowed.iter().any(|(m, p)| m == method && fits(&p.split('/').skip(1).collect::<Vec<_>>(), parts))
    }

    fn carry(&self, mut client: UnixStream, engine: &str) -> Option<()> {
        let head = head(&mut client).ok()?;
        let text = String::from_utf8(head).ok()?;
        let mut words = text.split(' ');
        let (method, target) = (words.next()?, words.next()?);
        let path = target.split('?').next()?;
        if !self.allows(method, path) {
            self.refused.lock().unwrap_or_else(PoisonError::into_inner).push(format!("{method} {path}"));
            let body = format!("{{\"message\":\"{method} {path} is not allowed here\"}}");
            let length = body.len();
            write!(client, "HTTP/1.1 403 Forbidden\r\nContent-Type: application/json\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}").ok()?;
            // What the client still sends is read, so that it gets to see the answer.
            client.shutdown(Shutdown::Write).ok()?;
            io::copy(&mut client, &mut io::sink()).ok();
            return None;
        }
        let mut server = UnixStream::connect(engine).ok()?;
        let is_upgrade = text.to_ascii_lowercase().contains("\r\nupgrade:");
        let text = if is_upgrade { text } else { text.replacen("\r\n", "\r\nConnection: close\r\n", 1) };
        server.write_all(text.as_bytes()).ok()?;
        let (mut from_client, mut to_server) = (client.try_clone().ok()?, server.try_clone().ok()?);
        std::thread::spawn(move || {
            io::copy(&mut from_client, &mut to_server).ok();
            to_server.shutdown(Shutdown::Write).ok();
        });
        io::copy(&mut server, &mut client).ok();
        client.shutdown(Shutdown::Both).ok()
    }
}

/// A request's head, to the empty line.
fn head(client: &mut UnixStream) -> io::Result<Vec<u8>> {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        if client.read(&mut byte)? == 0 || head.len() > 64 << 10 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        head.push(byte[0]);
    }
    Ok(head)
}

fn fits(pattern: &[&str], parts: &[&str]) -> bool {
    match (pattern, parts) {
        ([], []) => true,
        (["**", rest @ ..], _) => (0..=parts.len()).any(|skip| skip > 0 && fits(rest, &parts[skip..])),
        ([first, rest @ ..], [part, parts @ ..]) => (*first == "*" || first == part) && fits(rest, parts),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::fits;

    #[test]
    fn paths_fit_their_patterns() {
        let fits = |pattern: &str, path: &str| {
            fits(&pattern.split('/').collect::<Vec<_>>(), &path.split('/').collect::<Vec<_>>())
        };
        assert!(fits("containers/*/json", "containers/x/json") && fits("images/**/json", "images/a/b:1/json"));
        assert!(fits("images/**", "images/a/b") && fits("volumes", "volumes"));
        assert!(!fits("containers/*/json", "containers/json") && !fits("images/**/json", "images/json"));
        assert!(!fits("volumes", "volumes/create") && !fits("containers/*", "containers/a/b"));
    }
}
