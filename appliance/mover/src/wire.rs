//! The conversation between the appliance and a mover beside the data: asks one way, answers the other.
//!
//! Pure: bytes to words and back, no reading or writing. Both sides lean on it, so it cannot drift; see FORMAT.md.
//!
//! # Invariants
//! - A frame is its kind, the length of what follows (four bytes, little-endian) and that; at most [`FRAME_MAX`].
//! - Answers end with [`Answer::Done`], which counts the frames before it: an answer without it is no answer.
//! - Whatever the other side sends is refused or understood, never a panic; memory follows from the bytes that came.

use crate::trouble::{Trouble, What};
use rustix::io::Errno;

/// Both sides must speak the same.
pub const VERSION: u8 = 3;
/// Bytes that one frame carries at most: a piece of content, or all headers of an entry.
pub const FRAME_MAX: usize = 4 << 20;
/// Bytes before what a frame carries.
pub const HEAD: usize = 5;
/// Groups that one ask for marks or contents names at most.
pub const GROUPS_AT_ONCE: usize = 256;

/// What the appliance asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ask {
    /// First: the key of identities, and what names in headers begin with.
    Hello {
        /// [`VERSION`].
        version: u8,
        /// Key of identities: the same for every backup.
        key: [u8; 32],
        /// What names in headers begin with; empty for bare names.
        prefix: Vec<u8>,
    },
    /// Walk, and tell the groups. Asked again, it walks anew.
    Groups,
    /// Marks of the entries of these groups.
    Marks(Vec<u32>),
    /// Contents of these groups: for each entry whether it is wanted.
    Read {
        /// Number of the group, and for each of its entries whether it is wanted.
        groups: Vec<(u32, Vec<bool>)>,
        /// Whether what was sent before in this conversation may be told as [`Answer::Kept`].
        may_keep: bool,
    },
    /// What could not be looked at since the last walk.
    Finish,
}

/// What the mover answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// To `Hello`.
    Hello {
        /// [`VERSION`].
        version: u8,
    },
    /// One group.
    Group {
        /// Hash over the identities of its entries.
        witness: [u8; 32],
        /// How many they are.
        entries: u32,
        /// Bytes of their contents.
        bytes: u64,
    },
    /// Marks of one group: identity, bytes of headers, bytes of content.
    Marks(Vec<(u64, u32, u64)>),
    /// An entry begins: its headers.
    Begin(Vec<u8>),
    /// Content of the entry.
    Content(Vec<u8>),
    /// Zeros of its content.
    Zeros(u64),
    /// Content of the entry that is at this place what it was when it was sent before in this conversation.
    Kept {
        /// The mark or the name that the entry was sent under.
        name: u64,
        /// Bytes.
        count: u64,
    },
    /// The entry is whole and what the walk saw.
    End,
    /// The entry is whole, but not what the walk saw.
    Flawed {
        /// What it may be referred to as later in this conversation; 0 if it will not be.
        name: u64,
        /// What is wrong.
        trouble: Trouble,
    },
    /// The entry cannot be given (to its end).
    Left(Trouble),
    /// Something of the walk.
    Trouble(Trouble),
    /// The answer is complete: this many frames came before.
    Done(u64),
    /// Nothing more will come: why, for people.
    Failed(String),
}

/// A frame that says nothing that we know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

impl std::fmt::Display for Malformed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the other side of the conversation does not speak as agreed")
    }
}

impl std::error::Error for Malformed {}

impl From<Malformed> for std::io::Error {
    fn from(malformed: Malformed) -> Self {
        std::io::Error::new(std::io::ErrorKind::InvalidData, malformed)
    }
}

/// What is wrong, as a number on the wire. Only added to, never renumbered within a version.
const WHATS: [What; 18] = [
    What::Unreadable,
    What::Vanished,
    What::Changed,
    What::Short,
    What::Damaged,
    What::Attributes,
    What::Mount,
    What::TooLong,
    What::NotMade,
    What::Exists,
    What::NotWritten,
    What::Owner,
    What::Mode,
    What::Xattr,
    What::Times,
    What::Device,
    What::Name,
    What::TooLarge,
];

/// Set beside that number: no path, but how many more there are of it.
const MORE: u8 = 0x80;

