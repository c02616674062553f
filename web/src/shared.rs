//! What all handlers share: the appliance, who is logged in, who may try to.

use crate::{
    WebSettings,
    fault::Fault,
    listen::Peer,
    sessions::{LIFE_SECONDS, SessionKey, Sessions},
    setup::SetupToken,
    throttle::Throttle,
};
use axum::http::{HeaderMap, HeaderValue, header};
use holdfast_engine::Appliance;
use holdfast_model::{Error, Kind, Moment, Result};
use holdfast_runtime::Stop;
use std::{
    net::IpAddr,
    sync::{Arc, Mutex},
};
use tokio::sync::Semaphore;

/// The state behind every handler.
pub(crate) type App = Arc<Shared>;

/// Name of the session cookie.
pub(crate) const COOKIE: &str = "holdfast_session";
/// Password hashes at one time: each takes tens of MiB of memory.
const HASHES: usize = 2;

/// See the module.
pub(crate) struct Shared {
    pub(crate) appliance: Appliance,
    pub(crate) settings: WebSettings,
    pub(crate) sessions: Sessions,
    pub(crate) setup: SetupToken,
    /// The servers go down: endless answers end.
    pub(crate) closing: Stop,
    throttle: Mutex<Throttle>,
    hashes: Semaphore,
}

/// Who asks. Put into the request by the guard, on every route that needs a login.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    /// Login name; `local` on the unix socket.
    pub(crate) name: String,
    /// The session, if it is one.
    pub(crate) session: Option<SessionKey>,
}

impl Caller {
    /// Whether the request came over the unix socket.
    pub(crate) fn is_local(&self) -> bool {
        self.session.is_none()
    }
}

impl Shared {
    pub(crate) async fn new(appliance: Appliance, settings: WebSettings) -> Result<Self> {
        let done = appliance.setup().await.done;
        let setup = SetupToken::prepare(&settings.data, done).await?;
        Ok(Shared {
            appliance,
            settings,
            sessions: Sessions::default(),
            setup,
            closing: Stop::new(),
            throttle: Mutex::new(Throttle::default()),
            hashes: Semaphore::new(HASHES),
        })
    }

    pub(crate) fn now(&self) -> Moment {
        self.settings.clock.now()
    }

    /// Who asks, or `login.needed`.
    pub(crate) fn caller(&self, peer: Peer, headers: &HeaderMap) -> Result<Caller> {
        if peer == Peer::Local {
            return Ok(Caller { name: "local".into(), session: None });
        }
        let found = session_ids(headers).find_map(|id| self.sessions.find(id, self.now()));
        let (session, name) =
            found.ok_or_else(|| Error::new(Kind::Denied, "login.needed", "please log in to do this"))?;
        Ok(Caller { name, session: Some(session) })
    }

    /// Whether the caller's session still lives.
    pub(crate) fn is_alive(&self, caller: &Caller) -> bool {
        caller.session.is_none_or(|session| self.sessions.is_alive(&session, self.now()))
    }

    /// Runs a check of a password or token: few at a time, slower after each failure.
    pub(crate) async fn attempt(&self, peer: Peer, check: impl Future<Output = Result<()>>) -> Result<(), Fault> {
        let Peer::Tcp(address) = peer else { return Ok(check.await?) };
        let _turn = self.hashes.acquire().await.expect("the semaphore is never closed");
        if let Some(seconds) = self.throttle().wait(address, self.now()) {
            let what = format!("too many failed attempts from {address}; try again in {seconds} s");
            return Err(Fault::retry_after(Error::new(Kind::Unavailable, "login.throttled", what), seconds));
        }
        let outcome = check.await;
        self.count(address, &outcome);
        Ok(outcome?)
    }

    fn count(&self, address: IpAddr, outcome: &Result<()>) {
        match outcome {
            Ok(()) => self.throttle().succeeded(address),
            Err(error) if error.kind() == Kind::Denied => {
                tracing::warn!(%address, code = error.code(), "a login attempt failed");
                self.throttle().failed(address, self.now());
            }
            Err(_) => {}
        }
    }

    fn throttle(&self) -> std::sync::MutexGuard<'_, Throttle> {
        self.throttle.lock().expect("no throttle call panics")
    }

    /// The setup link, until somebody is admin: made here, or come back with a recovered repository.
    pub(crate) async fn setup_link(&self) -> Option<String> {
        if self.appliance.setup().await.done {
            self.setup.used().await;
        }
        let token = self.setup.reveal()?;
        let scheme = if self.settings.tls { "https" } else { "http" };
        Some(format!("{scheme}://{}/setup#{token}", self.settings.reached_at()))
    }

    /// Opens a session; returns the cookie that carries it.
    pub(crate) fn open_session(&self, name: &str) -> HeaderValue {
        self.cookie(&self.sessions.open(name, self.now()), LIFE_SECONDS)
    }

    /// The cookie that makes the browser forget its session.
    pub(crate) fn closed_cookie(&self) -> HeaderValue {
        self.cookie("", 0)
    }

    fn cookie(&self, id: &str, seconds: i64) -> HeaderValue {
        let secure = if self.settings.tls { "; Secure" } else { "" };
        let text = format!("{COOKIE}={id}; Path=/; HttpOnly; SameSite=Strict; Max-Age={seconds}{secure}");
        HeaderValue::from_str(&text).expect("a hex id and fixed words make a header value")
    }
}

/// All values of our cookie: a neighbour on the same host may have set one of its own.
fn session_ids(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    cookies
        .flat_map(|line| line.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .filter(|(name, _)| *name == COOKIE)
        .map(|(_, id)| id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_cookie_is_found_among_others() {
        let mut headers = HeaderMap::new();
        headers.append(header::COOKIE, HeaderValue::from_static("theme=dark; holdfast_session=abc; x"));
        headers.append(header::COOKIE, HeaderValue::from_static("holdfast_session=def"));
        assert_eq!(session_ids(&headers).collect::<Vec<_>>(), ["abc", "def"]);
        assert_eq!(session_ids(&HeaderMap::new()).count(), 0);
    }
}
