//! Real databases in containers: what they acknowledged before a backup is there after a restore, however it was taken.

use holdfast_tests::house::{self, Setup, run, sh, wait_for};
use std::{
    path::Path,
    process::{Child, Command, Stdio},
};

/// A single container with a database in it and a volume for its files; dropped, it and its copies are removed.
struct Server {
    name: String,
}

impl Server {
    fn start(name: &str, image: &str, options: &str, command: &str) -> Server {
        let server = Server { name: name.to_owned() };
        server.remove();
        sh(&format!("docker run -d --name {name} -v {name}-data:{options} {image} {command}"));
        server
    }
    /// Nobody is to run anything in it before its server is `up`: PostgreSQL would take a number from a lock file of its former
    /// life for that of a living server.
    fn wait(&self, of: &str, case: &Case) {
        let line =
            format!("docker top {of} | grep -q '{}' && docker exec {of} {} >/dev/null 2>&1", case.up, case.ready);
        wait_for("the database answers", 90, || run(Command::new("bash").args(["-c", &line])).code == 0);
    }
    fn ask(of: &str, line: &str) -> String {
        let said = run(Command::new("docker").args(["exec", of, "bash", "-c", line]));
        assert_eq!(said.code, 0, "{of}: {line}\n{}{}", said.out, said.err);
        said.out.trim().to_owned()
    }
    /// Writes number after number, each acknowledged before the next, into a file on this side.
    fn writer(&self, log: &Path, each: &str) -> Child {
        let line = format!(
            "rm -f /tmp/enough; for n in $(seq 1 100000); do [ ! -e /tmp/enough ] || exit; {each} >/dev/null 2>/tmp/complaint && echo $n || exit 1; sleep 0.01; done"
        );
        let out = std::fs::File::create(log).expect("a file");
        let mut command = Command::new("docker");
        command.args(["exec", &self.name, "bash", "-c", &line]).stdout(Stdio::from(out)).stderr(Stdio::null());
        command.spawn().expect("docker exec starts")
    }
    fn remove(&self) {
        self.remove_copy();
        sh(&format!("docker rm -fv {0} >/dev/null 2>&1; docker volume rm {0}-data >/dev/null 2>&1; true", self.name));
    }
    /// Its copy keeps its data in a volume of its own.
    fn remove_copy(&self) {
        sh(&format!(
            "docker rm -fv {0}-restore >/dev/null 2>&1; docker volume ls -q | grep '^{0}-restore' | xargs -r docker volume rm >/dev/null 2>&1; true",
            self.name
        ));
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.remove();
    }
}

fn acknowledged(log: &Path) -> u64 {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    text.lines().filter_map(|line| line.parse().ok()).max().unwrap_or(0)
}

/// One kind of database: how it is started, written to and asked.
struct Case {
    /// What its containers are called by, and what is made of packages for them besides the demo (`demo-image`).
    name: &'static str,
    made_of: &'static str,
    kind: &'static str,
    image: &'static str,
    /// Mount point, and options after it.
    mount: &'static str,
    command: &'static str,
    /// What `docker top` shows once it may be asked.
    up: &'static str,
    ready: &'static str,
    begin: &'static str,
    /// Writes number `$n`.
    write: &'static str,
    /// How many there are, and which is the highest.
    count: &'static str,
    /// The engine's own checker.
    check: &'static str,
}

const POSTGRES: Case = Case {
    name: "postgres",
    made_of: "",
    kind: "postgres",
    image: "holdfast-demo/db:1",
    mount: "/var/lib/postgresql/data",
    command: "",
    up: "postgres: ",
    ready: "psql -U postgres -c 'select 1'",
    begin: "psql -U postgres -qc 'drop table if exists n; create table n (n int primary key)'",
    write: "psql -U postgres -qc \"insert into n values ($n)\"",
    count: "psql -U postgres -Atc \"select count(*) || ' ' || coalesce(max(n), 0) from n\"",
    check: "psql -U postgres -qc 'create extension if not exists amcheck'; pg_amcheck -U postgres --heapallindexed postgres",
};

