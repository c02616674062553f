//! Trees: what is stored is always the tar of the tree, and nothing is read that is known.

use super::*;
use holdfast_model::Problem;
use holdfast_tree::{Fault, MemTree, Node};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

pub(super) type Nodes = BTreeMap<Vec<u8>, Node>;

pub(super) fn node(path: &str, version: u64, content: Vec<u8>) -> (Vec<u8>, Node) {
    let header = TarEntry::file(path.as_bytes(), content.len() as u64).mtime(version as i64, 0).header().unwrap();
    let node = Node { header: header.into(), content: content.into(), version, fault: Fault::None };
    (path.as_bytes().to_vec(), node)
}

/// The tar that a tree has to come out as.
pub(super) fn plain(nodes: &Nodes) -> Vec<u8> {
    let mut out = Vec::new();
    for node in nodes.values().filter(|node| !matches!(node.fault, Fault::Unreadable | Fault::BreaksOff)) {
        out.extend_from_slice(&node.header);
        out.extend_from_slice(&node.content);
        out.extend_from_slice(write::padding(node.content.len() as u64));
    }
    out.extend_from_slice(&write::TRAILER);
    out
}

/// What a backup of a tree told.
struct Told {
    snapshot: Snapshot,
    problems: Vec<Problem>,
    /// Paths that the source was asked for.
    asked: BTreeSet<String>,
    moved: u64,
}

async fn store(repository: &Repository, nodes: &Nodes, parent: Option<&Snapshot>) -> Result<Told> {
    let session = repository.session();
    let tree = MemTree::new(nodes.clone());
    let (sent, asked) = (Arc::clone(&tree.sent), Arc::clone(&tree.asked));
    let numbers = Arc::new(Numbers::default());
    let (stream, problems) =
        session.store_tree(parent.map(volume), Box::new(tree), Arc::clone(&numbers) as Arc<dyn Meter>).await?;
    let snapshot = session.commit(super::snapshot("tree", vec![stream])).await?;
    let moved = numbers.moved.load(Ordering::Relaxed);
    assert_eq!(moved, sent.load(Ordering::Relaxed), "the meter tells what came from the source");
    let asked = asked.lock().unwrap().iter().map(|path| String::from_utf8(path.clone()).unwrap()).collect();
    Ok(Told { snapshot, problems, asked, moved })
}

/// Many small files, some in the middle, one with pages, one that is a group of its own.
pub(super) fn some_nodes() -> Nodes {
    let mut nodes: Nodes =
        (0..3000).map(|n| node(&format!("v/small/{n:05}"), 1, noise(n, (n as usize * 7) % 900))).collect();
    nodes.extend((0..20).map(|n| node(&format!("v/middle/{n:03}"), 1, noise(n + 9000, 40_000 + n as usize * 5000))));
    let mut pages = noise(77, 2 << 20);
    pages.chunks_mut(8192).for_each(|page| page[12..20].copy_from_slice(&[0x40, 0, 0, 0x10, 0, 0x20, 4, 0x20]));
    nodes.extend([node("v/pages", 1, pages)]);
    let mut large = vec![0; 65 << 20];
    large[..1 << 20].copy_from_slice(&noise(5, 1 << 20));
    nodes.extend([node("v/large", 1, large), node("v/empty", 1, Vec::new())]);
    nodes
}

pub(super) fn change(nodes: &mut Nodes, path: &str, content: Vec<u8>) {
    let version = nodes.get(path.as_bytes()).map_or(1, |node| node.version + 1);
    nodes.extend([node(path, version, content)]);
}

