//! PAX bodies: records of `length key=value\n`, read strictly.

/// What matters of the records of one body; unknown keys are left to those who restore.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Records {
    /// `path`, or GNU's name of a sparse member.
    pub(crate) path: Option<Vec<u8>>,
    /// `linkpath`.
    pub(crate) link: Option<Vec<u8>>,
    /// `size`.
    pub(crate) size: Option<u64>,
    /// `uid`.
    pub(crate) uid: Option<u64>,
    /// `gid`.
    pub(crate) gid: Option<u64>,
    /// `mtime`: whole seconds, rounded down, and the nanoseconds after those.
    pub(crate) mtime: Option<(i64, u32)>,
    /// `HOLDFAST.kind` says that it is a socket.
    pub(crate) is_socket: bool,
}

const MALFORMED: &str = "a PAX record is malformed";

/// Reads a body. Of equal keys the last counts; an empty value takes an earlier one back.
pub(crate) fn parse(mut body: &[u8]) -> Result<Records, &'static str> {
    let mut records = Records::default();
    let mut sparse_name = None;
    while !body.is_empty() {
        let Record { key, value, rest } = record(body)?;
        match key {
            b"path" => records.path = name(value)?,
            b"GNU.sparse.name" => sparse_name = name(value)?,
            b"linkpath" => records.link = name(value)?,
            b"size" => records.size = size(value)?,
            b"uid" => records.uid = decimal(value).ok(),
            b"gid" => records.gid = decimal(value).ok(),
            b"mtime" => records.mtime = time(value),
            b"HOLDFAST.kind" => records.is_socket = value == b"socket",
            _ => {}
        }
        body = rest;
    }
    if sparse_name.is_some() {
        records.path = sparse_name;
    }
    Ok(records)
}

impl Records {
    /// These records, and the `other` ones where these say nothing.
    pub(crate) fn or(self, other: &Records) -> Records {
        Records {
            path: self.path.or_else(|| other.path.clone()),
            link: self.link.or_else(|| other.link.clone()),
            size: self.size.or(other.size),
            uid: self.uid.or(other.uid),
            gid: self.gid.or(other.gid),
            mtime: self.mtime.or(other.mtime),
            is_socket: self.is_socket,
        }
    }
}

/// Keys of the records of a body, each with its record as it is written.
pub(crate) fn raw(mut body: &[u8]) -> impl Iterator<Item = Result<(&[u8], &[u8]), &'static str>> {
    std::iter::from_fn(move || {
        if body.is_empty() {
            return None;
        }
        let read = record(body).map(|one| {
            let whole = &body[..body.len() - one.rest.len()];
            body = one.rest;
            (one.key, whole)
        });
        if read.is_err() {
            body = &[];
        }
        Some(read)
    })
}

/// The first record of a body, and what follows it.
struct Record<'a> {
    key: &'a [u8],
    value: &'a [u8],
    rest: &'a [u8],
}

fn record(body: &[u8]) -> Result<Record<'_>, &'static str> {
    let space = body.iter().take(8).position(|&b| b == b' ').ok_or(MALFORMED)?;
    let length = usize::try_from(decimal(&body[..space])?).map_err(|_| MALFORMED)?;
    if length > body.len() || length < space + 4 {
        return Err(MALFORMED);
    }
    let (this, rest) = body.split_at(length);
    let this = this[space + 1..].strip_suffix(b"\n").ok_or(MALFORMED)?;
    let equals = this.iter().position(|&b| b == b'=').ok_or(MALFORMED)?;
    let (key, value) = (&this[..equals], &this[equals + 1..]);
    if key.is_empty() || key.contains(&0) {
        return Err(MALFORMED);
    }
    Ok(Record { key, value, rest })
}

fn name(value: &[u8]) -> Result<Option<Vec<u8>>, &'static str> {
    if value.contains(&0) {
        return Err("a PAX name holds a NUL");
    }
    Ok(Some(value).filter(|value| !value.is_empty()).map(<[u8]>::to_vec))
}

/// Whole seconds of a decimal fraction, rounded down, and the nanoseconds after those, rounded down (digits after the
/// ninth are left out); `None` if it is none.
fn time(value: &[u8]) -> Option<(i64, u32)> {
    const SECOND: u32 = 1_000_000_000;
    let text = std::str::from_utf8(value).ok()?;
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    if !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let seconds: i64 = whole.parse().ok()?;
    let digits = fraction.bytes().chain(std::iter::repeat(b'0')).take(9);
    let nanos = digits.fold(0, |nanos, digit| nanos * 10 + u32::from(digit - b'0'));
    if !whole.starts_with('-') || fraction.bytes().all(|byte| byte == b'0') {
        return Some((seconds, nanos));
    }
    // What lies below the ninth digit is a part of a nanosecond further down.
    Some((seconds.checked_sub(1)?, SECOND.saturating_sub(nanos).min(SECOND - 1)))
}

fn size(value: &[u8]) -> Result<Option<u64>, &'static str> {
    if value.is_empty() {
        return Ok(None);
    }
    let size = decimal(value).map_err(|_| "a PAX size is no size")?;
    if size > i64::MAX as u64 {
        return Err("a PAX size is beyond all measure");
    }
    Ok(Some(size))
}

/// Decimal digits only: no sign, no blank.
fn decimal(digits: &[u8]) -> Result<u64, &'static str> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return Err(MALFORMED);
    }
    std::str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok()).ok_or(MALFORMED)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn last_counts_and_empty_takes_back() {
        let records = parse(b"9 path=a\n9 path=b\n11 size=17\n8 size=\n14 linkpath=x\n").unwrap();
        assert_eq!(records, Records { path: Some(b"b".into()), link: Some(b"x".into()), ..Records::default() });
        assert_eq!(parse(b"").unwrap(), Records::default());
        let newline = parse(b"12 path=a\nb\n").unwrap();
        assert_eq!(newline.path.unwrap(), b"a\nb");
    }

    #[test]
    fn owners_and_times_are_read_and_odd_ones_left_out() {
        let records = parse(b"18 uid=3000000000\n9 gid=-1\n15 mtime=-1.25\n").unwrap();
        assert_eq!((records.uid, records.gid, records.mtime), (Some(3_000_000_000), None, Some((-2, 750_000_000))));
        for (text, expected) in [
            ("1.5", Some((1, 500_000_000))),
            ("-0.5", Some((-1, 500_000_000))),
            ("7", Some((7, 0))),
            ("-7.000", Some((-7, 0))),
            ("3.0000000019", Some((3, 1))),
            ("-0.0000000001", Some((-1, 999_999_999))),
            ("x", None),
            ("1.x", None),
        ] {
            assert_eq!(time(text.as_bytes()), expected, "{text}");
        }
    }

    #[test]
    fn malformed_bodies_are_refused() {
        let wrong: [&[u8]; 14] = [
            b"x",
            b"9 path=a",
            b"8 path=a\n",
            b"10 path=ab\n",
            b"-9 path=a\n",
            b"+9 path=a\n",
            b"9 =path\n\n",
            b"0 \n",
            b"11 size=-1\n",
            b"12 size=1e9\n",
            b"99999999999999999999 path=a\n",
            b"10 path=\0a\n",
            b"7 path\n",
            b"28 size=9223372036854775808\n",
        ];
        for body in wrong {
            assert!(parse(body).is_err(), "{:?}", String::from_utf8_lossy(body));
        }
    }
}
