//! What a restore point is: everything an app was, as references into the repository.
//!
//! A snapshot is complete in itself; `parent` is only a hint. Readers ignore fields they do not
//! know; a change that an old reader must not ignore raises [`FORMAT`] or sets a feature flag.

mod image;

pub use image::{IMAGE_BLOBS, IMAGE_DAMAGED, IMAGE_LIST_LIMIT, IMAGE_LISTS, is_within};

use crate::{
    ChunkId, FileKey, Moment, PackId, Problem, RepositoryId, SegmentSum, SnapshotId, Witness, policy::Consistency,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Version of the snapshot manifest.
pub const FORMAT: u32 = 1;

/// Longest that all streams of a snapshot are together, bytes: ten times the largest app that is thought of. Sums over
/// streams and over snapshots stay far below what a number holds.
pub const LENGTH_MAX: u64 = 1 << 50;

/// Most deleted paths of a container that a snapshot names: nobody reads more, and every look at it has them in memory.
pub const DELETIONS_MAX: usize = 10_000;

/// Most content of one tree or tar, bytes: 256 TiB. A size is a claim that costs whoever makes it nothing, so one volume may not
/// use up what all of an app has. The mover, which leans on nothing, has the same number.
pub const TREE_MAX: u64 = LENGTH_MAX / 4;

/// Most content of one file of them, bytes: 64 TiB. The mover has the same number.
pub const FILE_MAX: u64 = TREE_MAX / 4;

/// How completely the source's metadata could be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Fidelity {
    /// Everything: nanoseconds, all extended attributes, holes, sockets.
    Full,
    /// What Docker's archive API carries: whole-second times, no user xattrs, ACLs or sockets; holes are filled.
    Api,
}

/// Why a snapshot was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Trigger {
    /// A person or script asked.
    Manual,
    /// A policy was due.
    Schedule,
    /// Taken before a restore in place.
    Safety,
}

/// Where a chunk lies: enough to read it without an index. If the pack is gone, ask the index by id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChunkRef {
    /// Keyed id of the plaintext.
    pub id: ChunkId,
    /// Plaintext bytes.
    pub length: u32,
    /// The pack that held it when this was written.
    pub pack: PackId,
    /// Offset of the sealed chunk in the pack, bytes.
    pub offset: u32,
    /// Sealed bytes.
    pub sealed: u32,
}

/// One segment of a stream: the recipe that rebuilds it, or (a branch) a chunk that lists more segments.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SegmentRef {
    /// The recipe, or the list (a metadata chunk).
    #[serde(flatten)]
    pub chunk: ChunkRef,
    /// Whether the chunk lists segments instead of being a recipe.
    #[serde(default, skip_serializing_if = "is_default")]
    pub branch: bool,
    /// Bytes of the stream that it rebuilds.
    #[serde(rename = "bytes")]
    pub length: u64,
    /// Entries whose headers end in it.
    #[serde(default, skip_serializing_if = "is_default")]
    pub entries: u64,
    /// Proves the segment alone; segments of trees have it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sum: Option<SegmentSum>,
    /// What the source said of the group of entries that it belongs to (trees); neighbours with equal witnesses
    /// are one group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub witness: Option<Witness>,
    /// The single file that it holds a stretch of, and nothing else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<FileKey>,
    /// Where in that file the stretch begins, bytes.
    #[serde(default, skip_serializing_if = "is_default")]
    pub at: u64,
}

/// A stored byte stream: segments that rebuild it in order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamRef {
    /// Segments in stream order; a long list is made short by branches.
    pub segments: Vec<SegmentRef>,
    /// Length of the stream, bytes.
    pub length: u64,
    /// SHA-256 of the whole stream, hex; of a tree: over the sums of its segments.
    pub sha256: String,
    /// Entries, if the stream is a tar; else 0.
    pub entries: u64,
    /// The stream's tar could not be split and is stored as plain bytes.
    #[serde(default, skip_serializing_if = "is_default")]
    pub unsplit: bool,
    /// The stream is the tar of a tree that is stored group by group.
    #[serde(default, skip_serializing_if = "is_default")]
    pub tree: bool,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// Docker's answer, byte for byte: typed structs drop fields they do not know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RawJson(pub String);

