//! What faults do to bodies: bytes that turn or come on top, and listings that lie.

use bytes::Bytes;
use std::ops::Range;

/// The token of a listing that goes on for ever.
pub(super) const AGAIN: &str = "hf-again";

/// The same with more behind it.
pub(super) fn longer(body: &Bytes, more: &[u8]) -> Bytes {
    [&body[..], more].concat().into()
}

/// The same with a bit in the middle turned.
pub(super) fn flipped(body: &Bytes) -> Bytes {
    let mut bytes = body.to_vec();
    let middle = bytes.len() / 2;
    if let Some(byte) = bytes.get_mut(middle) {
        *byte ^= 1;
    }
    bytes.into()
}

/// A listing that does not show its newest object yet.
pub(super) fn without_newest(body: &Bytes) -> Bytes {
    let text = String::from_utf8_lossy(body).into_owned();
    let newest = contents(&text).into_iter().max_by_key(|place| modified(&text[place.clone()]).to_owned());
    match newest {
        Some(place) => format!("{}{}", &text[..place.start], &text[place.end..]).into(),
        None => body.clone(),
    }
}

/// A listing without its second half; of one object it shows none.
pub(super) fn first_half(body: &Bytes) -> Bytes {
    let text = String::from_utf8_lossy(body).into_owned();
    let places = contents(&text);
    let left = &places[places.len() / 2..];
    match (left.first(), left.last()) {
        (Some(first), Some(last)) => format!("{}{}", &text[..first.start], &text[last.end..]).into(),
        _ => body.clone(),
    }
}

/// A listing that has more to show, under a token that leads to itself.
pub(super) fn without_end(body: &Bytes) -> Bytes {
    let text = String::from_utf8_lossy(body).into_owned();
    let more = format!("<IsTruncated>true</IsTruncated><NextContinuationToken>{AGAIN}</NextContinuationToken>");
    text.replace("<IsTruncated>false</IsTruncated>", &more).into()
}

/// Where the objects of a listing stand in it.
fn contents(text: &str) -> Vec<Range<usize>> {
    const END: &str = "</Contents>";
    let starts = text.match_indices("<Contents>").map(|(start, _)| start);
    starts.filter_map(|start| Some(start..start + text[start..].find(END)? + END.len())).collect()
}

/// When an object of a listing was written, as text that sorts by time.
fn modified(object: &str) -> &str {
    let after = object.split_once("<LastModified>").map_or("", |(_, after)| after);
    after.split('<').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &str = "<R><IsTruncated>false</IsTruncated>\
        <Contents><Key>a</Key><LastModified>2026-11-28T01:00:00Z</LastModified></Contents>\
        <Contents><Key>b</Key><LastModified>2026-11-28T03:00:00Z</LastModified></Contents>\
        <Contents><Key>c</Key><LastModified>2026-11-28T02:00:00Z</LastModified></Contents></R>";

    fn keys(body: &Bytes) -> Vec<String> {
        let text = String::from_utf8_lossy(body).into_owned();
        text.split("<Key>").skip(1).filter_map(|rest| rest.split('<').next().map(str::to_owned)).collect()
    }

    #[test]
    fn listings_lie_as_they_are_told() {
        let list = Bytes::from_static(LIST.as_bytes());
        assert_eq!(keys(&without_newest(&list)), ["a", "c"]);
        assert_eq!(keys(&first_half(&list)), ["a"]);
        let endless = String::from_utf8(without_end(&list).to_vec()).expect("text");
        assert!(endless.contains("<IsTruncated>true</IsTruncated><NextContinuationToken>hf-again"));
        assert_eq!(keys(&without_end(&list)), ["a", "b", "c"]);
        let empty = Bytes::from_static(b"<R><IsTruncated>false</IsTruncated></R>");
        assert_eq!((without_newest(&empty), first_half(&empty)), (empty.clone(), empty));
    }

    #[test]
    fn bytes_turn_and_come_on_top() {
        assert_eq!(flipped(&Bytes::from_static(b"abc")), "acc");
        assert_eq!(flipped(&Bytes::new()), "");
        assert_eq!(longer(&Bytes::from_static(b"a"), b"bc"), "abc");
    }
}
