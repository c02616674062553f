//! Meetings, with sockets that the test opens and with movers on a real engine (HOLDFAST_REAL_DOCKER=1).

use super::*;
use crate::{
    archive,
    fake::FakeDocker,
    mover::{Mounted, Mover, Over},
    real::connect_with,
};
use holdfast_model::settings::Host;
use std::{
    os::unix::net::UnixStream as Caller,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};
use tokio::io::AsyncWriteExt;

const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

#[test]
fn containers_are_told_by_what_engines_mount_over_etc() {
    let line = |root: &str, place: &str| format!("812 790 254:1 {root} {place} rw,relatime - ext4 /dev/vda1 rw\n");
    let docker = line("/data", "/data") + &line(&format!("/lib/docker/containers/{ID}/hostname"), "/etc/hostname");
    assert_eq!(own_container(&docker), Some(ID));
    let podman = line(&format!("/containers/overlay-containers/{ID}/userdata/hosts"), "/etc/hosts");
    assert_eq!(own_container(&podman), Some(ID));
    assert_eq!(own_container(&line("/", "/")), None);
    assert_eq!(own_container(&line(&format!("/docker/volumes/{ID}/_data"), "/data")), None, "a volume of that name");
}

#[test]
fn of_mounts_within_mounts_the_innermost_holds() {
    let inspect = json!({ "Mounts": [
        { "Destination": "/data", "Source": "/srv/outer" },
        { "Destination": "/data/lanes", "Source": "/srv/inner" },
        { "Destination": "/database", "Source": "/srv/other" },
    ]});
    let place = |path: &str| mounted_from(&inspect, Path::new(path));
    assert_eq!(place("/data/lanes/a"), Some("/srv/inner/a".into()));
    assert_eq!(place("/data/b"), Some("/srv/outer/b".into()));
    assert_eq!(place("/elsewhere"), None, "the writable layer is nobody else's");
}

fn lane(above: &Path) -> (Lanes, Lane, PathBuf) {
    let lanes = Lanes::open(above).unwrap();
    let lane = Lane::open(&lanes.folder.0, &lanes.folder.0).unwrap();
    let socket = lane.place.0.join(SOCKET);
    (lanes, lane, socket)
}

#[tokio::test]
async fn a_mover_that_comes_is_heard_and_its_folder_goes() {
    let above = tempfile::tempdir().unwrap();
    let (lanes, lane, socket) = lane(above.path());
    let (folder, place) = (lanes.folder.0.clone(), socket.parent().unwrap().to_owned());
    let mover = async {
        let mut line = UnixStream::connect(&socket).await.unwrap();
        let mut complaints = UnixStream::connect(&socket).await.unwrap();
        complaints.write_all(b"a complaint").await.unwrap();
        let mut heard = String::new();
        line.read_to_string(&mut heard).await.unwrap();
        line.write_all(heard.to_uppercase().as_bytes()).await.unwrap();
    };
    let appliance = async {
        let (Line { mut input, mut output }, mut complaints) = lane.meet(std::future::pending()).await.unwrap();
        assert!(!place.exists());
        input.write_all(b"asked").await.unwrap();
        input.shutdown().await.unwrap();
        assert_eq!(output.next().await.unwrap().unwrap(), "ASKED");
        assert!(output.next().await.is_none());
        let mut complained = String::new();
        complaints.read_to_string(&mut complained).await.unwrap();
        assert_eq!(complained, "a complaint");
    };
    tokio::join!(mover, appliance);
    drop(lanes);
    assert!(!folder.exists());
}

