//! An object on its way back: asked for, and gone on with where its connection broke.
//!
//! What has come is not asked for again: over a line that breaks every few megabytes a pack would never come whole, and be paid for
//! many times. What comes later is of the same object as far as the store tells (`If-Match`, and the tag of each answer), and a whole
//! object that came in pieces is held against the checksum that the store keeps, as the SDK holds one that came at once. The last
//! word has whoever knows the object: by its name, or the proof of each chunk.

use super::{S3Store, TRIES, is_other, too_large};
use crate::{
    fault,
    read::{self, Broken, Window},
    upload::Upload,
};
use aws_sdk_s3::{operation::get_object::GetObjectOutput, types::ChecksumMode};
use bytes::{Bytes, BytesMut};
use holdfast_model::{Error, Kind, Result};
use holdfast_storage::{key, words};
use std::ops::Range;

/// Fewer bytes than this between two breaks bring nothing on: such tries are counted, or a byte now and then would keep them going
/// for ever.
const MOVED: u64 = 64 << 10;

/// What has come of an object, over all answers.
struct Coming {
    /// What is wanted; `None` is the whole object.
    range: Option<Range<u64>>,
    /// Size of the whole object, once an answer told it.
    size: Option<u64>,
    kept: BytesMut,
    /// What the store calls these very bytes.
    tag: Option<String>,
    /// The checksum that the store keeps of the whole object.
    checksum: Option<String>,
    /// Not all came in one answer, so the SDK could not compare the checksum.
    broke: bool,
}

impl Coming {
    fn of(range: Option<Range<u64>>) -> Coming {
        Coming { range, size: None, kept: BytesMut::new(), tag: None, checksum: None, broke: false }
    }

    fn reached(&self) -> u64 {
        self.kept.len() as u64
    }

    /// What to ask for next; `None` is the whole object.
    fn missing(&self) -> Option<Range<u64>> {
        match (&self.range, self.size) {
            (Some(range), _) => Some(range.start + self.reached()..range.end),
            (None, Some(size)) if self.reached() > 0 => Some(self.reached()..size),
            (None, _) => None,
        }
    }

    /// The tag that the rest has to have.
    fn condition(&self) -> Option<&str> {
        self.tag.as_deref().filter(|_| self.reached() > 0)
    }

    /// Takes note of what the first answer tells. Whether this one is of the same object as the bytes so far.
    fn fits(&mut self, answer: &GetObjectOutput, window: Window) -> bool {
        if self.reached() > 0 {
            return self.tag.is_none() || answer.e_tag.is_none() || self.tag == answer.e_tag;
        }
        // A weak tag may stay when bytes change.
        self.tag = answer.e_tag.clone().filter(|tag| !tag.starts_with("W/"));
        if self.range.is_none() {
            self.size = window.keep;
            self.checksum.clone_from(&answer.checksum_sha256);
        }
        true
    }

    /// Prepares what comes after a break. Whether all has to come anew.
    fn broke(&mut self, how: Broken) -> bool {
        let is_endless = self.range.is_none() && self.size.is_none();
        let afresh = is_endless || matches!(how, Broken::Checksum | Broken::Changed);
        match afresh {
            true => *self = Coming::of(self.range.take()),
            false => self.broke = true,
        }
        afresh
    }
}

/// Counts tries: as many as bring it on, and few that do not.
#[derive(Default)]
struct Tries {
    in_vain: u32,
    afresh: u32,
    last: Option<(Broken, u64)>,
    /// How many ended in the same way at the same byte, one after the other.
    same: u32,
}

impl Tries {
    /// One ended too early at byte `end`, begun at `from`. Whether there may be another.
    fn go_on(&mut self, how: Broken, from: u64, end: u64, afresh: bool) -> bool {
        self.same = if self.last == Some((how, end)) { self.same + 1 } else { 1 };
        self.last = Some((how, end));
        if !afresh && end.saturating_sub(from) >= MOVED {
            self.in_vain = 0;
        }
        self.in_vain += 1;
        self.afresh += u32::from(afresh);
        self.in_vain < TRIES && self.afresh < TRIES
    }
}

impl S3Store {
    pub(super) async fn fetch(&self, key: &str, range: Option<Range<u64>>) -> Result<Bytes> {
        key::check(key)?;
        let (mut coming, mut tries) = (Coming::of(range), Tries::default());
        loop {
            let from = coming.reached();
            let how = match self.go_on(key, &mut coming).await? {
                Ok(bytes) => return Ok(bytes),
                Err(how) => how,
            };
            let end = coming.reached();
            let afresh = coming.broke(how);
            if !tries.go_on(how, from, end, afresh) {
                return Err(self.broken(key, how, tries.same >= TRIES));
            }
            tokio::time::sleep(self.patience.first_wait * tries.in_vain).await;
        }
    }

    /// Asks for what is missing and reads it. The inner error is how that ended too early.
    async fn go_on(&self, key: &str, coming: &mut Coming) -> Result<Result<Bytes, Broken>> {
        let missing = coming.missing();
        if missing.as_ref().is_none_or(|missing| !missing.is_empty()) {
            let Some(answer) = self.ask(key, missing.as_ref(), coming.condition()).await? else {
                return Ok(Err(Broken::Changed));
            };
            let window = self.window(key, &answer, missing.as_ref())?;
            if !coming.fits(&answer, window) {
                return Ok(Err(Broken::Changed));
            }
            match read::body(answer.body, window, self.patience.idle, &mut coming.kept).await {
                Ok(()) => {}
                Err(Broken::TooLarge) => return Err(too_large(&self.place, key)),
                Err(how) => return Ok(Err(how)),
            }
        }
        let bytes = std::mem::take(&mut coming.kept).freeze();
        if coming.broke && coming.checksum.is_some() {
            let whole = Upload::of(bytes.clone()).await?;
            if is_other(coming.checksum.as_deref(), &whole) {
                return Ok(Err(Broken::Checksum));
            }
        }
        Ok(Ok(bytes))
    }

