//! Start, settings, hosts, bucket, people, recovery: everything that needs no running app.

use super::{
    looks::{Silent, empty},
    world::{World, ended, start_of_time, until},
};
use crate::Appliance;
use futures::StreamExt;
use holdfast_docker::fake::FakeDocker;
use holdfast_model::{
    Kind, Secret,
    bucket::{BucketUrl, Credentials},
    bundle::{Enrolment, SignedBundle},
    job::JobState,
    policy::{Policy, Retention},
    snapshot::{BindSection, Fidelity},
    uploads::{UploadWindow, Uploads, UploadsRequest},
    view::{BucketHealth, BucketRequest, EscrowRequest, HostRequest, PassphraseRequest, RecoverRequest},
};
use holdfast_repository::StreamKind;
use holdfast_runtime::{Clock, Stop};
use std::{path::Path, sync::Arc};

const BUCKET: &str = "file:///bucket";

fn world() -> World {
    let world = World::default();
    world.put_engine("unix:///docker", Arc::new(FakeDocker::new()));
    world
}

fn clock() -> Clock {
    Clock::manual(start_of_time())
}

fn bucket(url: &str) -> BucketRequest {
    BucketRequest { url: url.into(), ..BucketRequest::default() }
}

fn host(name: &str, url: &str) -> HostRequest {
    HostRequest {
        name: name.into(),
        url: url.into(),
        tls_ca: None,
        tls_cert: None,
        tls_key: None,
        ssh_key: None,
        ssh_known_hosts: None,
    }
}

#[tokio::test]
async fn an_empty_folder_is_set_up_and_found_again() {
    let (world, place, stop) = (world(), tempfile::tempdir().unwrap(), Stop::new());
    let appliance = world.start(place.path(), None, clock(), &stop).await.unwrap();
    let error = world.start(place.path(), None, clock(), &stop).await.err().unwrap();
    assert_eq!((error.kind(), error.code()), (Kind::Conflict, "appliance.running"));

    until("the local host answers", async || appliance.hosts().await[0].reachable).await;
    let status = appliance.status().await;
    assert_eq!((status.hosts[0].name.as_str(), status.snapshots, status.activity.len()), ("local", 0, 72));
    assert_eq!(status.bucket.health, BucketHealth::None);
    assert!(status.problems.iter().any(|problem| problem.code == "kit.unconfirmed"));
    let names: Vec<String> = appliance.policies().await.into_iter().map(|view| view.policy.name).collect();
    assert_eq!(names, ["bronze", "gold", "silver"]);
    appliance.kit_confirm().await.unwrap();
    let repository = status.repository;
    stop.cancel();
    appliance.finished().await;
    drop(appliance);

    let stop = Stop::new();
    let again = world.start(place.path(), None, clock(), &stop).await.unwrap();
    let status = again.status().await;
    assert_eq!((status.repository, status.kit_confirmed), (repository, true));
    stop.cancel();
    again.finished().await;
}

#[tokio::test]
async fn settings_are_written_only_when_they_change() {
    let (world, place, stop) = (world(), tempfile::tempdir().unwrap(), Stop::new());
    let appliance = world.start(place.path(), None, clock(), &stop).await.unwrap();
    let generation = || appliance.0.settings().generation;
    let before = generation();
    let gold = appliance.policies().await[1].policy.clone();
    appliance.policy_put(gold).await.unwrap();
    assert_eq!(generation(), before);
    let fast = Policy {
        name: "fast".into(),
        every_seconds: 60,
        consistency: Default::default(),
        databases: Default::default(),
        keep: Retention { last: 3, ..Default::default() },
    };
    let view = appliance.policy_put(fast.clone()).await.unwrap();
    assert_eq!((view.policy, view.apps.len(), generation()), (fast.clone(), 0, before + 1));
    appliance.policy_remove("fast").await.unwrap();
    let error = appliance.policy_remove("fats").await.unwrap_err();
    assert_eq!(error.code(), "policy.unknown");
    let slow = Policy { every_seconds: 1, ..fast };
    assert_eq!(appliance.policy_put(slow).await.unwrap_err().code(), "policy.every");
    stop.cancel();
    appliance.finished().await;
}

