//! The repository: packs, index, snapshots; cache and bucket as tiers; prune, check, repair.
//!
//! Lives here: where chunks lie and how streams are put together again, the two tiers, the order of
//! writing (law L1), what is known of the bucket. Never here: ciphers and cut points (chunk), S3 and
//! Docker, when anything happens (engine). Formats and invariants: `FORMAT.md`.
//!
//! Read next: `session` (a backup), `press` (chunks become packs), `reader` (a restore), `opening`
//! (what a start does), `listing` and `find` (the index), `ship` (the bucket's share), `room` and `evict` (what the cache
//! may take), `prune`, `check`.

mod assemble;
mod bases;
mod beneath;
mod branch;
mod bucket;
mod check;
mod codec;
mod condemn;
mod evict;
mod excerpt;
mod fetch;
mod find;
mod format;
#[doc(hidden)]
pub mod fuzzing;
mod haul;
mod ingest;
mod inner;
mod late;
mod layout;
mod likely;
mod listing;
mod locks;
mod looks;
mod opening;
mod pack;
mod parent;
mod parts;
mod pins;
mod press;
mod prune;
mod queue;
mod reach;
mod reader;
mod recipe;
mod repack;
mod room;
mod rotate;
mod rows;
mod segment;
mod session;
mod settings;
mod settle;
mod shelf;
mod ship;
mod slots;
mod stages;
mod state;
mod survey;
mod table;
mod threads;
mod tree;
mod undeleted;
mod unlock;
mod unusable;
mod vault;
mod verdicts;
mod walk;
mod warm;
mod weave;

pub use layout::DATA_PACKS;
pub use locks::LockProof;
pub use parts::Part;
pub use pins::Hold;
pub use room::DiskSpace;

pub use session::Session;
pub use ship::FENCE_UNSEEN;
pub use slots::SlotChange;
pub use stages::Stages;
pub use survey::Repack;
pub use tree::TakenTree;

use bytes::Bytes;
use futures::stream::BoxStream;
use holdfast_catalog::Catalog;
use holdfast_chunk::escrow::{PrivateKey, PublicKey};
use holdfast_model::{
    Moment, PackId, RepositoryId, Result, Secret, SnapshotId,
    settings::Settings,
    snapshot::{ImageSection, Snapshot, StreamRef},
    view::{CheckView, From, KeysView, TierState},
};
use holdfast_runtime::{Clock, Stop};
use holdfast_storage::Store;
use inner::Inner;
use std::{collections::HashSet, sync::Arc};

/// Bytes of a stream as they come; an error ends it.
pub type ByteStream = BoxStream<'static, Result<Bytes>>;

/// A piece of a stream on its way out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// Bytes.
    Bytes(Bytes),
    /// That many zeros, stored as such: writers may leave a hole.
    Zeros(u64),
}

impl Piece {
    /// Bytes of the stream that it stands for.
    #[allow(clippy::len_without_is_empty, reason = "no piece is empty")]
    pub fn len(&self) -> u64 {
        match self {
            Piece::Bytes(bytes) => bytes.len() as u64,
            Piece::Zeros(count) => *count,
        }
    }
}

/// Pieces of a stream as they come; an error ends it.
pub type PieceStream = BoxStream<'static, Result<Piece>>;

/// What a repository stands on.
#[derive(Clone, Debug)]
pub struct Parts {
    /// The local tier.
    pub cache: Arc<dyn Store>,
    /// Memory aid; disposable.
    pub catalog: Arc<Catalog>,
    /// The time.
    pub clock: Clock,
}

/// A 256-bit key shown to people in the recovery kit.
#[derive(Clone)]
pub struct RecoveryKey(pub [u8; 32]);

/// How the root key is unwrapped.
pub enum Unlock {
    /// The appliance's own key file, for unattended starts. Its slot never leaves the cache.
    Device([u8; 32]),
    /// From the kit.
    Recovery(RecoveryKey),
    /// A person's passphrase, if such a slot was made.
    Passphrase(Secret),
    /// The private half of a key that everything was entrusted to, if such a slot was made.
    Escrow(PrivateKey),
}

impl std::convert::From<RecoveryKey> for Unlock {
    fn from(key: RecoveryKey) -> Self {
        Unlock::Recovery(key)
    }
}

