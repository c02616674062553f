//! Dumps and replays by the scripts themselves, with programs in the place of the server's own that write down what they are told.
#![allow(clippy::unwrap_used, reason = "tests fail loudly")]

use holdfast_database::Adapter;
use holdfast_model::snapshot::DatabaseKind;
use std::{
    env, fs,
    io::Write,
    os::unix::{fs::PermissionsExt, net::UnixListener},
    path::{Path, PathBuf},
    process::{self, Command, Stdio},
    sync::{Mutex, MutexGuard, PoisonError},
};

const DUMP: &str = "the dump\n";
const STRANGER: &str = "the server that answers is not the one of this container";

/// Answers as a server that `$NAME` and others describe, drops nothing, and writes down what it is asked to; also, as whoever dumps it, its
/// dump. Asked in another way than by the socket or the loopback, it says that somebody looked elsewhere.
const MARIADB: &str = r#"#!/bin/sh
if [ "$1" = --help ]; then exit 0; fi
for last; do :; done
case "${MYSQL_HOST:-}${MYSQL_TCP_PORT:-} $*" in
    " --protocol=socket --host=localhost --socket=$FILE "*) case $SOCKET in elsewhere | told) ;; *) exit 1 ;; esac ;;
    ' --protocol=socket --host=localhost '*) [ "$SOCKET" = yes ] || exit 1 ;;
    ' --protocol=tcp --host=127.0.0.1 '*) case $SOCKET in yes | told) exit 1 ;; esac ;;
    *) echo elsewhere >>"$LOG"; exit 1 ;;
esac
case "$*" in
    *--all-databases*) echo 'the dump' ;;
    *wsrep_cluster_size*) printf 'wsrep_cluster_size\t%s\n' "$NODES" ;;
    *"'replication_group_members'"*) echo 1 ;;
    *' from performance_schema.replication_group_members '*) echo "$ONLINE" ;;
    *@@hostname*) echo "$NAME" ;;
    *@@datadir*) echo "$DATA/" ;;
    *@@socket*) echo "$FILE" ;;
    *@@server_uuid*) [ -n "$MARK" ] || exit 1; echo "$MARK" ;;
    *' from information_schema.schemata '*) printf '64\n61603B0A62\n' ;;
    *' from information_schema.tables '*) echo "$TABLES" ;;
    *'set lock_wait_timeout = 60;'*'drop database'*)
        echo "drop $(printf '%s' "$last" | tr -d '\n' | sed "s/.*unhex('\([0-9A-F]*\)').*/\1/")" >>"$LOG"
        exit "$CODE" ;;
    *'do 0'*) ;;
    *' -e '*) printf '%s\n' "$last" >>"$LOG" ;;
    *) cat >>"$LOG" ;;
esac
"#;