#[tokio::test]
async fn hosts_come_and_go() {
    let (world, place, stop) = (world(), tempfile::tempdir().unwrap(), Stop::new());
    let one: Arc<FakeDocker> = Arc::new(FakeDocker::new());
    world.put_engine("unix:///docker", one.clone());
    world.put_engine("tcp://attic:2376", one);
    let appliance = world.start(place.path(), None, clock(), &stop).await.unwrap();
    let error = appliance.host_add(host("local", "unix:///other")).await.unwrap_err();
    assert_eq!((error.kind(), error.code()), (Kind::Conflict, "host.exists"));
    let error = appliance.host_add(host("cellar", "tcp://cellar:2376")).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Unavailable);
    assert_eq!(appliance.host_add(host("Attic!", "tcp://attic:2376")).await.unwrap_err().code(), "host.name");

    let attic = appliance.host_add(host("attic", "tcp://attic:2376")).await.unwrap();
    assert!(attic.reachable);
    until("both answer", async || appliance.hosts().await.iter().all(|host| host.reachable)).await;
    let problems = appliance.status().await.problems;
    assert!(problems.iter().any(|problem| problem.code == "host.twice"), "{problems:?}");
    appliance.host_remove("attic").await.unwrap();
    assert_eq!(appliance.host_remove("attic").await.unwrap_err().code(), "host.unknown");
    assert_eq!(appliance.hosts().await.len(), 1);
    stop.cancel();
    appliance.finished().await;
}

#[tokio::test]
async fn an_unreachable_bucket_blocks_nothing_and_is_told() {
    let (world, place, stop) = (world(), tempfile::tempdir().unwrap(), Stop::new());
    world.down(BUCKET, true);
    let appliance = world.start(place.path(), Some(BUCKET), clock(), &stop).await.unwrap();
    until("the failure is told", async || {
        appliance.status().await.bucket.error_code.as_deref() == Some("test.unreachable")
    })
    .await;
    let status = appliance.status().await;
    assert_eq!(status.bucket.health, BucketHealth::Failing);
    assert!(status.problems.iter().any(|problem| problem.code == "test.unreachable"));
    world.down(BUCKET, false);
    until("the bucket is attached", async || appliance.status().await.bucket.health == BucketHealth::Ok).await;
    assert!(appliance.setup().await.has_bucket);
    stop.cancel();
    appliance.finished().await;
}

#[tokio::test]
async fn a_bucket_is_believed_only_after_it_answered() {
    let (world, place, stop) = (world(), tempfile::tempdir().unwrap(), Stop::new());
    let appliance = world.start(place.path(), None, clock(), &stop).await.unwrap();
    world.down(BUCKET, true);
    assert_eq!(appliance.bucket_set(bucket(BUCKET)).await.unwrap_err().code(), "test.unreachable");
    assert!(!appliance.setup().await.has_bucket);
    world.down(BUCKET, false);
    let view = appliance.bucket_set(bucket(BUCKET)).await.unwrap();
    assert!(view.capabilities.unwrap().range);
    until("it ships", async || appliance.status().await.bucket.health == BucketHealth::Ok).await;

    // Another appliance's bucket is refused, and the old one stays.
    let (other_place, other_stop) = (tempfile::tempdir().unwrap(), Stop::new());
    let other = world.start(other_place.path(), Some("file:///foreign"), clock(), &other_stop).await.unwrap();
    let foreign = world.bucket_at("file:///foreign");
    until("the other has written its format", async || {
        !holdfast_storage::Store::list(foreign.as_ref(), "").await.unwrap().is_empty()
    })
    .await;
    let error = appliance.bucket_set(bucket("file:///foreign")).await.unwrap_err();
    assert_eq!(error.code(), "bucket.foreign");
    assert_eq!(appliance.bucket_probe().await.unwrap().url.as_deref(), Some(BUCKET));
    until("the old one is back", async || appliance.status().await.bucket.health == BucketHealth::Ok).await;
    other_stop.cancel();
    other.finished().await;
    stop.cancel();
    appliance.finished().await;
}

