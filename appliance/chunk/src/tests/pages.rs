//! Which files are taken for page-structured ones, and which are not.

use super::*;
use crate::cut::{BLOCK, Sizes, page_block};

const SIZE: u64 = 8192 * 300;

/// A page of PostgreSQL as it lies on disk.
fn postgres() -> Vec<u8> {
    let mut page = noise(8192);
    page[12..20].copy_from_slice(&[0x40, 0, 0, 0x10, 0, 0x20, 0x04, 0x20]);
    page
}

fn with(at: usize, bytes: &[u8]) -> Vec<u8> {
    let mut head = noise(BLOCK);
    head[at..at + bytes.len()].copy_from_slice(bytes);
    head
}

#[test]
fn databases_are_recognised() {
    let page = postgres();
    let zero = vec![0; 8192];
    let paged = |head: &[u8], at, size| assert_eq!(Layout::of(head, at, size), Layout::Paged);
    let flowing = |head: &[u8], at, size| assert_eq!(Layout::of(head, at, size), Layout::Flowing);
    paged(&page, 0, SIZE);
    paged(&[page.clone(), zero.clone(), page.clone()].concat(), 0, SIZE);
    // The first pages are new, or a hole.
    paged(&[zero.clone(), page.clone()].concat(), 0, SIZE);
    paged(&page, 1 << 20, SIZE);
    flowing(&page, 0, SIZE + 1);
    flowing(&[page.clone(), noise(8192)].concat(), 0, SIZE);
    flowing(&zero, 0, SIZE);
    let mut odd = page;
    odd[14..16].copy_from_slice(&[0x20, 0]);
    flowing(&odd, 0, SIZE);
    paged(&with(0, b"SQLite format 3\0"), 0, 4096);
    flowing(&with(0, b"SQLite format 3\0"), 65536, 4096);
    let mut innodb = with(4, &[0; 4]);
    innodb[24..26].copy_from_slice(&[0, 8]);
    paged(&innodb, 0, 16384 * 9);
    flowing(&innodb, 0, 16384 * 9 + 4096);
    paged(&with(16, &[0xde, 0xc0, 0xef, 0xbe]), 0, SIZE);
    paged(&with(16, &[0xed, 0xda, 0x0c, 0xed]), 0, SIZE);
    paged(&with(0, &[0x41, 0xd8, 1, 0]), 0, SIZE);
    flowing(&with(0, &[0x41, 0xd8, 1, 0]), 0, SIZE + 1);
}

#[test]
fn logs_flow() {
    // The log of PostgreSQL is written anew from front to back: nothing is left at its place.
    let mut log = postgres();
    log[..4].copy_from_slice(&[0x10, 0xd1, 6, 0]);
    log[32..40].copy_from_slice(&[0, 0, 0, 1, 0, 0x20, 0, 0]);
    assert_eq!(Layout::of(&log, 0, 16 << 20), Layout::Log);
    let classes = [1 << 20, 16 << 20, 1 << 40].map(|size| Sizes::class_for(Layout::Log, size));
    assert_eq!(classes, [1, 1, 3], "never finer than other files of that size");
    assert_eq!(Sizes::class_for(Layout::Flowing, 16 << 20), 0);
    assert_eq!(Layout::of(b"2026-11-23 05:47:10 INFO", 0, 8192), Layout::Flowing);
    assert_eq!(Layout::of(b"", 0, 0), Layout::Flowing);
}

#[test]
fn disk_images_are_recognised() {
    let paged = |head: &[u8]| assert_eq!(Layout::of(head, 0, 1 << 30), Layout::Paged);
    for magic in [&b"QFI\xfb"[..], b"KDMV", b"COWD", b"vhdxfile", b"XFSB", b"LUKS\xba\xbe"] {
        paged(&with(0, magic));
    }
    paged(&with(64, &[0x7f, 0x10, 0xda, 0xbe]));
    paged(&with(512, b"EFI PART"));
    paged(&with(1080, &[0x53, 0xef]));
    let mut table = with(446, &[0; 64]);
    table[510..512].copy_from_slice(&[0x55, 0xaa]);
    table[446 + 4] = 0x83;
    table[446 + 12] = 1;
    paged(&table);
    assert_eq!(Layout::of(&table, 0, 100_000), Layout::Flowing, "a boot sector, not a disk");
    table[446] = 7;
    assert_eq!(Layout::of(&table, 0, 1 << 30), Layout::Flowing);
    assert_eq!(Layout::of(&with(510, &[0x55, 0xaa]), 0, 1 << 30), Layout::Flowing);
}

#[test]
fn blocks_grow_with_files() {
    let sizes = [0, 1 << 20, 64 << 20, 1 << 40].map(page_block);
    assert_eq!(sizes, [64 << 10, 256 << 10, 512 << 10, 512 << 10]);
    assert!(sizes.iter().all(|size| size.is_multiple_of(BLOCK)));
    assert!(cut::is_zero(&vec![0; BLOCK + 3]) && !cut::is_zero(&[0, 0, 1]));
}
