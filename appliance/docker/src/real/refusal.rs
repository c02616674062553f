//! What an engine's refusal means: HTTP status and message become an [`Error`] that names the subject.
//!
//! The engine's own message is always inside the text. Never here: deciding what to do about it.

use super::socket::unreachable;
use holdfast_model::{Error, Kind};
use std::error::Error as StdError;

/// An engine's message longer than this is cut: it is for people.
const MESSAGE_LIMIT: usize = 2000;

/// What a call is about.
#[derive(Clone, Copy, Debug)]
pub(crate) struct About<'a> {
    /// `container`, `image`, `volume`, `network` or `host`: first word of the codes.
    pub(crate) what: &'static str,
    /// Its name or id.
    pub(crate) name: &'a str,
}

impl About<'_> {
    fn words(&self) -> String {
        let id = self.name.len() == 64 && self.name.bytes().all(|byte| byte.is_ascii_hexdigit());
        let name = if id { &self.name[..12] } else { self.name };
        if name.is_empty() { format!("the {}", self.what) } else { format!("{} {name}", self.what) }
    }

    /// The engine answered with an error.
    pub(crate) fn refused(&self, host: &str, status: u16, message: &str) -> Error {
        let message: String = message.trim().chars().take(MESSAGE_LIMIT).collect();
        let (kind, code) = self.classify(status, &message);
        let text = format!("host {host} refused {}: {message} (status {status})", self.words());
        let error = Error::new(kind, code.clone(), text);
        match code.as_str() {
            "port.taken" => error.advice("Free the port, or restore under other ports."),
            "name.taken" => error.advice("Choose another name, or remove the one that is there."),
            "host.stumbles" => error.advice("Restart the Docker engine of this host: it was killed at work, and stumbles over what it left of that."),
            "host.full" => error.advice("Free space under the Docker engine's data directory."),
            _ => error,
        }
    }

    fn classify(&self, status: u16, message: &str) -> (Kind, String) {
        let lower = message.to_lowercase();
        let says = |part: &str| lower.contains(part);
        if says("port is already allocated") || says("bind: address already in use") || says("ports are not available")
        {
            return (Kind::Conflict, "port.taken".into());
        }
        if says("address already in use") || says("pool overlaps") || says("address is already in use") {
            return (Kind::Conflict, "address.taken".into());
        }
        if says("no space left on device") {
            return (Kind::Full, "host.full".into());
        }
        // An engine that was killed while it stopped or started a container may not start it again until it begins anew.
        if says("failed to start shim") || (lower.starts_with("task ") && says("already exists")) {
            return (Kind::Unavailable, "host.stumbles".into());
        }
        if (says("is already in use by") && says("name")) || says("already exists") {
            return (Kind::Conflict, "name.taken".into());
        }
        if says("is already paused") || says("is not paused") || says("is not running") {
            return (Kind::Conflict, format!("{}.state", self.what));
        }
        if says("has active endpoints") || says("is in use") || says("is being used") {
            return (Kind::Conflict, format!("{}.in_use", self.what));
        }
        if status == 404 && (says("could not find the file") || says("no such file")) {
            return (Kind::NotFound, "path.not_found".into());
        }
        // What is missing need not be what the call is about.
        for what in ["image", "container", "volume", "network"] {
            if status == 404 && (says(&format!("no such {what}")) || lower.starts_with(&format!("{what} "))) {
                return (Kind::NotFound, format!("{what}.not_found"));
            }
        }
        match status {
            404 => (Kind::NotFound, format!("{}.not_found", self.what)),
            409 => (Kind::Conflict, format!("{}.conflict", self.what)),
            401 | 403 => (Kind::Denied, "host.denied".into()),
            503 => (Kind::Unavailable, "host.unreachable".into()),
            400..=499 => (Kind::Invalid, "host.refused".into()),
            _ => (Kind::Unavailable, "host.failed".into()),
        }
    }

    /// bollard's error in our words.
    pub(crate) fn bollard(&self, host: &str, error: bollard::errors::Error) -> Error {
        use bollard::errors::Error as Theirs;
        match error {
            Theirs::DockerResponseServerError { status_code, message } => self.refused(host, status_code, &message),
            Theirs::DockerStreamError { error } => self.refused(host, 200, &error),
            Theirs::RequestTimeoutError => unreachable(host, format!("no answer in time about {}", self.words())),
            other => self.broken(host, other),
        }
    }

    /// The connection failed or broke: the connector's own error if it is among the causes.
    pub(crate) fn broken(&self, host: &str, error: impl StdError + Send + Sync + 'static) -> Error {
        let mut next: Option<&(dyn StdError + 'static)> = Some(&error);
        while let Some(cause) = next {
            // An I/O error hides what it wraps from `source`.
            let wrapped = cause.downcast_ref::<std::io::Error>().and_then(|io| io.get_ref()?.downcast_ref::<Error>());
            if let Some(ours) = cause.downcast_ref::<Error>().or(wrapped) {
                let copy = Error::new(ours.kind(), ours.code().to_owned(), ours.chain());
                return match ours.advice_text() {
                    Some(advice) => copy.advice(advice.to_owned()),
                    None => copy,
                };
            }
            next = cause.source();
        }
        unreachable(host, format!("the connection broke during work on {}", self.words())).caused_by(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_classed_by_what_to_do() {
        let about = About { what: "container", name: "web" };
        for (status, message, kind, code) in [
            (404, "No such container: web", Kind::NotFound, "container.not_found"),
            (
                500,
                "driver failed programming external connectivity: Bind for 0.0.0.0:80 failed: port is already allocated",
                Kind::Conflict,
                "port.taken",
            ),
            (500, "listen tcp4 0.0.0.0:80: bind: address already in use", Kind::Conflict, "port.taken"),
            (403, "Address already in use", Kind::Conflict, "address.taken"),
            (404, "No such image: x:1", Kind::NotFound, "image.not_found"),
            (404, "network x not found", Kind::NotFound, "network.not_found"),
            (404, "Could not find the file /x in container web", Kind::NotFound, "path.not_found"),
            (
                409,
                "Conflict. The container name \"/web\" is already in use by container \"x\"",
                Kind::Conflict,
                "name.taken",
            ),
            (500, "Container web is not paused", Kind::Conflict, "container.state"),
            (400, "invalid reference format", Kind::Invalid, "host.refused"),
            (500, "write /x: no space left on device", Kind::Full, "host.full"),
            (500, "task 3791012106f4: already exists", Kind::Unavailable, "host.stumbles"),
            (500, "failed to start shim: mkdir /run/x: file exists", Kind::Unavailable, "host.stumbles"),
            (500, "boom", Kind::Unavailable, "host.failed"),
        ] {
            let error = about.refused("local", status, message);
            assert_eq!((error.kind(), error.code()), (kind, code), "{message}");
            assert!(error.to_string().contains(message));
        }
    }

    #[test]
    fn the_connectors_error_is_found_among_the_causes() {
        let inner = Error::new(Kind::Denied, "host.denied", "forbidden").advice("ask");
        let outer = std::io::Error::other(inner);
        let found = About { what: "host", name: "" }.broken("local", outer);
        assert_eq!((found.kind(), found.code(), found.advice_text()), (Kind::Denied, "host.denied", Some("ask")));
    }
}