impl RawJson {
    /// Parses the text, keeping the order of keys.
    pub fn parse(&self) -> crate::Result<serde_json::Value> {
        serde_json::from_str(&self.0).map_err(|error| {
            crate::Error::new(crate::Kind::Corrupt, "inspect.malformed", "a stored Docker description is not JSON")
                .caused_by(error)
        })
    }
}

/// The Docker engine the app was captured from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Default, ToSchema)]
pub struct EngineInfo {
    /// `docker` or `podman`.
    pub product: String,
    /// Engine version, as the engine says it.
    pub version: String,
    /// API version spoken.
    pub api_version: String,
    /// Storage driver.
    pub driver: String,
    /// Operating system and architecture, `linux/amd64`.
    pub platform: String,
    /// The host's own name.
    pub name: String,
    /// Stable id of the engine.
    pub id: String,
    /// Bytes free under the engine's data root, if known.
    #[serde(default)]
    pub free_bytes: Option<u64>,
    /// Users of containers are others on the host (`userns-remap`).
    #[serde(default, skip_serializing_if = "is_default")]
    pub remapped: bool,
    /// It runs without root: host paths are only those of its own user.
    #[serde(default, skip_serializing_if = "is_default")]
    pub rootless: bool,
    /// Containers cannot be paused: it has no control groups.
    #[serde(default, skip_serializing_if = "is_default")]
    pub cannot_pause: bool,
}

impl EngineInfo {
    /// Whether its archives may be written to and tell owners of files as they are in a container and on the host. Podman's tell root
    /// for every file, and write past volumes that are mounted; remapped ones are read as the host's users and written as the container's.
    pub fn has_true_archives(&self) -> bool {
        self.product != "podman" && !self.remapped
    }
}

/// How a container was found, so that it can be left and restored the same way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RunState {
    /// Running.
    Running,
    /// Frozen by somebody before us.
    Paused,
    /// Created, exited or dead.
    Stopped,
}

/// One change of a container's writable layer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LayerChange {
    /// Absolute path in the container.
    pub path: String,
    /// 0 changed, 1 added, 2 deleted (as Docker counts).
    pub kind: u8,
}

/// A tar of one changed path, to be put back into the directory `into`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LayerPart {
    /// Absolute path of the directory that the archive unpacks into.
    pub into: String,
    /// The archive.
    pub stream: StreamRef,
}

/// One container of the app.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerSection {
    /// Name without the leading slash.
    pub name: String,
    /// Compose service, if any.
    #[serde(default)]
    pub service: Option<String>,
    /// `GET /containers/{id}/json`, verbatim.
    pub inspect: RawJson,
    /// Image id the container was made from: key into [`Snapshot::images`].
    pub image: String,
    /// State in which it was found.
    pub state: RunState,
    /// Of `GET /containers/{id}/changes` what is deleted, at most [`DELETIONS_MAX`]: what is changed or added is in `layer`. Older
    /// releases kept all of it.
    #[serde(default)]
    pub changes: Vec<LayerChange>,
    /// How many changes were told in all; 0 where `changes` has them all. Ask [`ContainerSection::change_count`].
    #[serde(default, skip_serializing_if = "is_default")]
    pub changed: u64,
    /// Contents of added and changed paths.
    #[serde(default)]
    pub layer: Vec<LayerPart>,
    /// Services that must run first.
    #[serde(default)]
    pub depends_on: Vec<String>,
}

impl ContainerSection {
    /// How many paths of its own file system differ from its image.
    pub fn change_count(&self) -> u64 {
        self.changed.max(self.changes.len() as u64)
    }