/// How a stream is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamKind {
    /// Headers apart from contents; the end must be proved by two zero blocks (`stream.short`).
    Tar,
    /// Plain bytes.
    Bytes,
}

/// Told as bytes move. Called often, from CPU threads: must be cheap.
pub trait Meter: Send + Sync {
    /// Source bytes taken in, or (reading) stream bytes given out.
    fn moved(&self, bytes: u64);
    /// Sealed bytes stored new.
    fn stored(&self, sealed: u64);
    /// Plaintext bytes that were known already.
    fn known(&self, bytes: u64);
}

/// A repository, open for reading and writing. Clones share it.
#[derive(Clone)]
pub struct Repository {
    inner: Arc<Inner>,
}

/// A snapshot with its tiers.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The snapshot.
    pub snapshot: Arc<Snapshot>,
    /// Where it can be restored from.
    pub state: TierState,
}

/// What reading some streams costs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReadCost {
    /// Plaintext bytes.
    pub bytes: u64,
    /// Sealed bytes that lie only in the bucket.
    pub bucket_bytes: u64,
    /// Requests to the bucket.
    pub requests: u64,
    /// Sealed bytes that no tier holds: the snapshot is damaged.
    pub missing_bytes: u64,
}

/// Size of a tier.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TierUse {
    /// Bytes of all objects.
    pub bytes: u64,
    /// Packs.
    pub packs: u64,
    /// Snapshots complete in this tier.
    pub snapshots: u32,
}

/// Order of shipping (law L1): a stage begins only when the earlier stages it needs are acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// Format and key slots: before anything else.
    Setup,
    /// Packs that the snapshot needs.
    Pack,
    /// Index segments that name those packs.
    Segment,
    /// The snapshot's reach list.
    Reach,
    /// The snapshot itself: the commit point.
    Snapshot,
    /// The settings document, tombstones.
    Settings,
}

/// One object to bring to the bucket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShipItem {
    /// The same key in both tiers.
    pub key: String,
    /// Bytes.
    pub size: u64,
    /// When it may go.
    pub stage: Stage,
    /// The snapshot it is shipped for; none for what is for all, and for data of backups under way.
    pub snapshot: Option<SnapshotId>,
}

/// The beginning of what the bucket lacks.
#[derive(Clone, Debug, Default)]
pub struct ShipList {
    /// Its first objects, in lawful order.
    pub items: Vec<ShipItem>,
    /// How many there are in all.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// What prune will do.
#[derive(Clone, Debug)]
pub struct PrunePlan {
    /// Snapshots to forget.
    pub forget: Vec<SnapshotId>,
    /// Packs that nothing needs afterwards.
    pub packs: Vec<PackId>,
    /// Bytes of them in the cache, and of data that is locked in the bucket and leaves the cache alone.
    pub cache_bytes: u64,
    /// Bytes of them in the bucket.
    pub bucket_bytes: u64,
    /// Dead bytes in packs that stay, those to be repacked too.
    pub held_bytes: u64,
    /// Packs that are mostly dead: their living chunks move to new ones, and they go after their grace.
    pub repack: Vec<PackId>,
    /// Living bytes that move.
    pub repack_bytes: u64,
    /// Dead bytes that are freed by that.
    pub repack_frees: u64,
    moves: Vec<survey::Move>,
    survey: Option<Arc<survey::Survey>>,
    /// Seconds that packs stay in the bucket after they were condemned, by the bucket's own time.
    pub grace_seconds: u64,
    /// Packs that nothing needs either and that are locked in the bucket: they stay until their locks end.
    pub locked: u64,
    /// Bytes of them.
    pub locked_bytes: u64,
}

/// What prune did.
#[derive(Clone, Debug, Default)]
pub struct PruneOutcome {
    /// Snapshots forgotten.
    pub snapshots: u64,
    /// Packs deleted from every tier that held them.
    pub packs: u64,
    /// Bytes freed in the cache.
    pub cache_bytes: u64,
    /// Bytes freed in the bucket.
    pub bucket_bytes: u64,
    /// Packs whose living chunks moved to new ones.
    pub repacked: u64,
    /// Bytes of those chunks.
    pub moved_bytes: u64,
    /// Packs that wait out their grace in the bucket, and their bytes.
    pub waiting: u64,
    /// Bytes of them.
    pub waiting_bytes: u64,
    /// Packs that nothing needs and that are locked in the bucket: they stay until their locks end.
    pub locked: u64,
    /// Bytes of them.
    pub locked_bytes: u64,
    /// What could not be done.
    pub problems: Vec<holdfast_model::Problem>,
}

impl Repository {
    /// Makes a repository in an empty cache: format, root key, device slot, recovery slot.
    /// `Conflict` (`repository.exists`) if there is one.
    pub async fn create(parts: Parts, device_key: [u8; 32]) -> Result<Repository> {
        Ok(Repository { inner: opening::create(parts, device_key).await? })
    }
    /// Opens the repository of a cache. Rebuilds what the catalog forgot. `NotFound`
    /// (`repository.none`), `Denied` (`key.wrong`), `Invalid` (`format.unsupported`, naming the version
    /// or feature), `Conflict` (`repository.locked`).
    pub async fn open(parts: Parts, unlock: Unlock) -> Result<Repository> {
        Ok(Repository { inner: opening::open(parts, unlock).await? })
    }
    /// Rebuilds a cache from a bucket and a key: format, slots, segments, snapshots, reach lists,
    /// settings are fetched and a device slot is made; packs stay in the bucket until somebody needs them.
    /// Takes over as the only writer (law L5). `Denied` if the key does not fit (`kit.wrong`, `key.wrong`), was retired
    /// (`key.retired`) or opens somebody else's repository (`key.foreign`).
    pub async fn recover(
        parts: Parts,
        bucket: Arc<dyn Store>,
        key: impl Into<Unlock>,
        device_key: [u8; 32],
    ) -> Result<Repository> {
        Ok(Repository { inner: bucket::recover(parts, bucket, key.into(), device_key).await? })
    }
    /// The repository's id.
    pub fn id(&self) -> RepositoryId {
        self.inner.id
    }
    /// The key of identities in trees ([`Session::store_tree`]): the same in all epochs.
    pub fn tree_key(&self) -> [u8; 32] {
        self.inner.keys.tree_key()
    }
    /// The key for the kit; the same each time until rotated.
    pub fn recovery_key(&self) -> RecoveryKey {
        self.inner.recovery_key()
    }