#[tokio::test]
async fn what_a_later_probe_sees_counts_for_the_bucket_in_use() {
    let (world, place, stop) = (world(), tempfile::tempdir().unwrap(), Stop::new());
    world.keeps_conditions(true);
    let appliance = world.start(place.path(), Some(BUCKET), clock(), &stop).await.unwrap();
    let keeps = || world.known_of(BUCKET).map(|seen| seen.conditional_put);
    until("it is probed", async || keeps() == Some(true)).await;
    world.keeps_conditions(false);
    let view = appliance.bucket_probe().await.unwrap();
    assert_eq!(keeps(), Some(false));
    assert_eq!(view.capabilities.unwrap().lost, ["keep conditions of writes"]);
    world.keeps_conditions(true);
    appliance.doctor().await;
    assert_eq!(keeps(), Some(true), "whoever asks");
    stop.cancel();
    appliance.finished().await;
}

#[tokio::test]
async fn two_who_limit_uploads_at_once_do_not_overwrite_each_other() {
    let (world, place, stop) = (world(), tempfile::tempdir().unwrap(), Stop::new());
    let appliance = world.start(place.path(), Some(BUCKET), clock(), &stop).await.unwrap();
    let seen = Uploads::default();
    let ada = Uploads { bytes_per_second: Some(1 << 20), ..Uploads::default() };
    let bob = Uploads { paused: true, ..Uploads::default() };
    appliance.uploads_set(UploadsRequest::after(seen.clone(), ada.clone())).await.unwrap();
    let error = appliance.uploads_set(UploadsRequest::after(seen, bob.clone())).await.unwrap_err();
    assert_eq!((error.kind(), error.code()), (Kind::Conflict, "uploads.changed"));
    assert!(error.advice_text().is_some());
    assert_eq!(world.uploads(), ada, "the first decision stands");
    appliance.uploads_set(UploadsRequest::after(ada, bob.clone())).await.unwrap();
    assert_eq!(world.uploads(), bob);
    appliance.uploads_set(UploadsRequest::default()).await.expect("whoever expects nothing decides anyway");
    assert_eq!(world.uploads(), Uploads::default());
    stop.cancel();
    appliance.finished().await;
}

#[tokio::test]
async fn other_keys_for_the_same_bucket_end_nothing_that_flies() {
    let (world, place, stop) = (world(), tempfile::tempdir().unwrap(), Stop::new());
    let appliance = world.start(place.path(), Some(BUCKET), clock(), &stop).await.unwrap();
    until("it ships", async || appliance.0.tier.health().attached).await;
    assert_eq!(world.shippers(), 1);
    let keys = |token: &str| BucketRequest {
        access_key: Some("k".into()),
        secret_key: Some("s".into()),
        session_token: Some(token.into()),
        ..bucket(BUCKET)
    };
    for token in ["first", "second"] {
        appliance.bucket_set(keys(token)).await.unwrap();
        let given = world.keys_of(BUCKET).and_then(|keys| keys.session_token).unwrap();
        assert_eq!((given.reveal(), world.shippers()), (token, 1), "the shipper of before, with other keys");
        assert!(appliance.0.repository().has_bucket());
    }
    let kept = appliance.0.settings().bucket.clone().and_then(|bucket| bucket.credentials);
    assert_eq!(kept, world.keys_of(BUCKET));
    // Another way there takes another client.
    appliance.bucket_set(BucketRequest { ca: Some("PEM".into()), ..keys("third") }).await.unwrap();
    until("it ships again", async || world.shippers() == 2).await;
    stop.cancel();
    appliance.finished().await;
}

#[tokio::test]
async fn people_log_in_and_strangers_do_not() {
    let (world, place, stop) = (world(), tempfile::tempdir().unwrap(), Stop::new());
    let appliance = world.start(place.path(), None, clock(), &stop).await.unwrap();
    let secret = Secret::new("correct horse battery");
    let short = appliance.user_create_first("ada", &Secret::new("short")).await.unwrap_err();
    assert_eq!(short.code(), "password.short");
    assert!(!appliance.setup().await.done);
    appliance.user_create_first("ada", &secret).await.unwrap();
    assert!(appliance.setup().await.done);
    assert_eq!(appliance.user_create_first("eve", &secret).await.unwrap_err().code(), "setup.done");
    appliance.user_verify("ada", &secret).await.unwrap();
    let wrong = appliance.user_verify("ada", &Secret::new("wrong horse battery")).await.unwrap_err();
    let nobody = appliance.user_verify("eve", &secret).await.unwrap_err();
    assert_eq!((wrong.code(), wrong.to_string()), (nobody.code(), nobody.to_string()));
    stop.cancel();
    appliance.finished().await;
}