/// Two files in places of their own change, a third one goes.
fn change_three(nodes: &mut Nodes) {
    change(nodes, "v/small/00100", noise(1, 100));
    change(nodes, "v/small/01500a", noise(2, 200));
    nodes.remove(b"v/small/02000".as_slice());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unchanged_tree_is_not_read_at_all() {
    let (repository, cache) = fresh().await;
    let nodes = some_nodes();
    let first = store(&repository, &nodes, None).await.unwrap();
    let stream = volume(&first.snapshot).clone();
    assert!(stream.tree && stream.entries == nodes.len() as u64);
    assert!(read_all(&repository, &stream, From::Auto).await.unwrap() == plain(&nodes));
    let repository = reopen(&cache).await;
    let second = store(&repository, &nodes, Some(&first.snapshot)).await.unwrap();
    assert_eq!((second.moved, second.asked.len()), (0, 0));
    assert_eq!(volume(&second.snapshot), &stream);
    assert!(second.snapshot.stats.bytes_new < 4000, "{}", second.snapshot.stats.bytes_new);
    let reach = |id| repository.inner.read().snapshots[id].reach.iter().copied().collect::<BTreeSet<_>>();
    assert_eq!(reach(&first.snapshot.id), reach(&second.snapshot.id));
}

/// What increments cost hangs on where secret keys cut: of a few repositories the middle one counts.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_what_changed_is_stored() {
    let mut costs = Vec::new();
    for _ in 0..5 {
        let (repository, _) = fresh().await;
        let mut nodes = some_nodes();
        let first = store(&repository, &nodes, None).await.unwrap();
        change_three(&mut nodes);
        costs.push(store(&repository, &nodes, Some(&first.snapshot)).await.unwrap().snapshot.stats.bytes_new);
    }
    costs.sort_unstable();
    // Three places changed: what is left of three bundles and three stretches of headers are differences, and recipes.
    assert!(costs[2] < 32_000, "{costs:?}");
    // At worst, where a cut went with a file, each place costs a bundle anew.
    assert!(costs[4] < 3 * holdfast_chunk::cut::FINE.max as u64, "{costs:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_what_changed_is_read() {
    let (repository, _) = fresh().await;
    let mut nodes = some_nodes();
    let first = store(&repository, &nodes, None).await.unwrap();
    change_three(&mut nodes);
    let second = store(&repository, &nodes, Some(&first.snapshot)).await.unwrap();
    assert_eq!(second.asked, ["v/small/00100", "v/small/01500a"].map(String::from).into());
    assert_eq!(second.moved, 2 * 512 + 300);
    assert!(read_all(&repository, volume(&second.snapshot), From::Auto).await.unwrap() == plain(&nodes));
    // The neighbours of the large file have changed; it is not read again.
    change(&mut nodes, "v/largf", noise(3, 10));
    let third = store(&repository, &nodes, Some(&second.snapshot)).await.unwrap();
    assert_eq!(third.asked, ["v/largf".to_owned()].into());
    assert!(read_all(&repository, volume(&third.snapshot), From::Auto).await.unwrap() == plain(&nodes));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_read_is_named_and_left_out_and_asked_for_again() {
    let (repository, _) = fresh().await;
    let mut nodes = some_nodes();
    for (path, fault) in [
        ("v/small/00007", Fault::Unreadable),
        ("v/middle/003", Fault::BreaksOff),
        ("v/middle/004", Fault::BreaksOff),
        ("v/large", Fault::BreaksOff),
        ("v/pages", Fault::Changes),
    ] {
        nodes.get_mut(path.as_bytes()).unwrap().fault = fault;
    }
    let first = store(&repository, &nodes, None).await.unwrap();
    let mut subjects: Vec<&str> = first.problems.iter().map(|problem| problem.subject.as_str()).collect();
    subjects.sort_unstable();
    assert_eq!(subjects, ["v/large", "v/middle/003", "v/middle/004", "v/pages", "v/small/00007"]);
    let stream = volume(&first.snapshot);
    assert_eq!(stream.entries, nodes.len() as u64 - 4);
    assert!(read_all(&repository, stream, From::Auto).await.unwrap() == plain(&nodes));
    nodes.values_mut().for_each(|node| node.fault = Fault::None);
    let second = store(&repository, &nodes, Some(&first.snapshot)).await.unwrap();
    let expected = ["v/large", "v/middle/003", "v/middle/004", "v/pages", "v/small/00007"].map(String::from);
    assert_eq!((second.asked, second.problems.len()), (expected.into(), 0));
    assert!(read_all(&repository, volume(&second.snapshot), From::Auto).await.unwrap() == plain(&nodes));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_that_cannot_be_read_a_thousand_are_named_and_the_rest_is_counted() {
    let (repository, _) = fresh().await;
    let mut nodes = some_nodes();
    for (_, node) in nodes.iter_mut().filter(|(path, _)| path.starts_with(b"v/small/")) {
        node.fault = Fault::Unreadable;
    }
    let told = store(&repository, &nodes, None).await.unwrap();
    assert_eq!(volume(&told.snapshot).entries, nodes.len() as u64 - 3000);
    let (rest, named) = told.problems.split_last().unwrap();
    assert_eq!((named.len(), &*rest.code, rest.count()), (1000, "file.unreadable", Some(2000)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_source_that_goes_away_fails_the_backup_and_leaves_nothing_behind() {
    let (repository, _) = fresh().await;
    let mut nodes = some_nodes();
    nodes.get_mut(b"v/middle/010".as_slice()).unwrap().fault = Fault::SourceGone;
    let session = repository.session();
    let tree = || Box::new(MemTree::new(nodes.clone()));
    let error = session.store_tree(None, tree(), Arc::new(Numbers::default())).await.unwrap_err();
    assert_eq!(error.code(), "host.gone");
    nodes.get_mut(b"v/middle/010".as_slice()).unwrap().fault = Fault::None;
    let tree = Box::new(MemTree::new(nodes.clone()));
    let (stream, _) = session.store_tree(None, tree, Arc::new(Numbers::default())).await.unwrap();
    let written = session.commit(snapshot("tree", vec![stream])).await.unwrap();
    assert!(read_all(&repository, volume(&written), From::Auto).await.unwrap() == plain(&nodes));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn headers_that_make_no_tar_are_refused() {
    let (repository, _) = fresh().await;
    let (path, good) = node("v/a", 1, noise(1, 700));
    let short = Node { content: noise(1, 600).into(), ..good.clone() };
    let torn = Node { header: good.header.slice(..100), ..good.clone() };
    let garbage = Node { header: noise(3, 512).into(), ..good };
    for wrong in [short, torn, garbage] {
        let error = store(&repository, &[(path.clone(), wrong)].into(), None).await.err().unwrap();
        assert_eq!(error.code(), "tree.malformed");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bent_segment_is_found_by_its_sum() {
    let (repository, _) = fresh().await;
    let nodes: Nodes = (0..50).map(|n| node(&format!("v/{n:03}"), 1, noise(n, 3000))).collect();
    let told = store(&repository, &nodes, None).await.unwrap();
    let mut stream = volume(&told.snapshot).clone();
    let mut sum = stream.segments[0].sum.unwrap();
    sum.0[0] ^= 1;
    stream.segments[0].sum = Some(sum);
    assert_eq!(read_all(&repository, &stream, From::Auto).await.unwrap_err().code(), "stream.corrupt");
    let mut stream = volume(&told.snapshot).clone();
    stream.segments.pop();
    assert_eq!(read_all(&repository, &stream, From::Auto).await.unwrap_err().code(), "stream.corrupt");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn long_holes_are_told_as_holes() {
    let (repository, _) = fresh().await;
    let nodes: Nodes = [node("v/a", 1, noise(1, 100)), node("v/holed", 1, vec![0; 10 << 20])].into();
    let told = store(&repository, &nodes, None).await.unwrap();
    let mut pieces = repository.read_pieces(volume(&told.snapshot), From::Auto, None);
    let (mut zeros, mut bytes) = (0, Vec::new());
    while let Some(piece) = pieces.next().await {
        match piece.unwrap() {
            Piece::Zeros(count) => {
                zeros += count;
                bytes.resize(bytes.len() + count as usize, 0);
            }
            Piece::Bytes(piece) => bytes.extend_from_slice(&piece),
        }
    }
    assert!(zeros >= 10 << 20 && bytes == plain(&nodes), "{zeros}");
}

/// One edit of a tree.
#[derive(Clone, Debug)]
pub(super) enum Edit {
    Put(u16, u32),
    Touch(u16),
    Remove(u16),
    Fault(u16, Fault),
}

pub(super) fn edit() -> impl Strategy<Value = Edit> {
    let fault = prop_oneof![Just(Fault::Unreadable), Just(Fault::BreaksOff), Just(Fault::Changes), Just(Fault::None)];
    prop_oneof![
        4 => (0u16..1200, 0u32..60_000).prop_map(|(name, size)| Edit::Put(name, size / 40)),
        1 => (0u16..1200, 0u32..300_000).prop_map(|(name, size)| Edit::Put(name, size)),
        2 => (0u16..1200).prop_map(Edit::Touch),
        2 => (0u16..1200).prop_map(Edit::Remove),
        1 => (0u16..1200, fault).prop_map(|(name, fault)| Edit::Fault(name, fault)),
    ]
}

pub(super) fn name(number: u16) -> String {
    format!("v/{:02}/{number:05}", number % 17)
}

pub(super) fn apply(nodes: &mut Nodes, edit: &Edit) {
    match *edit {
        Edit::Put(number, size) => change(nodes, &name(number), noise(u64::from(size), size as usize)),
        Edit::Touch(number) => {
            if let Some(node) = nodes.get(name(number).as_bytes()) {
                let content = node.content.to_vec();
                change(nodes, &name(number), content);
            }
        }
        Edit::Remove(number) => drop(nodes.remove(name(number).as_bytes())),
        Edit::Fault(number, fault) => {
            // What is unchanged is not looked at, so that it cannot fail.
            apply(nodes, &Edit::Touch(number));
            if let Some(node) = nodes.get_mut(name(number).as_bytes()) {
                // An empty file cannot break off.
                node.fault = if node.content.is_empty() && fault == Fault::BreaksOff { Fault::None } else { fault };
            }
        }
    }
}

/// What may happen to the repository between two backups.
#[derive(Clone, Copy, Debug)]
enum Between {
    Nothing,
    Reopened,
    /// The parent is forgotten and pruned.
    Pruned,
    /// Packs of data are only in the bucket.
    Evicted,
    /// The repository itself let them go.
    LetGo,
}

pub(super) async fn evict(repository: &Repository, cache: &Arc<dyn Store>) {
    for object in cache.list("p/").await.unwrap() {
        cache.delete(&object.key).await.unwrap();
        let (_, id) = crate::layout::parse_pack(&object.key).unwrap();
        let mut state = repository.inner.write();
        state.set_cached(&object.key, false);
        let number = state.index.number(&id).unwrap();
        // Else reading would take it from memory and not bring it back into the cache.
        repository.inner.shelf.drop_pack(number);
    }
}

async fn let_go(repository: &Repository) {
    repository.evict(Some(0), &Stop::new()).await.unwrap();
    let numbers: Vec<_> = repository.inner.read().index.packs().map(|(number, _)| number).collect();
    numbers.into_iter().for_each(|number| repository.inner.shelf.drop_pack(number));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 10, ..ProptestConfig::default() })]
    #[test]
    fn a_tree_is_stored_as_it_is_whatever_was_there_before(
        base in 0u16..1200,
        rounds in prop::collection::vec((
            prop::collection::vec(edit(), 0..20),
            prop_oneof![
                Just(Between::Nothing),
                Just(Between::Reopened),
                Just(Between::Pruned),
                Just(Between::Evicted),
                Just(Between::LetGo),
            ],
        ), 1..5),
    ) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(async {
            let (mut repository, cache) = fresh().await;
            let bucket = memory();
            repository.attach_bucket(Arc::clone(&bucket)).await.unwrap();
            let mut nodes: Nodes = (0..base).map(|n| node(&name(n), 1, noise(n.into(), usize::from(n) % 700))).collect();
            let mut parent: Option<(Snapshot, Nodes)> = None;
            for (edits, between) in &rounds {
                edits.iter().for_each(|edit| apply(&mut nodes, edit));
                let told = store(&repository, &nodes, parent.as_ref().map(|(snapshot, _)| snapshot)).await.unwrap();
                let stream = volume(&told.snapshot).clone();
                prop_assert!(read_all(&repository, &stream, From::Auto).await.unwrap() == plain(&nodes));
                let faulty = nodes.values().filter(|node| node.fault != Fault::None).count();
                prop_assert!(told.problems.len() <= faulty);
                let kept = nodes.values().filter(|node| !matches!(node.fault, Fault::Unreadable | Fault::BreaksOff));
                prop_assert_eq!(stream.entries, kept.count() as u64);
                // A source that breaks off has its group read again, neighbours included.
                if let Some((_, before)) = parent.as_ref().filter(|_| faulty == 0) {
                    for path in &told.asked {
                        let (now, then) = (&nodes[path.as_bytes()], before.get(path.as_bytes()));
                        let known = then.is_some_and(|then| then.version == now.version && then.fault == Fault::None);
                        prop_assert!(!known, "{} was known and is in the cache", path);
                    }
                }
                ship(&repository, &bucket).await;
                parent = Some((told.snapshot, nodes.clone()));
                match between {
                    Between::Nothing => {}
                    Between::Reopened => {
                        drop(repository);
                        repository = reopen(&cache).await;
                        repository.attach_bucket(Arc::clone(&bucket)).await.unwrap();
                    }
                    Between::Pruned => {
                        let id = parent.as_ref().unwrap().0.id.clone();
                        let plan = repository.prune_plan(vec![id]).await.unwrap();
                        repository.prune(plan, &Stop::new()).await.unwrap();
                        // The stream of the parent is still given: whoever asks does not know better.
                        let told = store(&repository, &nodes, parent.as_ref().map(|(snapshot, _)| snapshot)).await.unwrap();
                        prop_assert!(read_all(&repository, volume(&told.snapshot), From::Auto).await.unwrap() == plain(&nodes));
                        ship(&repository, &bucket).await;
                        parent = Some((told.snapshot, nodes.clone()));
                    }
                    Between::Evicted | Between::LetGo => {
                        match between {
                            Between::LetGo => let_go(&repository).await,
                            _ => evict(&repository, &cache).await,
                        }
                        let told = store(&repository, &nodes, parent.as_ref().map(|(snapshot, _)| snapshot)).await.unwrap();
                        prop_assert!(read_all(&repository, volume(&told.snapshot), From::Auto).await.unwrap() == plain(&nodes));
                        ship(&repository, &bucket).await;
                        parent = Some((told.snapshot, nodes.clone()));
                    }
                }
            }
            Ok(())
        })?;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parts_can_be_outlined_alone_and_equal_ones_have_equal_names() {
    let (repository, cache) = fresh().await;
    let mut nodes = some_nodes();
    let first = store(&repository, &nodes, None).await.unwrap();
    change(&mut nodes, "v/small/01000", noise(1, 77));
    change(&mut nodes, "v/large", noise(2, 66 << 20));
    let second = store(&repository, &nodes, Some(&first.snapshot)).await.unwrap();
    for pack in cache.list("p/").await.unwrap() {
        cache.delete(&pack.key).await.unwrap();
    }
    let mut names = Vec::new();
    for told in [&first, &second] {
        let stream = volume(&told.snapshot);
        let parts = repository.parts(stream, From::Auto).await.unwrap();
        assert_eq!(parts.iter().map(|part| part.entries).sum::<u64>(), stream.entries);
        let mut at = 0;
        let mut paths = Vec::new();
        for part in &parts {
            assert_eq!((part.at, part.is_whole()), (at, false));
            at += part.length;
            let mut outline = holdfast_tar::Outline::new();
            let mut pieces = repository.read_outline_of(part, From::Auto);
            let mut tell = |found: holdfast_tar::Found| {
                paths.push(found.member.path);
                Ok(())
            };
            while let Some(piece) = pieces.next().await {
                match piece.unwrap() {
                    Piece::Bytes(bytes) => outline.bytes(&bytes, &mut tell).unwrap(),
                    Piece::Zeros(count) => outline.zeros(count, &mut tell).unwrap(),
                }
            }
            assert_eq!(outline.finish_stretch().unwrap().bytes, part.length);
        }
        assert_eq!(at + 1024, stream.length);
        assert_eq!(paths, nodes.keys().cloned().collect::<Vec<_>>());
        names.push(parts.iter().map(|part| part.name).collect::<BTreeSet<_>>());
    }
    assert_eq!(names[0].difference(&names[1]).count(), 2, "the two groups with changes");
    assert_eq!(names[1].difference(&names[0]).count(), 2);
}