    /// All ways in, and the epoch that new data is sealed in.
    pub async fn keys(&self) -> Result<KeysView> {
        Ok(KeysView {
            epoch: self.inner.keys.epoch(),
            epoch_since: self.inner.epoch_since().await,
            slots: self.inner.slots().await?,
            slots_max: slots::SLOTS_MAX as u32,
        })
    }
    /// Lets a passphrase open the repository. Costs a second of a CPU. `Invalid` (`slot.name`), `Conflict` (`slot.full`).
    pub async fn add_passphrase(&self, name: &str, passphrase: Secret) -> Result<SlotChange> {
        self.inner.add_passphrase(name, passphrase).await
    }
    /// Lets the owner of a key open the repository. Errors as above.
    pub async fn add_escrow(&self, name: &str, public: &PublicKey) -> Result<SlotChange> {
        self.inner.add_escrow(name, public).await
    }
    /// Removes a passphrase or an escrow key from both tiers. It does not take back what its owner has read already.
    /// `NotFound` (`slot.unknown`), `Refused` (`slot.fixed`), `Unavailable` if the bucket has a copy and cannot be reached.
    pub async fn remove_slot(&self, id: &str) -> Result<SlotChange> {
        self.inner.remove_slot(id).await
    }
    /// Makes a new recovery key and retires the old kit.
    pub async fn rotate_recovery(&self) -> Result<SlotChange> {
        self.inner.rotate_recovery().await
    }
    /// Begins a new key epoch: what is written from now on is not readable with anything that was known before, but
    /// for the ways in that are listed. Retires the old kit. `device_key` opens the device's slot.
    pub async fn rotate_epoch(&self, device_key: &[u8; 32]) -> Result<SlotChange> {
        self.inner.rotate_epoch(device_key).await
    }

    /// Attaches the cloud tier: learns what it holds. `Conflict` (`bucket.foreign`) if another repository lives
    /// there, `Refused` (`repository.fenced`) if another appliance has taken over.
    pub async fn attach_bucket(&self, bucket: Arc<dyn Store>) -> Result<()> {
        self.inner.attach(bucket).await
    }
    /// Lets the bucket go; what it acknowledged stays known.
    pub fn detach_bucket(&self) {
        self.inner.detach();
    }
    /// Whether a bucket is attached.
    pub fn has_bucket(&self) -> bool {
        self.inner.bucket().is_some()
    }

