//! Names: such as lead out, such as readers see differently, and odd ones that must survive.

use super::{Case, ESCAPE, raw::*};

pub(super) fn add(all: &mut Vec<Case>) {
    plain(all);
    elsewhere(all);
    twice(all);
}

/// In the header's own field.
fn plain(all: &mut Vec<Case>) {
    let escape = ESCAPE.as_bytes();
    let up = [b"../../../../../../../..", escape].concat();
    let inner = [b"a/../../../../../../../../..", escape].concat();
    let slashes = [b"//", escape].concat();
    let named: [(&str, &[u8]); 37] = [
        ("up", b"../outside/new"),
        ("up many times", &up),
        ("up behind a folder", &inner),
        ("absolute", escape),
        ("absolute with slashes", &slashes),
        ("root", b"/"),
        ("dot", b"."),
        ("two dots", b".."),
        ("nothing", b""),
        ("dot, then up", b"./../outside/new"),
        ("dot within", b"a/./b"),
        ("slashes within", b"a//b"),
        ("ends with up", b"a/.."),
        ("file that ends with a slash", b"a/"),
        ("backslashes", b"..\\outside\\new"),
        ("drive letter", b"C:\\new"),
        ("two dots and a space", b".. /new"),
        ("three dots", b".../new"),
        ("percent signs", b"%2e%2e/outside/new"),
        ("overlong dots", b"\xc0\xae\xc0\xae/outside/new"),
        ("home of root", b"~root/new"),
        ("process", b"proc/self/root/tmp/new"),
        ("bytes that are no text", b"\xff\xfe\x80name"),
        ("line break", b"two\nlines"),
        ("terminal commands", b"\x1b[2J\x1b]0;owned\x07red"),
        ("text from right to left", "a\u{202e}gpj.exe".as_bytes()),
        ("HTML", b"<img src=x onerror=alert(1)>"),
        ("leading dash", b"-rf"),
        ("spaces", b"  a  "),
        ("quotes", b"a'b\"c`d$(touch e)"),
        ("star", b"*"),
        ("control characters", b"\x01\x02\x7f"),
        ("composed", "\u{e9}".as_bytes()),
        ("decomposed", "e\u{301}".as_bytes()),
        ("whiteout", b".wh.file"),
        ("opaque whiteout", b".wh..wh..opq"),
        ("device name of another system", b"CON"),
    ];
    for (name, path) in named {
        all.push(Case::plain(&format!("name: {name}"), ended(&[file(path, b"evil")])));
    }
}

/// In the other places where a name may stand, and long ones.
fn elsewhere(all: &mut Vec<Case>) {
    let escape = ESCAPE.as_bytes();
    let out = |name: &str, member: Vec<u8>| Case::plain(&format!("name: {name}"), ended(&[member]));
    all.push(out("prefix that leads up", Block::new(b'0', b"new", 0).set(345, b"../outside").bytes()));
    all.push(out("absolute prefix", Block::new(b'0', b"new", 0).set(345, b"/tmp").bytes()));
    all.push(out("GNU name that leads up", [ahead(b'L', b"../outside/new\0"), file(b"x", b"evil")].concat()));
    all.push(out("GNU name, absolute", [ahead(b'L', escape), file(b"x", b"evil")].concat()));
    all.push(out("GNU name, empty", [ahead(b'L', b""), file(b"x", b"evil")].concat()));
    all.push(out("GNU name with a NUL within", [ahead(b'L', b"a\0/../../outside"), file(b"x", b"evil")].concat()));
    all.push(out("PAX path that leads up", said(b"path", b"../outside/new", &file(b"x", b"evil"))));
    all.push(out("PAX path, absolute", said(b"path", escape, &file(b"x", b"evil"))));
    all.push(out("PAX path with a NUL", said(b"path", b"a\0b", &file(b"x", b"evil"))));
    all.push(out("PAX path, empty", said(b"path", b"", &file(b"x", b"evil"))));
    all.push(out("PAX path of slashes", said(b"path", b"////", &file(b"x", b"evil"))));
    let long = |length: usize| vec![b'n'; length];
    all.push(out("component of 255 bytes", said(b"path", &long(255), &file(b"x", b"evil"))));
    all.push(out("component of 256 bytes", said(b"path", &long(256), &file(b"x", b"evil"))));
    let deep = |depth: usize| [b"d/".repeat(depth), b"f".to_vec()].concat();
    all.push(out(
        "path of 4096 bytes",
        said(b"path", &[&long(100)[..], b"/"].concat().repeat(41)[..4096], &file(b"x", b"evil")),
    ));
    all.push(out("200 folders deep", said(b"path", &deep(200), &file(b"x", b"evil"))));
    all.push(out("300 folders deep", said(b"path", &deep(300), &file(b"x", b"evil"))));
    all.push(out("2000 folders deep", said(b"path", &deep(2000), &file(b"x", b"evil"))));
    all.push(out("path of a megabyte", said(b"path", &deep(500_000), &file(b"x", b"evil"))));
}

/// Of two members.
fn twice(all: &mut Vec<Case>) {
    let twice = |a: Vec<u8>, b: Vec<u8>| ended(&[a, b]);
    all.push(Case::plain("names: file twice", twice(file(b"a", b"one"), file(b"a", b"two"))));
    all.push(Case::plain("names: file, then folder", twice(file(b"a", b"one"), folder(b"a/"))));
    all.push(Case::plain("names: folder, then file", twice(folder(b"a/"), file(b"a", b"two"))));
    all.push(Case::plain("names: file, then below it", twice(file(b"a", b"one"), file(b"a/b", b"two"))));
    all.push(Case::plain("names: only the case differs", twice(file(b"a", b"one"), file(b"A", b"two"))));
    let closed = Block::new(b'5', b"shut/", 0).set(100, b"0000000\0").bytes();
    all.push(Case::plain("names: below a folder that is closed", twice(closed, file(b"shut/b", b"two"))));
}
