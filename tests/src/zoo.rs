//! One engine of `deploy/lib/engine-zoo` and a small app on it: made, written to, looked at, damaged, removed.
//!
//! Volumes are looked at from outside, in the engine's data folder: what an engine tells of files is among what is tested.

use crate::house::{Said, deploy, run, sh};
use holdfast_docker::archive::{Entry, image, tar};
use serde_json::{Value, json};
use std::{
    path::{Path, PathBuf},
    process::Command,
};

/// An engine under test.
#[derive(Clone, Debug)]
pub struct Zoo {
    /// `docker-28`, `podman-5`…
    pub name: String,
    /// Its folder.
    pub folder: PathBuf,
    /// Its socket.
    pub socket: String,
}

impl Zoo {
    /// The engine of this run: `HOLDFAST_TEST_ENGINE` is the folder that `engine-zoo up NAME FOLDER` was given.
    pub fn of_this_run(test: &str) -> Option<(PathBuf, Zoo)> {
        let binary = crate::house::real_parts(test)?;
        let Some(folder) = std::env::var_os("HOLDFAST_TEST_ENGINE").map(PathBuf::from) else {
            eprintln!("{test}: SKIPPED, it needs HOLDFAST_TEST_ENGINE (deploy/test deep sets it)");
            return None;
        };
        let name = std::fs::read_to_string(folder.join("name")).expect("the engine is up").trim().to_owned();
        let socket = folder.join("docker.sock").display().to_string();
        Some((binary, Zoo { name, folder, socket }))
    }
    /// The machine's own engine, to move apps from.
    pub fn machine() -> Zoo {
        Zoo { name: "machine".into(), folder: PathBuf::from("/"), socket: "/var/run/docker.sock".into() }
    }
    /// Whether it is Podman.
    pub fn is_podman(&self) -> bool {
        self.name.starts_with("podman")
    }
    /// Whether files of containers belong to other users on the host.
    pub fn shift(&self) -> Option<Shift> {
        [("userns", USERNS), ("rootless", ROOTLESS)]
            .into_iter()
            .find_map(|(kind, shift)| self.name.ends_with(kind).then_some(shift))
    }
    /// The verb of `engine-zoo` on this engine.
    pub fn zoo(&self, verb: &str, args: &[&str]) -> Said {
        run(Command::new(deploy("lib/engine-zoo")).arg(verb).arg(&self.folder).args(args))
    }
    /// The first process of its namespaces.
    pub fn pid(&self) -> String {
        std::fs::read_to_string(self.folder.join("pid")).expect("the engine is up").trim().to_owned()
    }
    /// Docker's CLI on it.
    pub fn docker(&self, args: &str) -> String {
        sh(&format!("docker -H unix://{} {args}", self.socket))
    }
    /// Where a volume's files lie on the machine.
    pub fn place(&self, volume: &str) -> PathBuf {
        let inside = self.docker(&format!("volume inspect --format '{{{{.Mountpoint}}}}' {volume}"));
        if self.name == "machine" {
            return inside.trim().into();
        }
        let inside = Path::new(inside.trim());
        let below = ["/var/lib/docker", "/var/lib/containers"].iter().find_map(|root| inside.strip_prefix(root).ok());
        self.folder.join("data").join(below.expect("volumes lie in the engine's data folder"))
    }
}

/// Which user of the machine one of a container is.
#[derive(Clone, Copy, Debug)]
pub struct Shift {
    root: u32,
    others: u32,
}

/// As `engine-zoo` makes its users.
const USERNS: Shift = Shift { root: 300_000, others: 300_001 };
const ROOTLESS: Shift = Shift { root: 1500, others: 200_000 };

impl Shift {
    /// A container's user on the machine.
    pub fn outside(self, id: u32) -> u32 {
        if id == 0 { self.root } else { self.others + id - 1 }
    }
    /// A user of the machine in a container.
    pub fn inside(self, id: u32) -> u32 {
        if id == self.root { 0 } else { (id + 1).saturating_sub(self.others) }
    }
}

/// A project of two containers: `db` with a volume, an unnamed volume, a fixed address and a changed layer; `web` with
/// host paths and a published port. Dropped, it is removed.
#[derive(Debug)]
pub struct Small {
    /// Where it runs.
    pub zoo: Zoo,
    /// Compose project name.
    pub project: String,
    /// Folder behind the bind mounts.
    pub folder: PathBuf,
    /// Three bytes of its network.
    pub subnet: String,
}

const IMAGE: &str = "hfzoo/busy:1";

