//! Golden vectors: bytes that every later release must read and, while version 1 is written, write.

use crate::{
    branch,
    codec::{Reader, put_varint},
    layout::{PackKind, pack_key},
    pack,
    recipe::{Base, Draft, Op, Placed, Recipe, Row},
    segment::{Block, Directory, PackName, assemble, decode_reach, directory_range, encode_reach, open_directory},
};
use holdfast_chunk::{ChunkKind, Envelope, Keys, RootKey};
use holdfast_model::{
    ChunkId, FileKey, PackId, RepositoryId, SegmentId, SegmentSum, Witness,
    snapshot::{ChunkRef, SegmentRef},
};
use holdfast_tree::Mark;

fn place(id: &ChunkId) -> holdfast_model::Result<Placed> {
    Ok(Placed { id: *id, length: 0, pack: PackId([id.as_bytes()[0] % 2; 32]), offset: 8, sealed: 300, base: None })
}

fn draft() -> Draft {
    let mut draft = Draft::default();
    draft.chunks[0].push((ChunkId([2; 32]), 512));
    draft.chunks[2].push((ChunkId([3; 32]), 1000));
    draft.ops.push(Op::Take(Row::Meta, 500));
    draft.ops.push(Op::Take(Row::Meta, 12));
    draft.ops.push(Op::Take(Row::Large, 1000));
    draft.ops.push(Op::Zeros(65536));
    draft.marks.push(Mark { identity: 0x0807_0605_0403_0201, header: 512, content: 66536 });
    draft
}

#[test]
fn recipes_keep_their_bytes() {
    let bytes = Recipe::encode(&draft(), place).unwrap();
    let two = |byte: &str| byte.repeat(32);
    let chunk = |id: &str, length: &str, pack: &str| format!("{}{length}{pack}08000000ac02", two(id));
    let expected = format!(
        "0102{}{}01{}0001{}078010a21f83801001020304050607088004e88704",
        two("00"),
        two("01"),
        chunk("02", "8004", "00"),
        chunk("03", "e807", "02"),
    );
    assert_eq!(hex::encode(&bytes), expected);
    let recipe = Recipe::decode(&bytes).unwrap();
    assert_eq!(recipe.ops, [Op::Take(Row::Meta, 512), Op::Take(Row::Large, 1000), Op::Zeros(65536)]);
    for end in 0..bytes.len() {
        assert!(Recipe::decode(&bytes[..end]).is_err() || end == bytes.len() - 13, "{end}");
    }
}

#[test]
fn recipes_name_bases() {
    let base = Base { id: ChunkId([5; 32]), length: 900, pack: PackId([7; 32]), offset: 9, sealed: 301 };
    let place = |id: &ChunkId| Ok(Placed { base: (id.as_bytes()[0] == 3).then_some(base), ..place(id)? });
    let bytes = Recipe::encode(&draft(), place).unwrap();
    let recipe = Recipe::decode(&bytes).unwrap();
    assert_eq!(recipe.chunks[2][0].base, Some(base));
    assert_eq!(recipe.packs().map(|placed| placed.pack.as_bytes()[0]).collect::<Vec<_>>(), [0, 1, 7]);
    assert_eq!(Recipe::packs_of(&bytes).unwrap().last(), Some(&base.pack), "what a snapshot reaches");
    let two = |byte: &str| byte.repeat(32);
    let expected = format!(
        "0103{}{}{}01{}8004{rest}0001{}e807{delta}{}8407{base}",
        two("00"),
        two("01"),
        two("07"),
        two("02"),
        two("03"),
        two("05"),
        rest = "0008000000ac02",
        delta = "0308000000ac02",
        base = "0209000000ad02",
    );
    assert_eq!(hex::encode(&bytes[..bytes.len() - 21]), expected);
    for end in 0..bytes.len() {
        assert!(Recipe::decode(&bytes[..end]).is_err() || end == bytes.len() - 13, "{end}");
    }
    let own = |id: &ChunkId| Ok(Placed { base: Some(Base { id: *id, ..base }), ..place(id)? });
    assert!(Recipe::decode(&Recipe::encode(&draft(), own).unwrap()).is_err(), "nothing leans on itself");
}

