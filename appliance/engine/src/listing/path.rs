//! Paths of stored files: raw bytes inside, text that stands for them outside, and their order. Pure.
//!
//! Invariants: every path has one text and every text at most one path; no text changes how the text around it reads.
//! Order is that of the components' bytes, a folder before all that lies in it, and all that together.

use holdfast_model::{Error, Result};
use std::{cmp::Ordering, fmt::Write};

/// Longest text of a path that is read, bytes: more than any file system can name, each byte of it written with four.
const TEXT_MAX: usize = 4 * 4096;

/// Letters of a name that a file is saved under.
const SAVED_MAX: usize = 150;

/// A name or path as text.
pub fn show(raw: &[u8]) -> String {
    let mut out = String::with_capacity(raw.len());
    for part in raw.utf8_chunks() {
        for letter in part.valid().chars() {
            if letter == '\\' {
                out.push_str("\\\\");
            } else if is_unreadable(letter) {
                escape(&mut out, letter.encode_utf8(&mut [0; 4]).as_bytes());
            } else {
                out.push(letter);
            }
        }
        escape(&mut out, part.invalid());
    }
    out
}

fn escape(out: &mut String, bytes: &[u8]) {
    for byte in bytes {
        // Writing into a text does not fail.
        let _ = write!(out, "\\x{byte:02X}");
    }
}

/// A name under which a browser may keep a file: no slashes, nothing that is not seen, not too long.
pub fn save_as(raw: &[u8]) -> String {
    let text = String::from_utf8_lossy(raw);
    let safe = |letter: char| if is_unreadable(letter) || "/\\:*?\"<>|".contains(letter) { '_' } else { letter };
    text.chars().take(SAVED_MAX).map(safe).collect()
}

/// Letters that are not seen, or change how others are seen: controls, marks of direction, joiners, tags.
fn is_unreadable(letter: char) -> bool {
    letter.is_control()
        || matches!(letter,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// The path that a text names, without slashes at its ends. `Invalid` (`files.path`) if it goes up, or is none.
pub fn read(text: &str) -> Result<Vec<u8>> {
    let raw = unescaped(text).ok_or_else(|| wrong(text))?;
    let raw = raw.strip_prefix(b"/").unwrap_or(&raw);
    let raw = raw.strip_suffix(b"/").unwrap_or(raw);
    if raw.is_empty() || is_plain(raw) { Ok(raw.to_vec()) } else { Err(wrong(text)) }
}

/// The single name that a text stands for. `Invalid` (`files.path`).
pub fn read_name(text: &str) -> Result<Vec<u8>> {
    let raw = unescaped(text).ok_or_else(|| wrong(text))?;
    if is_plain(&raw) && !raw.contains(&b'/') { Ok(raw) } else { Err(wrong(text)) }
}

/// Whether every component is a name that a file can have.
pub fn is_plain(path: &[u8]) -> bool {
    !path.contains(&0) && path.split(|byte| *byte == b'/').all(|part| !matches!(part, b"" | b"." | b".."))
}

fn unescaped(text: &str) -> Option<Vec<u8>> {
    if text.len() > TEXT_MAX {
        return None;
    }
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        if *byte != b'\\' {
            out.push(*byte);
        } else if let Some(after) = rest.strip_prefix(b"\\") {
            out.push(b'\\');
            rest = after;
        } else {
            let digits = rest.strip_prefix(b"x")?.get(..2)?;
            let mut one = [0];
            hex::decode_to_slice(digits, &mut one).ok()?;
            out.push(one[0]);
            rest = &rest[3..];
        }
    }
    Some(out)
}

fn wrong(text: &str) -> Error {
    // Only so much of it as a person could have typed.
    let short: String = text.chars().take(200).collect();
    Error::invalid("files.path", format!("“{}” is no path of a file in a snapshot", show(short.as_bytes()))).advice(
        "Paths begin at the volume's own root and have no . or .. in them; \\\\ is a backslash, \\xHH any byte.",
    )
}

/// Order of paths.
pub fn order(a: &[u8], b: &[u8]) -> Ordering {
    let low = |byte: u8| if byte == b'/' { 0 } else { byte };
    match a.iter().zip(b).find(|(a, b)| a != b) {
        Some((a, b)) => low(*a).cmp(&low(*b)),
        None => a.len().cmp(&b.len()),
    }
}

/// Whether a path lies in a folder, however deep; everything else lies in the root.
pub fn is_below(path: &[u8], folder: &[u8]) -> bool {
    rest_below(path, folder).is_some()
}

/// The path as seen from a folder that it lies in.
pub fn rest_below<'a>(path: &'a [u8], folder: &[u8]) -> Option<&'a [u8]> {
    if folder.is_empty() {
        return Some(path).filter(|path| !path.is_empty());
    }
    path.strip_prefix(folder)?.strip_prefix(b"/")
}