    /// Paths of the image that it had deleted, as far as they are kept.
    pub fn deletions(&self) -> impl Iterator<Item = &str> {
        self.changes.iter().filter(|change| change.kind == 2).map(|change| change.path.as_str())
    }
}

/// One member of an image archive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImagePart {
    /// Path in the archive, such as `blobs/sha256/…` or `…/layer.tar`.
    pub path: String,
    /// SHA-256 of the member's bytes, hex.
    pub sha256: String,
    /// Its bytes.
    pub stream: StreamRef,
    /// For layers: the digest of the uncompressed layer, `sha256:…`.
    #[serde(default)]
    pub diff_id: Option<String>,
    /// For symbolic links in the archive: the target, and no bytes.
    #[serde(default)]
    pub link: Option<String>,
}

/// One image, stored once per digest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageSection {
    /// Image id as this engine counts it, `sha256:…`.
    pub id: String,
    /// Tags that pointed at it.
    pub tags: Vec<String>,
    /// `GET /images/{id}/json`, verbatim.
    pub inspect: RawJson,
    /// Layer diff ids, base first.
    pub diff_ids: Vec<String>,
    /// Members of the image archive, in order.
    pub parts: Vec<ImagePart>,
    /// Bytes of the archive's members.
    pub bytes: u64,
}

/// One volume.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumeSection {
    /// Volume name.
    pub name: String,
    /// Whether Docker made the name.
    pub anonymous: bool,
    /// `GET /volumes/{name}`, verbatim.
    pub inspect: RawJson,
    /// Tar whose entries lie under `v/`; `None` when the content was not captured (see problems).
    pub stream: Option<StreamRef>,
    /// How completely it was read.
    pub fidelity: Fidelity,
}

/// One bind mount.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BindSection {
    /// Path on the host.
    pub source: String,
    /// Whether the path is a directory.
    pub directory: bool,
    /// Tar whose entries lie under `v/` (a directory) or that is the single entry `v` (a file).
    pub stream: Option<StreamRef>,
    /// How completely it was read.
    pub fidelity: Fidelity,
}

/// One network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkSection {
    /// Network name.
    pub name: String,
    /// `GET /networks/{id}`, verbatim.
    pub inspect: RawJson,
}

/// A kind of database server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum DatabaseKind {
    /// PostgreSQL.
    Postgres,
    /// MySQL or MariaDB.
    Mysql,
    /// Redis, Valkey or KeyDB.
    Redis,
    /// MongoDB.
    Mongodb,
    /// SQLite: no server, a file among the app's.
    Sqlite,
    /// A kind that this release does not know.
    #[serde(other)]
    Unknown,
}

impl DatabaseKind {
    /// As people call it.
    pub fn title(self) -> &'static str {
        match self {
            DatabaseKind::Postgres => "PostgreSQL",
            DatabaseKind::Mysql => "MySQL/MariaDB",
            DatabaseKind::Redis => "Redis/Valkey",
            DatabaseKind::Mongodb => "MongoDB",
            DatabaseKind::Sqlite => "SQLite",
            DatabaseKind::Unknown => "a database",
        }
    }
}

/// What a database's files are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Readiness {
    /// Of one instant, at which the server had been asked to make them whole, and did.
    Prepared,
    /// Of one instant, as after a power cut: the server was not asked, or could not.
    Crash,
    /// Of a server that ended cleanly first.
    Stopped,
    /// Read while the server wrote: a dump is needed to trust them.
    Live,
    /// Read while the server wrote in its backup mode: whole once its log of that time lies over them.
    Logged,
}

/// What makes the files of a server whole that were read while it wrote in its backup mode.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatabaseLog {
    /// Name of the volume, or host path, that they are in.
    pub place: String,
    /// Their folder there; empty for the place itself.
    pub folder: String,
    /// A tar of what has to lie in that folder: the label of the backup, and the log from its beginning to its end.
    pub stream: StreamRef,
}

