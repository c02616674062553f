//! A door before an engine's socket that refuses requests of one kind and lets all others through, byte by byte.

use std::{
    io::{Read, Write},
    net::Shutdown,
    os::unix::net::{UnixListener, UnixStream},
    path::Path,
};

/// Opens the door; it stays open until the test process ends. Requests whose first line holds `refused` get a 403.
pub fn open(at: &Path, engine: &'static str, refused: &'static str) {
    let listener = UnixListener::bind(at).expect("the door can be opened");
    std::thread::spawn(move || {
        for visitor in listener.incoming().map_while(Result::ok) {
            std::thread::spawn(move || drop(pass(visitor, engine, refused)));
        }
    });
}

fn pass(mut visitor: UnixStream, engine: &str, refused: &str) -> std::io::Result<()> {
    let mut inside = UnixStream::connect(engine)?;
    let (mut answers, mut back) = (inside.try_clone()?, visitor.try_clone()?);
    let answering = std::thread::spawn(move || {
        drop(std::io::copy(&mut answers, &mut back));
        drop(back.shutdown(Shutdown::Write));
    });
    let mut piece = [0; 64 << 10];
    loop {
        let have = visitor.read(&mut piece)?;
        if have == 0 {
            inside.shutdown(Shutdown::Write)?;
            break;
        }
        let line = piece[..have].split(|byte| *byte == b'\r').next().unwrap_or_default();
        if line.starts_with(b"POST ") && String::from_utf8_lossy(line).contains(refused) {
            let body = r#"{"message":"forbidden here"}"#;
            let head = "HTTP/1.1 403 Forbidden\r\nContent-Type: application/json\r\nConnection: close";
            visitor.write_all(format!("{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len()).as_bytes())?;
            break;
        }
        inside.write_all(&piece[..have])?;
    }
    drop(visitor.shutdown(Shutdown::Read));
    drop(answering.join());
    Ok(())
}
