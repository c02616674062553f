//! A host by SSH: the system's own `ssh` is asked to run `docker system dial-stdio` there, once for each connection.
//!
//! # Invariants
//! - Nothing of the URL can become an option of `ssh` or a word of the shell there: names and paths are checked letter by letter.
//! - Nobody is asked anything: an unknown host key or a locked key is a refusal that says what to do.
//! - A key that was given to us lies in memory alone; `ssh` reads it through our open files.

use super::socket::unreachable;
use holdfast_model::{
    Error, Kind, Result,
    settings::{Host, SshPlace},
};
use rustix::fs::{MemfdFlags, Mode, fchmod, memfd_create};
use std::{
    fs::File,
    io::{self, Write},
    os::fd::AsRawFd,
    pin::Pin,
    process::Stdio,
    task::{Context, Poll, ready},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf},
    process::{Child, ChildStdin, ChildStdout, Command},
    task::JoinHandle,
};

/// Complaints of `ssh` that are kept, bytes.
const COMPLAINTS: u64 = 4 << 10;

/// How one host is reached.
pub(crate) struct Ssh {
    host: String,
    place: SshPlace,
    key: Option<File>,
    known_hosts: Option<File>,
}

impl Ssh {
    /// Reads the host's URL and keys; connects to nothing yet.
    pub(crate) fn new(host: &Host) -> Result<Ssh> {
        let place = SshPlace::parse(&host.url).ok_or_else(|| Error::bug("a validated SSH URL is none"))?;
        let (mut key, mut known_hosts) = (None, None);
        if let Some(given) = &host.ssh {
            if !given.key.is_empty() {
                key = Some(in_memory(given.key.reveal())?);
            }
            if !given.known_hosts.trim().is_empty() {
                known_hosts = Some(in_memory(&given.known_hosts)?);
            }
        }
        Ok(Ssh { host: host.name.clone(), place, key, known_hosts })
    }

    /// Starts `ssh`. Whether it gets through is known with the first byte that comes back.
    pub(crate) fn open(&self) -> Result<SshStream> {
        let mut command = Command::new("ssh");
        command.args(["-T", "-o", "BatchMode=yes", "-o", "ConnectTimeout=15", "-o", "ServerAliveInterval=20"]);
        command.args(["-o", "ServerAliveCountMax=3", "-o", "ForwardAgent=no", "-o", "ForwardX11=no"]);
        let ours = |file: &File| format!("/proc/{}/fd/{}", std::process::id(), file.as_raw_fd());
        if let Some(key) = &self.key {
            command.args(["-o", "IdentitiesOnly=yes", "-o", "IdentityAgent=none", "-i", &ours(key)]);
        }
        if let Some(known) = &self.known_hosts {
            command.args(["-o", "StrictHostKeyChecking=yes", "-o", &format!("UserKnownHostsFile={}", ours(known))]);
        }
        if let Some(port) = self.place.port {
            command.args(["-p", &port.to_string()]);
        }
        if let Some(user) = &self.place.user {
            command.args(["-l", user]);
        }
        command.args(["--", &self.place.host, &there(self.place.socket.as_deref())]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => {
                Error::new(Kind::Refused, "host.no_ssh", "there is no program ssh on the appliance's machine")
                    .advice("Install the OpenSSH client (package openssh-client).")
            }
            _ => Error::io("start ssh", error),
        })?;
        let (Some(input), Some(output), Some(talk)) = (child.stdin.take(), child.stdout.take(), child.stderr.take())
        else {
            return Err(Error::bug("ssh was started without pipes"));
        };
        let told = tokio::spawn(async move {
            let mut told = Vec::new();
            let mut kept = talk.take(COMPLAINTS);
            let _ = kept.read_to_end(&mut told).await;
            // It must not stand still for a pipe that nobody reads.
            let _ = tokio::io::copy(&mut kept.into_inner(), &mut tokio::io::sink()).await;
            String::from_utf8_lossy(&told).into_owned()
        });
        let host = self.host.clone();
        Ok(SshStream { host, input: Some(input), output, told: Some(told), has_spoken: false, _child: child })
    }
}

/// The command line there, for a shell that may be any.
fn there(socket: Option<&str>) -> String {
    let (docker, podman) = match socket {
        Some(path) => (format!("docker --host unix://{path}"), format!("podman --url unix://{path}")),
        None => ("docker".to_owned(), "podman".to_owned()),
    };
    format!(
        "sh -c 'if command -v docker >/dev/null 2>&1; then exec {docker} system dial-stdio; else exec {podman} system dial-stdio; fi'"
    )
}

fn in_memory(text: &str) -> Result<File> {
    let made = || {
        let file = memfd_create("holdfast-ssh", MemfdFlags::CLOEXEC)?;
        // Else ssh would call it a key that others can read.
        fchmod(&file, Mode::RUSR | Mode::WUSR)?;
        let mut file = File::from(file);
        file.write_all(text.trim_end().as_bytes())?;
        file.write_all(b"\n")?;
        Ok::<_, io::Error>(file)
    };
    made().map_err(|error| Error::io("keep a key for ssh in memory", error))
}