/// A path put together.
pub fn join(folder: &[u8], name: &[u8]) -> Vec<u8> {
    if folder.is_empty() { name.to_vec() } else { [folder, b"/", name].concat() }
}

/// The least path behind a path and all that lies below it: no name holds a NUL, and 1 is the least byte behind a slash.
pub fn behind(path: &[u8]) -> Vec<u8> {
    [path, &[1]].concat()
}

/// The last component.
pub fn last(path: &[u8]) -> &[u8] {
    path.rsplit(|byte| *byte == b'/').next().unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn hostile_names_are_plain_text() {
        for (raw, text) in [
            (&b"plain name"[..], "plain name"),
            ("äö日本".as_bytes(), "äö日本"),
            (b"a\nb\x1b[31m", "a\\x0Ab\\x1B[31m"),
            (b"\xff\xfe", "\\xFF\\xFE"),
            (b"back\\slash", "back\\\\slash"),
            ("evil\u{202e}txt.exe".as_bytes(), "evil\\xE2\\x80\\xAEtxt.exe"),
            (b"<script>", "<script>"),
        ] {
            assert_eq!(show(raw), text);
            assert_eq!(read_name(text).unwrap(), raw);
        }
    }

    #[test]
    fn saved_names_are_tame() {
        for (raw, name) in [
            (&b"a b.txt"[..], "a b.txt"),
            (b"../../etc/passwd", ".._.._etc_passwd"),
            (b"x\r\nSet-Cookie: a", "x__Set-Cookie_ a"),
            ("evil\u{202e}txt.exe".as_bytes(), "evil_txt.exe"),
            (b"\xffx", "\u{fffd}x"),
            (b"\"quoted\"", "_quoted_"),
        ] {
            assert_eq!(save_as(raw), name);
        }
        assert_eq!(save_as(&vec![b'a'; 4000]).len(), SAVED_MAX);
    }

    #[test]
    fn paths_that_go_elsewhere_are_refused() {
        let long = "a".repeat(TEXT_MAX + 1);
        for text in ["..", "a/../b", "./a", "a//b", "a\\", "\\x0", "\\xZZ", "a\\x00b", "\\x2e\\x2E", "///", &long] {
            assert_eq!(read(text).unwrap_err().code(), "files.path", "{text}");
        }
        for (text, raw) in [("", &b""[..]), ("/", b""), ("/a/b/", b"a/b"), ("a\\x2Fb", b"a/b"), ("...", b"...")] {
            assert_eq!(read(text).unwrap(), raw, "{text}");
        }
        assert!(read_name("a/b").is_err() && read_name("").is_err());
    }

    #[test]
    fn folders_come_before_all_that_is_in_them_and_that_together() {
        let mut paths: Vec<&[u8]> = vec![b"a-b", b"a/b", b"a", b"", b"a.b", b"a/b/c", b"b", b"a/-", b"a\x01"];
        paths.sort_by(|a, b| order(a, b));
        assert_eq!(paths, [&b""[..], b"a", b"a/-", b"a/b", b"a/b/c", b"a\x01", b"a-b", b"a.b", b"b"]);
        assert!(is_below(b"a/b", b"a") && !is_below(b"a-b", b"a") && !is_below(b"a", b"a") && !is_below(b"", b""));
    }

    proptest! {
        #[test]
        fn text_and_bytes_go_both_ways(raw in prop::collection::vec(any::<u8>(), 0..40)) {
            let text = show(&raw);
            prop_assert!(!text.chars().any(is_unreadable));
            prop_assert_eq!(unescaped(&text).unwrap(), raw);
        }

        #[test]
        fn what_lies_below_lies_before_behind(
            folder in prop::collection::vec(1u8..=255, 1..6),
            name in prop::collection::vec(1u8..=255, 1..6),
        ) {
            prop_assume!(is_plain(&folder) && is_plain(&name));
            let inside = join(&folder, &name);
            prop_assert!(order(&folder, &inside).is_lt() && order(&inside, &behind(&folder)).is_lt());
            let beside = [&folder[..], &name].concat();
            if !is_below(&beside, &folder) {
                prop_assert!(order(&behind(&folder), &beside).is_le());
            }
        }
    }
}