/// A database that is a file of a volume or host path, and what proves it unchanged in the next snapshot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatabaseFile {
    /// Name of the volume, or host path.
    pub place: String,
    /// Its path there, as people are shown it.
    pub path: String,
    /// Witness of the group that it was in.
    pub witness: Witness,
    /// Its own identity; 0 if nothing is known of it.
    pub identity: u64,
}

/// A database server that ran in a member, or a database among its files, and what was done for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatabaseSection {
    /// Name of its container.
    pub container: String,
    /// What it is.
    pub kind: DatabaseKind,
    /// Its version, as it says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// What its files are.
    pub readiness: Readiness,
    /// All it holds, in its own words (SQL, an archive of mongodump, or an RDB file).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dump: Option<StreamRef>,
    /// What has to lie over its files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log: Option<DatabaseLog>,
    /// The file that it is, if it has no server; the container is then the first that mounts it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<DatabaseFile>,
}

impl DatabaseSection {
    /// Whether its files may lie in a volume: those of a server may lie in any.
    pub fn is_in(&self, volume: &str) -> bool {
        self.file.as_ref().is_none_or(|file| file.place == volume)
    }

    /// Whether a restore has to replay the dump over the files: only if they were read live, for else they are newer.
    pub fn replays(&self) -> bool {
        let by_words = matches!(self.kind, DatabaseKind::Postgres | DatabaseKind::Mysql | DatabaseKind::Mongodb);
        self.readiness == Readiness::Live && self.dump.is_some() && by_words
    }
}

/// What a backup cost.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct Stats {
    /// Bytes that the snapshot restores to, images included.
    pub bytes_logical: u64,
    /// Bytes read from the host during this backup.
    pub bytes_read: u64,
    /// Sealed bytes that this backup added to the repository, metadata included.
    pub bytes_new: u64,
    /// Chunks stored.
    pub chunks_new: u64,
    /// Chunks that were known already.
    pub chunks_known: u64,
    /// Images that were known and not read.
    pub images_known: u64,
    /// Milliseconds that members were paused or stopped.
    pub freeze_ms: u64,
    /// Milliseconds from start to commit.
    pub duration_ms: u64,
}

/// One restore point of one app.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// [`FORMAT`] it was written with.
    pub format: u32,
    /// Its id.
    pub id: SnapshotId,
    /// Repository it belongs to: an object moved elsewhere is recognised.
    pub repository: RepositoryId,
    /// Counts up with each snapshot of the repository; gaps and repeats are named by `check`.
    pub sequence: u64,
    /// The app's previous snapshot, a hint.
    #[serde(default)]
    pub parent: Option<SnapshotId>,
    /// App name: compose project or container name.
    pub app: String,
    /// Whether the app is a compose project.
    pub project: bool,
    /// Registered name of the host.
    pub host: String,
    /// Engine it was captured from.
    pub engine: EngineInfo,
    /// Start of the capture.
    pub time: Moment,
    /// Policy that asked for it.
    #[serde(default)]
    pub policy: Option<String>,
    /// Why it was taken.
    pub trigger: Trigger,
    /// How the app was held still (what was reached, not what was asked).
    pub consistency: Consistency,
    /// The lowest fidelity of all its parts.
    pub fidelity: Fidelity,
    /// Containers, in start order.
    pub containers: Vec<ContainerSection>,
    /// Images that the containers need.
    pub images: Vec<ImageSection>,
    /// Volumes.
    pub volumes: Vec<VolumeSection>,
    /// Bind mounts.
    pub binds: Vec<BindSection>,
    /// Networks that the app owns or uses.
    pub networks: Vec<NetworkSection>,
    /// Database servers that ran in it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub databases: Vec<DatabaseSection>,
    /// What was not captured or not as asked.
    pub problems: Vec<Problem>,
    /// What it cost.
    pub stats: Stats,
}

