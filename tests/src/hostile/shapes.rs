//! The whole archive: cut, without an end, with something behind the end, no archive at all, endless.

use super::{Case, raw::*};

pub(super) fn add(all: &mut Vec<Case>) {
    let one = || file(b"a", &[b'x'; 1500]);
    let mut case = |name: &str, bytes: Vec<u8>| all.push(Case::plain(&format!("shape: {name}"), bytes));
    case("nothing", Vec::new());
    case("only an end", END.to_vec());
    case("one zero block", vec![0; 512]);
    case("one byte", vec![b'x']);
    case("half a block", vec![0; 256]);
    case("no end", one());
    case("one zero block for an end", [one(), vec![0; 512]].concat());
    case("zero block within", [one(), vec![0; 512], one(), END.to_vec()].concat());
    case("more behind the end", [ended(&[one()]), one(), END.to_vec()].concat());
    case("bytes behind the end", [ended(&[one()]), b"tail".to_vec()].concat());
    case("cut in the header", one()[..300].to_vec());
    case("cut in the content", one()[..1000].to_vec());
    case("cut in the padding", one()[..2040].to_vec());
    case("cut in a record", said(b"comment", &[b'c'; 900], &one())[..700].to_vec());
    case("cut behind a record", ahead(b'x', &record(b"path", b"b")));
    case("rubbish", (0..4096_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect());
    case("ones", vec![0xff; 4096]);
    case("gzip", [&b"\x1f\x8b\x08\0\0\0\0\0\0\x03"[..], &[0; 2000]].concat());
    case("zip", [&b"PK\x03\x04"[..], &[0; 2000]].concat());
    case("text", b"<html>404</html>".repeat(100));
    case("rubbish behind a member", [one(), vec![b'!'; 512], END.to_vec()].concat());
    let mut endless = |name: &str, head: Vec<u8>, pattern: Vec<u8>, times: u64, tail: Vec<u8>| {
        all.push(Case { name: format!("endless: {name}"), head, pattern, times, tail });
    };
    let mib = || vec![0; 1 << 20];
    endless("zeros", Vec::new(), mib(), 96, Vec::new());
    endless("content", Block::new(b'0', b"a", 1 << 40).bytes(), mib(), 96, Vec::new());
    endless("one member", Vec::new(), file(b"again", b"x"), 3000, Vec::new());
    endless("records", Vec::new(), ahead(b'x', &record(b"comment", &[b'c'; 4000])), 5000, Vec::new());
    endless("global records", Vec::new(), ahead(b'g', &record(b"comment", &[b'c'; 4000])), 5000, Vec::new());
    endless("GNU names", Vec::new(), ahead(b'L', &[b'n'; 4000]), 5000, Vec::new());
    endless("folders, one in the other", Vec::new(), folder(b"d/"), 3000, END.to_vec());
    endless(
        "attributes on one member",
        Vec::new(),
        said(b"SCHILY.xattr.user.a", &[b'v'; 3000], &file(b"a", b"x")),
        2000,
        END.to_vec(),
    );
    let members: Vec<u8> = (0..3000_u32).flat_map(|n| file(format!("f{n}").as_bytes(), b"")).collect();
    endless("three thousand files", members, Vec::new(), 0, END.to_vec());
}
