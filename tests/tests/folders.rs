//! Folders of this machine through mover and repository and back: exact, incremental, with what changed named.

use holdfast_model::snapshot::Snapshot;
use holdfast_tests::folder_repository::{BackedUp, FolderRepository};
use std::{
    fs,
    path::Path,
    process::Command,
    sync::atomic::Ordering,
    time::{Duration, SystemTime},
};

/// Everything that GNU tar sees, as bytes.
fn tar(folder: &Path) -> Vec<u8> {
    let options = ["--sort=name", "--format=posix", "--pax-option=delete=atime,delete=ctime,exthdr.name=x", "--xattrs"];
    let output = Command::new("tar").args(options).arg("-cf").arg("-").arg("-C").arg(folder).arg(".").output();
    let output = output.expect("tar runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

fn read(done: &BackedUp) -> u64 {
    done.numbers.moved.load(Ordering::Relaxed)
}

async fn assert_restores(house: &FolderRepository, snapshot: &Snapshot, expected: &[u8]) {
    let to = tempfile::tempdir().expect("a folder");
    let (entries, problems) = house.restore(&snapshot.id.to_string(), to.path()).await.expect("it restores");
    assert_eq!(problems, []);
    assert_eq!(entries, snapshot.streams().map(|stream| stream.entries).sum::<u64>());
    assert!(tar(to.path()) == expected, "what came back is not what was there");
}

/// A folder of small files, a large one, a sparse one and links, all of it an hour old, as far as times can be set.
fn make(folder: &Path) {
    for number in 0..1500 {
        let place = folder.join(format!("{}/{}", number % 30, number % 7));
        fs::create_dir_all(&place).expect("a folder");
        fs::write(place.join(number.to_string()), format!("file {number}").repeat(number % 100)).expect("a file");
    }
    let noise: Vec<u8> = (0..3_000_000u64).map(|n| (n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8).collect();
    fs::write(folder.join("large"), &noise).expect("a file");
    fs::File::create(folder.join("sparse")).and_then(|file| file.set_len(5 << 20)).expect("a file");
    fs::hard_link(folder.join("large"), folder.join("twin")).expect("a link");
    std::os::unix::fs::symlink("nowhere", folder.join("link")).expect("a link");
}

/// Waits until what was just changed counts as settled.
fn settle() {
    std::thread::sleep(Duration::from_millis(3100));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_comes_back_and_is_read_only_where_it_changed() {
    let (folder, place) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    make(folder.path());
    settle();
    let house = FolderRepository::open(place.path()).await.expect("it opens");
    let first = house.back_up(folder.path()).await.expect("it is backed up");
    assert_eq!(first.snapshot.problems, []);
    assert_restores(&house, &first.snapshot, &tar(folder.path())).await;

    let second = house.back_up(folder.path()).await.expect("it is backed up");
    assert_eq!(read(&second), 0, "nothing changed, nothing is read");
    assert_restores(&house, &second.snapshot, &tar(folder.path())).await;

    fs::write(folder.path().join("3/3/3"), b"changed").expect("a file");
    fs::remove_file(folder.path().join("4/4/4")).expect("a file");
    fs::write(folder.path().join("5/new"), vec![1; 10_000]).expect("a file");
    settle();
    let expected = tar(folder.path());
    let third = house.back_up(folder.path()).await.expect("it is backed up");
    assert_eq!(third.snapshot.problems, []);
    assert!((10_000..100_000).contains(&read(&third)), "{}", read(&third));
    assert_restores(&house, &third.snapshot, &expected).await;

    drop(house);
    let house = FolderRepository::open(place.path()).await.expect("it opens");
    assert_restores(&house, &third.snapshot, &expected).await;
    let fourth = house.back_up(folder.path()).await.expect("it is backed up");
    assert_eq!(read(&fourth), 0, "not after opening anew either");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_changed_just_now_is_read_again() {
    let (folder, place) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    fs::write(folder.path().join("file"), b"one").expect("a file");
    let house = FolderRepository::open(place.path()).await.expect("it opens");
    house.back_up(folder.path()).await.expect("it is backed up");
    // The same length and, as coarse clocks may have it, the same time: nothing shows but the content.
    let time = fs::metadata(folder.path().join("file")).and_then(|meta| meta.modified()).expect("a time");
    fs::write(folder.path().join("file"), b"two").expect("a file");
    let file = fs::File::options().write(true).open(folder.path().join("file")).expect("a file");
    file.set_modified(time).expect("its time is set");
    assert!(SystemTime::now() > time);
    let second = house.back_up(folder.path()).await.expect("it is backed up");
    assert_restores(&house, &second.snapshot, &tar(folder.path())).await;
}