    /// Begins a backup. Many sessions at once share dedup and open packs.
    pub fn session(&self) -> Session {
        Session::begin(Arc::clone(&self.inner))
    }

    /// Where the time of backups went since the repository was opened.
    pub fn stages(&self) -> Stages {
        self.inner.press.stages()
    }

    /// All snapshots, oldest first.
    pub fn snapshots(&self) -> Vec<Entry> {
        self.inner.entries()
    }
    /// One snapshot by id or a unique beginning of it (4 characters or more).
    pub fn snapshot(&self, id: &str) -> Result<Entry> {
        self.inner.entry(id)
    }
    /// Snapshots that some tier holds and that could not be read in any that could be asked. Until they are, or are forgotten,
    /// nothing is pruned.
    pub fn unreadable(&self) -> Vec<SnapshotId> {
        prune::unreadable_snapshots(&self.inner.read())
    }
    /// Section of an image that some snapshot holds, with all its packs present in some tier: all of the image, by its digests.
    pub fn known_image(&self, id: &str) -> Option<ImageSection> {
        self.inner.known_image(id)
    }
    /// Stream of an image part with these bytes.
    pub fn known_blob(&self, sha256: &str) -> Option<StreamRef> {
        self.inner.known_blob(sha256)
    }

    /// Opens a stored stream. Every chunk is verified; a damaged cache pack is healed from the bucket on the
    /// way (reported through [`Repository::take_healed`]); the whole stream's SHA-256 is checked at its end.
    pub fn read(&self, stream: &StreamRef, from: From, meter: Option<Arc<dyn Meter>>) -> ByteStream {
        reader::read(Arc::clone(&self.inner), stream, from, meter)
    }
    /// Like [`Repository::read`], with long runs of zeros told instead of made.
    pub fn read_pieces(&self, stream: &StreamRef, from: From, meter: Option<Arc<dyn Meter>>) -> PieceStream {
        reader::read_pieces(Arc::clone(&self.inner), stream, from, meter)
    }
    /// The outline of a stored tar: its headers as they are, every byte of content as a zero. Only metadata is read, so
    /// that a listing of a large volume costs little; nothing proves the whole but the chunks themselves.
    /// `Invalid` (`stream.unsplit`) if the stream is not stored as a tar.
    pub fn read_outline(&self, stream: &StreamRef, from: From) -> PieceStream {
        if let Err(error) = parts::need_tar(stream) {
            return Box::pin(futures::stream::iter([Err(error)]));
        }
        reader::read_outline(Arc::clone(&self.inner), stream, from)
    }
    /// The parts of a stored tar that can be outlined alone: the groups of a tree, or the stream as a whole. Reads branches
    /// at most. Errors as of [`Repository::read_outline`].
    pub async fn parts(&self, stream: &StreamRef, from: From) -> Result<Vec<Part>> {
        parts::of(&self.inner, stream, from).await
    }
    /// The outline of one part.
    pub fn read_outline_of(&self, part: &Part, from: From) -> PieceStream {
        match &part.segments {
            parts::Lies::Here(segments) => reader::read_outline_of(Arc::clone(&self.inner), segments, from),
            parts::Lies::Whole(stream) => reader::read_outline(Arc::clone(&self.inner), stream, from),
        }
    }
    /// What the source said of each member of a part: equal and not 0, it has not changed. Empty where nothing is known.
    pub async fn identities(&self, part: &Part, from: From) -> Result<Vec<u64>> {
        parts::identities(&self.inner, part, from).await
    }
    /// What a stretch of a stream is made of. Equal answers mean equal bytes, different ones nothing; no content is read.
    pub async fn fingerprint(&self, stream: &StreamRef, range: std::ops::Range<u64>, from: From) -> Result<[u8; 32]> {
        parts::fingerprint(&self.inner, stream, range, from).await
    }
    /// Bytes of a stored stream from one place to another, reading no more recipes and chunks than those need.
    /// `Invalid` (`stream.range`) if they do not lie in it.
    pub fn read_range(&self, stream: &StreamRef, range: std::ops::Range<u64>, from: From) -> ByteStream {
        self.read_ranges(stream, vec![range], from)
    }
    /// The same for several stretches, one after the other; they rise and do not overlap.
    pub fn read_ranges(&self, stream: &StreamRef, ranges: Vec<std::ops::Range<u64>>, from: From) -> ByteStream {
        reader::in_bytes(reader::read_ranges(Arc::clone(&self.inner), stream, ranges, from))
    }
    /// What reading these streams costs.
    pub async fn cost(&self, streams: &[StreamRef], from: From) -> Result<ReadCost> {
        self.inner.cost(streams, from).await
    }
    /// Problems healed while reading, since the last call.
    pub fn take_healed(&self) -> Vec<holdfast_model::Problem> {
        self.inner.write().take_notes()
    }

