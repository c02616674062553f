//! States of apps as a table: what is known, and what a person should know first.

use super::*;
use crate::memory::SeenHost;
use holdfast_model::{
    Problem, RepositoryId, SnapshotId,
    bucket::BucketUrl,
    policy::Consistency,
    settings::{BucketSettings, Host},
    snapshot::{EngineInfo, FORMAT, Fidelity, Snapshot, Stats, Trigger},
    view::{LocalState, TierState},
};

const NOW_MS: i64 = 1_795_435_200_000;

fn now() -> Moment {
    Moment::from_millis(NOW_MS)
}

/// A snapshot of local/shop, `age` seconds old.
fn entry(age: i64, cloud: CloudState, problems: Vec<Problem>) -> Entry {
    let time = now().plus_seconds(-age);
    let snapshot = Snapshot {
        format: FORMAT,
        id: SnapshotId::new(time, [3; 10]),
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
        consistency: Consistency::Pause,
        fidelity: Fidelity::Api,
        containers: vec![],
        images: vec![],
        volumes: vec![],
        binds: vec![],
        networks: vec![],
        databases: Vec::new(),
        problems,
        stats: Stats { bytes_logical: 7, ..Stats::default() },
    };
    Entry { snapshot: Arc::new(snapshot), state: TierState { local: LocalState::Present, cloud } }
}

fn shop() -> SeenApp {
    SeenApp { name: "shop".into(), project: true, containers: 3, running: 2, volumes: 1, ..SeenApp::default() }
}

fn local(reachable: bool, apps: Vec<SeenApp>) -> HostState {
    HostState {
        host: Host { name: "local".into(), url: "unix:///x".into(), tls: None, ssh: None },
        reachable,
        error: (!reachable).then(|| "connection refused".into()),
        seen: SeenHost { apps, ..SeenHost::default() },
    }
}

/// local/shop on gold (every hour), with a bucket.
fn facts(entries: Vec<Entry>) -> Facts {
    let mut settings = Settings::default();
    settings.assignments.insert("local/shop".into(), "gold".into());
    let url = BucketUrl::Directory("/b".into());
    settings.bucket = Some(BucketSettings { url, credentials: None, ca: None, proxy_password: None, lock: None });
    Facts {
        now: now(),
        settings: Arc::new(settings),
        hosts: vec![local(true, vec![shop()])],
        snapshots: [("local/shop".to_owned(), entries)].into_iter().filter(|(_, e)| !e.is_empty()).collect(),
        active: vec![],
        attempts: BTreeMap::new(),
    }
}

fn fresh() -> Vec<Entry> {
    vec![entry(600, CloudState::Present, vec![])]
}

fn settings(facts: &mut Facts, change: impl FnOnce(&mut Settings)) {
    let mut changed = (*facts.settings).clone();
    change(&mut changed);
    facts.settings = Arc::new(changed);
}

fn state(facts: &Facts) -> AppState {
    facts.view("local/shop").state
}

#[test]
fn what_covers_decides_first() {
    assert_eq!(state(&facts(fresh())), AppState::Protected);
    assert_eq!(state(&facts(vec![])), AppState::Waiting);

    let mut bare = facts(fresh());
    settings(&mut bare, |settings| settings.assignments.clear());
    assert_eq!(state(&bare), AppState::NotProtected);

    let mut labelled = facts(fresh());
    settings(&mut labelled, |settings| settings.assignments.clear());
    labelled.hosts[0].seen.apps[0].label = Some("silver".into());
    assert_eq!(labelled.view("local/shop").policy.as_deref(), Some("silver"));

    labelled.hosts[0].seen.apps[0].label = Some("platinum".into());
    let view = labelled.view("local/shop");
    assert_eq!(view.state, AppState::NotProtected);
    assert!(view.reason.unwrap().contains("platinum"));

    let mut excluded = facts(fresh());
    excluded.hosts[0].seen.apps[0].disabled = true;
    assert_eq!(state(&excluded), AppState::NotProtected);
    assert_eq!(excluded.cover("local/shop"), Cover::Excluded);
}

#[test]
fn what_goes_wrong_is_told_before_what_goes_well() {
    let warning = || vec![Problem::warning("bind.not_captured", "/srv", "/srv was left out")];
    assert_eq!(state(&facts(vec![entry(600, CloudState::Present, warning())])), AppState::Problems);
    let note = vec![Problem::note("image.known", "x", "nothing is missing")];
    assert_eq!(state(&facts(vec![entry(600, CloudState::Present, note)])), AppState::Protected);
    assert_eq!(state(&facts(vec![entry(9000, CloudState::Present, vec![])])), AppState::Overdue);

    let mut failed = facts(fresh());
    let attempt = Attempt { failures: 1, at: now(), error: Some("no space".into()) };
    failed.attempts.insert("local/shop".into(), attempt);
    assert_eq!((state(&failed), failed.view("local/shop").reason), (AppState::Failed, Some("no space".into())));
}