impl Snapshot {
    /// Whether it holds places alone: volumes and host paths that were about to be replaced and that no container of the app mounted. It is
    /// no restore point of the app, so nothing stands for the app because of it, and no other snapshot may go because of it.
    pub fn is_of_places(&self) -> bool {
        self.trigger == Trigger::Safety && self.containers.is_empty()
    }

    /// Refuses what no release has written, however it came under a right seal: `Corrupt` (`snapshot.malformed`). Asked before a
    /// commit and after reading alike, so that nothing is committed that is not read again.
    pub fn validate(&self) -> crate::Result<()> {
        let within = |sum: u64, length: u64| sum.checked_add(length).filter(|sum| *sum <= LENGTH_MAX);
        let streams = self.streams().try_fold(0, |sum, stream| within(sum, stream.length));
        let told = self.images.iter().try_fold(self.stats.bytes_logical, |sum, image| within(sum, image.bytes));
        match (streams, told.and_then(|told| within(told, 0))) {
            (Some(_), Some(_)) => Ok(()),
            _ => Err(crate::Error::new(
                crate::Kind::Corrupt,
                "snapshot.malformed",
                format!("snapshot {} claims to be larger than anything that is backed up", self.id),
            )),
        }
    }

    /// All streams the snapshot needs.
    pub fn streams(&self) -> impl Iterator<Item = &StreamRef> {
        let layers = self.containers.iter().flat_map(|c| c.layer.iter().map(|part| &part.stream));
        let images = self.images.iter().flat_map(|i| i.parts.iter().map(|part| &part.stream));
        let volumes = self.volumes.iter().filter_map(|v| v.stream.as_ref());
        let binds = self.binds.iter().filter_map(|b| b.stream.as_ref());
        let databases = self.databases.iter().flat_map(|database| {
            let DatabaseSection { dump, log, container: _, kind: _, version: _, readiness: _, file: _ } = database;
            dump.iter().chain(log.iter().map(|log| &log.stream))
        });
        layers.chain(images).chain(volumes).chain(binds).chain(databases)
    }

