//! A real bucket behind a bad line. Slow, far and losing: backups go on, memory and lists stay bounded, and all arrives. Away for a
//! week: every backup succeeds in the cache, and when the bucket is back all of them reach it by themselves.
//!
//! The line is made bad by the proxy of these tests, always, and by the kernel (network namespace, `netem`) where that can be done.
//! Skipped, aloud, without a server (see `Place::real`).

use bytes::Bytes;
use holdfast_cloud_sync::FLYING_BYTES;
use holdfast_model::{SnapshotId, view::CloudState};
use holdfast_repository::{RecoveryKey, Repository};
use holdfast_runtime::{Clock, Stop};
use holdfast_s3::Patience;
use holdfast_storage::{DirStore, MemStore, Store};
use holdfast_tests::{
    house,
    s3proxy::{S3Proxy, Shape},
    s3site::{Keeper, Place, memory, prove, tree},
};
use std::{
    collections::{BTreeMap, HashSet},
    net::{IpAddr, Ipv4Addr},
    path::Path,
    process::Command,
    sync::Arc,
    time::{Duration, Instant},
};

/// 1 Mbit/s each way.
const RATE: u64 = 125_000;
const DELAY: Duration = Duration::from_millis(300);
/// Of a thousand requests: what a line that loses one packet in twenty does to connections that last.
const BREAKS: u64 = 50;
/// The same for the kernel.
const NETEM: &str = "netem delay 300ms loss 5% rate 1mbit";
/// Backups over the kernel's line, which loses what the proxy's passes on, and the files of their tree.
const FAR: (u64, u64) = (4, 12);
/// A backup does not wait for the line: then it would take longer than this.
const BACKUP: Duration = Duration::from_secs(10);
/// What the line may need to catch up.
const CATCH_UP: Duration = Duration::from_secs(300);
/// What shipping may add to this process, bytes.
const MEMORY: u64 = FLYING_BYTES + (96 << 20);
/// Objects that a list of what waits may hold here.
const LISTED: usize = 4;
const WEEK: u64 = 7 * 24;
/// Tells the process at the far end of the kernel's line what it has to know.
const FAR_END: &str = "HOLDFAST_TEST_FAR_END";

/// The key, and what is in the cloud.
type Shipped = (RecoveryKey, BTreeMap<SnapshotId, Bytes>);

/// Over a bad line an attempt may fail; then there is another one.
async fn attached(repository: &Repository, bucket: &Arc<dyn Store>) {
    for turn in 0.. {
        match repository.attach_bucket(bucket.clone()).await {
            Ok(()) => return,
            Err(error) => assert!(turn < 20, "{}", error.chain()),
        }
    }
}