    /// `None` if the store does not give it under the condition, because it is another object by now or because it knows no such
    /// condition.
    async fn ask(
        &self,
        key: &str,
        range: Option<&Range<u64>>,
        condition: Option<&str>,
    ) -> Result<Option<GetObjectOutput>> {
        let get = self.client.get_object().bucket(&self.bucket).key(self.name(key));
        let get = get.set_if_match(condition.map(str::to_owned));
        let get = match range {
            Some(range) => get.range(format!("bytes={}-{}", range.start, range.end - 1)),
            None => get.checksum_mode(ChecksumMode::Enabled),
        };
        let error = match get.send().await {
            Ok(answer) => {
                self.saw_bucket();
                return Ok(Some(answer));
            }
            Err(error) => error,
        };
        match fault::refusal(&error) {
            Some(said) if condition.is_some() && (said.lost_condition() || said.not_implemented()) => Ok(None),
            Some(said) if said.no_object() => {
                self.saw_bucket();
                Err(words::missing(key))
            }
            Some(said) if said.status == 416 => Err(fault::short(&self.place, key)),
            _ => Err(fault::explain(&self.place, &error)),
        }
    }

    /// Which part of the answer's body is what was asked for.
    fn window(&self, key: &str, answer: &GetObjectOutput, range: Option<&Range<u64>>) -> Result<Window> {
        let length = answer.content_length().map(|length| u64::try_from(length).unwrap_or(u64::MAX));
        let Some(range) = range else {
            if length.is_some_and(|length| length > read::LARGEST_OBJECT) {
                return Err(too_large(&self.place, key));
            }
            if answer.content_range().is_some() {
                return Err(self.misplaced());
            }
            return Ok(Window { skip: 0, keep: length });
        };
        let want = range.end - range.start;
        let Some(claimed) = answer.content_range() else {
            // A store that does not know ranges sends the whole object.
            return if length.is_some_and(|length| length < range.end) {
                Err(fault::short(&self.place, key))
            } else {
                Ok(Window { skip: range.start, keep: Some(want) })
            };
        };
        match read::content_range(claimed) {
            Some(got) if got == *range && length.is_none_or(|length| length == want) => {
                Ok(Window { skip: 0, keep: Some(want) })
            }
            Some(got) if got.start == range.start && got.end < range.end => Err(fault::short(&self.place, key)),
            _ => Err(self.misplaced()),
        }
    }

    fn misplaced(&self) -> Error {
        let text = format!("{} answered with other bytes than were asked for", self.place);
        Error::new(Kind::Corrupt, "object.range", text)
            .advice("A proxy or the store itself handles ranges wrongly; run the bucket probe.")
    }

    /// The error for bodies that would not come whole. The same end at every try is the object's end.
    pub(super) fn broken(&self, key: &str, how: Broken, same: bool) -> Error {
        match how {
            Broken::Checksum => Error::new(
                Kind::Corrupt,
                "object.corrupt",
                format!("object {key} in {} does not match the checksum kept with it", self.place),
            )
            .advice("Run check: what the cache still holds is sent again."),
            Broken::Changed => Error::new(
                Kind::Unavailable,
                "bucket.busy",
                format!("another writer is at work on {key} in {}", self.place),
            )
            .advice("It is tried again."),
            Broken::Cut if same => fault::short(&self.place, key),
            Broken::Silent => fault::unreachable(&self.place, "it fell silent in the middle of an object"),
            Broken::Cut | Broken::TooLarge => {
                fault::unreachable(&self.place, "the connection broke in the middle of an object")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tries_count_only_when_nothing_moved() {
        let mut tries = Tries::default();
        for place in 0..100 {
            assert!(tries.go_on(Broken::Cut, place * MOVED, (place + 1) * MOVED, false), "{place}");
        }
        let end = 100 * MOVED;
        assert!(tries.go_on(Broken::Cut, end, end + 1, false));
        assert!(!tries.go_on(Broken::Cut, end + 1, end + 2, false));
        assert!(tries.same < TRIES, "it went on, if only by a byte");

        let mut tries = Tries::default();
        assert!(tries.go_on(Broken::Cut, 0, MOVED, false) && tries.go_on(Broken::Cut, MOVED, MOVED, false));
        assert!(!tries.go_on(Broken::Cut, MOVED, MOVED, false) && tries.same >= TRIES, "it ends there");
    }

    #[test]
    fn beginning_anew_has_an_end_however_much_moves() {
        let mut tries = Tries::default();
        let mut anew = || {
            assert!(tries.go_on(Broken::Cut, 0, 9 * MOVED, false));
            tries.go_on(Broken::Checksum, 9 * MOVED, 0, true)
        };
        assert!(anew() && anew() && !anew());
    }

    #[test]
    fn what_is_missing_begins_where_it_broke() {
        let mut coming = Coming::of(Some(10..20));
        coming.kept.extend_from_slice(b"abc");
        assert!(!coming.broke(Broken::Silent));
        assert_eq!(coming.missing(), Some(13..20));
        assert!(coming.broke(Broken::Changed));
        assert_eq!(coming.missing(), Some(10..20));

        let mut whole = Coming::of(None);
        whole.kept.extend_from_slice(b"abc");
        assert!(whole.broke(Broken::Cut), "nobody knows how much there is");
        whole.size = Some(8);
        assert_eq!(whole.missing(), None);
        whole.kept.extend_from_slice(b"abc");
        assert!(!whole.broke(Broken::Cut));
        assert_eq!(whole.missing(), Some(3..8));
    }
}