/// A connection through `ssh`; dropped, it is ended.
pub(crate) struct SshStream {
    host: String,
    input: Option<ChildStdin>,
    output: ChildStdout,
    /// What it complained of, once it has ended.
    told: Option<JoinHandle<String>>,
    has_spoken: bool,
    _child: Child,
}

impl AsyncRead for SshStream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.output).poll_read(cx, buffer))?;
        if buffer.filled().len() > before || buffer.remaining() == 0 {
            self.has_spoken = true;
            return Poll::Ready(Ok(()));
        }
        // An end before the first byte: it did not get through.
        let has_spoken = self.has_spoken;
        let Some(told) = self.told.as_mut().filter(|_| !has_spoken) else { return Poll::Ready(Ok(())) };
        let told = ready!(Pin::new(told).poll(cx)).unwrap_or_default();
        self.told = None;
        Poll::Ready(Err(io::Error::other(refused(&self.host, &told))))
    }
}

impl AsyncWrite for SshStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.input {
            // Whoever writes to an ssh that has given up finds out why by reading.
            Some(input) => match ready!(Pin::new(input).poll_write(cx, bytes)) {
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe && !self.has_spoken => {
                    Poll::Ready(Ok(bytes.len()))
                }
                other => Poll::Ready(other),
            },
            None => Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
        }
    }
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.input.as_mut().map_or(Poll::Ready(Ok(())), |input| Pin::new(input).poll_flush(cx))
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.as_mut().poll_flush(cx))?;
        // The end of a pipe is its being closed.
        self.input = None;
        Poll::Ready(Ok(()))
    }
}

/// What `ssh` complained of, in our words; its own are inside.
fn refused(host: &str, told: &str) -> Error {
    let told: String = told.trim().chars().filter(|c| !c.is_control() || *c == '\n').collect();
    let lower = told.to_lowercase();
    let says = |part: &str| lower.contains(part);
    let error =
        |kind, code: &str, what: &str| Error::new(kind, code.to_owned(), format!("host {host}: {what}: {told}"));
    if says("host key verification failed")
        || says("no matching host key")
        || says("remote host identification has changed")
    {
        return error(Kind::Denied, "host.ssh_unknown", "its SSH key is not the one that is known, or none is known").advice(
            "Compare its key with what its administrator says, then give it with the host (--ssh-known-hosts FILE, as ssh-keyscan prints it) or enter it in the known_hosts of the appliance's account.",
        );
    }
    if says("permission denied") && !says("docker.sock") && !says("dial unix")
        || says("too many authentication failures")
    {
        return error(Kind::Denied, "host.ssh_denied", "SSH lets us not in")
            .advice("Give the key with the host (--ssh-key FILE, without a passphrase) and enter its public half in authorized_keys there.");
    }
    if says("not found") && (says("docker") || says("podman")) {
        return error(
            Kind::Refused,
            "host.ssh_no_cli",
            "SSH lets us in, and there is neither Docker's nor Podman's command",
        )
        .advice("Install the CLI of Docker (18.09 or newer) or Podman there: it carries the connection.");
    }
    if says("permission denied") {
        return error(Kind::Denied, "host.denied", "SSH lets us in, and the engine's socket is forbidden to that user")
            .advice("Make the user a member of the socket's group (usually docker), or give the socket of an engine of its own in the URL.");
    }
    if says("cannot connect") || says("no such file") || says("is the docker daemon running") {
        return error(Kind::Unavailable, "host.socket_missing", "SSH lets us in, and no engine answers there").advice(
            "Start the engine there, or write its socket into the URL: ssh://user@host/run/podman/podman.sock.",
        );
    }
    unreachable(host, if told.is_empty() { "ssh ended without a word".to_owned() } else { told })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ssh_complains_of_is_classed_by_what_to_do() {
        for (told, code) in [
            ("Host key verification failed.", "host.ssh_unknown"),
            ("zoo@127.0.0.1: Permission denied (publickey).", "host.ssh_denied"),
            ("sh: 1: exec: podman: not found", "host.ssh_no_cli"),
            ("dial unix /var/run/docker.sock: connect: permission denied", "host.denied"),
            ("Cannot connect to the Docker daemon at unix:///x. Is the docker daemon running?", "host.socket_missing"),
            ("ssh: connect to host x port 22: Connection refused", "host.unreachable"),
            ("", "host.unreachable"),
        ] {
            let error = refused("lab", told);
            assert_eq!(error.code(), code, "{told}");
            assert!(error.to_string().contains(told));
        }
    }

    #[test]
    fn keys_lie_in_memory_and_only_their_owner_reads_them() {
        use std::os::unix::fs::PermissionsExt;
        let file = in_memory("key").unwrap();
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        let path = format!("/proc/{}/fd/{}", std::process::id(), file.as_raw_fd());
        assert_eq!(std::fs::read_to_string(path).unwrap(), "key\n");
    }
}