    /// All streams the snapshot needs, to be changed: the same ones in the same order.
    pub fn streams_mut(&mut self) -> impl Iterator<Item = &mut StreamRef> {
        // Every field is named, so that a new one with streams cannot be forgotten here: its data would be stored and
        // never found again.
        #[rustfmt::skip]
        let Snapshot {
            containers, images, volumes, binds, databases,
            format: _, id: _, repository: _, sequence: _, parent: _, app: _, project: _, host: _, engine: _, time: _,
            policy: _, trigger: _, consistency: _, fidelity: _, networks: _, problems: _, stats: _,
        } = self;
        let layers = containers.iter_mut().flat_map(|c| c.layer.iter_mut().map(|part| &mut part.stream));
        let images = images.iter_mut().flat_map(|i| i.parts.iter_mut().map(|part| &mut part.stream));
        let volumes = volumes.iter_mut().filter_map(|v| v.stream.as_mut());
        let binds = binds.iter_mut().filter_map(|b| b.stream.as_mut());
        let databases = databases.iter_mut().flat_map(|database| {
            let DatabaseSection { dump, log, container: _, kind: _, version: _, readiness: _, file: _ } = database;
            dump.iter_mut().chain(log.iter_mut().map(|log| &mut log.stream))
        });
        layers.chain(images).chain(volumes).chain(binds).chain(databases)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A snapshot of volumes with streams of these lengths.
    fn snapshot(lengths: &[u64]) -> Snapshot {
        let volume = |length: &u64| VolumeSection {
            name: "data".into(),
            anonymous: false,
            inspect: RawJson("{}".into()),
            stream: Some(StreamRef { length: *length, ..StreamRef::default() }),
            fidelity: Fidelity::Full,
        };
        let time = Moment::from_millis(1_795_000_000_000);
        Snapshot {
            format: FORMAT,
            id: SnapshotId::new(time, [7; 10]),
            repository: RepositoryId([1; 16]),
            sequence: 1,
            parent: None,
            app: "shop".into(),
            project: true,
            host: "local".into(),
            engine: EngineInfo::default(),
            time,
            policy: None,
            trigger: Trigger::Manual,
            consistency: Consistency::None,
            fidelity: Fidelity::Full,
            containers: Vec::new(),
            images: Vec::new(),
            volumes: lengths.iter().map(volume).collect(),
            binds: Vec::new(),
            networks: Vec::new(),
            databases: Vec::new(),
            problems: Vec::new(),
            stats: Stats::default(),
        }
    }

    fn image(bytes: u64) -> ImageSection {
        ImageSection {
            id: "sha256:1".into(),
            tags: Vec::new(),
            inspect: RawJson("{}".into()),
            diff_ids: Vec::new(),
            parts: Vec::new(),
            bytes,
        }
    }

    fn is_malformed(snapshot: &Snapshot) -> bool {
        snapshot.validate().is_err_and(|error| error.code() == "snapshot.malformed")
    }

    #[test]
    fn streams_that_are_too_long_together_are_malformed() {
        snapshot(&[]).validate().unwrap();
        snapshot(&[LENGTH_MAX - 1, 1]).validate().unwrap();
        for lengths in [&[LENGTH_MAX + 1][..], &[LENGTH_MAX, 1], &[u64::MAX, 1], &[1, u64::MAX, u64::MAX]] {
            assert!(is_malformed(&snapshot(lengths)), "{lengths:?}");
        }
        // What one volume may hold leaves room for others.
        snapshot(&[TREE_MAX; 4]).validate().unwrap();
        assert!(is_malformed(&snapshot(&[TREE_MAX + FILE_MAX; 4])));
    }

    #[test]
    fn what_is_told_of_bytes_is_bounded_too() {
        let told = |bytes_logical: u64, images: &[u64]| Snapshot {
            images: images.iter().map(|bytes| image(*bytes)).collect(),
            stats: Stats { bytes_logical, ..Stats::default() },
            ..snapshot(&[])
        };
        told(LENGTH_MAX - 2, &[1, 1]).validate().unwrap();
        let beyond: [(u64, &[u64]); 4] =
            [(LENGTH_MAX + 1, &[]), (u64::MAX, &[1]), (1, &[LENGTH_MAX]), (0, &[u64::MAX, 1])];
        for (logical, images) in beyond {
            assert!(is_malformed(&told(logical, images)), "{logical} {images:?}");
        }
    }

    #[test]
    fn what_was_saved_without_an_app_is_told_from_a_restore_point() {
        let places = Snapshot { trigger: Trigger::Safety, ..snapshot(&[7]) };
        assert!(places.is_of_places() && !snapshot(&[7]).is_of_places());
        let container = serde_json::json!({"name": "db", "inspect": "{}", "image": "i", "state": "running"});
        let containers = vec![serde_json::from_value(container).unwrap()];
        assert!(!Snapshot { containers, ..places }.is_of_places());
    }

    #[test]
    fn changes_are_counted_in_old_snapshots_and_in_new_ones() {
        let old = serde_json::json!({"name": "db", "inspect": "{}", "image": "i", "state": "running",
            "changes": [{"path": "/new", "kind": 1}, {"path": "/gone", "kind": 2}]});
        let old: ContainerSection = serde_json::from_value(old).unwrap();
        assert_eq!((old.change_count(), old.deletions().collect::<Vec<_>>()), (2, vec!["/gone"]));
        assert!(serde_json::to_value(&old).unwrap().get("changed").is_none(), "old ones are written as they were");
        let new = ContainerSection { changed: 650_000, ..old };
        assert_eq!((new.change_count(), new.deletions().count()), (650_000, 1));
    }
}