impl Small {
    /// Makes and starts it, and fills it.
    pub fn start(zoo: &Zoo, project: &str, subnet: &str) -> Small {
        let folder = PathBuf::from(format!("/tmp/holdfast-zoo-{project}-{}", std::process::id()));
        let app = Small { zoo: zoo.clone(), project: project.into(), folder, subnet: subnet.into() };
        app.remove();
        app.load_image();
        std::fs::create_dir_all(app.folder.join("site/sub")).expect("a folder");
        app.write_site();
        let label = format!("--label com.docker.compose.project={project}");
        zoo.docker(&format!(
            "network create {label} --label com.docker.compose.network=default --subnet {subnet}.0/24 {project}_default"
        ));
        zoo.docker(&format!("volume create {label} --label com.docker.compose.volume=data {project}_data"));
        let member = |service: &str, more: &str| {
            zoo.docker(&format!(
                "create --name {project}-{service}-1 {label} --label com.docker.compose.service={service} \
                 --label com.docker.compose.container-number=1 --label com.docker.compose.oneoff=False \
                 --network {project}_default --network-alias {service} --stop-timeout 1 --restart unless-stopped {more} {IMAGE}"
            ));
        };
        let memory = if zoo.name.ends_with("rootless") { "" } else { "--memory 64m" };
        member("db", &format!("{memory} -e SECRET=not-to-be-logged --ip {subnet}.10 -v {project}_data:/data -v /anon"));
        let (site, port) = (app.folder.display(), crate::house::free_port());
        member(
            "web",
            &format!(
                "--label com.docker.compose.depends_on=db:service_started:true -v {site}/site:/site:ro -v {site}/one.conf:/etc/one.conf -p 127.0.0.1:{port}:8080"
            ),
        );
        zoo.docker(&format!("start {project}-db-1 {project}-web-1"));
        app.fill();
        app
    }

    fn write_site(&self) {
        std::fs::write(self.folder.join("site/index.html"), "hello").expect("it can be written");
        std::fs::write(self.folder.join("site/sub/page"), vec![b'p'; 70_000]).expect("it can be written");
        std::fs::write(self.folder.join("one.conf"), "single").expect("it can be written");
        let (folder, mut owners) = (self.folder.display(), [(0, 0), (33, 34), (70, 71)]);
        if self.zoo.name.ends_with("rootless") {
            // What others own an engine without root can read, not put back.
            owners = owners.map(|(user, group)| (ROOTLESS.outside(user), ROOTLESS.outside(group)));
        }
        let [(u, g), (u1, g1), (u2, g2)] = owners;
        sh(&format!(
            "chmod -R a+rX {folder} && chown -R {u}:{g} {folder} && chown {u1}:{g1} {folder}/site/sub/page && chown {u2}:{g2} {folder}/one.conf"
        ));
    }

    fn load_image(&self) {
        let busybox = std::fs::read("/bin/busybox").expect("a static busybox (package busybox-static)");
        let mut base = vec![Entry::directory("bin"), Entry::file("bin/busybox", busybox).mode(0o755)];
        base.extend(TOOLS.split(' ').map(|tool| Entry::symlink(format!("bin/{tool}"), "busybox")));
        base.extend([Entry::directory("etc"), Entry::directory("tmp").mode(0o1777), Entry::directory("var")]);
        let top = tar(&[Entry::file("etc/app.conf", "factory"), Entry::file("etc/doomed", "x")]);
        let command = ["/bin/busybox", "sh", "-c", "trap exit INT TERM; while :; do sleep 1; done"];
        let config = json!({"architecture": "amd64", "os": "linux", "config": {"Cmd": command, "Env": ["PATH=/bin", "COLOUR=green"]}});
        std::fs::create_dir_all(&self.folder).expect("a folder");
        let path = self.folder.join("image.tar");
        std::fs::write(&path, image(IMAGE, &config, &[tar(&base), top])).expect("it can be written");
        self.zoo.docker(&format!("load -q -i {}", path.display()));
    }

    /// Runs a line of busybox's shell as root in a member.
    pub fn exec(&self, service: &str, line: &str) -> String {
        self.exec_in(&self.project, service, line)
    }
    /// The same in another project on this engine.
    pub fn exec_in(&self, project: &str, service: &str, line: &str) -> String {
        let said = run(Command::new("docker")
            .args(["-H", &format!("unix://{}", self.zoo.socket), "exec", "-u", "0"])
            .args([&format!("{project}-{service}-1"), "sh", "-ec", line]));
        assert_eq!(said.code, 0, "{project}-{service}: {line}\n{}{}", said.out, said.err);
        said.out
    }