#[test]
fn hostile_recipes_are_refused() {
    let bytes = Recipe::encode(&draft(), place).unwrap();
    let ops = bytes.len() - 13 - 7;
    let with = |op: u64| {
        let mut more = Vec::new();
        put_varint(&mut more, op);
        let length = [7 + more.len() as u8];
        [&bytes[..ops - 1], &length, &bytes[ops..ops + 7], &more, &bytes[ops + 7..]].concat()
    };
    assert!(Recipe::decode(&with(1 << 2 | 3)).is_ok());
    assert!(Recipe::decode(&with(1 << 2)).is_err(), "more than the rows hold");
    assert!(Recipe::decode(&with((u64::MAX >> 2) << 2 | 3)).is_err(), "endless zeros");
    assert!(Recipe::decode(&[&bytes[..], &[0; 9]].concat()).is_err(), "half a mark");
    assert!(Recipe::decode(&[1, 0xff, 0xff, 0xff, 0xff, 0x0f]).is_err(), "counts beyond the input");
    assert!(Recipe::decode(&[2]).is_err(), "another version");
}

#[test]
fn rows_keep_their_bytes() {
    let row = pack::Row { kind: ChunkKind::Meta, id: ChunkId([0xbb; 32]), length: 128, sealed: 60, base: None };
    let delta = pack::Row { base: Some(ChunkId([0xdd; 32])), ..row };
    let mut bytes = Vec::new();
    pack::put_rows(&mut bytes, &[row, delta]);
    let two = |byte: &str| byte.repeat(32);
    assert_eq!(hex::encode(&bytes), format!("0202{0}80013c82{0}80013c{1}", two("bb"), two("dd")));
    assert_eq!(pack::take_rows(&mut Reader::new(&bytes)).unwrap(), [row, delta]);
    for end in 0..bytes.len() {
        assert!(pack::take_rows(&mut Reader::new(&bytes[..end])).is_err());
    }
}

#[test]
fn directories_and_reach_lists_keep_their_bytes() {
    let name = PackName { kind: PackKind::Data, id: PackId([0xaa; 32]), size: 300 };
    let other = PackName { kind: PackKind::Meta, id: PackId([0xbb; 32]), size: 5 };
    let block = |name, mark: u8, length| {
        let mut footer = vec![0; length];
        footer[8..16].fill(mark);
        Block { name, footer: footer.into() }
    };
    let blocks = [block(name, 0xee, 200), block(other, 0xff, 16)];
    let directory = Directory::of(vec![SegmentId([0xcc; 32])], &blocks).unwrap();
    let bytes = directory.encode();
    let two = |byte: &str| byte.repeat(32);
    let packs = format!("01{}ac02c801{}02{}0510{}", two("aa"), "ee".repeat(8), two("bb"), "ff".repeat(8));
    assert_eq!(hex::encode(&bytes), format!("0101{}02{packs}", two("cc")));
    assert_eq!(Directory::decode(&bytes, 216).unwrap(), directory);
    assert_eq!((directory.packs[1].offset, directory.packs[1].length), (200, 16));
    assert!(Directory::decode(&bytes, 217).is_err(), "bytes that no pack has");
    let reach = encode_reach(&[name]);
    assert_eq!(hex::encode(&reach), format!("010101{}ac02", two("aa")));
    assert_eq!(decode_reach(&reach).unwrap(), [name]);
    for end in 0..bytes.len() {
        assert!(Directory::decode(&bytes[..end], 216).is_err());
    }
}

#[test]
fn segments_keep_their_shape() {
    let keys = Keys::derive(&RootKey::from_bytes([1; 32]));
    let envelope = Envelope::new(&keys, RepositoryId([2; 16]));
    let name = PackName { kind: PackKind::Data, id: PackId([0xaa; 32]), size: 300 };
    let blocks: Vec<Block> = [&b"the footer of a pack, as it is"[..], b"that of another one"]
        .map(|footer| Block { name, footer: footer.into() })
        .into();
    let directory = Directory::of(Vec::new(), &blocks).unwrap();
    let bytes = assemble(envelope, &directory, &blocks).unwrap();
    assert!(bytes.starts_with(b"the footer of a pack, as it isthat of another oneHFEN\x01\x02"));
    let size = bytes.len();
    let range = directory_range(&bytes[size - 8..], size as u64).unwrap();
    assert_eq!(range, 49..size as u64 - 8);
    let sealed = &bytes[49..size - 8];
    assert_eq!(open_directory(envelope, sealed, 49).unwrap(), directory);
    assert!(open_directory(envelope, sealed, 50).is_err());
    for trailer in [b"\xff\xff\xff\x7fHFIE", b"\x10\0\0\0HFPE"] {
        assert!(directory_range(trailer, size as u64).is_err());
    }
    assert!(directory_range(&bytes[size - 7..], size as u64).is_err());
}

