//! How much of a writable layer is read. An engine's archive has no holes: a sparse file is as long in it as it says.
//!
//! A file that is too large is told by its header, before its content is read. Invariant: a stream that goes beyond a
//! bound ends in an error and never in an end mark, so that whoever stores it keeps nothing of it.

use bytes::Bytes;
use futures::{StreamExt, stream};
use holdfast_docker::ByteStream;
use holdfast_model::{Error, Kind, Problem, Result};
use holdfast_tar::{Piece, Splitter};
use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicU64, Ordering},
};

/// Most that is read of one path, bytes. What belongs into a container's own file system is smaller by far, and an engine takes
/// minutes to tell so many zeros.
const PART_MAX: u64 = 64 << 30;
/// Most that is read of one container, bytes, with what is read in vain: the app is held meanwhile.
const LAYER_MAX: u64 = 256 << 30;
/// Paths of a container that are named one by one of each trouble; more are counted.
pub(crate) const NAMED: usize = 20;

const ADVICE: &str = "Put large and sparse files into a volume: there holes are kept and cost nothing.";

/// Bounds of what is read, bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// Of one path.
    pub(crate) part: u64,
    /// Of one container.
    pub(crate) layer: u64,
}

impl Default for Bounds {
    fn default() -> Bounds {
        Bounds { part: PART_MAX, layer: LAYER_MAX }
    }
}

/// What goes beyond a bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Beyond {
    /// A single file, of so many bytes.
    File(u64),
    /// All of a path together.
    Part,
    /// All that is read of the container.
    Layer,
}

impl Beyond {
    fn words(self, bounds: Bounds) -> String {
        match self {
            Beyond::File(length) => format!(
                "a file of {} (holes are counted) is more than the {} that are read of one path",
                size(length),
                size(bounds.part)
            ),
            Beyond::Part => format!("it holds more than the {} that are read of one path", size(bounds.part)),
            Beyond::Layer => format!("with it more than {} of the container would be read", size(bounds.layer)),
        }
    }
}

/// Names what was left out because it is too large.
pub(crate) fn problems(container: &str, left_out: &[(String, Beyond)], bounds: Bounds) -> Vec<Problem> {
    let problem = |text: String| Problem::error("layer.too_large", container, text).advice(ADVICE);
    let named = left_out
        .iter()
        .take(NAMED)
        .map(|(path, beyond)| problem(format!("{path} of {container} was not captured: {}", beyond.words(bounds))));
    let more = left_out.len().saturating_sub(NAMED);
    let counted =
        (more > 0).then(|| problem(format!("{more} more paths of {container} were not captured: they are too large")));
    named.chain(counted).collect()
}

/// What may be read of one container. Clones count together.
#[derive(Clone, Debug)]
pub(crate) struct Budget {
    bounds: Bounds,
    read: Arc<AtomicU64>,
}

impl Budget {
    pub(crate) fn new(bounds: Bounds) -> Budget {
        Budget { bounds, read: Arc::default() }
    }

    pub(crate) fn bounds(&self) -> Bounds {
        self.bounds
    }

    /// The archive of one path, broken off by an error where it goes beyond; then the cell says what did.
    pub(crate) fn bounded(&self, inner: ByteStream) -> (ByteStream, Arc<OnceLock<Beyond>>) {
        let beyond = Arc::new(OnceLock::new());
        let course =
            Course { inner, splitter: Splitter::new(), part: 0, budget: self.clone(), beyond: Arc::clone(&beyond) };
        let bytes = stream::try_unfold(course, |mut course| async move {
            let next = course.next().await?;
            Ok::<_, Error>(next.map(|bytes| (bytes, course)))
        });
        (bytes.boxed(), beyond)
    }
}

/// One archive on its way.
struct Course {
    inner: ByteStream,
    splitter: Splitter,
    /// Bytes of it that were passed on.
    part: u64,
    budget: Budget,
    beyond: Arc<OnceLock<Beyond>>,
}

impl Course {
    async fn next(&mut self) -> Result<Option<Bytes>> {
        let Some(bytes) = self.inner.next().await.transpose()? else { return Ok(None) };
        let Some(beyond) = self.look(&bytes)? else { return Ok(Some(bytes)) };
        self.beyond.get_or_init(|| beyond);
        let text = "there is more of it than is read of a container's own file system";
        Err(Error::new(Kind::Refused, "layer.too_large", text))
    }

    /// Counts the bytes, unless they or what their headers promise go beyond. An archive that is not understood is counted
    /// only.
    fn look(&mut self, bytes: &Bytes) -> Result<Option<Beyond>> {
        let (bounds, part, layer) = (self.budget.bounds, self.part, self.budget.read.load(Ordering::Relaxed));
        let judge = |more: u64| {
            let is_beyond = part + more > bounds.part;
            is_beyond.then_some(Beyond::Part).or((layer + more > bounds.layer).then_some(Beyond::Layer))
        };
        let mut beyond = None;
        self.splitter.push(bytes, &mut |piece| {
            if let Piece::Member(member) = piece
                && beyond.is_none()
            {
                let is_too_large = member.size > bounds.part;
                beyond = if is_too_large { Some(Beyond::File(member.size)) } else { judge(member.size) };
            }
            Ok(())
        })?;
        let length = bytes.len() as u64;
        let beyond = beyond.or_else(|| judge(length));
        if beyond.is_none() {
            self.part += length;
            self.budget.read.fetch_add(length, Ordering::Relaxed);
        }
        Ok(beyond)
    }
}