    fn fill(&self) {
        self.exec(
            "db",
            "mkdir -p /data/d/e /data/many; echo first >/data/a; chown 70:71 /data/a; chmod 640 /data/a
             echo s >/data/d/e/suid; chown 999:999 /data/d /data/d/e/suid; chmod 2770 /data/d; chmod 4755 /data/d/e/suid
             ln -s ../a /data/d/link; ln /data/a /data/hard; mkfifo /data/fifo; chown 999:999 /data; chmod 750 /data
             dd if=/dev/zero of=/data/sparse bs=1 seek=4194304 count=1 2>/dev/null
             i=0; while [ $i -lt 300 ]; do echo $i >/data/many/$i; i=$((i+1)); done
             echo lost >/anon/u; chown 5:6 /anon/u
             echo changed >/etc/app.conf; chown 70:71 /etc/app.conf; chmod 600 /etc/app.conf; rm /etc/doomed
             mkdir -p /var/new/deep; echo n >/var/new/deep/n; chown -R 999:998 /var/new",
        );
        let place = self.zoo.place(&format!("{}_data", self.project));
        // No tool of busybox does these.
        let file = |path: &str| std::fs::File::open(place.join(path)).expect("it is there");
        rustix::fs::fsetxattr(file("a"), c"user.colour", b"green", rustix::fs::XattrFlags::empty()).expect("it is set");
        let odd = std::time::UNIX_EPOCH + std::time::Duration::new(1_700_000_000, 123_456_789);
        file("d/e/suid").set_modified(odd).expect("it is set");
    }

    /// What shows that the layer of `db` and what `web` mounts are the original's.
    pub fn tell(&self, project: &str) -> String {
        let layer = self.exec_in(project, "db", LAYER);
        layer + &self.exec_in(project, "web", MOUNTED)
    }

    /// Inspect of every container and network, as the engine says it.
    pub fn inspect(&self) -> Vec<(String, Value)> {
        let parse = |text: String| -> Value {
            let mut list: Vec<Value> = serde_json::from_str(&text).expect("docker prints JSON");
            list.remove(0)
        };
        let container = |service: &str| {
            let name = format!("{}-{service}-1", self.project);
            let value = parse(self.zoo.docker(&format!("inspect {name}")));
            (name, value)
        };
        let network = parse(self.zoo.docker(&format!("network inspect {}_default", self.project)));
        vec![container("db"), container("web"), ("network".into(), network)]
    }

    /// Damages everything: containers, volumes, network and image go, host paths are overwritten.
    pub fn wreck(&self) {
        self.take_down(&self.project);
        self.zoo.docker(&format!("rmi -f {IMAGE}"));
        std::fs::write(self.folder.join("site/index.html"), "wrecked").expect("it can be written");
        std::fs::remove_file(self.folder.join("site/sub/page")).expect("it is there");
        std::fs::write(self.folder.join("one.conf"), "wrecked").expect("it can be written");
    }

    /// Removes a project's containers, volumes and network.
    pub fn take_down(&self, project: &str) {
        let docker = format!("docker -H unix://{}", self.zoo.socket);
        sh(&format!(
            "{docker} ps -a --format '{{{{.Names}}}}' | grep '^{project}-[a-z]*-1' | xargs -r {docker} rm -fv >/dev/null; \
             {docker} volume ls -q | grep '^{project}_' | xargs -r {docker} volume rm >/dev/null; \
             {docker} network ls --format '{{{{.Name}}}}' | grep '^{project}_' | xargs -r {docker} network rm >/dev/null; true"
        ));
    }

    fn remove(&self) {
        self.take_down(&self.project);
        self.take_down(&format!("{}-copy", self.project));
        run(Command::new("docker").args(["-H", &format!("unix://{}", self.zoo.socket), "rmi", "-f", IMAGE]));
        std::fs::remove_dir_all(&self.folder).ok();
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        self.remove();
    }
}

const TOOLS: &str = "sh sleep mkdir chown chmod ln mkfifo dd rm cat stat find sort ls";
const LAYER: &str = "cat /etc/app.conf; stat -c '%u:%g %a %n' /etc/app.conf /var/new /var/new/deep /var/new/deep/n; cat /var/new/deep/n; cat /anon/u; stat -c '%u:%g %a %n' /anon/u";
const MOUNTED: &str =
    "cat /site/index.html /etc/one.conf; stat -c '%u:%g %a %s %n' /site/sub/page; stat -c '%u:%g %a %n' /etc/one.conf";