#[tokio::test]
async fn an_appliance_comes_back_from_bucket_and_kit() {
    let (world, place, stop) = (world(), tempfile::tempdir().unwrap(), Stop::new());
    let first = world.start(place.path(), Some(BUCKET), clock(), &stop).await.unwrap();
    first.user_create_first("ada", &Secret::new("correct horse battery")).await.unwrap();
    let fast = Policy {
        name: "fast".into(),
        every_seconds: 60,
        consistency: Default::default(),
        databases: Default::default(),
        keep: Retention::default(),
    };
    first.policy_put(fast).await.unwrap();
    let kit = first.kit().await.unwrap();
    assert!(kit.text.contains(BUCKET));
    let shipped = first.status().await.repository;
    let house = first.0.clone();
    until("the bucket has all", async || house.repository().has_bucket() && house.repository().to_ship().is_empty())
        .await;
    drop(house);
    stop.cancel();
    first.finished().await;

    let (new_place, stop) = (tempfile::tempdir().unwrap(), Stop::new());
    let second = world.start(new_place.path(), None, clock(), &stop).await.unwrap();
    let ask = |kit: &str| RecoverRequest::with_kit(bucket(BUCKET), kit);
    assert_eq!(second.recover(ask("no kit")).await.unwrap_err().code(), "kit.malformed");
    let foreign = second.kit().await.unwrap().text;
    let refused = ended(&second, &second.recover(ask(&foreign)).await.unwrap()).await;
    assert_eq!(refused.state, JobState::Failed, "{refused:?}");
    assert_eq!(refused.problems.last().unwrap().code, "kit.wrong");

    let job = ended(&second, &second.recover(ask(&kit.text)).await.unwrap()).await;
    assert_eq!(job.state, JobState::Done, "{job:?}");
    let status = second.status().await;
    assert_eq!(status.repository, shipped);
    assert_eq!(status.bucket.url.as_deref(), Some(BUCKET));
    assert!(second.policies().await.iter().any(|view| view.policy.name == "fast"));
    second.user_verify("ada", &Secret::new("correct horse battery")).await.unwrap();
    until("the local host answers", async || second.hosts().await[0].reachable).await;
    stop.cancel();
    second.finished().await;
    drop(second);

    let stop = Stop::new();
    let third = world.start(new_place.path(), None, clock(), &stop).await.unwrap();
    assert_eq!(third.status().await.repository, shipped);
    stop.cancel();
    third.finished().await;
}

/// Turns a byte of every settings document below a folder or in a bucket.
async fn spoil_settings(store: &dyn holdfast_storage::Store) {
    for object in store.list("c/").await.unwrap() {
        let mut bytes = store.get(&object.key).await.unwrap().to_vec();
        *bytes.last_mut().unwrap() ^= 1;
        store.put(&object.key, bytes.into(), holdfast_storage::PutMode::Replace).await.unwrap();
    }
}

