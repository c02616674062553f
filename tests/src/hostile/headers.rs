//! Header blocks that lie: types, sums, numbers.

use super::{Case, raw::*};

pub(super) fn add(all: &mut Vec<Case>) {
    types(all);
    sums(all);
    numbers(all);
}

fn types(all: &mut Vec<Case>) {
    for (flag, what) in [
        (b'7', "contiguous"),
        (b'S', "GNU sparse"),
        (b'M', "continued from another volume"),
        (b'V', "volume label"),
        (b'D', "GNU dump folder"),
        (b'N', "GNU long names of old"),
        (b'I', "inode of Solaris"),
        (b'X', "PAX of Solaris"),
        (b'A', "access list of Solaris"),
        (b'~', "unknown"),
        (0xff, "no character"),
        (b' ', "space"),
    ] {
        let member = [Block::new(flag, b"a", 4).bytes(), padded(b"evil")].concat();
        all.push(Case::plain(&format!("type: {what}"), ended(&[member, file(b"after", b"x")])));
    }
    let old = [Block::new(0, b"old/", 0).bytes(), file(b"old/a", b"x")].concat();
    all.push(Case::plain("type: folder of v7", ended(&[old])));
}

fn sums(all: &mut Vec<Case>) {
    let with = |sum: &[u8]| Block::new(b'0', b"a", 0).set(148, sum).0.to_vec();
    let right = Block::new(b'0', b"a", 0).sum();
    let mut case = |name: &str, block: Vec<u8>| all.push(Case::plain(&format!("sum: {name}"), ended(&[block])));
    case("one too many", with(format!("{:06o}\0 ", right + 1).as_bytes()));
    case("blank", with(b"        "));
    case("zero", with(&[0; 8]));
    case("letters", with(b"checksum"));
    case("beyond measure", with(b"\x80\xff\xff\xff\xff\xff\xff\xff"));
    case("of signed bytes", {
        let block = Block::new(b'0', b"\xff\xff\xff", 0);
        let signed = block.sum() - 3 * 256;
        block.set(148, format!("{signed:06o}\0 ").as_bytes()).0.to_vec()
    });
    case("right, and no magic", Block::new(b'0', b"a", 0).set(257, &[0; 8]).bytes());
    case("right, and another magic", Block::new(b'0', b"a", 0).set(257, b"notar\x0000").bytes());
    case("right, and the magic of GNU", Block::new(b'0', b"a", 0).set(257, b"ustar  \0").bytes());
}

fn numbers(all: &mut Vec<Case>) {
    let sized = |size: &[u8]| [Block::new(b'0', b"a", 0).set(124, size).bytes(), padded(b"evil")].concat();
    let mut case = |name: &str, block: Vec<u8>| all.push(Case::plain(&format!("number: {name}"), ended(&[block])));
    case("size: all sevens", sized(b"777777777777"));
    case("size: 2^62", sized(b"\x80\0\0\0\x40\0\0\0\0\0\0\0"));
    case("size: 2^63", sized(b"\x80\0\0\0\x80\0\0\0\0\0\0\0"));
    case("size: 2^64 - 1", sized(b"\x80\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff"));
    case("size: 2^80", sized(b"\x80\0\x01\0\0\0\0\0\0\0\0\0"));
    case("size: negative", sized(b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xfe"));
    case("size: with a sign", sized(b"-0000000004\0"));
    case("size: blank", sized(b"            "));
    case("size: nothing", sized(&[0; 12]));
    case("size: digits that are not octal", sized(b"00000000009\0"));
    case("size: hexadecimal", sized(b"0x000000004\0"));
    case("size: two numbers", sized(b"4 4\0\0\0\0\0\0\0\0\0"));
    case("size: more than there is", sized(b"00000400000\0"));
    case("size: less than there is", [Block::new(b'0', b"a", 4).bytes(), padded(&[b'x'; 2000])].concat());
    case("size: of a folder", [Block::new(b'5', b"d/", 600).bytes(), padded(&[b'x'; 600])].concat());
    case("size: of a symlink", [Block::new(b'2', b"l", 600).link(b"t").bytes(), padded(&[b'x'; 600])].concat());
    let changed = |at: usize, bytes: &[u8]| Block::new(b'0', b"a", 0).set(at, bytes).bytes();
    case("time: negative", changed(136, b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x00"));
    case("time: beyond measure", changed(136, b"\x80\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xff"));
    case("time: letters", changed(136, b"yesterday\0\0\0"));
    case("owner: 2^32 - 1", changed(108, b"\x80\0\0\0\xff\xff\xff\xff"));
    case("owner: 2^40", changed(108, b"\x80\0\x01\0\0\0\0\0"));
    case("owner: negative", changed(108, b"\xff\xff\xff\xff\xff\xff\xff\xfe"));
    case("owner: letters", changed(116, b"root\0\0\0\0"));
    case("mode: more than bits", changed(100, b"7777777\0"));
    case("mode: letters", changed(100, b"rwxr-x\0\0"));
    case("mode: set-id for root", changed(100, b"0006755\0"));
}