/// Writes a frame behind what is there.
pub fn put_frame(out: &mut Vec<u8>, kind: u8, parts: &[&[u8]]) {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    debug_assert!(length <= FRAME_MAX, "a frame of {length} bytes");
    out.push(kind);
    out.extend_from_slice(&u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes());
    parts.iter().for_each(|part| out.extend_from_slice(part));
}

/// Kind and length of the frame that begins here; `None` asks for more bytes.
pub fn head(bytes: &[u8]) -> Result<Option<(u8, usize)>, Malformed> {
    let Some(head) = bytes.first_chunk::<HEAD>() else { return Ok(None) };
    let [kind, length @ ..] = *head;
    let length = u32::from_le_bytes(length) as usize;
    if length > FRAME_MAX { Err(Malformed) } else { Ok(Some((kind, length))) }
}

impl Ask {
    /// Writes it behind what is there.
    pub fn put(&self, out: &mut Vec<u8>) {
        match self {
            Ask::Hello { version, key, prefix } => put_frame(out, b'H', &[&[*version], key, prefix]),
            Ask::Groups => put_frame(out, b'G', &[]),
            Ask::Marks(groups) => {
                let all: Vec<u8> = groups.iter().flat_map(|group| group.to_le_bytes()).collect();
                put_frame(out, b'M', &[&all]);
            }
            Ask::Read { groups: requests, may_keep } => {
                let mut all = vec![u8::from(*may_keep)];
                for (group, wanted) in requests {
                    all.extend_from_slice(&group.to_le_bytes());
                    all.extend_from_slice(&u32::try_from(wanted.len()).unwrap_or(u32::MAX).to_le_bytes());
                    all.extend(wanted.chunks(8).map(byte_of));
                }
                put_frame(out, b'R', &[&all]);
            }
            Ask::Finish => put_frame(out, b'F', &[]),
        }
    }

    /// Reads what a frame carries.
    pub fn read(kind: u8, mut body: &[u8]) -> Result<Ask, Malformed> {
        Ok(match kind {
            b'H' => {
                let version = number::<1>(&mut body)?[0];
                Ask::Hello { version, key: number::<32>(&mut body)?, prefix: body.to_vec() }
            }
            b'G' => Ask::Groups,
            b'M' => {
                let (groups, rest) = body.as_chunks::<4>();
                if !rest.is_empty() || groups.len() > GROUPS_AT_ONCE {
                    return Err(Malformed);
                }
                Ask::Marks(groups.iter().map(|group| u32::from_le_bytes(*group)).collect())
            }
            b'R' => {
                let mut requests = Vec::new();
                let may_keep = number::<1>(&mut body)? == [1];
                while !body.is_empty() {
                    let group = u32::from_le_bytes(number(&mut body)?);
                    let count = u32::from_le_bytes(number(&mut body)?) as usize;
                    let bits = take(&mut body, count.div_ceil(8))?;
                    requests.push((group, (0..count).map(|n| bits[n / 8] >> (n % 8) & 1 == 1).collect()));
                }
                if requests.len() > GROUPS_AT_ONCE {
                    return Err(Malformed);
                }
                Ask::Read { groups: requests, may_keep }
            }
            b'F' => Ask::Finish,
            _ => return Err(Malformed),
        })
    }
}

impl Answer {
    /// Writes it behind what is there.
    pub fn put(&self, out: &mut Vec<u8>) {
        match self {
            Answer::Hello { version } => put_frame(out, b'h', &[&[*version]]),
            Answer::Group { witness, entries, bytes } => {
                put_frame(out, b'g', &[witness, &entries.to_le_bytes(), &bytes.to_le_bytes()]);
            }
            Answer::Marks(marks) => {
                let mut all = Vec::with_capacity(marks.len() * 20);
                for (identity, header, content) in marks {
                    all.extend_from_slice(&identity.to_le_bytes());
                    all.extend_from_slice(&header.to_le_bytes());
                    all.extend_from_slice(&content.to_le_bytes());
                }
                put_frame(out, b'm', &[&all]);
            }
            Answer::Begin(headers) => put_frame(out, b'b', &[headers]),
            Answer::Content(bytes) => put_frame(out, b'c', &[bytes]),
            Answer::Zeros(count) => put_frame(out, b'z', &[&count.to_le_bytes()]),
            Answer::Kept { name, count } => put_frame(out, b'k', &[&name.to_le_bytes(), &count.to_le_bytes()]),
            Answer::End => put_frame(out, b'n', &[]),
            Answer::Flawed { name, trouble } => {
                put_frame(out, b'f', &[&name.to_le_bytes(), &trouble_bytes(trouble)]);
            }
            Answer::Left(trouble) => put_frame(out, b'l', &[&trouble_bytes(trouble)]),
            Answer::Trouble(trouble) => put_frame(out, b't', &[&trouble_bytes(trouble)]),
            Answer::Done(frames) => put_frame(out, b'.', &[&frames.to_le_bytes()]),
            Answer::Failed(why) => put_frame(out, b'!', &[why.as_bytes()]),
        }
    }

