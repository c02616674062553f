//! The demo project on a real engine: made, asked, damaged and compared.

use crate::house::{deploy, run, sh, wait_for};
use serde_json::Value;
use std::{path::PathBuf, process::Command};

/// A running demo project; dropped, it is removed.
#[derive(Debug)]
pub struct Demo {
    /// Compose project name.
    pub project: String,
    /// Host port of its web server.
    pub port: u16,
    /// Folder behind the bind mount.
    pub folder: PathBuf,
    /// Docker socket.
    pub socket: String,
}

impl Demo {
    /// Starts a project with a pgbench database of `scale`.
    pub fn start(project: &str, scale: u32, subnet: &str, socket: &str) -> Demo {
        let port = crate::house::free_port();
        let folder = PathBuf::from(format!("/tmp/holdfast-demo-{project}-{}", std::process::id()));
        let demo = Demo { project: project.into(), port, folder, socket: socket.into() };
        demo.remove();
        let said = run(Command::new(deploy("lib/demo-app"))
            .env("DEMO_SUBNET", subnet)
            .args(["up", project, &port.to_string()])
            .arg(&demo.folder)
            .arg(socket));
        assert_eq!(said.code, 0, "{}{}", said.out, said.err);
        demo.wait_database();
        demo.exec("db", &format!("pgbench -U postgres -i -s {scale} -q postgres 2>&1"));
        demo.exec("redis", "redis-cli set greeting hello >/dev/null; redis-cli save");
        demo
    }
    /// Docker on this project's engine.
    pub fn docker(&self, args: &str) -> String {
        sh(&format!("docker -H unix://{} {args}", self.socket))
    }
    /// Runs a shell line in a member.
    pub fn exec(&self, service: &str, line: &str) -> String {
        self.exec_in(&self.project, service, line)
    }
    /// Runs a shell line in a member of another project on this engine.
    pub fn exec_in(&self, project: &str, service: &str, line: &str) -> String {
        let said = run(Command::new("docker").args([
            "-H",
            &format!("unix://{}", self.socket),
            "exec",
            &format!("{project}-{service}-1"),
            "bash",
            "-c",
            line,
        ]));
        assert_eq!(said.code, 0, "{project}-{service}: {line}\n{}{}", said.out, said.err);
        said.out
    }
    /// Waits until the database answers.
    pub fn wait_database(&self) {
        self.wait_database_of(&self.project);
    }
    /// Waits until the database of a project on this engine answers.
    pub fn wait_database_of(&self, project: &str) {
        let line = format!("docker -H unix://{} exec {project}-db-1 pg_isready -q -U postgres", self.socket);
        wait_for("the database answers", 60, || run(Command::new("bash").args(["-c", &line])).code == 0);
    }
    /// Starts pgbench in the background for `seconds`.
    pub fn write_for(&self, seconds: u32) -> std::process::Child {
        Command::new("docker")
            .args(["-H", &format!("unix://{}", self.socket), "exec", &format!("{}-db-1", self.project)])
            .args(["pgbench", "-U", "postgres", "-c", "4", "-T", &seconds.to_string(), "postgres"])
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn()
            .expect("docker exec starts")
    }
    /// The invariant of pgbench: balances of accounts, tellers, branches and the history's sum agree;
    /// and no page is damaged.
    pub fn verify_database(&self, project: &str) -> String {
        self.wait_database_of(project);
        let sums = self.exec_in(
            project,
            "db",
            "psql -U postgres -Atc \"select (select coalesce(sum(abalance),0) from pgbench_accounts) = (select coalesce(sum(bbalance),0) from pgbench_branches) and \
             (select coalesce(sum(bbalance),0) from pgbench_branches) = (select coalesce(sum(tbalance),0) from pgbench_tellers) and \
             (select coalesce(sum(delta),0) from pgbench_history) = (select coalesce(sum(bbalance),0) from pgbench_branches), count(*) from pgbench_history\"",
        );
        assert!(sums.starts_with("t|"), "the sums of pgbench disagree: {sums}");
        self.exec_in(project, "db", "psql -U postgres -qc 'create extension if not exists amcheck'; pg_amcheck -U postgres --heapallindexed postgres");
        sums.trim().to_owned()
    }
    /// Inspect of every container and network of the project, as Docker says it.
    pub fn inspect(&self) -> Vec<(String, Value)> {
        let names = self.docker(&format!(
            "ps -a --format '{{{{.Names}}}}' --filter label=com.docker.compose.project={} | sort",
            self.project
        ));
        let mut all = Vec::new();
        for name in names.lines() {
            let text = self.docker(&format!("inspect {name}"));
            let mut list: Vec<Value> = serde_json::from_str(&text).expect("docker prints JSON");
            all.push((name.to_owned(), list.remove(0)));
        }
        let text = self.docker(&format!("network inspect {}_default", self.project));
        let mut list: Vec<Value> = serde_json::from_str(&text).expect("docker prints JSON");
        all.push(("network".to_owned(), list.remove(0)));
        all
    }
    /// Removes containers, volumes and the network.
    pub fn remove(&self) {
        run(Command::new(deploy("lib/demo-app")).args(["down", &self.project, &self.socket]));
        // A copy keeps the content of bind mounts in volumes of its own.
        let docker = format!("docker -H unix://{}", self.socket);
        sh(&format!(
            "{docker} volume ls -q | grep '^{}_' | xargs -r {docker} volume rm >/dev/null 2>&1 || true",
            self.project
        ));
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        self.remove();
        std::fs::remove_dir_all(&self.folder).ok();
    }
}