/// With so much written all over its files, and written down so often, that reading them takes longer than a page stays the same.
const POSTGRES_BUSY: Case = Case {
    begin: "psql -U postgres -qc 'drop table if exists n, m; create table n (n int primary key); create table m (n int primary key, t text); \
            create index on m (t); insert into m select n, repeat(md5(n::text), 20) from generate_series(1, 60000) n'",
    write: "psql -U postgres -qc \"update m set t = repeat(md5((n + $n)::text), 20) where n % 61 = $n % 61\" -c \"insert into n values ($n)\" -c checkpoint",
    ..POSTGRES
};

/// With a table that is no crash-safe kind, so that only a lock makes it whole.
const MARIADB: Case = Case {
    name: "mariadb",
    made_of: "mysql",
    kind: "mysql",
    image: "holdfast-demo/mysql:1",
    mount: "/var/lib/mysql -e MARIADB_ROOT_PASSWORD=not-to-be-logged",
    command: "",
    up: "mariadbd",
    ready: "mariadb -uroot -pnot-to-be-logged -e 'select 1'",
    begin: "mariadb -uroot -pnot-to-be-logged -e 'create or replace database d; create table d.n (n int primary key) engine=innodb; \
            create table d.m (n int primary key, t text) engine=myisam'",
    write: "mariadb -uroot -pnot-to-be-logged -e \"insert into d.m values ($n, repeat('x', 2000)); insert into d.n values ($n)\"",
    count: "mariadb -uroot -pnot-to-be-logged -NBe \"select concat(count(*), ' ', coalesce(max(n), 0)) from d.n\"",
    check: "mariadb -uroot -pnot-to-be-logged -NBe 'check table d.m, d.n extended' | awk '$NF != \"OK\" {print; bad = 1} END {exit bad}' && \
            test $(mariadb -uroot -pnot-to-be-logged -NBe 'select count(*) from d.n where n not in (select n from d.m)') = 0",
};

/// Without a log of writes: only what was saved is on disk.
const REDIS: Case = Case {
    name: "redis",
    made_of: "",
    kind: "redis",
    image: "--entrypoint /usr/bin/redis-server holdfast-demo/redis:1",
    mount: "/var/lib/redis",
    command: "--requirepass not-to-be-logged --dir /var/lib/redis --save 3600 1",
    up: "redis-server",
    ready: "redis-cli -a not-to-be-logged ping",
    begin: "redis-cli -a not-to-be-logged flushall",
    write: "redis-cli -a not-to-be-logged sadd n $n | grep -x 1",
    count: "echo $(redis-cli -a not-to-be-logged scard n 2>/dev/null) $(redis-cli -a not-to-be-logged smembers n 2>/dev/null | sort -n | tail -n 1)",
    check: "redis-check-rdb /var/lib/redis/dump.rdb | grep -q 'RDB looks OK'",
};

/// MySQL itself, with such a table too.
const MYSQL: Case = Case {
    name: "mysql",
    made_of: "modern",
    kind: "mysql",
    image: "holdfast-demo/mysql9:1",
    mount: "/var/lib/mysql -e MYSQL_ROOT_PASSWORD=not-to-be-logged",
    command: "",
    up: "mysqld",
    ready: "mysql -uroot -pnot-to-be-logged -e 'select 1'",
    begin: "mysql -uroot -pnot-to-be-logged -e 'drop database if exists d; create database d; create table d.n (n int primary key) engine=innodb; \
            create table d.m (n int primary key, t text) engine=myisam'",
    write: "mysql -uroot -pnot-to-be-logged -e \"insert into d.m values ($n, repeat('x', 2000)); insert into d.n values ($n)\"",
    count: "mysql -uroot -pnot-to-be-logged -NBe \"select concat(count(*), ' ', coalesce(max(n), 0)) from d.n\" 2>/dev/null",
    check: "mysql -uroot -pnot-to-be-logged -NBe 'check table d.m, d.n extended' | awk '$NF != \"OK\" {print; bad = 1} END {exit bad}' && \
            test $(mysql -uroot -pnot-to-be-logged -NBe 'select count(*) from d.n where n not in (select n from d.m)') = 0",
};

