//! Doors for fuzz targets and benches: the readers of sealed records, given what lies under the seal, and the table of chunks.
//!
//! Each takes any bytes; what it could read it writes and reads again. Never used by the product.

use crate::table::{Finger, Table};
use crate::{
    branch,
    excerpt::{Excerpt, lacking},
    format::Format,
    layout,
    pack::{self, put_rows, take_rows},
    reader,
    recipe::Recipe,
    segment::{Directory, decode_reach, directory_range, encode_reach},
};
use holdfast_chunk::Keys;
use holdfast_model::ChunkId;

/// The table of chunks.
#[derive(Default)]
pub struct Places(Table);

impl Places {
    /// Enters a chunk of a pack.
    pub fn insert(&mut self, id: &ChunkId, pack: u32) {
        self.0.insert(Finger::of(id), pack);
    }
    /// How many packs may hold a chunk.
    pub fn candidates(&self, id: &ChunkId) -> usize {
        self.0.candidates(Finger::of(id)).count()
    }
}

/// The rows of a pack's footer, and the eight bytes behind it.
pub fn footer(bytes: &[u8]) {
    if let Some((trailer, rest)) = bytes.split_last_chunk::<8>().map(|(rest, trailer)| (trailer, rest)) {
        let size = bytes.len() as u64;
        if let Ok(length) = pack::footer_length(trailer, size) {
            assert!(length <= rest.len() as u64, "a footer longer than its pack");
        }
    }
    let mut reader = crate::codec::Reader::new(bytes);
    if let Ok(rows) = take_rows(&mut reader) {
        let mut again = Vec::new();
        put_rows(&mut again, &rows);
        let back = take_rows(&mut crate::codec::Reader::new(&again)).expect("our own rows are read");
        assert!(back == rows, "rows differ after writing");
    }
}

/// The directory of an index segment, where it lies, and a reach list.
pub fn segment(bytes: &[u8]) {
    if let Ok((directory, length)) = Directory::read(bytes) {
        assert!(directory.packs.iter().map(|pack| u64::from(pack.length)).sum::<u64>() == u64::from(length));
        let again = Directory::decode(&directory.encode(), u64::from(length)).expect("our own directory is read");
        assert!(again == directory, "a directory changes by writing");
    }
    if let Some(trailer) = bytes.last_chunk::<8>()
        && let Ok(range) = directory_range(trailer, bytes.len() as u64)
    {
        assert!(range.start <= range.end && range.end <= bytes.len() as u64, "a directory outside of its segment");
    }
    if let Ok(reach) = decode_reach(bytes) {
        assert!(decode_reach(&encode_reach(&reach)).expect("our own reach list is read") == reach);
    }
}

/// A recipe segment: what its operations take is what its rows hold.
pub fn recipe(bytes: &[u8]) {
    let Ok(recipe) = Recipe::decode(bytes) else { return };
    assert!(recipe.packs().count() <= bytes.len() / 32, "more chunks than the bytes could name");
    assert!(recipe.ops.len() + recipe.marks.len() <= bytes.len(), "more operations and marks than bytes");
    let taken = recipe.chunks.iter().flatten().map(|chunk| u64::from(chunk.length)).sum::<u64>();
    assert!(taken <= recipe.length(), "chunks that no operation takes");
    excerpts(recipe);
}

/// What a reader makes of a recipe: batches of all chunks, and of those that some stretches and the headers need.
fn excerpts(recipe: Recipe) {
    let third = recipe.length() / 3;
    let middle = Excerpt::of(&recipe, &[0..third.min(1), third..2 * third]);
    let counted = |excerpt: &Excerpt| excerpt.chunks.iter().map(Vec::len).sum::<usize>();
    let gaps = lacking(&recipe, |chunk| chunk.offset % 2 == 1);
    assert!(gaps.iter().map(|gap| gap.end - gap.start).sum::<u64>() <= recipe.length(), "more is lost than there was");
    for excerpt in [middle, Excerpt::outline(recipe.clone()), Excerpt::whole(recipe)] {
        let batched = reader::plan(&excerpt).iter().map(|batch| batch.chunks.len()).sum::<usize>();
        assert!(batched == counted(&excerpt), "a chunk is read twice or never");
    }
}

/// A branch that is to stand for `length` bytes of a stream.
pub fn branch(bytes: &[u8], length: u64) {
    let Ok(segments) = branch::decode(bytes, length) else { return };
    let again = branch::decode(&branch::encode(&segments), length).expect("our own branch is read");
    assert!(again == segments, "a branch changes by writing");
    assert!(branch::groups(&segments).map(<[_]>::len).sum::<usize>() == segments.len(), "segments get lost in groups");
}

/// The format object, under these keys; whether it is genuine.
pub fn format(bytes: &[u8], keys: &Keys) -> bool {
    Format::decode(bytes).is_ok_and(|format| {
        let again = format.encode().expect("a format can be written");
        assert!(Format::decode(&again).is_ok(), "our own format object is not read");
        format.verify(keys).is_ok()
    })
}

/// The format object of a new repository.
pub fn new_format(repository: holdfast_model::RepositoryId, keys: &Keys) -> Vec<u8> {
    Format::new(repository, keys).encode().expect("a format can be written")
}

/// The name of an object, as a store lists it.
pub fn key(text: &str) {
    if let Some((kind, id)) = layout::parse_pack(text) {
        assert!(layout::pack_key(kind, &id) == text, "a pack has two names");
    }
    if let Some(id) = layout::snapshot_of(text) {
        let name = text[2..].split('.').next().unwrap_or_default();
        assert!(layout::snapshot_key(&id).ends_with(name), "a snapshot has two names");
    }
    layout::travels(text);
}