const PSQL: &str = r#"#!/bin/sh
if [ -n "${PGHOSTADDR:-}${PGSERVICE:-}${PGSERVICEFILE:-}" ]; then echo elsewhere >>"$LOG"; exit 1; fi
case "${PGHOST:-/}" in
    *,*) echo elsewhere >>"$LOG"; exit 1 ;;
    /*) [ "$SOCKET" = yes ] || exit 1 ;;
    127.0.0.1) [ "$SOCKET" = no ] || exit 1 ;;
    *) echo elsewhere >>"$LOG"; exit 1 ;;
esac
case "$*" in
    *--clean*) echo 'the dump' ;;
    *'select 1'*) ;;
    *pg_read_file*) [ -n "$SAYS" ] || exit 1; printf '%s\n' "$SAYS" ;;
    *data_directory*) echo "$DATA" ;;
    *server_version_num*) echo "$NUMBER" ;;
    *'update pg_database'*) echo 'none is a template' >>"$LOG" ;;
    *"'drop database '"*"' with (force);'"*) echo 'drop database "later" with (force);' ;;
    *"'drop database '"*"';'"*) echo 'drop database "later";' ;;
    *'count(*)'*) echo "$LEFT" ;;
    *) cat >>"$LOG" ;;
esac
"#;

/// What PostgreSQL writes into its folder, and says of it.
const PROCESS: &str = "7\n/data\n1700000000";

/// A folder with such programs and files of a server, gone with the test.
struct Bench {
    folder: PathBuf,
    /// What was just written cannot be run while another thread starts a process, which has it open for a moment.
    _alone: MutexGuard<'static, ()>,
}

/// How a script ended, what its programs were told, what it said, and its complaints.
#[derive(Debug)]
struct Told {
    went_well: bool,
    heard: String,
    said: String,
    complaints: String,
}

impl Bench {
    fn new(names: [&str; 2], program: &str) -> Bench {
        static ALONE: Mutex<()> = Mutex::new(());
        let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{}-{}", names[0], process::id()));
        fs::create_dir_all(folder.join("data")).unwrap();
        for (name, text) in [("ibdata1", ""), ("auto.cnf", "server-uuid=a-b\n"), ("postmaster.pid", PROCESS)] {
            fs::write(folder.join("data").join(name), text).unwrap();
        }
        let bench = Bench { folder, _alone: alone };
        names.iter().for_each(|name| bench.put(name, program));
        bench
    }

    fn put(&self, name: &str, program: &str) {
        let file = self.folder.join(name);
        fs::write(&file, program).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn mysql() -> Bench {
        Bench::new(["mariadb", "mariadb-dump"], MARIADB)
    }

    fn postgres() -> Bench {
        Bench::new(["psql", "pg_dumpall"], PSQL)
    }

    /// Lets a script do what is wanted in a container whose variables and server are the usual ones, but for what is told.
    fn run(&self, kind: DatabaseKind, wanted: &str, but: &[(&str, &str)]) -> Told {
        let adapter = Adapter::of(kind).unwrap();
        let path = format!("{}:{}", self.folder.display(), env::var("PATH").unwrap());
        let (data, log) = (self.folder.join("data"), self.folder.join("log"));
        let name = fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
        fs::write(&log, "").unwrap();
        let mut shell = Command::new("/bin/sh");
        for variable in ["MYSQL_HOST", "MYSQL_TCP_PORT", "PGHOST", "PGHOSTADDR", "PGSERVICE", "PGSERVICEFILE"] {
            shell.env_remove(variable);
        }
        let mut shell = shell
            .args(["-c", adapter.script()])
            .args(adapter.words(wanted, 15, false, "", false))
            .envs([("NAME", name.trim()), ("FILE", "none"), ("MARK", ""), ("SOCKET", "yes"), ("SAYS", PROCESS)])
            .envs([
                ("NODES", "0"),
                ("ONLINE", "0"),
                ("TABLES", "0"),
                ("CODE", "0"),
                ("LEFT", "0"),
                ("NUMBER", "150000"),
            ])
            .env("DATA", data)
            .env("LOG", &log)
            .envs(but.iter().copied())
            .env("PATH", path)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // One that refuses does not wait for it.
        let _ = shell.stdin.take().unwrap().write_all(DUMP.as_bytes());
        let done = shell.wait_with_output().unwrap();
        Told {
            went_well: done.status.success(),
            heard: fs::read_to_string(log).unwrap(),
            said: String::from_utf8(done.stdout).unwrap(),
            complaints: String::from_utf8(done.stderr).unwrap(),
        }
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

#[test]
fn mysql_drops_what_it_has_by_whatever_name_before_it_takes_a_dump() {
    let bench = Bench::mysql();
    let expected = format!("drop 64\ndrop 61603B0A62\n{DUMP}flush privileges\n");
    // A folder that stays without a table in it is no harm; a table is.
    for (code, tables, goes_well) in [("0", "0", true), ("1", "0", true), ("1", "2", false)] {
        let told = bench.run(DatabaseKind::Mysql, "replay", &[("CODE", code), ("TABLES", tables)]);
        assert_eq!((told.went_well, &told.heard), (goes_well, &expected), "{code} {tables}: {told:?}");
        assert_eq!(told.complaints.contains("could not be dropped"), !goes_well, "{code} {tables}: {told:?}");
    }
}

#[test]
fn mysql_is_looked_for_in_its_own_container_whatever_that_says_of_another() {
    let bench = Bench::mysql();
    let file = bench.folder.join("socket");
    let _listener = UnixListener::bind(&file).unwrap();
    let file = file.display().to_string();
    for socket in ["yes", "elsewhere"] {
        let variables =
            [("MYSQL_HOST", "primary"), ("MYSQL_TCP_PORT", "3307"), ("SOCKET", socket), ("FILE", file.as_str())];
        for wanted in ["facts", "prepare", "release", "dump", "replay"] {
            let told = bench.run(DatabaseKind::Mysql, wanted, &variables);
            assert!(told.went_well && !told.heard.contains("elsewhere"), "{wanted}, socket {socket}: {told:?}");
            assert_eq!(told.said == DUMP, wanted == "dump", "{wanted}, socket {socket}: {told:?}");
            assert_eq!(told.heard.contains("drop 64"), wanted == "replay", "{wanted}, socket {socket}: {told:?}");
        }
    }
}

/// Nothing answers where the client looks, nor by the loopback: its command line, or its option files, tell the socket.
#[test]
fn mysql_is_found_by_the_socket_that_it_says_it_has_if_that_proves_to_be_its_own() {
    let bench = Bench::mysql();
    let file = bench.folder.join("socket");
    let _listener = UnixListener::bind(&file).unwrap();
    let file = file.display().to_string();
    let variables = [("SOCKET", "told"), ("FILE", file.as_str())];
    let found = |who: &str| {
        for wanted in ["facts", "prepare", "dump", "replay"] {
            let told = bench.run(DatabaseKind::Mysql, wanted, &variables);
            assert!(told.went_well && !told.heard.contains("elsewhere"), "{who}, {wanted}: {told:?}");
            assert_eq!(told.said == DUMP, wanted == "dump", "{who}, {wanted}: {told:?}");
        }
        let other = [&variables[..], &[("NAME", "elsewhere")]].concat();
        let told = bench.run(DatabaseKind::Mysql, "replay", &other);
        assert!(
            !told.went_well && told.heard.is_empty(),
            "{who}: one of another container has its socket here: {told:?}"
        );
    };
    let nobody = bench.run(DatabaseKind::Mysql, "dump", &variables);
    assert!(!nobody.went_well && nobody.said.is_empty(), "{nobody:?}");
    // It runs as long as somebody may say something to it.
    bench.put("mysqld", "#!/bin/sh\nread line\n");
    for words in [vec![format!("--socket={file}")], vec!["--socket".to_owned(), file.clone()]] {
        let mut server = Command::new(bench.folder.join("mysqld"))
            .arg("--user=mysql")
            .args(&words)
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        found(&words.join(" "));
        drop(server.stdin.take());
        server.wait().unwrap();
    }
    bench.put("my_print_defaults", "#!/bin/sh\necho --user=mysql\necho --socket=$FILE\n");
    found("its option files");
}

#[test]
fn nothing_is_dropped_in_or_dumped_from_a_mysql_of_another_container() {
    let bench = Bench::mysql();
    let others: [&[(&str, &str)]; 5] = [
        &[("NAME", "elsewhere")],
        &[("DATA", "/nowhere/at/all")],
        &[("MARK", "c-d")],
        // By the loopback it is not even taken for one that answers.
        &[("SOCKET", "no"), ("NAME", "elsewhere")],
        // The original of a copy that shares its loopback, name and all: the copy's own socket does not answer.
        &[("SOCKET", "no"), ("MARK", "a-b")],
    ];
    for other in others {
        for wanted in ["dump", "replay"] {
            let told = bench.run(DatabaseKind::Mysql, wanted, other);
            assert!(!told.went_well && told.heard.is_empty() && told.said.is_empty(), "{wanted} {other:?}: {told:?}");
            assert_eq!(told.complaints.contains(STRANGER), other.len() == 1, "{wanted} {other:?}: {told:?}");
        }
    }
    assert!(bench.run(DatabaseKind::Mysql, "replay", &[("MARK", "a-b")]).went_well, "its own mark");
    let file = bench.folder.join("socket");
    let _listener = UnixListener::bind(&file).unwrap();
    let told =
        bench.run(DatabaseKind::Mysql, "replay", &[("DATA", "/nowhere/at/all"), ("FILE", &file.display().to_string())]);
    assert!(told.went_well, "its socket is here, and its files may not be looked at: {told:?}");
}

#[test]
fn nothing_is_dropped_in_a_cluster_of_mysql() {
    let bench = Bench::mysql();
    for member in [("NODES", "3"), ("ONLINE", "2")] {
        let told = bench.run(DatabaseKind::Mysql, "replay", &[member]);
        assert!(!told.went_well && told.heard.is_empty(), "{member:?}: {told:?}");
        assert!(told.complaints.contains("a member of a cluster"), "{member:?}: {told:?}");
        assert_eq!(
            bench.run(DatabaseKind::Mysql, "dump", &[member]).said,
            DUMP,
            "{member:?}: nothing is lost by a dump"
        );
    }
    assert!(bench.run(DatabaseKind::Mysql, "replay", &[("NODES", "1"), ("ONLINE", "1")]).went_well, "alone in both");
}

#[test]
fn postgresql_drops_what_a_dump_could_leave_beside_itself_before_it_takes_one() {
    let bench = Bench::postgres();
    for (number, force) in [("150000", " with (force)"), ("120000", "")] {
        let expected = format!("none is a template\ndrop database \"later\"{force};\n{DUMP}");
        for (left, goes_well) in [("0", true), ("1", false)] {
            let told = bench.run(DatabaseKind::Postgres, "replay", &[("LEFT", left), ("NUMBER", number)]);
            assert_eq!((told.went_well, &told.heard), (goes_well, &expected), "{number} {left}: {told:?}");
            assert_eq!(told.complaints.contains("could not be dropped"), !goes_well, "{number} {left}: {told:?}");
        }
    }
}

#[test]
fn postgresql_is_looked_for_in_its_own_container_whatever_that_says_of_another() {
    let bench = Bench::postgres();
    for socket in ["yes", "no"] {
        for host in ["primary", "/run/postgresql,primary", "@abstract", "/run/postgresql"] {
            let variables = [("PGHOSTADDR", "192.0.2.1"), ("PGSERVICE", "primary"), ("PGSERVICEFILE", "/services")];
            let variables = [&variables[..], &[("PGHOST", host), ("SOCKET", socket)]].concat();
            for wanted in ["facts", "dump", "replay"] {
                let told = bench.run(DatabaseKind::Postgres, wanted, &variables);
                assert!(told.went_well && !told.heard.contains("elsewhere"), "{wanted}, {variables:?}: {told:?}");
                assert_eq!(
                    told.heard.contains("drop database"),
                    wanted == "replay",
                    "{wanted}, {variables:?}: {told:?}"
                );
            }
        }
    }
}

#[test]
fn nothing_is_dropped_in_or_dumped_from_a_postgresql_of_another_container() {
    let bench = Bench::postgres();
    let others: [&[(&str, &str)]; 3] = [
        &[("SAYS", "8\n/data\n1700000000")],
        &[("DATA", "/nowhere/at/all")],
        &[("SAYS", "8\n/data\n1700000000"), ("SOCKET", "no")],
    ];
    for other in others {
        for wanted in ["dump", "replay"] {
            let told = bench.run(DatabaseKind::Postgres, wanted, other);
            assert!(!told.went_well && told.heard.is_empty() && told.said.is_empty(), "{wanted} {other:?}: {told:?}");
            assert!(told.complaints.contains(STRANGER), "{wanted} {other:?}: {told:?}");
        }
    }
    // Whoever may not read its files cannot tell.
    let told = bench.run(DatabaseKind::Postgres, "replay", &[("SAYS", "")]);
    assert!(!told.went_well && told.heard.is_empty() && told.complaints.contains("cannot be told"), "{told:?}");
    assert_eq!(bench.run(DatabaseKind::Postgres, "dump", &[("SAYS", "")]).said, DUMP);
}
