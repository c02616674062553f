//! The repository room: what lies under its seals, its format object, the names of its objects.

use super::chunk::keys;
use crate::food::Food;
use holdfast_model::RepositoryId;
use holdfast_repository::fuzzing;

/// Rows of a pack's footer.
pub(super) fn footer(input: &[u8]) {
    fuzzing::footer(input);
}

/// Index segments and reach lists.
pub(super) fn segment(input: &[u8]) {
    fuzzing::segment(input);
}

/// Recipe segments, and branches that list them.
pub(super) fn recipe(input: &[u8]) {
    let mut food = Food::new(input);
    match food.byte() % 2 {
        0 => fuzzing::recipe(food.rest()),
        _ => {
            let length = food.u64();
            fuzzing::branch(food.rest(), length);
        }
    }
}

/// The format object, and names that a store lists.
pub(super) fn objects(input: &[u8]) {
    let Some((mode, bytes)) = input.split_first() else { return };
    if mode & 1 == 0 {
        fuzzing::format(bytes, keys());
        return;
    }
    let text = String::from_utf8_lossy(bytes);
    text.lines().for_each(fuzzing::key);
}

fn id(byte: &str) -> String {
    byte.repeat(32)
}

fn bytes(text: &str) -> Vec<u8> {
    hex::decode(text).expect("seeds are hex")
}

pub(super) fn footers() -> Vec<Vec<u8>> {
    let row = |kind: &str, byte: &str| format!("{kind}{}80013c", id(byte));
    let two = format!("02{}{}{}", row("01", "aa"), row("83", "bb"), id("aa"));
    vec![bytes("00"), bytes(&two), [bytes(&two), bytes("5000000048465045")].concat(), bytes("ffffffff0f")]
}

pub(super) fn segments() -> Vec<Vec<u8>> {
    let mark = |byte: &str| byte.repeat(8);
    let packs = format!("01{}ac02c801{}02{}0510{}", id("aa"), mark("ee"), id("bb"), mark("ff"));
    let directory = bytes(&format!("0101{}02{packs}", id("cc")));
    vec![
        directory.clone(),
        [&[0; 16], &directory[..], &bytes("7900000048464945")].concat(),
        bytes(&format!("010101{}ac02", id("aa"))),
        bytes("010000"),
        bytes("01ffffffff0f"),
    ]
}

pub(super) fn recipes() -> Vec<Vec<u8>> {
    let chunk = |byte: &str, length: &str, pack: &str| format!("{}{length}{pack}08000000ac02", id(byte));
    let whole = format!(
        "000102{}{}01{}0001{}078010a21f83801001020304050607088004e88704",
        id("00"),
        id("01"),
        chunk("02", "8004", "00"),
        chunk("03", "e807", "01")
    );
    let segment = |byte: &str, flags: &str| format!("{}ac020008000000c801{flags}e80702", id(byte));
    let full = format!("{}{}{}{}8001", segment("02", "07"), id("03"), id("04"), "05".repeat(16));
    let branch = format!("01d0070000000000004101{}{}{full}", id("09"), segment("01", "00"));
    vec![bytes(&whole), bytes("00010000000007"), bytes("0001ffffffff0f"), bytes(&branch)]
}

pub(super) fn object_seeds() -> Vec<Vec<u8>> {
    let format = fuzzing::new_format(RepositoryId([0x17; 16]), keys());
    let later = String::from_utf8_lossy(&format).replace("\"needed\": []", "\"needed\": [\"x\"]");
    let names = format!(
        "p/aa/{0}\nm/aa/{0}\ns/20261126T200000Z-0011223344556677\nc/0000000000000001\nformat\nk/device",
        id("aa")
    );
    vec![
        [&[0], &format[..]].concat(),
        [&[0], later.as_bytes()].concat(),
        [&[1], names.as_bytes()].concat(),
        b"\x01w/0000000000000001-0011223344556677\nd/x\n\n/".to_vec(),
    ]
}
