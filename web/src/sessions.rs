//! Who is logged in: random ids of 256 bits, kept only as SHA-256, in memory.
//!
//! A restart of the appliance logs everybody out: nothing that opens a door lies on the disk.
//! Bounded: when the table is full, the session that was quiet longest goes.

use holdfast_model::Moment;
use holdfast_runtime::random;
use sha2::{Digest, Sha256};
use std::{collections::HashMap, sync::Mutex};

/// A session ends after this many seconds without a request.
pub(crate) const IDLE_SECONDS: i64 = 30 * 60;
/// A session ends this many seconds after the login, whatever happens.
pub(crate) const LIFE_SECONDS: i64 = 12 * 3600;
/// Sessions at one time; one admin with some browsers needs few.
const LIMIT: usize = 256;

/// Hash of a session id: what the table is keyed with.
pub(crate) type SessionKey = [u8; 32];

/// All sessions.
#[derive(Default)]
pub(crate) struct Sessions(Mutex<HashMap<SessionKey, Session>>);

struct Session {
    name: String,
    began: Moment,
    seen: Moment,
}

impl Sessions {
    /// Opens a session; returns the id that only the browser keeps.
    pub(crate) fn open(&self, name: &str, now: Moment) -> String {
        let id = hex::encode(random::<32>());
        let mut table = self.table();
        table.retain(|_, session| session.is_alive(now));
        if table.len() >= LIMIT {
            let quiet = table.iter().min_by_key(|(_, session)| session.seen).map(|(key, _)| *key);
            quiet.map(|key| table.remove(&key));
        }
        table.insert(key_of(&id), Session { name: name.to_owned(), began: now, seen: now });
        id
    }

    /// The name behind an id, if its session lives; the request counts as a sign of life.
    pub(crate) fn find(&self, id: &str, now: Moment) -> Option<(SessionKey, String)> {
        let key = key_of(id);
        let mut table = self.table();
        let session = table.get_mut(&key).filter(|session| session.is_alive(now))?;
        session.seen = now;
        Some((key, session.name.clone()))
    }

    /// Whether a session still lives; asking does not prolong it.
    pub(crate) fn is_alive(&self, key: &SessionKey, now: Moment) -> bool {
        self.table().get(key).is_some_and(|session| session.is_alive(now))
    }

    /// Ends a session.
    pub(crate) fn close(&self, key: &SessionKey) {
        self.table().remove(key);
    }

    fn table(&self) -> std::sync::MutexGuard<'_, HashMap<SessionKey, Session>> {
        self.0.lock().expect("no session call panics while it holds the table")
    }
}

impl Session {
    fn is_alive(&self, now: Moment) -> bool {
        now.since(self.seen) < IDLE_SECONDS * 1000 && now.since(self.began) < LIFE_SECONDS * 1000
    }
}

fn key_of(id: &str) -> SessionKey {
    Sha256::digest(id.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: i64 = 1_795_410_000_000;

    fn at(seconds: i64) -> Moment {
        Moment::from_millis(START).plus_seconds(seconds)
    }

    #[test]
    fn a_session_ends_when_it_is_quiet_old_or_closed() {
        let sessions = Sessions::default();
        let id = sessions.open("ada", at(0));
        assert_eq!(id.len(), 64);
        assert!(sessions.find(&id, at(IDLE_SECONDS - 1)).is_some(), "a request prolongs it");
        assert!(sessions.find(&id, at(2 * IDLE_SECONDS - 2)).is_some());
        assert!(sessions.find(&id, at(4 * IDLE_SECONDS)).is_none(), "quiet");

        let id = sessions.open("ada", at(0));
        for step in 1..LIFE_SECONDS / 600 {
            assert!(sessions.find(&id, at(step * 600)).is_some());
        }
        assert!(sessions.find(&id, at(LIFE_SECONDS)).is_none(), "old");

        let id = sessions.open("ada", at(0));
        let (key, name) = sessions.find(&id, at(1)).unwrap();
        assert_eq!(name, "ada");
        sessions.close(&key);
        assert!(sessions.find(&id, at(1)).is_none(), "closed");
        assert!(!sessions.is_alive(&key, at(1)));
    }

    #[test]
    fn the_table_is_bounded() {
        let sessions = Sessions::default();
        let first = sessions.open("ada", at(0));
        for step in 0..LIMIT as i64 {
            sessions.open("ada", at(1 + step / 100));
        }
        assert_eq!(sessions.table().len(), LIMIT);
        assert!(sessions.find(&first, at(5)).is_none());
        assert!(sessions.find("no such id", at(5)).is_none());
    }
}