/// Without a log of writes, as Redis.
const VALKEY: Case = Case {
    name: "valkey",
    made_of: "modern",
    kind: "redis",
    image: "holdfast-demo/valkey:1",
    mount: "/var/lib/valkey -e VALKEY_PASSWORD=not-to-be-logged",
    command: "--requirepass not-to-be-logged --save 3600 1",
    up: "valkey-server",
    ready: "valkey-cli -a not-to-be-logged ping",
    begin: "valkey-cli -a not-to-be-logged flushall",
    write: "valkey-cli -a not-to-be-logged sadd n $n | grep -x 1",
    count: "echo $(valkey-cli -a not-to-be-logged scard n 2>/dev/null) $(valkey-cli -a not-to-be-logged smembers n 2>/dev/null | sort -n | tail -n 1)",
    check: "valkey-check-rdb /var/lib/valkey/dump.rdb | grep -q 'RDB looks OK'",
};

/// Acknowledged from its memory alone, as by default: the newest are in no journal yet. Each number is in two collections.
const MONGODB: Case = Case {
    name: "mongodb",
    made_of: "mongodb",
    kind: "mongodb",
    image: "holdfast-demo/mongodb:1",
    mount: "/data/db -e MONGO_INITDB_ROOT_USERNAME=root -e MONGO_INITDB_ROOT_PASSWORD=not-to-be-logged",
    command: "",
    // The one that made its user at the first start has no such word.
    up: "mongod .*--auth",
    ready: "mongo --quiet -u root -p not-to-be-logged admin --eval 'while (!db.isMaster().ismaster) sleep(100); db.adminCommand(\"listDatabases\").databases.length'",
    begin: "mongo --quiet -u root -p not-to-be-logged admin --eval 'var d = db.getSiblingDB(\"d\"); d.dropDatabase(); d.createCollection(\"m\"); d.createCollection(\"n\")'",
    write: "mongo --quiet -u root -p not-to-be-logged admin --eval \"var d = db.getSiblingDB('d'); \
            var x = new Array(2000).join('x'); var a = d.m.insert({_id: $n, t: x}), b = d.n.insert({_id: $n}); if (a.nInserted != 1 || b.nInserted != 1) throw 'not written'\"",
    count: "mongo --quiet -u root -p not-to-be-logged admin --eval \"var d = db.getSiblingDB('d'), last = d.n.find().sort({_id: -1}).limit(1).toArray()[0]; \
            print(d.n.find().itcount() + ' ' + (last ? last._id : 0))\"",
    check: "mongo --quiet -u root -p not-to-be-logged admin --eval \"['m', 'n'].forEach(function (c) { \
            var v = db.getSiblingDB('d').runCommand({validate: c, full: true}); if (!v.valid) { printjson(v); quit(3); } }); \
            var d = db.getSiblingDB('d'); d.n.find().forEach(function (x) { if (d.m.find({_id: x._id}).itcount() != 1) { print('half of ' + x._id); quit(4); } })\"",
};

/// One that has a log of operations, so that its dump is of one instant.
const MONGODB_SET: Case = Case {
    mount: "/data/db -e MONGO_INITDB_ROOT_USERNAME=root -e MONGO_INITDB_ROOT_PASSWORD=not-to-be-logged -e MONGO_SET=alone",
    ..MONGODB
};

/// A file without a server; most of what is new lies in its log of writes.
const SQLITE: Case = Case {
    name: "sqlite",
    made_of: "modern",
    kind: "sqlite",
    image: "holdfast-demo/sqlite:1",
    mount: "/data",
    command: "",
    up: "sleep infinity",
    ready: "sqlite3 /data/app.db 'select 1'",
    begin: "sqlite3 /data/app.db 'pragma journal_mode = wal; drop table if exists n; drop table if exists m; create table n (n int primary key); \
            create table m (n int primary key, t text)' >/dev/null",
    write: "sqlite3 -cmd '.timeout 10000' /data/app.db \"begin; insert into m values ($n, hex(randomblob(1000))); insert into n values ($n); commit\"",
    count: "sqlite3 /data/app.db \"select count(*) || ' ' || coalesce(max(n), 0) from n\"",
    check: "test \"$(sqlite3 /data/app.db 'pragma integrity_check')\" = ok && \
            test $(sqlite3 /data/app.db 'select count(*) from n full join m on n.n = m.n where n.n is null or m.n is null') = 0",
};

