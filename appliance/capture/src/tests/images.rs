//! Image archives that lie: each lie is told with every capture until the engine is honest again, and the rest of the app is captured all the same.

use super::{
    bench::{Bench, IMAGE, codes},
    sink::{Recorder, members},
};
use crate::Captured;
use futures::StreamExt;
use holdfast_docker::{
    Engine,
    archive::{Entry, What, tar},
};
use holdfast_model::{
    Severity,
    policy::Consistency,
    snapshot::{ImageSection, StreamRef, is_within},
};

/// The members of the archive that an honest engine gives, without folders.
async fn honest(bench: &Bench) -> Vec<Entry> {
    let pieces: Vec<_> = bench.docker.image_save(IMAGE).await.unwrap().map(|piece| piece.unwrap()).collect().await;
    let found = members(&pieces.concat()).unwrap();
    let entries: Vec<Entry> = found
        .into_iter()
        .filter(|(path, _)| path.contains('.'))
        .map(|(path, content)| Entry::file(path, content))
        .collect();
    assert_eq!(entries.len(), 3, "a layer, a configuration, a list of layers: {entries:?}");
    entries
}

/// The first member whose name ends so.
fn of<'a>(entries: &'a mut [Entry], end: &str) -> &'a mut Entry {
    entries.iter_mut().find(|entry| entry.path.ends_with(end)).unwrap()
}

fn is_configuration(entry: &Entry) -> bool {
    entry.path.ends_with(".json") && entry.path != "manifest.json"
}

type Lie = fn(&mut Vec<Entry>);

/// What an archive can say that is not so, with a word of what is told of it.
const LIES: [(&str, Lie); 18] = [
    ("another digest", |all| of(all, "layer.tar").what = What::File(tar(&[Entry::file("x", "evil")]))),
    ("another digest", |all| {
        let configuration = all.iter_mut().find(|entry| is_configuration(entry)).unwrap();
        configuration.what = What::File(b"{}".to_vec());
    }),
    ("another digest", |all| all.push(Entry::file(format!("blobs/sha256/{}", "a".repeat(64)), "x"))),
    ("not in the archive", |all| all.retain(|entry| !entry.path.ends_with("layer.tar"))),
    ("not in the archive", |all| all.retain(|entry| !is_configuration(entry))),
    ("does not fit", |all| all.retain(|entry| entry.path != "manifest.json")),
    ("does not fit", |all| of(all, "manifest.json").what = What::File(b"[]".to_vec())),
    ("leads out", |all| all.push(Entry::file("../evil", "x"))),
    ("leads out", |all| all.push(Entry::file("/etc/evil", "x"))),
    ("leads out", |all| all.push(Entry::file("a/../../evil", "x"))),
    ("leads out", |all| all.push(Entry::symlink("way", "/etc"))),
    ("leads out", |all| all.push(Entry::symlink("a/way", "../../etc"))),
    ("twice", |all| all.push(Entry::file("manifest.json", "[]"))),
    ("is a link", |all| {
        of(all, "manifest.json").path = "other.json".into();
        all.push(Entry::symlink("manifest.json", "other.json"));
    }),
    ("no JSON", |all| of(all, "manifest.json").what = What::File("[".repeat(100_000).into_bytes())),
    ("too long", |all| of(all, "manifest.json").what = What::File(vec![b' '; (4 << 20) + 1])),
    ("10 000 members", |all| all.extend((0..10_000).map(|number| Entry::directory(format!("d{number}"))))),
    ("devices", |all| all.push(Entry { what: What::Special(b'3'), ..Entry::file("device", "") })),
];

/// What was told of the image.
fn told(captured: &Captured) -> Vec<&str> {
    let of_image = captured.problems.iter().filter(|problem| problem.code == "image.damaged");
    of_image
        .map(|problem| {
            assert_eq!((problem.severity, problem.subject.as_str()), (Severity::Error, IMAGE));
            problem.message.as_str()
        })
        .collect()
}