/// Bytes as people read them, in the units of the bounds.
fn size(bytes: u64) -> String {
    let units = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if bytes < 1024 {
        return format!("{bytes} bytes");
    }
    let (mut value, mut unit) = (bytes as f64 / 1024.0, 0);
    while value >= 1024.0 && unit + 1 < units.len() {
        value /= 1024.0;
        unit += 1;
    }
    if value.fract() == 0.0 { format!("{value:.0} {}", units[unit]) } else { format!("{value:.1} {}", units[unit]) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::TryStreamExt;
    use holdfast_tar::write::{Entry, TRAILER, padding};

    const TINY: Bounds = Bounds { part: 20_000, layer: 30_000 };

    fn file(name: &str, length: u64) -> Vec<u8> {
        let header = Entry::file(name.as_bytes(), length).header().unwrap();
        [&header[..], &vec![7u8; usize::try_from(length).unwrap()], padding(length)].concat()
    }

    fn archive(members: &[Vec<u8>]) -> Vec<u8> {
        [members.concat(), TRAILER.to_vec()].concat()
    }

    /// What comes of an archive in pieces of this size: all of it, or what went beyond.
    async fn read(budget: &Budget, bytes: &[u8], piece: usize) -> Result<Vec<u8>, Beyond> {
        let pieces: Vec<_> = bytes.chunks(piece).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect();
        let (bounded, beyond) = budget.bounded(stream::iter(pieces).boxed());
        match bounded.try_collect::<Vec<_>>().await {
            Ok(pieces) => {
                assert_eq!(beyond.get(), None);
                Ok(pieces.concat())
            }
            Err(error) => {
                assert_eq!((error.kind(), error.code()), (Kind::Refused, "layer.too_large"));
                Err(*beyond.get().expect("it is told"))
            }
        }
    }

    #[tokio::test]
    async fn a_file_as_long_as_a_disk_is_known_by_its_header() {
        let length = 16 << 40;
        let header = Entry::file(b"x", length).header().unwrap();
        let budget = Budget::new(Bounds::default());
        let never = stream::once(async { Err(Error::bug("what comes after the header was asked for")) });
        let (bounded, beyond) = budget.bounded(stream::iter([Ok(header.into())]).chain(never).boxed());
        assert_eq!(bounded.try_collect::<Vec<_>>().await.unwrap_err().code(), "layer.too_large");
        assert_eq!(beyond.get(), Some(&Beyond::File(length)));
        let told = problems("shop", &[("/tmp/x".into(), Beyond::File(length))], budget.bounds());
        assert!(told[0].message.contains("/tmp/x of shop") && told[0].message.contains("16 TiB"), "{told:?}");
        assert!(told[0].message.contains("64 GiB"), "{told:?}");
    }

    #[tokio::test]
    async fn what_is_within_the_bounds_passes_as_it_is_however_it_is_cut() {
        let bytes = archive(&[file("a", 9_000), file("b", 8_500)]);
        assert!(bytes.len() as u64 <= TINY.part);
        for piece in [1, 511, 8192, 100_000] {
            assert_eq!(read(&Budget::new(TINY), &bytes, piece).await, Ok(bytes.clone()), "{piece}");
        }
    }

    #[tokio::test]
    async fn a_path_and_a_container_are_bounded_as_a_whole() {
        let (half, odd) = (archive(&[file("a", 15_000)]), vec![7; 30_000]);
        for piece in [1, 512, 8192] {
            let many = archive(&[file("a", 9_000), file("b", 9_000), file("c", 9_000)]);
            assert_eq!(read(&Budget::new(TINY), &many, piece).await, Err(Beyond::Part), "{piece}");
            assert_eq!(read(&Budget::new(TINY), &odd, piece).await, Err(Beyond::Part), "{piece}: it is no tar");
            let budget = Budget::new(TINY);
            assert_eq!(read(&budget, &half, piece).await, Ok(half.clone()));
            assert_eq!(read(&budget, &half, piece).await, Err(Beyond::Layer), "{piece}");
            // What is broken off at a header costs next to nothing of what is left.
            let small = archive(&[file("c", 100)]);
            assert_eq!(read(&budget, &small, piece).await, Ok(small), "{piece}");
        }
    }

    #[test]
    fn many_paths_are_counted() {
        let left_out: Vec<_> = (0..NAMED + 7).map(|n| (format!("/{n}"), Beyond::Layer)).collect();
        let told = problems("shop", &left_out, Bounds::default());
        assert_eq!(told.len(), NAMED + 1);
        assert!(told[NAMED].message.starts_with("7 more paths of shop"), "{told:?}");
    }

    #[test]
    fn sizes_read_well() {
        let told = [12, 1536, 64 << 30, 16 << 40].map(size);
        assert_eq!(told, ["12 bytes", "1.5 KiB", "64 GiB", "16 TiB"]);
    }
}