/// The same without such a log: what is under way is in a journal of what was.
const SQLITE_JOURNAL: Case = Case {
    name: "sqlitejournal",
    begin: "sqlite3 /data/app.db 'pragma journal_mode = delete; drop table if exists n; drop table if exists m; create table n (n int primary key); \
            create table m (n int primary key, t text)' >/dev/null",
    ..SQLITE
};

/// How often each is backed up and restored.
fn rounds() -> u32 {
    std::env::var("HOLDFAST_TEST_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(1)
}

/// Whether a case is part of this run; if so, its image is there.
fn is_wanted(case: &Case) -> bool {
    // Their images are made of packages of other distributions, which takes minutes and may change any day.
    if matches!(case.made_of, "modern" | "mongodb") && std::env::var_os("HOLDFAST_TEST_DEEP").is_none() {
        eprintln!("real_databases: {} SKIPPED, it is part of the deep run (HOLDFAST_TEST_DEEP=1)", case.name);
        return false;
    }
    if !case.made_of.is_empty() {
        sh(&format!("{} /var/run/docker.sock {}", house::deploy("lib/demo-image").display(), case.made_of));
    }
    true
}

fn rounds_of(case: &Case, arguments: &[&str], readiness: &str) {
    let Some(binary) = house::real_parts("real_databases") else { return };
    if !is_wanted(case) {
        return;
    }
    let home = tempfile::tempdir().expect("a folder");
    let name = format!("hf{}{}", case.name, arguments.last().unwrap_or(&"").trim_start_matches('-'));
    let server = Server::start(&name, case.image, case.mount, case.command);
    server.wait(&name, case);
    let appliance = Setup::new(&binary, &home.path().join("data")).start();
    for number in 0..rounds() {
        Server::ask(&name, case.begin);
        round(case, arguments, readiness, &server, &appliance, &home.path().join(format!("acknowledged-{number}")));
        server.remove_copy();
    }
    assert!(!appliance.log_text().contains("not-to-be-logged"));
}

/// Backs up while numbers are written, restores beside, and compares: nothing acknowledged before the backup is missing,
/// nothing is there without what came before it.
fn round(case: &Case, arguments: &[&str], readiness: &str, server: &Server, appliance: &house::Appliance, log: &Path) {
    let name = &server.name;
    let mut writer = server.writer(log, case.write);
    wait_for("some numbers are written", 60, || acknowledged(log) > 20);
    let before = acknowledged(log);
    let mut backup = vec!["backup", name, "--wait"];
    backup.extend(arguments);
    appliance.cli(&backup).expect(0);
    let after = acknowledged(log);
    wait_for("writing goes on after the backup", 60, || acknowledged(log) > after + 5);
    // Killing the client would leave the loop in the container alive.
    Server::ask(name, "touch /tmp/enough");
    writer.wait().expect("the writer ends");

    let shown = appliance.cli(&["snapshots", name]).expect(0).json();
    let newest = shown.as_array().and_then(|all| all.last()).expect("a snapshot is listed");
    let database = &newest["databases"][0];
    let found = (database["kind"].as_str(), database["readiness"].as_str());
    assert_eq!(found, (Some(case.kind), Some(readiness)), "{newest}");
    let file = format!("{name}-data/app.db");
    match case.kind {
        "sqlite" => assert_eq!(database["file"].as_str(), Some(&*file), "{database}"),
        _ => assert!(
            database["version"].as_str().is_some_and(|version| version.starts_with(char::is_numeric)),
            "{database}"
        ),
    }
    if readiness == "logged" {
        let file = log.with_extension("tar");
        let part = format!("latest:{name}:dump:{name}.postgres.log.tar");
        appliance.cli(&["files", "get", &part, "--output", &file.display().to_string()]).expect(0);
        sh(&format!("tar -tf {} | grep -qx backup_label", file.display()));
    }
    if readiness == "live" && case.kind != "mongodb" {
        let dump = format!("latest:{name}:dump:{name}.{}.sql", case.kind);
        let file = log.with_extension("sql");
        appliance.cli(&["files", "get", &dump, "--output", &file.display().to_string()]).expect(0);
        let text = std::fs::read_to_string(&file).expect("a dump is text");
        assert!(text.trim_end().lines().rev().take(5).any(|line| line.contains("omplete")), "the dump is not whole");
    }
    appliance.cli(&["restore", &format!("latest:{name}"), "--wait"]).expect(0);
    let copy = format!("{name}-restore");
    server.wait(&copy, case);
    let counted = Server::ask(&copy, case.count);
    let numbers: Vec<u64> = counted.split(' ').map(|number| number.parse().expect("a number")).collect();
    assert!(numbers[0] == numbers[1], "{}: one without those before it: {counted}", case.name);
    assert!((before..=after).contains(&numbers[0]), "{}: {before} to {after} were acknowledged, {counted}", case.name);
    Server::ask(&copy, case.check);
}

#[test]
fn postgresql_comes_back_whole_from_one_instant() {
    rounds_of(&POSTGRES, &[], "prepared");
}

#[test]
fn postgresql_that_was_not_held_comes_back_by_its_log() {
    rounds_of(&POSTGRES_BUSY, &["--consistency", "none"], "logged");
}

/// A slot that stayed would keep the log until the disk is full.
#[test]
fn postgresqls_backup_mode_ends_with_whoever_began_it() {
    if house::real_parts("real_databases").is_none() {
        return;
    }
    let name = "hfpostgresguard";
    let server = Server::start(name, POSTGRES.image, POSTGRES.mount, POSTGRES.command);
    server.wait(name, &POSTGRES);
    let script =
        std::fs::read_to_string(house::deploy("../appliance/database/src/scripts/postgres.sh")).expect("the script");
    assert!(script.contains("left=300"));
    let home = tempfile::tempdir().expect("a folder");
    let file = home.path().join("script");
    // Ten seconds of silence instead of five minutes.
    std::fs::write(&file, script.replace("left=300", "left=10")).expect("it can be written");
    let begin = |said: &str| {
        let line =
            format!("({said}) | docker exec -i {name} sh -c \"$(cat {})\" postgres log 600 live '' ''", file.display());
        Command::new("bash").args(["-c", &line]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it starts")
    };
    let slots = || Server::ask(name, "psql -U postgres -Atc 'select count(*) from pg_replication_slots'");
    let left = || Server::ask(name, "ls -d /dev/shm/holdfast* 2>/dev/null | wc -l");
    let ends = |mut command: Child, well: bool| {
        assert_eq!(command.wait().expect("it ends").success(), well);
        assert_eq!((slots(), left()), ("0".into(), "0".into()));
    };
    // Nobody speaks; nobody says that all was read; its session ends; all goes well.
    let silent = begin("sleep 60");
    wait_for("its mode", 20, || slots() == "1");
    wait_for("the end of its mode", 30, || slots() == "0");
    sh(&format!("pkill -P {} sleep || true", silent.id()));
    drop(silent);
    ends(begin("sleep 3"), false);
    let cut = begin("sleep 8; echo done");
    wait_for("its mode", 20, || slots() == "1");
    Server::ask(name, "psql -U postgres -Atc 'select pg_terminate_backend(active_pid) from pg_replication_slots'");
    ends(cut, false);
    ends(begin("for n in 1 2 3 4; do sleep 4; echo there; done; echo done"), true);
}

#[test]
fn postgresql_that_was_not_held_comes_back_from_its_dump() {
    rounds_of(&POSTGRES, &["--consistency", "none", "--databases", "dump"], "live");
}

#[test]
fn mariadb_comes_back_whole_from_one_instant() {
    rounds_of(&MARIADB, &[], "prepared");
}

#[test]
fn mariadb_that_was_not_held_comes_back_from_its_dump() {
    rounds_of(&MARIADB, &["--consistency", "none", "--databases", "auto"], "live");
}

/// What is in files that were read live and not in the dump was made after it, and may be torn.
#[test]
fn what_was_made_after_a_dump_is_gone_once_that_was_replayed() {
    if house::real_parts("real_databases").is_none() {
        return;
    }
    let home = tempfile::tempdir().expect("a folder");
    let mariadb = "mariadb -uroot -pnot-to-be-logged";
    let psql = "psql -U postgres";
    let later = [
        (
            &MARIADB,
            format!(
                "{mariadb} -e 'create database `la``te; x`; create table `la``te; x`.t (n int); create table d.late (n int)'"
            ),
            format!(
                "{mariadb} -NBe \"select (select count(*) from information_schema.schemata where schema_name like 'la%') + \
                     (select count(*) from information_schema.tables where table_name = 'late')\""
            ),
        ),
        (
            &POSTGRES,
            format!("{psql} -qc 'create database \"la\"\"te; x\" is_template true' -c 'create table late (n int)'"),
            format!(
                "{psql} -Atc \"select (select count(*) from pg_database where datname like 'la%') + \
                     (select count(*) from pg_class where relname = 'late')\""
            ),
        ),
    ];
    for (case, make, count) in later {
        if !is_wanted(case) {
            continue;
        }
        let name = format!("hf{}late", case.name);
        let server = Server::start(&name, case.image, case.mount, case.command);
        server.wait(&name, case);
        Server::ask(&name, case.begin);
        let script = house::deploy(&format!("../appliance/database/src/scripts/{}.sh", case.kind));
        let run = |wanted: &str| {
            format!("docker exec -i {name} sh -c \"$(cat {})\" {} {wanted} 600 live '' ''", script.display(), case.kind)
        };
        let dump = home.path().join(case.name);
        sh(&format!("{} </dev/null >{}", run("dump"), dump.display()));
        Server::ask(&name, &make);
        assert_eq!(Server::ask(&name, &count), "2", "{}", case.name);
        // And once more, as after one that was cut off.
        for _ in 0..2 {
            sh(&format!("{} <{}", run("replay"), dump.display()));
            assert_eq!(Server::ask(&name, &count), "0", "{}", case.name);
            assert_eq!(Server::ask(&name, case.count), "0 0", "{}: what the dump holds is there", case.name);
        }
    }
}

#[test]
fn redis_saves_what_is_in_memory_before_it_is_held() {
    rounds_of(&REDIS, &[], "prepared");
}

#[test]
fn mysql_comes_back_whole_from_one_instant() {
    rounds_of(&MYSQL, &[], "prepared");
}

#[test]
fn mysql_that_was_not_held_comes_back_from_its_dump() {
    rounds_of(&MYSQL, &["--consistency", "none"], "live");
}

#[test]
fn valkey_saves_what_is_in_memory_before_it_is_held() {
    rounds_of(&VALKEY, &[], "prepared");
}

#[test]
fn mongodb_writes_down_what_is_in_memory_before_it_is_held() {
    rounds_of(&MONGODB, &[], "prepared");
}

#[test]
fn mongodb_that_was_not_held_comes_back_from_its_dump() {
    rounds_of(&MONGODB_SET, &["--consistency", "none"], "live");
}

#[test]
fn sqlite_comes_back_whole_from_one_instant() {
    rounds_of(&SQLITE, &[], "prepared");
}

#[test]
fn sqlite_with_a_journal_comes_back_whole_from_one_instant() {
    rounds_of(&SQLITE_JOURNAL, &[], "prepared");
}

#[test]
fn sqlite_that_was_not_held_is_named() {
    let Some(binary) = house::real_parts("real_databases") else { return };
    if !is_wanted(&SQLITE) {
        return;
    }
    let home = tempfile::tempdir().expect("a folder");
    let server = Server::start("hfsqlitenone", SQLITE.image, SQLITE.mount, SQLITE.command);
    server.wait("hfsqlitenone", &SQLITE);
    Server::ask("hfsqlitenone", SQLITE.begin);
    let appliance = Setup::new(&binary, &home.path().join("data")).start();
    // The second time its file is not read, for it did not change.
    for _ in 0..2 {
        appliance.cli(&["backup", "hfsqlitenone", "--wait", "--consistency", "none"]);
        let shown = appliance.cli(&["snapshots", "hfsqlitenone"]).expect(0).json();
        let newest = shown.as_array().and_then(|all| all.last()).expect("a snapshot is listed");
        let found = (newest["databases"][0]["kind"].as_str(), newest["databases"][0]["readiness"].as_str());
        assert_eq!(found, (Some("sqlite"), Some("live")), "{newest}");
        let problems = newest["problems"].as_array().expect("problems are listed");
        assert!(problems.iter().any(|problem| problem["code"] == "database.file_live"), "{newest}");
    }
    let planned = appliance.cli(&["restore", "latest:hfsqlitenone", "--dry-run"]).expect(0).out;
    assert!(planned.contains("cannot be trusted"), "{planned}");
}