    /// What is to be shipped, in lawful order, oldest snapshot first.
    pub fn to_ship(&self) -> Vec<ShipItem> {
        self.inner.to_ship(usize::MAX, &HashSet::new()).items
    }

    /// What snapshots need and the bucket alone holds.
    pub fn only_in_bucket(&self) -> TierUse {
        self.inner.only_in_bucket()
    }

    /// The same, the first `most` of it, with what all of it is. Snapshots that need an object of `stuck` come after all others, with a
    /// part of what they lack, so that they hold up nobody and are seen all the same.
    pub fn ship_list(&self, most: usize, stuck: &HashSet<String>) -> ShipList {
        self.inner.to_ship(most, stuck)
    }
    /// Bytes of an object for shipping.
    pub async fn ship_bytes(&self, key: &str) -> Result<Bytes> {
        self.inner.ship_bytes(key).await
    }
    /// The bucket acknowledged an object by size and SHA-256.
    pub async fn acknowledged(&self, key: &str, size: u64) -> Result<()> {
        self.inner.acknowledged(key, size).await
    }

    /// The newest settings document. `Corrupt` if no tier has one that is whole.
    pub async fn settings(&self) -> Result<Option<Settings>> {
        self.inner.settings().await
    }
    /// Generation of the newest settings document, whole or not; 0 if there is none.
    pub fn settings_generation(&self) -> u64 {
        self.inner.settings_generation()
    }
    /// Writes a new settings document (generation must be newer).
    pub async fn save_settings(&self, settings: &Settings) -> Result<()> {
        self.inner.save_settings(settings).await
    }

    /// Plans to forget these snapshots, to free what nothing needs then, and to repack what is mostly dead.
    pub async fn prune_plan(&self, forget: Vec<SnapshotId>) -> Result<PrunePlan> {
        self.prune_plan_within(forget, &Repack::default()).await
    }
    /// The same with other limits for repacking.
    pub async fn prune_plan_within(&self, forget: Vec<SnapshotId>, limits: &Repack) -> Result<PrunePlan> {
        self.inner.prune_plan(forget, limits).await
    }
    /// Keeps everything readable that is there now, whatever is forgotten meanwhile, until it is dropped.
    pub fn hold(&self) -> Hold {
        Hold(self.inner.pins.reader())
    }
    /// Carries a plan out, beside running backups and restores. What the bucket holds is condemned first and deleted by
    /// a prune after the grace.
    pub async fn prune(&self, plan: PrunePlan, stop: &Stop) -> Result<PruneOutcome> {
        self.inner.prune(plan, stop).await
    }
    /// Verifies: presence and sizes of everything in both tiers; with `read_data` every byte. Heals from the other tier.
    pub async fn check(&self, read_data: bool, meter: Option<Arc<dyn Meter>>, stop: &Stop) -> Result<CheckView> {
        self.inner.check(if read_data { 100 } else { 0 }, meter, stop).await
    }
    /// Verifies presence and sizes of everything, and the bytes of `percent` of all that is stored: what was verified
    /// longest ago first, so that a run a day has read everything after `100 / percent` days.
    pub async fn check_share(&self, percent: u8, meter: Option<Arc<dyn Meter>>, stop: &Stop) -> Result<CheckView> {
        self.inner.check(percent, meter, stop).await
    }
    /// What the cache holds.
    pub fn cache_use(&self) -> TierUse {
        self.inner.cache_use()
    }
    /// What the bucket holds, as far as it was acknowledged or listed.
    pub fn bucket_use(&self) -> TierUse {
        self.inner.bucket_use()
    }
    /// When the bucket last acknowledged something.
    pub fn last_acknowledged(&self) -> Option<Moment> {
        self.inner.read().last_acknowledged
    }
}

#[cfg(test)]
mod tests;