    /// Reads what a frame carries.
    pub fn read(kind: u8, mut body: &[u8]) -> Result<Answer, Malformed> {
        let answer = match kind {
            b'h' => Answer::Hello { version: number::<1>(&mut body)?[0] },
            b'g' => Answer::Group {
                witness: number(&mut body)?,
                entries: u32::from_le_bytes(number(&mut body)?),
                bytes: u64::from_le_bytes(number(&mut body)?),
            },
            b'm' => {
                let (marks, rest) = std::mem::take(&mut body).as_chunks::<20>();
                if !rest.is_empty() {
                    return Err(Malformed);
                }
                Answer::Marks(marks.iter().map(mark_of).collect::<Result<_, _>>()?)
            }
            b'b' => Answer::Begin(std::mem::take(&mut body).to_vec()),
            b'c' => Answer::Content(std::mem::take(&mut body).to_vec()),
            b'z' => Answer::Zeros(u64::from_le_bytes(number(&mut body)?)),
            b'k' => Answer::Kept {
                name: u64::from_le_bytes(number(&mut body)?),
                count: u64::from_le_bytes(number(&mut body)?),
            },
            b'n' => Answer::End,
            b'f' => Answer::Flawed { name: u64::from_le_bytes(number(&mut body)?), trouble: trouble_of(&mut body)? },
            b'l' => Answer::Left(trouble_of(&mut body)?),
            b't' => Answer::Trouble(trouble_of(&mut body)?),
            b'.' => Answer::Done(u64::from_le_bytes(number(&mut body)?)),
            b'!' => Answer::Failed(String::from_utf8_lossy(std::mem::take(&mut body)).into_owned()),
            _ => return Err(Malformed),
        };
        if body.is_empty() { Ok(answer) } else { Err(Malformed) }
    }
}

fn byte_of(bits: &[bool]) -> u8 {
    bits.iter().enumerate().fold(0, |byte, (place, bit)| byte | u8::from(*bit) << place)
}

fn mark_of(bytes: &[u8; 20]) -> Result<(u64, u32, u64), Malformed> {
    let mut bytes = &bytes[..];
    let identity = u64::from_le_bytes(number(&mut bytes)?);
    let header = u32::from_le_bytes(number(&mut bytes)?);
    Ok((identity, header, u64::from_le_bytes(number(&mut bytes)?)))
}

fn trouble_bytes(trouble: &Trouble) -> Vec<u8> {
    let what = WHATS.iter().position(|what| *what == trouble.what).unwrap_or(0) as u8;
    if trouble.more > 0 {
        return [&[what | MORE][..], &trouble.more.to_le_bytes()].concat();
    }
    let mut out = vec![what];
    out.extend_from_slice(&trouble.cause.map_or(0, Errno::raw_os_error).to_le_bytes());
    out.extend_from_slice(&u32::try_from(trouble.path.len()).unwrap_or(u32::MAX).to_le_bytes());
    out.extend_from_slice(&trouble.path);
    out.extend_from_slice(&trouble.detail);
    out
}

fn trouble_of(body: &mut &[u8]) -> Result<Trouble, Malformed> {
    let [what] = number::<1>(body)?;
    let (is_number, what) = (what & MORE != 0, *WHATS.get(usize::from(what & !MORE)).ok_or(Malformed)?);
    if is_number {
        let more = u64::from_le_bytes(number(body)?);
        // None more is nothing to tell.
        return if more > 0 { Ok(Trouble { more, ..Trouble::new(b"", what) }) } else { Err(Malformed) };
    }
    let cause = i32::from_le_bytes(number(body)?);
    if !(0..4096).contains(&cause) {
        return Err(Malformed);
    }
    let length = u32::from_le_bytes(number(body)?) as usize;
    let path = take(body, length)?.into();
    let detail = std::mem::take(body).into();
    let cause = (cause != 0).then(|| Errno::from_raw_os_error(cause));
    Ok(Trouble { path, what, cause, detail, more: 0 })
}

