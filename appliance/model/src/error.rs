//! One error type for the house, classed by what the reader should do next.
//!
//! `Display` prints the error's own words only; [`Error::chain`] prints the whole story once.
//! Errors are logged where they are handled, never where they are passed on.

use std::{borrow::Cow, error::Error as StdError, fmt};

/// Result with the house's error.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What the one who meets the error should do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The thing named is not there.
    NotFound,
    /// The thing is there already, or in a state that forbids the act.
    Conflict,
    /// The input is wrong; asking again unchanged is useless.
    Invalid,
    /// Rights are missing or credentials are wrong.
    Denied,
    /// The other side cannot be reached or asks for patience: try again later.
    Unavailable,
    /// No space or quota left.
    Full,
    /// Stored bytes are not what was written.
    Corrupt,
    /// Somebody asked us to stop.
    Stopped,
    /// Policy or safety forbids it (confirmation missing, protected, locked).
    Refused,
    /// Our own mistake.
    Bug,
}

impl Kind {
    /// Process exit code of the CLI (design 6).
    pub fn exit_code(self) -> i32 {
        match self {
            Kind::NotFound => 4,
            Kind::Conflict | Kind::Denied | Kind::Refused => 5,
            Kind::Invalid => 2,
            Kind::Unavailable => 6,
            Kind::Stopped => 130,
            Kind::Full | Kind::Corrupt | Kind::Bug => 1,
        }
    }

    /// Whether the same call may succeed later without anybody changing anything.
    pub fn is_transient(self) -> bool {
        matches!(self, Kind::Unavailable)
    }

    /// The kind's name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::NotFound => "not_found",
            Kind::Conflict => "conflict",
            Kind::Invalid => "invalid",
            Kind::Denied => "denied",
            Kind::Unavailable => "unavailable",
            Kind::Full => "full",
            Kind::Corrupt => "corrupt",
            Kind::Stopped => "stopped",
            Kind::Refused => "refused",
            Kind::Bug => "bug",
        }
    }

    /// The inverse of [`Kind::as_str`]; unknown names read as [`Kind::Bug`].
    pub fn from_name(name: &str) -> Kind {
        [
            Kind::NotFound,
            Kind::Conflict,
            Kind::Invalid,
            Kind::Denied,
            Kind::Unavailable,
            Kind::Full,
            Kind::Corrupt,
            Kind::Stopped,
            Kind::Refused,
        ]
        .into_iter()
        .find(|kind| kind.as_str() == name)
        .unwrap_or(Kind::Bug)
    }
}

/// What happened, in words for a person, with a stable code and advice.
///
/// `code` is dotted and stable (`bucket.denied`, `host.unreachable`, `pack.corrupt`): scripts
/// and translations hang on it. Neither text nor code may hold a secret.
pub struct Error(Box<Inner>);

struct Inner {
    kind: Kind,
    code: Cow<'static, str>,
    what: String,
    advice: Option<String>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl Error {
    /// A new error; `what` is one clear lowercase sentence without a full stop.
    pub fn new(kind: Kind, code: impl Into<Cow<'static, str>>, what: impl Into<String>) -> Self {
        Error(Box::new(Inner { kind, code: code.into(), what: what.into(), advice: None, source: None }))
    }

    /// Shorthand for [`Kind::Invalid`].
    pub fn invalid(code: impl Into<Cow<'static, str>>, what: impl Into<String>) -> Self {
        Error::new(Kind::Invalid, code, what)
    }

    /// Shorthand for [`Kind::NotFound`].
    pub fn not_found(code: impl Into<Cow<'static, str>>, what: impl Into<String>) -> Self {
        Error::new(Kind::NotFound, code, what)
    }

    /// Shorthand for [`Kind::Bug`].
    pub fn bug(what: impl Into<String>) -> Self {
        Error::new(Kind::Bug, "bug", what)
    }

    /// An I/O error of the local machine; the kind follows from the OS error.
    pub fn io(what: impl Into<String>, source: std::io::Error) -> Self {
        use std::io::ErrorKind as Io;
        let (kind, code) = match source.kind() {
            Io::NotFound => (Kind::NotFound, "file.not_found"),
            Io::PermissionDenied => (Kind::Denied, "file.denied"),
            Io::StorageFull | Io::QuotaExceeded | Io::FileTooLarge => (Kind::Full, "disk.full"),
            Io::AlreadyExists => (Kind::Conflict, "file.exists"),
            Io::ConnectionRefused | Io::ConnectionReset | Io::ConnectionAborted | Io::TimedOut | Io::BrokenPipe => {
                (Kind::Unavailable, "io.unreachable")
            }
            _ => (Kind::Unavailable, "io.failed"),
        };
        Error::new(kind, code, what).caused_by(source)
    }

    /// Adds what the reader can do about it: one sentence.
    #[must_use]
    pub fn advice(mut self, advice: impl Into<String>) -> Self {
        self.0.advice = Some(advice.into());
        self
    }

    /// Attaches the cause.
    #[must_use]
    pub fn caused_by(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// Wraps the error in what was being done; kind, code and advice stay.
    #[must_use]
    pub fn while_doing(self, doing: impl Into<String>) -> Self {
        let (kind, code, advice) = (self.0.kind, self.0.code.clone(), self.0.advice.clone());
        Error(Box::new(Inner { kind, code, what: doing.into(), advice, source: Some(Box::new(self)) }))
    }

    /// What the reader should do.
    pub fn kind(&self) -> Kind {
        self.0.kind
    }

    /// The stable code.
    pub fn code(&self) -> &str {
        &self.0.code
    }

    /// The advice, if there is one.
    pub fn advice_text(&self) -> Option<&str> {
        self.0.advice.as_deref()
    }

    /// The whole story in one line: own words, then each cause after a colon.
    pub fn chain(&self) -> String {
        let mut text = self.to_string();
        let mut next = self.source();
        while let Some(cause) = next {
            let words = cause.to_string();
            if !text.ends_with(&words) {
                text.push_str(": ");
                text.push_str(&words);
            }
            next = cause.source();
        }
        text
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.what)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{} {}] {}", self.0.kind.as_str(), self.0.code, self.chain())
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_deref().map(|cause| cause as &(dyn StdError + 'static))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chain_names_each_cause_once() {
        let error =
            Error::new(Kind::Denied, "bucket.denied", "the bucket refused the key").while_doing("ship pack ab12");
        assert_eq!(error.chain(), "ship pack ab12: the bucket refused the key");
        assert_eq!(error.kind(), Kind::Denied);
        assert_eq!(error.code(), "bucket.denied");
    }

    #[test]
    fn names_of_kinds_round_trip() {
        for kind in [Kind::NotFound, Kind::Full, Kind::Refused, Kind::Bug] {
            assert_eq!(Kind::from_name(kind.as_str()), kind);
        }
    }
}