/// Captures, and lets the repository know what came.
async fn capture(bench: &Bench) -> Captured {
    let captured = bench.capture(Consistency::Pause).await.unwrap();
    let volume = captured.volumes[0].stream.as_ref().unwrap();
    assert_eq!(bench.sink.tar(volume)["v/table"], vec![7; 50_000], "the rest of the app is there");
    bench.sink.images.lock().unwrap().insert(captured.images[0].id.clone(), captured.images[0].clone());
    captured
}

#[tokio::test]
async fn a_lie_about_an_image_is_told_each_time_until_it_is_honest_and_nothing_else_suffers() {
    for (words, lie) in LIES {
        let bench = Bench::new().await;
        let mut entries = honest(&bench).await;
        lie(&mut entries);
        bench.docker.say_of_image(IMAGE, Some(tar(&entries)));
        for _ in 0..2 {
            bench.docker.forget_calls();
            let captured = capture(&bench).await;
            let said = told(&captured);
            assert!(said.len() == 1 && said[0].contains(words), "{words}: {said:?}");
            assert!(!captured.images[0].is_sound(), "{words}");
            let mut parts = captured.images[0].parts.iter();
            assert!(parts.all(|part| is_within(&part.path, part.link.as_deref())), "{words}: kept");
            assert_eq!(bench.calls("image_save").len(), 1, "{words}: it is read again");
        }
        assert!(!bench.sink.labels.lock().unwrap().iter().any(|(label, _)| label.contains("evil")), "{words}: stored");

        bench.docker.say_of_image(IMAGE, None);
        let captured = capture(&bench).await;
        assert!(told(&captured).is_empty() && captured.images[0].is_sound(), "{words}: {:?}", codes(&captured));
        bench.docker.forget_calls();
        let captured = capture(&bench).await;
        assert_eq!((bench.calls("image_save").len(), captured.images_known), (0, 1), "{words}: now it is known");
        bench.assert_untouched().await;
    }
}

#[tokio::test]
async fn an_archive_that_is_no_tar_is_told_too() {
    let bench = Bench::new().await;
    bench.docker.say_of_image(IMAGE, Some(b"no tar at all. ".repeat(1000)));
    let captured = capture(&bench).await;
    assert_eq!(told(&captured).len(), 1);
    assert!(captured.images[0].parts.is_empty() && !captured.images[0].diff_ids.is_empty());
}

#[tokio::test]
async fn a_blob_that_is_known_is_not_taken_for_other_bytes_of_its_name() {
    let bench = Bench::with(Recorder { knows_blobs: true, ..Recorder::default() }).await;
    let mut entries = honest(&bench).await;
    let known = StreamRef { sha256: "a".repeat(64), length: 1, ..StreamRef::default() };
    bench.sink.blobs.lock().unwrap().insert(known.sha256.clone(), (known.clone(), b"x".to_vec()));
    entries.push(Entry::file(format!("blobs/sha256/{}", known.sha256), "y"));
    bench.docker.say_of_image(IMAGE, Some(tar(&entries)));
    let captured = capture(&bench).await;
    assert!(told(&captured)[0].contains("another digest"), "{:?}", told(&captured));
}

/// Earlier captures kept images as known although something was missing.
#[tokio::test]
async fn what_the_repository_has_damaged_is_read_again() {
    let spoil: [fn(&mut ImageSection); 3] = [
        |image| image.parts.iter_mut().for_each(|part| part.diff_id = None),
        |image| image.parts.retain(|part| part.path != "manifest.json"),
        |image| image.parts.clear(),
    ];
    for spoil in spoil {
        let bench = Bench::new().await;
        let mut section = capture(&bench).await.images.remove(0);
        spoil(&mut section);
        bench.sink.images.lock().unwrap().insert(section.id.clone(), section);
        bench.docker.forget_calls();
        let captured = capture(&bench).await;
        assert_eq!((bench.calls("image_save").len(), captured.images_known), (1, 0));
        assert!(captured.images[0].is_sound() && told(&captured).is_empty());
    }
}
