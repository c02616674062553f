//! PAX and GNU headers ahead of members: records that lie, that contradict each other, that are too many.

use super::{Case, raw::*};

pub(super) fn add(all: &mut Vec<Case>) {
    malformed(all);
    contradictions(all);
    attributes(all);
    holes(all);
}

fn malformed(all: &mut Vec<Case>) {
    for (name, body) in [
        ("length of nought", &b"0 a=b\n"[..]),
        ("length too small", b"3 a=b\n"),
        ("length too large", b"99 a=b\n"),
        ("length beyond all", b"99999999999999999999 a=b\n"),
        ("length with a sign", b"+6 a=b\n"),
        ("length with noughts", b"0006 a=b\n"),
        ("length in letters", b"six a=b\n"),
        ("no length", b" a=b\n"),
        ("no value", b"5 ab\n"),
        ("no key", b"5 =b\n"),
        ("no end", b"6 a=bc"),
        ("NUL in the key", b"9 a\0b=cd\n"),
        ("no body", b""),
        ("body of zeros", &[0; 64]),
        ("rest behind the last record", b"6 a=b\nrest"),
    ] {
        let members = [ahead(b'x', body), file(b"a", b"x")];
        all.push(Case::plain(&format!("PAX: {name}"), ended(&members)));
    }
    let huge = |flag: u8, size: &[u8]| Block::new(flag, b"ahead", 0).set(124, size).bytes();
    all.push(Case::plain("PAX: body of 8 GiB", ended(&[huge(b'x', b"100000000000"), file(b"a", b"x")])));
    all.push(Case::plain("PAX: body of negative size", ended(&[huge(b'x', &[0xff; 12]), file(b"a", b"x")])));
    all.push(Case::plain("GNU: name of 8 GiB", ended(&[huge(b'L', b"100000000000"), file(b"a", b"x")])));
    let filled = |size: usize| ahead(b'x', &record(b"comment", &vec![b'c'; size]));
    all.push(Case::plain("PAX: body just below the limit", ended(&[filled((1 << 20) - 20), file(b"a", b"x")])));
    all.push(Case::plain("PAX: body above the limit", ended(&[filled(1 << 20), file(b"a", b"x")])));
}

fn contradictions(all: &mut Vec<Case>) {
    let x = |key: &[u8], value: &[u8]| ahead(b'x', &record(key, value));
    let mut case = |name: &str, members: &[Vec<u8>]| all.push(Case::plain(name, ended(members)));
    let a = || file(b"a", b"four");
    let both = [record(b"path", b"first"), record(b"path", b"last")].concat();
    case("PAX: one key twice", &[ahead(b'x', &both), a()]);
    case("PAX: two headers", &[x(b"path", b"first"), x(b"path", b"last"), a()]);
    case("PAX and GNU: both name it", &[x(b"path", b"pax"), ahead(b'L', b"gnu"), a()]);
    case("GNU and PAX: both name it", &[ahead(b'L', b"gnu"), x(b"path", b"pax"), a()]);
    case("GNU: two names", &[ahead(b'L', b"one"), ahead(b'L', b"two"), a()]);
    case("PAX: header and no member", &[x(b"path", b"lost")]);
    case("GNU: name and no member", &[ahead(b'L', b"lost")]);
    case("PAX: global path", &[ahead(b'g', &record(b"path", b"everywhere")), a(), file(b"b", b"x")]);
    case("PAX: global size", &[ahead(b'g', &record(b"size", b"1000000")), a()]);
    case("PAX: global comment", &[ahead(b'g', &record(b"comment", b"hello")), a()]);
    case("PAX: size larger than there is", &[said(b"size", b"1000000", &a())]);
    case("PAX: size smaller than there is", &[said(b"size", b"1", &file(b"a", &[b'x'; 2000]))]);
    case("PAX: size negative", &[said(b"size", b"-1", &a())]);
    case("PAX: size 2^63", &[said(b"size", b"9223372036854775808", &a())]);
    case("PAX: size in letters", &[said(b"size", b"four", &a())]);
    case("PAX: size of a folder", &[said(b"size", b"512", &folder(b"d/")), a()]);
    case("PAX: owner negative", &[said(b"uid", b"-1", &a())]);
    case("PAX: owner beyond measure", &[said(b"gid", b"4294967296", &a())]);
    case("PAX: time of forty digits", &[said(b"mtime", b"1.0000000000000000000000000000000000000009", &a())]);
    case("PAX: time in powers", &[said(b"mtime", b"1e400", &a())]);
    case("PAX: time that is none", &[said(b"mtime", b"NaN", &a())]);
    case("PAX: time beyond measure", &[said(b"mtime", b"99999999999999999999", &a())]);
    case("PAX: charset", &[said(b"hdrcharset", b"BINARY", &a())]);
    case("PAX: key nobody knows", &[said(b"VENDOR.thing", b"x", &a())]);
    let many: Vec<u8> = (0..60_000).flat_map(|n: u32| record(format!("k{n}").as_bytes(), b"v")).collect();
    case("PAX: sixty thousand keys", &[ahead(b'x', &many), a()]);
}

