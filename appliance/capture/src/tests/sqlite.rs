//! Databases of SQLite among files: named by their first bytes, with what their copies are, and known again while they stay the same.

use super::bench::{Bench, codes};
use crate::{
    Captured,
    sqlite::{Finds, Watched},
};
use futures::StreamExt;
use holdfast_docker::archive::Entry;
use holdfast_model::{
    policy::Consistency,
    snapshot::{DatabaseFile, DatabaseKind, Readiness},
};
use holdfast_tree::{Fault, Mark, MemTree, Node, Request, Tree};
use std::sync::Arc;

fn database(size: usize) -> Vec<u8> {
    let mut bytes = b"SQLite format 3\0".to_vec();
    bytes.resize(size, 7);
    bytes
}

fn files(captured: &Captured) -> Vec<(String, String, Readiness)> {
    let files = captured.databases.iter().filter(|one| one.kind == DatabaseKind::Sqlite);
    files
        .map(|one| {
            let file = one.file.as_ref().unwrap();
            (one.container.clone(), format!("{}/{}", file.place, file.path), one.readiness)
        })
        .collect()
}

#[tokio::test(start_paused = true)]
async fn files_are_named_with_what_their_copies_are() {
    let bench = Bench::new().await;
    bench.docker.volume_put("data", Entry::directory("conf"));
    bench.docker.volume_put("data", Entry::file("conf/app.db", database(40_960)));
    bench.docker.volume_put("data", Entry::file("conf/talk.txt", b"SQLite format 3 is what it is".to_vec()));
    bench.docker.host_directory("/srv/site", &[("site.sqlite", &database(4096)[..])]);
    let ways = [
        (Consistency::Pause, Readiness::Prepared),
        (Consistency::Stop, Readiness::Stopped),
        (Consistency::None, Readiness::Live),
    ];
    for (way, readiness) in ways {
        let captured = bench.capture(way).await.unwrap();
        let file = |container: &str, path: &str| (container.to_owned(), path.to_owned(), readiness);
        assert_eq!(files(&captured), [file("shop-web", "/srv/site/site.sqlite"), file("shop-db", "data/conf/app.db")]);
        let told = captured.problems.iter().filter(|problem| problem.code == "database.file_live").count();
        assert_eq!(told, if way == Consistency::None { 2 } else { 0 }, "{:?}", codes(&captured));
    }
}

fn node(path: &str, content: Vec<u8>, version: u64, fault: Fault) -> (Vec<u8>, Node) {
    let path = format!("v/{path}").into_bytes();
    let header = holdfast_tar::write::Entry::file(&path, content.len() as u64).header().unwrap();
    (path, Node { header: header.into(), content: content.into(), version, fault })
}

/// A backup of a tree; tells what was found. `reads` says which of its entries are read.
async fn pass(tree: MemTree, finds: &Arc<Finds>, reads: fn(&[u8]) -> bool, may_keep: bool) -> Vec<DatabaseFile> {
    let paths: Vec<Vec<u8>> = tree.nodes.keys().cloned().collect();
    let mut tree = Watched::new(tree, "volume data", finds.clone());
    let groups = tree.groups().await.unwrap();
    let marks = tree.marks(&(0..groups.len()).collect::<Vec<_>>()).await.unwrap();
    let mut paths = paths.iter();
    let mut wanted = |marks: &Vec<Mark>| marks.iter().map(|_| reads(paths.next().unwrap())).collect();
    let requests =
        marks.iter().enumerate().map(|(group, marks)| Request { group, wanted: wanted(marks) }).collect::<Vec<_>>();
    let mut frames = tree.read(requests, may_keep).await.unwrap();
    while let Some(batch) = frames.next().await {
        batch.unwrap();
    }
    drop(frames);
    tree.finish().await.unwrap();
    finds.of("data")
}

fn paths(files: &[DatabaseFile]) -> Vec<&str> {
    files.iter().map(|file| file.path.as_str()).collect()
}

#[tokio::test]
async fn what_is_not_read_again_is_known_as_long_as_it_is_the_same() {
    let tree = |version: u64, is_there: bool| {
        let mut nodes =
            vec![node("a.db", database(9000), 1, Fault::None), node("b", b"no".to_vec(), version, Fault::None)];
        nodes.extend(is_there.then(|| node("c.db", database(512), 1, Fault::None)));
        MemTree::new(nodes.into_iter().collect())
    };
    let finds = Arc::new(Finds::default());
    let first = pass(tree(1, true), &finds, |_| true, false).await;
    assert_eq!(paths(&first), ["a.db", "c.db"]);
    let again = |known: &[DatabaseFile]| Arc::new(Finds::known(known.to_vec()));
    // Nothing was read, for nothing changed.
    assert_eq!(pass(tree(1, true), &again(&first), |_| false, false).await, first);
    // Another file of the group changed; one database is gone.
    let second = pass(tree(2, false), &again(&first), |path| path == b"v/b", false).await;
    assert_eq!(paths(&second), ["a.db"]);
    // A file of that name that is no database any more.
    let other = MemTree::new([node("a.db", b"words".to_vec(), 2, Fault::None)].into_iter().collect());
    assert!(pass(other, &again(&first), |_| true, false).await.is_empty());
}

#[tokio::test]
async fn first_bytes_that_are_kept_from_the_first_pass_are_known() {
    let told = Arc::default();
    let tree = |version, change: u8| {
        let mut bytes = database(300_000);
        bytes[250_000] = change;
        let nodes = [node("a.db", bytes, version, Fault::None)].into_iter().collect();
        let mut tree = MemTree::new(nodes);
        tree.told = Arc::clone(&told);
        tree
    };
    let finds = Arc::new(Finds::default());
    let first = pass(tree(1, 1), &finds, |_| true, true).await;
    let second = pass(tree(2, 2), &finds, |_| true, true).await;
    assert_eq!((paths(&first), paths(&second)), (vec!["a.db"], vec!["a.db"]));
    assert_ne!(first[0].identity, second[0].identity);
}

#[tokio::test]
async fn what_could_not_be_read_to_its_end_is_not_named_and_too_many_become_a_number() {
    let broken = [
        node("a.db", database(300_000), 1, Fault::BreaksOff),
        node("b.db", database(512), 1, Fault::Unreadable),
        node("c.db", database(512), 1, Fault::Changes),
    ];
    let found = pass(MemTree::new(broken.into_iter().collect()), &Arc::default(), |_| true, false).await;
    assert_eq!(paths(&found), ["c.db"]);
    let many = (0..150).map(|number| node(&format!("{number:03}.db"), database(512), 1, Fault::None));
    let found = pass(MemTree::new(many.collect()), &Arc::default(), |_| true, false).await;
    assert_eq!(found.len(), 100);
}
