//! Links and devices: ways out, circles, and nodes that open the host.

use super::{Case, ESCAPE, raw::*};

pub(super) fn add(all: &mut Vec<Case>) {
    let outside: &[u8] = b"../outside";
    let mut case = |name: &str, members: &[Vec<u8>]| all.push(Case::plain(name, ended(members)));
    let symlink = |name: &[u8], target: &[u8]| link(b'2', name, target);
    let hard = |name: &[u8], target: &[u8]| link(b'1', name, target);
    case("symlink: written through, relative", &[symlink(b"way", outside), file(b"way/new", b"evil")]);
    case(
        "symlink: written through, absolute",
        &[symlink(b"way", b"/tmp"), file(b"way/holdfast-hostile-escape", b"evil")],
    );
    case("symlink: folder below it", &[symlink(b"way", outside), folder(b"way/new/")]);
    case("symlink: link below it", &[symlink(b"way", outside), symlink(b"way/new", b"x")]);
    case("symlink: made a folder again", &[symlink(b"way", outside), folder(b"way/"), file(b"way/new", b"evil")]);
    case("symlink: folder made a link", &[folder(b"way/"), symlink(b"way", outside), file(b"way/new", b"evil")]);
    case("symlink: two in a row", &[symlink(b"a", b"b"), symlink(b"b", outside), file(b"a/new", b"evil")]);
    case("symlink: circle", &[symlink(b"a", b"b"), symlink(b"b", b"a"), file(b"a/new", b"evil")]);
    case("symlink: to itself", &[symlink(b"a", b"a"), file(b"a", b"evil")]);
    case("symlink: file over it", &[symlink(b"a", b"../outside/treasure"), file(b"a", b"evil")]);
    case("symlink: the folder itself", &[symlink(b".", outside), file(b"new", b"evil")]);
    case("symlink: named as above", &[symlink(b"..", outside)]);
    case("symlink: target empty", &[symlink(b"a", b"")]);
    case("symlink: PAX target", &[said(b"linkpath", ESCAPE.as_bytes(), &symlink(b"a", b"x")), file(b"a", b"evil")]);
    case("symlink: PAX target with a NUL", &[said(b"linkpath", b"a\0b", &symlink(b"a", b"x"))]);
    case("symlink: target of 5000 bytes", &[said(b"linkpath", &[b't'; 5000], &symlink(b"a", b"x"))]);
    case("symlink: GNU target", &[ahead(b'K', outside), symlink(b"a", b"x"), file(b"a/new", b"evil")]);
    case("hard link: outside, relative", &[hard(b"a", b"../outside/treasure"), file(b"a", b"evil")]);
    case("hard link: outside, absolute", &[hard(b"a", b"/etc/passwd")]);
    case("hard link: through a symlink", &[symlink(b"way", outside), hard(b"a", b"way/treasure")]);
    case("hard link: to a symlink", &[symlink(b"s", b"../outside/treasure"), hard(b"a", b"s"), file(b"a", b"evil")]);
    case("hard link: to a folder", &[folder(b"d/"), hard(b"a", b"d")]);
    case("hard link: to itself", &[hard(b"a", b"a")]);
    case("hard link: to what is not there", &[hard(b"a", b"missing")]);
    case("hard link: to what comes later", &[hard(b"a", b"later"), file(b"later", b"x")]);
    case("hard link: no target", &[hard(b"a", b"")]);
    case("hard link: to the folder itself", &[hard(b"a", b".")]);
    case("hard link: up and down again", &[file(b"b", b"x"), hard(b"a", b"c/../b")]);
    let sized = [Block::new(b'1', b"a", 4).link(b"b").bytes(), padded(b"evil")].concat();
    case("hard link: with content", &[file(b"b", b"x"), sized]);
    let many = (0..2000).map(|n: u32| hard(format!("l{n}").as_bytes(), b"b")).collect::<Vec<_>>().concat();
    case("hard link: two thousand of one file", &[file(b"b", b"x"), many]);
    let node = |flag: u8, name: &[u8], major: &[u8], minor: &[u8]| {
        Block::new(flag, name, 0).set(329, major).set(337, minor).bytes()
    };
    case("device: memory", &[node(b'3', b"mem", b"0000001\0", b"0000001\0")]);
    case("device: disk", &[node(b'4', b"disk", b"0000010\0", b"0000000\0")]);
    case("device: whiteout of overlay", &[node(b'3', b"gone", b"0000000\0", b"0000000\0")]);
    case("device: numbers beyond measure", &[node(b'3', b"far", b"\x80\xff\xff\xff\xff\xff\xff\xff", b"0000001\0")]);
    case("device: negative number", &[node(b'3', b"neg", b"\xff\xff\xff\xff\xff\xff\xff\xff", b"0000001\0")]);
    case("device: number of letters", &[node(b'4', b"abc", b"disk\0\0\0\0", b"0000001\0")]);
    case("device: on the way", &[node(b'3', b"null", b"0000001\0", b"0000003\0"), file(b"null/x", b"evil")]);
    case("fifo: on the way", &[node(b'6', b"pipe", b"0000000\0", b"0000000\0"), file(b"pipe", b"evil")]);
    case("fifo: with a size", &[Block::new(b'6', b"pipe", 4).bytes(), padded(b"evil")]);
    case("socket: as a record says", &[said(b"HOLDFAST.kind", b"socket", &file(b"s", b"")), file(b"s", b"evil")]);
    case("kind: unknown to us", &[said(b"HOLDFAST.kind", b"door", &file(b"s", b""))]);
}
