//! Images of a snapshot that are not what they are called: they are refused before an engine is given a byte of them.
#![allow(clippy::unwrap_used, reason = "tests fail loudly")]

mod support;

use holdfast_docker::{Engine, archive, fake::FakeDocker};
use holdfast_model::{
    Error, Kind,
    snapshot::{IMAGE_LIST_LIMIT, ImagePart, ImageSection, Snapshot},
    view::Target,
};
use holdfast_restore::{Ask, Plan, carry_out, plan};
use holdfast_runtime::Stop;
use std::sync::Arc;
use support::{App, Memory};

/// A snapshot, and a host that has nothing of it.
struct World {
    fake: FakeDocker,
    memory: Arc<Memory>,
    snapshot: Snapshot,
}

impl World {
    async fn new() -> World {
        let app = App::imagined(&FakeDocker::new()).await;
        let memory = Arc::new(Memory::default());
        let snapshot = app.capture(&memory, &["db", "web"]).await;
        World { fake: FakeDocker::new(), memory, snapshot }
    }

    fn engine(&self) -> Arc<dyn Engine> {
        Arc::new(self.fake.clone())
    }

    async fn plan(&self, snapshot: &Snapshot) -> Plan {
        let ask = Ask { target: Target::Host { host: "other".into() }, owner: "test".into(), ..Ask::default() };
        plan(&self.engine(), snapshot, &ask).await.unwrap()
    }

    /// Carries an honest plan out with another snapshot of the same name; its error.
    async fn refused(&self, snapshot: &Snapshot) -> Error {
        let plan = self.plan(&self.snapshot).await;
        assert_eq!(plan.conflicts, []);
        self.fake.forget_calls();
        carry_out(self.engine(), snapshot, &plan, self.memory.clone(), &Stop::new()).await.unwrap_err()
    }

    /// That nothing was loaded but what helpers are made of.
    async fn assert_nothing_loaded(&self, why: &str) {
        let loads = self.fake.calls().iter().filter(|call| call.starts_with("image_load")).count();
        assert!(loads <= 1, "{why}: {loads} images were loaded");
        assert!(self.fake.image_inspect(&self.snapshot.images[0].id).await.is_err(), "{why}");
    }
}

/// The first part whose name ends so.
fn of<'a>(image: &'a mut ImageSection, end: &str) -> &'a mut ImagePart {
    image.parts.iter_mut().find(|part| part.path.ends_with(end)).unwrap()
}

/// Another part of the image under a name.
fn add(image: &mut ImageSection, path: &str, link: Option<&str>) {
    let like = of(image, "layer.tar").clone();
    image.parts.push(ImagePart { path: path.into(), diff_id: None, link: link.map(str::to_owned), ..like });
}

type Change = fn(&mut ImageSection);

/// What a section can say that cannot be so, with a word of what is told of it.
const CHANGES: [(&str, Change); 12] = [
    ("another digest", |image| of(image, "layer.tar").sha256 = "0".repeat(64)),
    ("another digest", |image| of(image, "layer.tar").stream.sha256 = "0".repeat(64)),
    ("another digest", |image| of(image, "layer.tar").diff_id = Some(format!("sha256:{}", "0".repeat(64)))),
    ("another digest", |image| add(image, &format!("blobs/sha256/{}", "0".repeat(64)), None)),
    ("another digest", |image| add(image, &format!("{}.json", "0".repeat(64)), None)),
    ("leads out", |image| of(image, "layer.tar").path = "../layer.tar".into()),
    ("leads out", |image| add(image, "/etc/cron.d/evil", None)),
    ("leads out", |image| add(image, "way", Some("../../etc"))),
    ("twice", |image| add(image, "manifest.json", None)),
    ("is a link", |image| add(image, "index.json", Some("manifest.json"))),
    ("longer", |image| of(image, "manifest.json").stream.length = IMAGE_LIST_LIMIT + 1),
    ("longer", |image| {
        add(image, "index.json", None);
        of(image, "index.json").stream.length = u64::from(u32::MAX);
    }),
];

#[tokio::test(start_paused = true)]
async fn an_image_that_contradicts_itself_is_refused_by_the_plan_and_before_anything_is_loaded() {
    for (words, change) in CHANGES {
        let world = World::new().await;
        let mut lying = world.snapshot.clone();
        change(&mut lying.images[0]);
        let plan = world.plan(&lying).await;
        let conflicts: Vec<_> = plan.conflicts.iter().map(|told| (told.code.as_str(), told.subject.as_str())).collect();
        assert_eq!(conflicts, [("image.mismatch", "shop:1")], "{words}");
        let told = &plan.conflicts[0];
        assert!(told.message.contains(words) && told.advice.is_some(), "{words}: {told:?}");
        let error = world.refused(&lying).await;
        assert_eq!((error.kind(), error.code()), (Kind::Corrupt, "image.mismatch"), "{words}: {error:?}");
        world.assert_nothing_loaded(words).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_list_of_contents_that_is_not_the_captured_one_is_never_sent() {
    for wrong in [b"[]".to_vec(), Vec::new(), vec![b' '; 10_000_000]] {
        let world = World::new().await;
        let list = world.snapshot.images[0].parts.iter().find(|part| part.path == "manifest.json").unwrap();
        world.memory.swap(&list.stream, wrong);
        let error = world.refused(&world.snapshot).await;
        assert_eq!((error.kind(), error.code()), (Kind::Corrupt, "image.mismatch"), "{error:?}");
        world.assert_nothing_loaded("another list").await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_list_that_is_nested_without_end_is_an_error_like_others() {
    let mut world = World::new().await;
    let deep = world.memory.keep("[".repeat(100_000).into_bytes(), 0);
    let list = of(&mut world.snapshot.images[0], "manifest.json");
    (list.sha256, list.stream) = (deep.sha256.clone(), deep);
    let error = world.refused(&world.snapshot).await;
    assert_eq!((error.kind(), error.code()), (Kind::Corrupt, "image.malformed"), "{error:?}");
    world.assert_nothing_loaded("a deep list").await;
}

#[tokio::test(start_paused = true)]
async fn an_engine_that_is_given_other_bytes_of_a_layer_has_no_such_image_afterwards() {
    let world = World::new().await;
    let layer = world.snapshot.images[0].parts.iter().find(|part| part.diff_id.is_some()).unwrap();
    let mut other = archive::tar(&[archive::Entry::file("evil", "x")]);
    other.resize(usize::try_from(layer.stream.length).unwrap(), 0);
    world.memory.swap(&layer.stream, other);
    world.refused(&world.snapshot).await;
    assert!(world.fake.image_inspect(&world.snapshot.images[0].id).await.is_err());
}