async fn until_shipped(keeper: &Keeper) {
    let begun = Instant::now();
    while !keeper.is_shipped() {
        assert!(begun.elapsed() < CATCH_UP, "{} objects still wait", keeper.repository.to_ship().len());
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// Backs up faster than the line takes it, and waits until it has taken all.
async fn over_a_line(place: &Place, backups: u64, files: u64) -> Shipped {
    let home = tempfile::tempdir().expect("a folder");
    let cache = Arc::new(DirStore::open(home.path().join("cache")).expect("a folder"));
    let mut keeper = Keeper::create(cache, &Clock::system()).await;
    let bucket: Arc<dyn Store> = Arc::new(place.store(Patience::default()));
    attached(&keeper.repository, &bucket).await;
    let stop = Stop::new();
    let shipper = keeper.ship(bucket, &stop);
    let before = memory();
    for version in 1..=backups {
        let begun = Instant::now();
        keeper.back_up("app", tree(9, version, files)).await.expect("a backup waits for no line");
        assert!(begun.elapsed() < BACKUP, "a backup took {:?}", begun.elapsed());
        shipper.nudge();
    }
    let waiting = keeper.repository.ship_list(LISTED, &HashSet::new());
    assert!(waiting.objects > LISTED as u64, "the line was not slow: {} objects wait", waiting.objects);
    assert!(waiting.items.len() <= LISTED, "{} objects in a list of {LISTED}", waiting.items.len());
    let most = async {
        let mut most = 0;
        loop {
            most = memory().max(most);
            if keeper.is_shipped() {
                return most;
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    let most = tokio::time::timeout(CATCH_UP, most).await;
    let most = most.unwrap_or_else(|_| panic!("it does not catch up: {:?}", shipper.status()));
    assert!(most.saturating_sub(before) < MEMORY, "memory grew from {before} to {most} bytes");
    stop.cancel();
    shipper.finished().await;
    (keeper.repository.recovery_key(), keeper.claimed())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn backups_go_on_before_a_slow_line_that_breaks() {
    let Some(server) = Place::real("real_s3_link slow") else { return };
    let place = server.with_bucket("slow").await;
    let shape = Shape { bytes_per_second: RATE, delay: DELAY, breaks: BREAKS };
    let proxy = S3Proxy::shaped(Ipv4Addr::LOCALHOST.into(), &place.endpoint, shape).await;
    let (key, shipped) = over_a_line(&place.by(&proxy.url), 8, 36).await;
    assert_eq!(shipped.len(), 8);
    assert!((proxy.most_in_flight() as u64) <= FLYING_BYTES, "{} bytes flew at once", proxy.most_in_flight());
    println!("slow line: {} requests", proxy.seen().len());
    prove(&place, &key, &shipped).await;
    place.remove().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_week_without_the_bucket_is_caught_up() {
    let Some(server) = Place::real("real_s3_link week") else { return };
    let place = server.with_bucket("week").await;
    let proxy = S3Proxy::start(&place.endpoint, Duration::ZERO).await;
    let clock = Clock::manual(Clock::system().now());
    let mut keeper = Keeper::create(Arc::new(MemStore::new()), &clock).await;
    let bucket: Arc<dyn Store> = Arc::new(place.by(&proxy.url).store(Patience::default()));
    attached(&keeper.repository, &bucket).await;
    let stop = Stop::new();
    let shipper = keeper.ship(bucket, &stop);
    keeper.back_up("app", tree(5, 0, 2)).await.expect("a backup");
    shipper.nudge();
    until_shipped(&keeper).await;

    proxy.shut();
    for hour in 1..=WEEK {
        clock.advance(Duration::from_secs(3600));
        keeper.back_up("app", tree(5, hour, 2)).await.expect("a backup needs no bucket");
        shipper.nudge();
    }
    let entries = keeper.repository.snapshots();
    let waiting = entries.iter().filter(|entry| entry.state.cloud == CloudState::Shipping).count();
    assert_eq!(waiting as u64, WEEK, "what was made meanwhile is not called cloud");
    is_told(&shipper).await;

    // Nobody says that it is worth trying.
    proxy.open();
    until_shipped(&keeper).await;
    assert_eq!(keeper.claimed().len() as u64, WEEK + 1);
    stop.cancel();
    shipper.finished().await;
    prove(&place, &keeper.repository.recovery_key(), &keeper.truth).await;
    place.remove().await;
}

/// The board says that the bucket is away.
async fn is_told(shipper: &holdfast_cloud_sync::Shipper) {
    let begun = Instant::now();
    loop {
        let told = shipper.status().error.map(|trouble| trouble.code).unwrap_or_default();
        if ["bucket.unreachable", "bucket.fence_unseen"].contains(&told.as_str()) {
            return;
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "the bucket is away, and this is told: “{told}”");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// A network of its own, behind a line that the kernel makes bad; gone when dropped.
struct Space {
    name: String,
    ours: String,
    near: IpAddr,
}

impl Space {
    /// `None`, with a line that says why, where the kernel or our rights do not allow it.
    fn make() -> Option<Space> {
        let id = std::process::id();
        let (name, ours, theirs) = (format!("hfline{id}"), format!("hfa{id}"), format!("hfb{id}"));
        // Of the range for measurements, which no network has.
        let space = Space { name: name.clone(), ours: ours.clone(), near: Ipv4Addr::new(198, 18, 77, 1).into() };
        for step in [
            format!("ip netns add {name}"),
            format!("ip link add {ours} type veth peer name {theirs} netns {name}"),
            format!("ip addr add 198.18.77.1/30 dev {ours}"),
            format!("ip link set {ours} up"),
            format!("ip -n {name} addr add 198.18.77.2/30 dev {theirs}"),
            format!("ip -n {name} link set {theirs} up"),
            format!("ip -n {name} link set lo up"),
            format!("tc qdisc add dev {ours} root {NETEM}"),
            format!("ip netns exec {name} tc qdisc add dev {theirs} root {NETEM}"),
        ] {
            let said = house::run(Command::new("sh").args(["-c", &step]));
            if said.code != 0 {
                eprintln!("real_s3_link netem: SKIPPED, no bad line can be made here: {step}: {}", said.err.trim());
                return None;
            }
        }
        Some(space)
    }
}

impl Drop for Space {
    fn drop(&mut self) {
        for step in [format!("ip link del {}", self.ours), format!("ip netns del {}", self.name)] {
            // What was not made is not there.
            house::run(Command::new("sh").args(["-c", &step]));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn backups_go_on_before_a_line_that_loses_packets() {
    let Some(server) = Place::real("real_s3_link netem") else { return };
    let Some(space) = Space::make() else { return };
    let place = server.with_bucket("netem").await;
    let proxy = S3Proxy::shaped(space.near, &place.endpoint, Shape::default()).await;
    let home = tempfile::tempdir().expect("a folder");
    let told = home.path().join("told");
    let Place { access_key, secret_key, bucket, .. } = &place;
    let known = format!("{} {access_key} {secret_key} {bucket} {}", proxy.url, told.display());
    let mut command = Command::new("ip");
    command.args(["netns", "exec", &space.name]).arg(std::env::current_exe().expect("we know who we are"));
    command.args(["--exact", "the_far_end", "--nocapture"]).env(FAR_END, known);
    let said = tokio::task::spawn_blocking(move || house::run(&mut command)).await.expect("it ends");
    assert_eq!(said.code, 0, "{}{}", said.out, said.err);
    let (key, shipped) = read_told(&told);
    assert_eq!(shipped.len() as u64, FAR.0);
    prove(&place, &key, &shipped).await;
    place.remove().await;
}

/// Started by the test above in the network behind the bad line; does nothing otherwise.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_far_end() {
    let Ok(known) = std::env::var(FAR_END) else { return };
    let words: Vec<&str> = known.split(' ').collect();
    let [endpoint, access_key, secret_key, bucket, told] = words[..] else { panic!("five words are told: {words:?}") };
    let place = Place { bucket: bucket.to_owned(), ..Place::at(endpoint, access_key, secret_key) };
    let (key, shipped) = over_a_line(&place, FAR.0, FAR.1).await;
    let mut text = hex::encode(key.0);
    for id in shipped.keys() {
        text.push_str(&format!("\n{id}"));
    }
    std::fs::write(told, text).expect("a file can be written");
}

/// What the far end has shipped: its snapshots are of the versions of its tree, one after the other.
fn read_told(path: &Path) -> Shipped {
    let text = std::fs::read_to_string(path).expect("the far end has told it");
    let mut lines = text.lines();
    let mut key = [0; 32];
    hex::decode_to_slice(lines.next().unwrap_or_default(), &mut key).expect("a key");
    let ids = lines.map(|line| line.parse::<SnapshotId>().expect("an id"));
    (RecoveryKey(key), ids.zip(1..).map(|(id, version)| (id, tree(9, version, FAR.1))).collect())
}