/// Settings are small and data is not: rotten ones keep nobody from what lies in the bucket.
#[tokio::test]
async fn damaged_settings_come_from_the_bucket_or_begin_anew() {
    let (world, place, stop) = (world(), tempfile::tempdir().unwrap(), Stop::new());
    let first = world.start(place.path(), Some(BUCKET), clock(), &stop).await.unwrap();
    let bronze = first.policies().await.into_iter().find(|view| view.policy.name == "bronze").unwrap().policy;
    first.policy_put(Policy { name: "fast".into(), ..bronze }).await.unwrap();
    let (house, kit) = (first.0.clone(), first.kit().await.unwrap().text);
    until("the bucket has all", async || house.repository().has_bucket() && house.repository().to_ship().is_empty())
        .await;
    let repository = first.status().await.repository;
    stop.cancel();
    first.finished().await;
    drop((first, house));

    spoil_settings(&holdfast_storage::DirStore::open(place.path().join("cache")).unwrap()).await;
    let stop = Stop::new();
    let error = world.start(place.path(), None, clock(), &stop).await.err().unwrap();
    assert_eq!(error.kind(), Kind::Corrupt);
    assert!(error.advice_text().unwrap().contains("--bucket"), "{error:?}");
    let again = world.start(place.path(), Some(BUCKET), clock(), &stop).await.unwrap();
    assert!(again.policies().await.iter().any(|view| view.policy.name == "fast"), "nothing is lost");
    let house = again.0.clone();
    until("the bucket has all", async || house.repository().has_bucket() && house.repository().to_ship().is_empty())
        .await;
    stop.cancel();
    again.finished().await;
    drop((again, house));
    let stop = Stop::new();
    let without = world.start(place.path(), None, clock(), &stop).await.unwrap();
    assert!(without.policies().await.iter().any(|view| view.policy.name == "fast"), "once is enough");
    let house = without.0.clone();
    until("the bucket has all", async || house.repository().has_bucket() && house.repository().to_ship().is_empty())
        .await;
    stop.cancel();
    without.finished().await;
    drop((without, house));

    // Damaged everywhere: the data come back all the same, and the loss is told.
    spoil_settings(&*world.bucket_at(BUCKET)).await;
    let (new_place, stop) = (tempfile::tempdir().unwrap(), Stop::new());
    let second = world.start(new_place.path(), None, clock(), &stop).await.unwrap();
    let job = second.recover(RecoverRequest::with_kit(bucket(BUCKET), &kit)).await.unwrap();
    let job = ended(&second, &job).await;
    assert_eq!(job.state, JobState::DoneWithProblems, "{job:?}");
    assert!(job.problems.iter().any(|problem| problem.code == "settings.corrupt"), "{job:?}");
    assert!(job.summary.as_deref().unwrap_or_default().contains("begin anew"), "{job:?}");
    assert_eq!(second.status().await.repository, repository);
    stop.cancel();
    second.finished().await;
    drop(second);
    // The new ones are newer than the damaged ones.
    let stop = Stop::new();
    let third = world.start(new_place.path(), None, clock(), &stop).await.unwrap();
    assert_eq!(third.status().await.bucket.url.as_deref(), Some(BUCKET));
    stop.cancel();
    third.finished().await;
}

#[tokio::test]
async fn doctor_tells_line_by_line() {
    let (world, place, stop) = (world(), tempfile::tempdir().unwrap(), Stop::new());
    let appliance = world.start(place.path(), Some(BUCKET), clock(), &stop).await.unwrap();
    let lines = appliance.doctor().await;
    let tests: Vec<(&str, bool)> = lines.iter().map(|line| (line.test.as_str(), line.ok)).collect();
    let expected = [
        ("data folder", true),
        ("device key", true),
        ("catalog", true),
        ("repository", true),
        ("recovery kit", false),
        ("host local", true),
        ("host local rights", true),
        ("host local restores", true),
        ("host local mover", true),
        ("bucket", true),
        ("bucket rights", true),
        ("bucket clock", true),
    ];
    // Free space depends on the machine.
    let tests: Vec<_> = tests.into_iter().filter(|(test, _)| *test != "free space").collect();
    assert_eq!(tests, expected, "{lines:?}");
    stop.cancel();
    appliance.finished().await;
}