#[test]
fn an_incomplete_snapshot_does_not_count_as_a_backup_in_time() {
    let error = vec![Problem::error("volume.unread", "data", "the volume was not read")];
    let facts = facts(vec![entry(9000, CloudState::Present, vec![]), entry(60, CloudState::Present, error)]);
    assert_eq!(state(&facts), AppState::Overdue);
    assert_eq!(facts.view("local/shop").last_backup, Some(now().plus_seconds(-9000)));
}

#[test]
fn the_bucket_is_behind_by_the_oldest_that_waits() {
    // Hourly backups go on while the bucket is away: the newest is always young.
    let waits = |ages: &[i64]| ages.iter().map(|age| entry(*age, CloudState::Shipping, vec![])).collect();
    assert_eq!(state(&facts(waits(&[9000, 5400, 1800]))), AppState::CloudBehind);
    assert_eq!(state(&facts(waits(&[1800]))), AppState::Protected);
    let mut shipped = fresh();
    shipped.insert(0, entry(9000, CloudState::Shipping, vec![]));
    assert_eq!(state(&facts(shipped)), AppState::Protected);
    assert_eq!(state(&facts(vec![entry(600, CloudState::Damaged, vec![])])), AppState::CloudBehind);

    let mut local_only = facts(waits(&[9000, 1800]));
    settings(&mut local_only, |settings| settings.bucket = None);
    assert_eq!(state(&local_only), AppState::Protected);
}

#[test]
fn away_is_told_with_what_was_known() {
    let mut away = facts(fresh());
    away.hosts[0] = local(false, vec![shop()]);
    let view = away.view("local/shop");
    assert_eq!((view.state, view.reason.as_deref()), (AppState::Unreachable, Some("connection refused")));
    assert_eq!(view.containers, 3);

    let mut gone = facts(fresh());
    gone.hosts[0].seen.apps.clear();
    let view = gone.view("local/shop");
    assert_eq!((view.state, view.snapshots, view.next_backup), (AppState::Gone, 1, None));
    gone.hosts.clear();
    assert_eq!(state(&gone), AppState::Gone);
}

#[test]
fn apps_are_found_by_what_people_type() {
    let mut facts = facts(fresh());
    assert_eq!(facts.resolve("shop").unwrap(), "local/shop");
    assert_eq!(facts.resolve("local/shop").unwrap(), "local/shop");
    let error = facts.resolve("shpo").unwrap_err();
    assert_eq!(error.code(), "app.unknown");
    assert!(error.advice_text().unwrap().contains("local/shop"));
    let mut attic = local(true, vec![shop()]);
    attic.host.name = "attic".into();
    facts.hosts.push(attic);
    assert_eq!(facts.resolve("shop").unwrap_err().code(), "app.ambiguous");
    assert_eq!(facts.views().iter().map(|view| view.id.as_str()).collect::<Vec<_>>(), ["attic/shop", "local/shop"]);
}

#[test]
fn next_backup_follows_the_policy_and_the_line_has_24_dots() {
    let entries = (0..30).rev().map(|n| entry(600 + n * 3600, CloudState::Present, vec![])).collect();
    let view = facts(entries).view("local/shop");
    assert_eq!((view.points.len(), view.snapshots), (24, 30));
    let wait = view.next_backup.unwrap().since(now()) / 1000;
    assert!((3000..=3060).contains(&wait), "{wait}");
    assert!(view.points.windows(2).all(|pair| pair[0].time < pair[1].time));
}

#[test]
fn a_snapshot_from_the_future_does_not_stop_the_schedule() {
    let facts = facts(vec![entry(-86_400, CloudState::Present, vec![])]);
    let policy = facts.settings.policies["gold"].clone();
    assert_eq!(facts.known("local/shop", &policy).last_good, None);
}

#[test]
fn places_that_were_saved_without_their_app_are_no_backup_of_it() {
    let places = |age: i64| {
        let Entry { snapshot, state } = entry(age, CloudState::Present, vec![]);
        let stats = Stats { bytes_logical: 3, ..Stats::default() };
        let snapshot = Snapshot { trigger: Trigger::Safety, stats, ..(*snapshot).clone() };
        Entry { snapshot: Arc::new(snapshot), state }
    };
    let late = facts(vec![entry(9000, CloudState::Present, vec![]), places(60)]);
    let view = late.view("local/shop");
    assert_eq!((view.state, view.snapshots), (AppState::Overdue, 2), "a backup is due all the same");
    assert_eq!((view.last_backup, view.bytes_logical), (Some(now().plus_seconds(-9000)), Some(7)));
    assert_eq!(newest(&late.snapshots["local/shop"]).unwrap().snapshot.time, now().plus_seconds(-9000));
    let alone = facts(vec![places(60)]);
    assert_eq!(state(&alone), AppState::Waiting);
    assert_eq!(newest(&alone.snapshots["local/shop"]).unwrap().snapshot.time, now().plus_seconds(-60));
}