fn number<const N: usize>(body: &mut &[u8]) -> Result<[u8; N], Malformed> {
    let (number, rest) = body.split_first_chunk::<N>().ok_or(Malformed)?;
    *body = rest;
    Ok(*number)
}

fn take<'a>(body: &mut &'a [u8], length: usize) -> Result<&'a [u8], Malformed> {
    let (taken, rest) = body.split_at_checked(length).ok_or(Malformed)?;
    *body = rest;
    Ok(taken)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn asks() -> Vec<Ask> {
        vec![
            Ask::Hello { version: VERSION, key: [7; 32], prefix: b"v".to_vec() },
            Ask::Groups,
            Ask::Marks(vec![0, 1, u32::MAX]),
            Ask::Read { groups: vec![(3, vec![true, false, true]), (4, vec![]), (5, vec![true; 17])], may_keep: true },
            Ask::Finish,
        ]
    }

    fn answers() -> Vec<Answer> {
        let plain = Trouble::new(b"a/b", What::Mount);
        let full = Trouble { detail: (*b"user.x").into(), ..Trouble::of(b"\xff/c", What::Xattr, Errno::ACCESS) };
        vec![
            Answer::Hello { version: VERSION },
            Answer::Group { witness: [9; 32], entries: 128, bytes: u64::MAX },
            Answer::Marks(vec![(1, 512, 3), (u64::MAX, u32::MAX, 0)]),
            Answer::Begin(vec![1; 512]),
            Answer::Content(b"content".to_vec()),
            Answer::Zeros(1 << 40),
            Answer::Kept { name: 7, count: 1 << 33 },
            Answer::End,
            Answer::Flawed { name: 9, trouble: full.clone() },
            Answer::Left(plain.clone()),
            Answer::Trouble(full),
            Answer::Trouble(Trouble { more: 1 << 40, ..Trouble::new(b"", What::TooLarge) }),
            Answer::Trouble(Trouble { more: 1, ..Trouble::new(b"", What::Unreadable) }),
            Answer::Done(77),
            Answer::Failed("no such folder".to_owned()),
        ]
    }

    #[test]
    fn words_come_back_and_halves_of_them_do_not() {
        for ask in asks() {
            let mut out = Vec::new();
            ask.put(&mut out);
            let (kind, length) = head(&out).expect("well formed").expect("whole");
            assert_eq!(out.len(), HEAD + length);
            assert_eq!(Ask::read(kind, &out[HEAD..]), Ok(ask));
        }
        for answer in answers() {
            let mut out = Vec::new();
            answer.put(&mut out);
            let (kind, length) = head(&out).expect("well formed").expect("whole");
            assert_eq!(out.len(), HEAD + length);
            assert_eq!(Answer::read(kind, &out[HEAD..]).as_ref(), Ok(&answer));
            if matches!(answer, Answer::Done(_) | Answer::Group { .. } | Answer::Zeros(_)) {
                assert_eq!(Answer::read(kind, &out[HEAD..out.len() - 1]), Err(Malformed), "{answer:?}");
                assert_eq!(Answer::read(kind, &[&out[HEAD..], b"x"].concat()), Err(Malformed), "{answer:?}");
            }
        }
        let none_more = [&[MORE][..], &[0; 8]].concat();
        assert_eq!(Answer::read(b't', &none_more), Err(Malformed));
        assert_eq!(Answer::read(b't', &[MORE | 18, 1, 0, 0, 0, 0, 0, 0, 0]), Err(Malformed));
        assert_eq!(head(&[b'c', 255, 255, 255, 255]), Err(Malformed));
        assert_eq!(head(b"c"), Ok(None));
    }

    proptest! {
        #[test]
        fn nothing_that_comes_is_a_panic(kind in any::<u8>(), body in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Ask::read(kind, &body);
            let _ = Answer::read(kind, &body);
        }
    }
}