#[tokio::test]
async fn ways_in_are_added_changed_retired_and_open_a_recovery() {
    let (world, place, stop) = (world(), tempfile::tempdir().unwrap(), Stop::new());
    let first = world.start(place.path(), Some(BUCKET), clock(), &stop).await.unwrap();
    let house = first.0.clone();
    let shipped = async || house.repository().has_bucket() && house.repository().to_ship().is_empty();
    until("the bucket has all", shipped).await;
    let passphrase = |name: Option<&str>, words: &str| PassphraseRequest {
        name: name.map(str::to_owned),
        passphrase: words.to_owned(),
        password: None,
    };
    let short = first.passphrase_add(passphrase(Some("Ada"), "short")).await.unwrap_err();
    assert_eq!(short.code(), "passphrase.short");
    let nameless = first.passphrase_add(passphrase(None, "correct horse battery")).await.unwrap_err();
    assert_eq!(nameless.code(), "slot.name");
    let added = first.passphrase_add(passphrase(Some("Ada"), "correct horse battery")).await.unwrap();
    let changed = first.passphrase_change(&added.id, passphrase(None, "another horse battery")).await.unwrap();
    assert!(changed.id != added.id && changed.problems.is_empty(), "{changed:?}");
    let gone = first.passphrase_change(&added.id, passphrase(None, "another horse battery")).await.unwrap_err();
    assert_eq!(gone.code(), "slot.unknown");
    let private = holdfast_chunk::escrow::PrivateKey::generate();
    let request = EscrowRequest { name: "notary".into(), public_key: private.to_pem().to_string(), password: None };
    assert_eq!(first.escrow_add(request).await.unwrap_err().code(), "escrow.private");
    let request = EscrowRequest { name: "notary".into(), public_key: private.public().to_pem(), password: None };
    first.escrow_add(request).await.unwrap();

    first.kit_confirm().await.unwrap();
    let old = first.kit().await.unwrap().text;
    let generation = house.settings().generation;
    let rotated = first.epoch_rotate().await.unwrap();
    assert!(rotated.problems.is_empty(), "{:?}", rotated.problems);
    let kit = rotated.kit.unwrap().text;
    let key = |text: &str| text.lines().find(|line| line.starts_with("Recovery key")).map(str::to_owned);
    assert_eq!(key(&kit), key(&first.kit().await.unwrap().text));
    assert_ne!(key(&kit), key(&old));
    assert!(!first.status().await.kit_confirmed, "the new kit is not stored yet");
    assert_eq!(house.settings().generation, generation + 2, "unconfirmed, then sealed anew");
    let view = first.keys().await.unwrap();
    assert_eq!((view.epoch, view.slots.len()), (1, 4));
    assert!(view.slots.iter().any(|slot| slot.name == "Ada"), "a change keeps the name");
    until("the bucket has all", shipped).await;
    drop(house);
    stop.cancel();
    first.finished().await;

    let ask = |kit: Option<&str>, passphrase: Option<&str>, escrow: Option<&str>| RecoverRequest {
        bucket: bucket(BUCKET),
        kit: kit.map(str::to_owned),
        passphrase: passphrase.map(str::to_owned),
        escrow_key: escrow.map(str::to_owned),
    };
    let pem = private.to_pem();
    let (new_place, stop) = (tempfile::tempdir().unwrap(), Stop::new());
    let second = world.start(new_place.path(), None, clock(), &stop).await.unwrap();
    for request in [ask(None, None, None), ask(Some(&kit), Some("x"), None)] {
        assert_eq!(second.recover(request).await.unwrap_err().code(), "recover.key");
    }
    for (request, expected) in
        [(ask(Some(&old), None, None), "kit.wrong"), (ask(None, Some("correct horse battery"), None), "key.wrong")]
    {
        let job = ended(&second, &second.recover(request).await.unwrap()).await;
        assert_eq!(job.problems.last().unwrap().code, expected, "{job:?}");
    }
    for request in
        [ask(None, Some("another horse battery"), None), ask(None, None, Some(&pem)), ask(Some(&kit), None, None)]
    {
        let job = ended(&second, &second.recover(request).await.unwrap()).await;
        assert_eq!(job.state, JobState::Done, "{job:?}");
    }
    assert_eq!(second.keys().await.unwrap().epoch, 1);
    stop.cancel();
    second.finished().await;
}

#[tokio::test]
async fn uploads_are_limited_paused_and_both_are_remembered() {
    let (world, place, stop) = (world(), tempfile::tempdir().unwrap(), Stop::new());
    let appliance = world.start(place.path(), Some(BUCKET), clock(), &stop).await.unwrap();
    let slow = Uploads { bytes_per_second: Some(1), ..Uploads::default() };
    let decide = |uploads: Uploads| {
        let seen = world.uploads();
        UploadsRequest::after(seen, uploads)
    };
    assert_eq!(appliance.uploads_set(decide(slow)).await.unwrap_err().code(), "uploads.limit");
    assert_eq!(world.uploads(), Uploads::default(), "nothing was changed");

    let windows = vec![UploadWindow::parse("00:00-23:59=none").unwrap()];
    let decided = Uploads { paused: true, bytes_per_second: Some(1 << 20), windows, ..Uploads::default() };
    let view = appliance.uploads_set(decide(decided.clone())).await.unwrap();
    assert_eq!((&view.uploads, &world.uploads()), (&decided, &decided));
    let told = appliance.status().await.problems;
    assert!(told.iter().any(|problem| problem.code == "uploads.paused"), "a pause that was forgotten shows: {told:?}");
    stop.cancel();
    appliance.finished().await;
    drop(appliance);

    world.forget_uploads();
    let stop = Stop::new();
    let again = world.start(place.path(), None, clock(), &stop).await.unwrap();
    assert_eq!(world.uploads(), decided, "as it was decided before");
    again.uploads_set(decide(Uploads { paused: false, ..decided })).await.unwrap();
    assert!(!again.status().await.problems.iter().any(|problem| problem.code == "uploads.paused"));
    stop.cancel();
    again.finished().await;
}