#[test]
fn packs_keep_their_shape() {
    let keys = Keys::derive(&RootKey::from_bytes([1; 32]));
    let envelope = Envelope::new(&keys, RepositoryId([2; 16]));
    let row =
        pack::Row { kind: ChunkKind::Data, id: ChunkId([3; 32]), length: 9, sealed: 5, base: Some(ChunkId([4; 32])) };
    let mut builder = pack::Builder::new(PackKind::Data);
    builder.push(row, b"bytes", 100);
    let pack = builder.finish(envelope).unwrap();
    assert_eq!(&pack.bytes[..13], b"HFPK\x01\x01\0\0bytes");
    assert_eq!(pack_key(pack.kind, &pack.id), format!("p/{}/{}", &pack.id.to_hex()[..2], pack.id));
    assert_eq!(*pack.id.as_bytes(), holdfast_chunk::sha256(&pack.bytes));
    let size = pack.bytes.len();
    let length = pack::footer_length(&pack.bytes[size - 8..], size as u64).unwrap() as usize;
    let footer = &pack.bytes[size - 8 - length..size - 8];
    assert_eq!(pack::open_footer(envelope, footer).unwrap(), [row]);
    assert!(pack::footer_length(b"\xff\xff\xff\x7fHFPE", size as u64).is_err());
}

fn segment(byte: u8) -> SegmentRef {
    let chunk = ChunkRef { id: ChunkId([byte; 32]), length: 300, pack: PackId([9; 32]), offset: 8, sealed: 200 };
    SegmentRef { chunk, branch: false, length: 1000, entries: 2, sum: None, witness: None, file: None, at: 0 }
}

#[test]
fn branches_keep_their_bytes() {
    let plain = segment(1);
    let full = SegmentRef {
        sum: Some(SegmentSum([3; 32])),
        witness: Some(Witness([4; 32])),
        file: Some(FileKey([5; 16])),
        at: 128,
        ..segment(2)
    };
    let bytes = branch::encode(&[plain, full]);
    let expected = format!(
        "4101{}{}ac020008000000c80100e80702{}ac020008000000c80107e80702{}{}{}8001",
        "09".repeat(32),
        "01".repeat(32),
        "02".repeat(32),
        "03".repeat(32),
        "04".repeat(32),
        "05".repeat(16),
    );
    assert_eq!(hex::encode(&bytes), expected);
    assert_eq!(branch::decode(&bytes, 2000).unwrap(), [plain, full]);
    assert!(branch::decode(&bytes, 1999).is_err(), "its segments are not what it stands for");
    assert!(Recipe::decode(&bytes).is_err() && branch::decode(&Recipe::encode(&draft(), place).unwrap(), 0).is_err());
    for end in 0..bytes.len() {
        assert!(branch::decode(&bytes[..end], 2000).is_err(), "{end}");
    }
}

#[test]
fn an_unchanged_run_gives_unchanged_branches() {
    let list: Vec<SegmentRef> = (0..4000u32)
        .map(|n| {
            let id = ChunkId(holdfast_chunk::sha256(&n.to_le_bytes()));
            let plain = segment(0);
            SegmentRef { chunk: ChunkRef { id, ..plain.chunk }, ..plain }
        })
        .collect();
    let branches = |list: &[SegmentRef]| branch::groups(list).map(branch::encode).collect::<Vec<_>>();
    let before = branches(&list);
    assert_eq!(branch::groups(&list).map(<[SegmentRef]>::len).sum::<usize>(), list.len());
    assert!(before.len() < 100);
    let mut changed = list.clone();
    changed.splice(1000..1001, [segment(7), segment(8)]);
    let after = branches(&changed);
    let same = after.iter().filter(|branch| before.contains(branch)).count();
    assert!(same + 4 >= after.len(), "{same} of {}", after.len());
}