fn attributes(all: &mut Vec<Case>) {
    let mut case = |name: &str, key: &[u8], value: &[u8]| {
        let key = [b"SCHILY.xattr.", key].concat();
        all.push(Case::plain(&format!("attribute: {name}"), ended(&[said(&key, value, &file(b"a", b"x"))])));
    };
    case("overlay redirect", b"trusted.overlay.redirect", b"/../../../../outside");
    case("overlay opaque", b"trusted.overlay.opaque", b"y");
    case("capability", b"security.capability", b"\x01\0\0\x02\xff\xff\xff\xff\0\0\0\0\0\0\0\0\0\0\0\0");
    case("capability that is none", b"security.capability", b"all");
    case("label of SELinux", b"security.selinux", b"system_u:object_r:shadow_t:s0\0");
    case("access list that is none", b"system.posix_acl_access", b"rubbish");
    case("no name", b"", b"x");
    case("name of 300 bytes", &[&b"user."[..], &[b'n'; 300]].concat(), b"x");
    case("unknown kind", b"nonsense.name", b"x");
    case("value of 64 KiB", b"user.large", &[b'v'; 65_536]);
    case("value of half a megabyte", b"user.bomb", &[b'v'; 500_000]);
    case("bytes that are no text", b"user.\xff\xfe", b"\0\xff");
    let bomb: Vec<u8> =
        (0..20_000).flat_map(|n: u32| record(format!("SCHILY.xattr.user.n{n}").as_bytes(), b"v")).collect();
    all.push(Case::plain("attribute: twenty thousand", ended(&[ahead(b'x', &bomb), file(b"a", b"x")])));
    let list = said(b"SCHILY.acl.access", b"user::rwx,group::---,other::rwx", &file(b"a", b"x"));
    all.push(Case::plain("attribute: access list in words", ended(&[list])));
}

fn holes(all: &mut Vec<Case>) {
    let content = [&[0; 4096][..], &[b'x'; 4096]].concat();
    let mut case = |name: &str, holes: &str| {
        let member = said(b"HOLDFAST.holes", holes.as_bytes(), &file(b"a", &content));
        all.push(Case::plain(&format!("holes: {name}"), ended(&[member])));
    };
    case("true", "0:4096");
    case("where there is content", "4096:4096");
    case("over each other", "0:4096,2048:4096");
    case("backwards", "4096:1024,0:1024");
    case("beyond the end", "0:8193");
    case("beyond all", "18446744073709551615:1");
    case("overflowing", "9223372036854775807:9223372036854775807");
    case("empty", "0:0");
    case("in letters", "zero:many");
    let many: Vec<String> = (0..2000).map(|n| format!("{}:1", n * 2)).collect();
    case("two thousand", &many.join(","));
    let mut gnu = |name: &str, records: &[(&[u8], &[u8])]| {
        let body: Vec<u8> = records.iter().flat_map(|(key, value)| record(key, value)).collect();
        let member = [ahead(b'x', &body), file(b"GNUSparseFile.0/a", b"1\n0\n1000000\n")].concat();
        all.push(Case::plain(&format!("holes: GNU {name}"), ended(&[member])));
    };
    gnu("0.0", &[(b"GNU.sparse.size", b"1000000"), (b"GNU.sparse.numblocks", b"1"), (b"GNU.sparse.offset", b"0")]);
    gnu("0.1", &[(b"GNU.sparse.map", b"0,10,999999999999,1"), (b"GNU.sparse.size", b"99999999999999")]);
    gnu(
        "1.0",
        &[(b"GNU.sparse.major", b"1"), (b"GNU.sparse.minor", b"0"), (b"GNU.sparse.realsize", b"1152921504606846976")],
    );
}