/// An appliance whose one snapshot the bucket alone holds.
async fn with_an_empty_cache(world: &World, place: &Path, stop: &Stop) -> Appliance {
    let first_stop = Stop::new();
    let first = world.start(place, Some(BUCKET), clock(), &first_stop).await.unwrap();
    let house = first.0.clone();
    let session = house.repository().session();
    let bytes = futures::stream::iter([Ok(vec![7; 100_000].into())]).boxed();
    let stream = session.store(StreamKind::Bytes, bytes, Arc::new(Silent)).await.unwrap();
    let mut snapshot = empty(start_of_time());
    snapshot.binds = vec![BindSection {
        source: "/etc/app".into(),
        directory: false,
        stream: Some(stream),
        fidelity: Fidelity::Full,
    }];
    session.commit(snapshot).await.unwrap();
    until("the bucket has all", async || house.repository().has_bucket() && house.repository().to_ship().is_empty())
        .await;
    first_stop.cancel();
    first.finished().await;
    drop((first, house));
    let cache = holdfast_storage::DirStore::open(place.join("cache")).unwrap();
    for class in ["p/", "m/"] {
        for object in holdfast_storage::Store::list(&cache, class).await.unwrap() {
            holdfast_storage::Store::delete(&cache, &object.key).await.unwrap();
        }
    }

    let again = world.start(place, None, clock(), stop).await.unwrap();
    until("it is attached", async || again.0.repository().has_bucket()).await;
    again
}

/// What a provider hands out for a bucket, as the world outside reads it.
pub fn bundle(url: &str) -> SignedBundle {
    let says = Enrolment {
        format: 1,
        provider: "Nordwind".into(),
        tenant: "acme".into(),
        id: "1".into(),
        issued: start_of_time(),
        expires: start_of_time(),
        bucket: BucketUrl::parse(url).unwrap(),
        credentials: Credentials { access_key: "k".into(), secret_key: Secret::new("s"), session_token: None },
        ca: None,
        quota_bytes: None,
    };
    SignedBundle { payload: serde_json::to_string(&says).unwrap(), key: String::new(), signature: String::new() }
}

#[tokio::test]
async fn a_bucket_is_not_left_with_what_it_alone_holds() {
    let (world, place, stop) = (world(), tempfile::tempdir().unwrap(), Stop::new());
    let again = with_an_empty_cache(&world, place.path(), &stop).await;
    let error = again.bucket_set(bucket("file:///other")).await.unwrap_err();
    assert_eq!((error.kind(), error.code()), (Kind::Refused, "bucket.only_copy"));
    assert_eq!(again.status().await.bucket.url.as_deref(), Some(BUCKET));
    let view = again.bucket_set(BucketRequest { leave_behind: true, ..bucket("file:///other") }).await.unwrap();
    assert_eq!(view.url.as_deref(), Some("file:///other"));
    stop.cancel();
    again.finished().await;
}

#[tokio::test]
async fn an_enrolment_leaves_nothing_behind_either() {
    let (world, place, stop) = (world(), tempfile::tempdir().unwrap(), Stop::new());
    let appliance = with_an_empty_cache(&world, place.path(), &stop).await;
    let error = appliance.enrol(bundle("file:///tenant"), false).await.unwrap_err();
    assert_eq!((error.kind(), error.code()), (Kind::Refused, "bucket.only_copy"));
    let status = appliance.status().await;
    assert_eq!((status.bucket.url.as_deref(), status.enrolment), (Some(BUCKET), None));
    appliance.enrol(bundle(BUCKET), false).await.expect("the same bucket, from a provider");
    let view = appliance.enrol(bundle("file:///tenant"), true).await.unwrap();
    assert_eq!(view.tenant, "acme");
    assert_eq!(appliance.status().await.bucket.url.as_deref(), Some("file:///tenant"));
    stop.cancel();
    appliance.finished().await;
}
