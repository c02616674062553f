//! Which files are written in place, page by page, and which are logs of pages, told by their first bytes.
//!
//! Invariant: part of the format; a file judged otherwise is stored right all the same, only anew.

/// How a file's contents are cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// By content.
    Flowing,
    /// In blocks: the file is written in place, page by page.
    Paged,
    /// By content, coarsely: a database's log of whole pages, which are much like one another wherever they lie.
    Log,
}

/// Page of PostgreSQL, bytes.
const POSTGRES: usize = 8192;
/// Smaller files are no disks, whatever they begin with.
const DISK_MIN: u64 = 1 << 20;

impl Layout {
    /// Decides by the first block of a file of `size` bytes that is not all zeros; it begins at byte `at` of the file.
    pub fn of(head: &[u8], at: u64, size: u64) -> Layout {
        let start = if at == 0 { head } else { &[] };
        if is_log(start) {
            return Layout::Log;
        }
        let paged = is_postgres(head, size) || is_database(start, size) || is_disk(start, size);
        if paged { Layout::Paged } else { Layout::Flowing }
    }
}

fn holds(head: &[u8], at: usize, bytes: &[u8]) -> bool {
    head.get(at..at + bytes.len()) == Some(bytes)
}

fn word(head: &[u8], at: usize) -> u16 {
    head.get(at..at + 2).map_or(0, |bytes| u16::from(bytes[0]) | u16::from(bytes[1]) << 8)
}

/// Heap, index, map of free space, map of visibility: all pages of the block are such pages or new ones.
fn is_postgres(head: &[u8], size: u64) -> bool {
    let mut used = head.chunks(POSTGRES).filter(|page| page.iter().any(|byte| *byte != 0)).peekable();
    size > 0 && size.is_multiple_of(POSTGRES as u64) && used.peek().is_some() && used.all(is_postgres_page)
}

/// Page size 8192 and layout version 4 in one word; the lower, upper and special bounds in order.
fn is_postgres_page(page: &[u8]) -> bool {
    let (lower, upper, special) = (word(page, 12), word(page, 14), word(page, 16));
    word(page, 18) == 0x2004 && lower <= upper && upper <= special && usize::from(special) <= POSTGRES
}

/// A segment of PostgreSQL's write-ahead log with its long header.
fn is_log(head: &[u8]) -> bool {
    holds(head, 1, &[0xd1]) && word(head, 2) & 2 != 0 && holds(head, 36, &[0, 0x20, 0, 0])
}

/// SQLite; a tablespace of InnoDB (page number 0, page type FSP_HDR); LMDB; BoltDB; WiredTiger.
fn is_database(head: &[u8], size: u64) -> bool {
    let whole = |page| size > 0 && size.is_multiple_of(page);
    head.starts_with(b"SQLite format 3\0")
        || (whole(16384) && holds(head, 4, &[0; 4]) && holds(head, 24, &[0, 8]))
        || (whole(4096)
            && (holds(head, 16, &[0xde, 0xc0, 0xef, 0xbe])
                || holds(head, 16, &[0xed, 0xda, 0x0c, 0xed])
                || holds(head, 0, &[0x41, 0xd8, 1, 0])))
}

/// qcow2, VMDK, VHDX, VDI; a raw disk with a partition table or a file system (ext, XFS, LUKS) from its start.
fn is_disk(head: &[u8], size: u64) -> bool {
    const MAGIC: [&[u8]; 6] = [b"QFI\xfb", b"KDMV", b"COWD", b"vhdxfile", b"XFSB", b"LUKS\xba\xbe"];
    let known = MAGIC.iter().any(|magic| head.starts_with(magic)) || holds(head, 64, &[0x7f, 0x10, 0xda, 0xbe]);
    let raw = holds(head, 512, b"EFI PART") || holds(head, 1080, &[0x53, 0xef]) || is_partitioned(head);
    known || (raw && size >= DISK_MIN && size.is_multiple_of(512))
}

/// A master boot record: its mark, flags that are flags, and at least one partition that begins somewhere.
fn is_partitioned(head: &[u8]) -> bool {
    let Some(table) = head.get(446..510) else { return false };
    let (entries, _) = table.as_chunks::<16>();
    holds(head, 510, &[0x55, 0xaa])
        && entries.iter().all(|entry| entry[0] & 0x7f == 0)
        && entries.iter().any(|entry| entry[4] != 0 && entry[8..] != [0; 8])
}