#[tokio::test(start_paused = true)]
async fn who_has_ended_or_never_comes_is_not_waited_for() {
    let above = tempfile::tempdir().unwrap();
    for (alive, words) in [(false, "it has ended"), (true, "it took too long")] {
        let (lanes, lane, socket) = lane(above.path());
        // One connection is half a meeting.
        let half = (!alive).then(|| Caller::connect(&socket).unwrap());
        let gone = async {
            if alive {
                std::future::pending::<()>().await;
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        };
        let error = lane.meet(gone).await.err().unwrap();
        assert_eq!(error.code(), "mover.lane");
        assert!(error.to_string().contains(words), "{error}");
        assert!(!socket.exists());
        drop((lanes, half));
    }
}

#[tokio::test]
async fn a_mover_that_is_killed_ends_its_line() {
    let above = tempfile::tempdir().unwrap();
    let (_lanes, lane, socket) = lane(above.path());
    let line = Caller::connect(&socket).unwrap();
    let complaints = Caller::connect(&socket).unwrap();
    let (Line { mut input, mut output }, _) = lane.meet(std::future::pending()).await.unwrap();
    input.write_all(b"what it never reads").await.unwrap();
    drop((line, complaints));
    assert!(output.next().await.is_none(), "the kernel says reset, for there was something unread");
}

#[tokio::test(start_paused = true)]
async fn lanes_that_failed_are_tried_again_later_and_later_and_one_meeting_forgives_them() {
    let (above, engine) = (tempfile::tempdir().unwrap(), FakeDocker::new());
    let lanes = Lanes::open(above.path()).unwrap();
    let outside = lanes.folder.0.clone();
    let lanes = lanes.seen_at(&outside);
    let hours = |count: u64| Duration::from_secs(count * 3600);
    for wait in [Duration::from_secs(600), hours(1), hours(6), hours(6)] {
        assert!(lanes.lane(&engine).await.is_some());
        // Two movers that were on their way at once.
        lanes.close();
        lanes.close();
        tokio::time::advance(wait - Duration::from_secs(1)).await;
        assert!(lanes.lane(&engine).await.is_none(), "before {wait:?}");
        tokio::time::advance(Duration::from_secs(1)).await;
    }
    assert!(lanes.lane(&engine).await.is_some());
    lanes.close();
    lanes.met();
    assert!(lanes.lane(&engine).await.is_some(), "another one came meanwhile");
    lanes.close();
    tokio::time::advance(Duration::from_secs(600)).await;
    assert!(lanes.lane(&engine).await.is_some(), "it is the first failure in a row");
}

#[tokio::test]
async fn data_folders_may_lie_as_deep_as_they_like() {
    let above = tempfile::tempdir().unwrap();
    let (lanes, lane, socket) = lane(&above.path().join("d".repeat(200)));
    assert!(socket.as_os_str().len() > 200);
    assert_eq!(fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o666);
    // A mover has a short path of its own.
    let folder = fs::File::open(socket.parent().unwrap()).unwrap();
    let short = format!("/proc/self/fd/{}/{SOCKET}", folder.as_raw_fd());
    let (_line, _complaints) = (Caller::connect(&short).unwrap(), Caller::connect(&short).unwrap());
    lane.meet(std::future::pending()).await.unwrap();
    assert!(!socket.exists() && !socket.parent().unwrap().exists());
    let folder = lanes.folder.0.clone();
    drop(lanes);
    assert!(!folder.exists());
}

/// A volume of a few files on a real engine, gone with the test.
struct Volume(Arc<dyn Engine>, &'static str);

impl Volume {
    async fn made(name: &'static str) -> Option<Volume> {
        std::env::var_os("HOLDFAST_REAL_DOCKER")?;
        let engine = connect_with(&host(), None).await.unwrap();
        engine.volume_create(&json!({ "Name": name })).await.unwrap();
        Some(Volume(engine, name))
    }

    async fn gone(self) {
        self.0.volume_remove(self.1).await.unwrap();
        let named = |listed: &Value| listed["Names"].to_string().contains(self.1);
        let left: Vec<Value> = self.0.container_list().await.unwrap().into_iter().filter(named).collect();
        assert!(left.is_empty(), "{left:?}");
    }
}

fn host() -> Host {
    let url = std::env::var("HOLDFAST_DOCKER_URL").unwrap_or_else(|_| "unix:///var/run/docker.sock".into());
    Host { name: "local".into(), url, tls: None, ssh: None }
}

/// Writes a tar into the volume and reads it back; what the writer complained of, and the tar.
async fn round(engine: &Arc<dyn Engine>, volume: &'static str, tar: Vec<u8>) -> (Option<String>, Vec<u8>) {
    let mounted = Mounted::Volume(volume);
    let name = format!("{volume}-writer");
    let (mover, line) = Mover::writer(engine.clone(), &name, "test", mounted, Over::Replace).await.unwrap();
    let told = mover.fill(line, stream::iter([Ok(tar.into())]).boxed()).await.unwrap();
    mover.close().await.unwrap();
    let (mover, mut said) = Mover::reader(engine.clone(), &format!("{volume}-reader"), "test", mounted).await.unwrap();
    let mut read = Vec::new();
    while let Some(bytes) = said.next().await {
        read.extend_from_slice(&bytes.unwrap());
    }
    drop(said);
    mover.close().await.unwrap();
    (told, read)
}

#[tokio::test]
async fn real_movers_say_and_hear_the_same_past_the_engine() {
    let Some(volume) = Volume::made("hflane-same").await else { return };
    let above = tempfile::tempdir().unwrap();
    let content: Vec<u8> = (0..3 << 20).map(|number: u32| (number / 3) as u8).collect();
    let entries = [
        archive::Entry::directory("v").mode(0o755),
        archive::Entry::file("v/large", content),
        // Nobody can give a file such a name: a complaint, and the rest is written.
        archive::Entry::file(format!("v/{}", "n".repeat(300)), "x"),
    ];
    let tar = archive::tar(&entries);
    let beside = connect_with(&host(), Some(Lanes::open(above.path()).unwrap())).await.unwrap();
    let (complained, near) = round(&beside, volume.1, tar.clone()).await;
    assert!(complained.unwrap().contains("nnn"), "complaints have their own way");
    assert!(!beside.lanes().unwrap().is_closed(), "they met");
    let (_, far) = round(&volume.0, volume.1, tar).await;
    assert!(near.len() > 3 << 20 && near == far, "{} and {} bytes", near.len(), far.len());
    drop(beside);
    assert_eq!(fs::read_dir(above.path()).unwrap().count(), 0);
    volume.gone().await;
}

#[tokio::test]
async fn an_engine_that_does_not_see_the_folder_is_talked_through() {
    let Some(volume) = Volume::made("hflane-far").await else { return };
    let (above, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let tar = archive::tar(&[archive::Entry::directory("v").mode(0o755), archive::Entry::file("v/a", "content")]);
    // A folder that is not there is refused; one that is another's has no socket in it.
    for prepared in [false, true] {
        let lanes = Lanes::open(above.path()).unwrap().seen_at(elsewhere.path());
        let beside = connect_with(&host(), Some(lanes)).await.unwrap();
        let lanes = beside.lanes().unwrap();
        if prepared {
            // Whatever the lane is called.
            let is_met = AtomicBool::new(false);
            let watch = async {
                while !is_met.load(Ordering::Relaxed) {
                    for lane in fs::read_dir(&lanes.folder.0).unwrap().flatten() {
                        fs::create_dir_all(elsewhere.path().join(lane.file_name())).unwrap();
                    }
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            };
            let work = async {
                let done = round(&beside, volume.1, tar.clone()).await;
                is_met.store(true, Ordering::Relaxed);
                done
            };
            let (_, (told, read)) = tokio::join!(watch, work);
            assert!(told.is_none() && !read.is_empty());
        } else {
            let (told, read) = round(&beside, volume.1, tar.clone()).await;
            assert!(told.is_none() && !read.is_empty());
        }
        assert!(lanes.is_closed(), "it is not tried again at once");
    }
    volume.gone().await;
}
