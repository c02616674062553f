//! How databases in containers are recognised and asked: by what runs, and by scripts for the shell of their own container.
//!
//! A script takes words: what is wanted, for how many seconds at most, how the app is held (`hold` or `live`), the server's
//! configuration file or nothing, and `secret` if the first line of its standard input is a password.
//!
//! | wanted | what it does |
//! |---|---|
//! | `facts` | says the version, and in a second line [`LOOSE`] if it has to; succeeds when the server answers and lets us in |
//! | `settle` | writes down what is in memory, long before the hold |
//! | `prepare` | makes the files whole, just before the hold; what it locks is unlocked after a time whatever happens |
//! | `release` | undoes `prepare` |
//! | `dump` | says all that the server holds |
//! | `log` | puts the server into its backup mode, says [`LOGS`] and the folder of its files in a line, waits for the line [`DONE`] (any other shows that somebody is there), ends the mode and says a tar of what has to lie in that folder |
//! | `replay` | reads such a dump and makes the server hold it again, and nothing else: what it holds besides was made after it. Cut off, it can be begun again |
//!
//! # Invariants
//! - Nothing secret is in a script or its words. Passwords are found where the container has them.
//! - A script speaks to the server of its own container, by its socket or its loopback, wherever variables and option files lead. One of
//!   SQL has to prove that it is that server before anything in it is dropped and, as far as it may be asked, before it is dumped. Nothing
//!   is replayed into a member of a cluster of MySQL's or MariaDB's, for the others would drop and take the same.
//!
//! Never here: running them (`docker`), when (`capture`, `restore`).

use holdfast_model::snapshot::DatabaseKind;

/// What a server says of itself whose dump is not of one instant.
pub const LOOSE: &str = "loose";

/// What a server that is in its backup mode says, before the folder of its files.
pub const LOGS: &str = "holdfast-logs ";

/// What it is told when all its files were read.
pub const DONE: &str = "done";

/// How one kind of database is found and asked.
#[derive(Debug)]
pub struct Adapter {
    /// What it is.
    pub kind: DatabaseKind,
    /// Names of its server's program; the first also names the script.
    programs: &'static [&'static str],
    script: &'static str,
    /// As whom to try besides the container's own user.
    pub user: &'static str,
    /// It has to be prepared before it is held, for its newest data is in memory alone.
    pub prepares: bool,
    /// Its files are good when read while it writes, if it was prepared.
    pub good_live: bool,
    /// Its dump can be replayed.
    pub replays: bool,
    /// It has a backup mode, in which its files may be read while it writes if its log of that time is read too.
    pub logs: bool,
    /// Words of its command, and variables of its images, before the folder of its files.
    named_by: &'static [&'static str],
    /// Where images have that folder if nobody names another.
    customary: &'static [&'static str],
}

const ADAPTERS: [Adapter; 4] = [
    Adapter {
        kind: DatabaseKind::Postgres,
        programs: &["postgres", "postmaster"],
        script: include_str!("scripts/postgres.sh"),
        user: "postgres",
        prepares: false,
        good_live: false,
        replays: true,
        logs: true,
        named_by: &["-D", "--pgdata", "data_directory", "--data_directory", "PGDATA"],
        customary: &["/var/lib/postgresql/data", "/bitnami/postgresql", "/var/lib/pgsql/data"],
    },
    Adapter {
        kind: DatabaseKind::Mysql,
        programs: &["mysqld", "mariadbd"],
        script: include_str!("scripts/mysql.sh"),
        user: "root",
        prepares: true,
        good_live: false,
        replays: true,
        logs: false,
        named_by: &["--datadir"],
        customary: &["/var/lib/mysql", "/bitnami/mysql", "/bitnami/mariadb"],
    },
    Adapter {
        kind: DatabaseKind::Redis,
        programs: &["redis-server", "valkey-server", "keydb-server"],
        script: include_str!("scripts/redis.sh"),
        user: "root",
        prepares: true,
        good_live: true,
        replays: false,
        logs: false,
        named_by: &["--dir"],
        customary: &["/data", "/bitnami/redis", "/bitnami/valkey", "/var/lib/redis", "/var/lib/valkey"],
    },
    Adapter {
        kind: DatabaseKind::Mongodb,
        programs: &["mongod"],
        script: include_str!("scripts/mongodb.sh"),
        user: "root",
        prepares: true,
        good_live: false,
        replays: true,
        logs: false,
        named_by: &["--dbpath"],
        customary: &["/data/db", "/bitnami/mongodb", "/var/lib/mongodb", "/var/lib/mongo"],
    },
];

impl Adapter {
    /// That of a kind.
    pub fn of(kind: DatabaseKind) -> Option<&'static Adapter> {
        ADAPTERS.iter().find(|adapter| adapter.kind == kind)
    }

    /// Those whose servers are among the processes of a container, given as command lines.
    pub fn among(processes: &[String]) -> Vec<&'static Adapter> {
        let programs: Vec<&str> = processes.iter().filter_map(|line| program(line)).collect();
        ADAPTERS.iter().filter(|adapter| adapter.programs.iter().any(|name| programs.contains(name))).collect()
    }

    /// Folders that its files may be in: those that words of the container's command and its variables (`NAME=VALUE`) name, or else the
    /// customary ones. A guess: its server may be told of another one in a file.
    pub fn folders(&self, told: &[String]) -> Vec<String> {
        let folder = |(at, word): (usize, &String)| {
            let (name, value) = match word.split_once('=') {
                Some((name, value)) => (name, Some(value)),
                None => (word.as_str(), told.get(at + 1).map(String::as_str)),
            };
            value.filter(|value| self.named_by.contains(&name) && value.starts_with('/')).map(str::to_owned)
        };
        let named: Vec<String> = told.iter().enumerate().filter_map(folder).collect();
        if named.is_empty() { self.customary.iter().map(|&folder| folder.to_owned()).collect() } else { named }
    }

    /// Whether its server has come so far that it may be asked. PostgreSQL takes a lock file of a former life for that of a
    /// living server if any process has the number in it, be it one that asks whether it answers; once it has children,
    /// it is past that.
    pub fn is_up(&self, processes: &[String]) -> bool {
        match self.kind {
            DatabaseKind::Postgres => processes.iter().any(|line| line.starts_with("postgres: ")),
            kind => Adapter::among(processes).iter().any(|adapter| adapter.kind == kind),
        }
    }

    /// What a shell in the container is given (`sh -c`).
    pub fn script(&self) -> &'static str {
        self.script
    }

    /// Name and words for the script.
    pub fn words(&self, wanted: &str, seconds: u64, is_held: bool, config: &str, has_secret: bool) -> Vec<String> {
        let (way, secret) = (if is_held { "hold" } else { "live" }, if has_secret { "secret" } else { "" });
        [self.programs[0], wanted, &seconds.to_string(), way, config, secret].map(str::to_owned).to_vec()
    }
}

/// The program of a command line, without its folder. Servers title themselves, so that a colon may follow.
fn program(line: &str) -> Option<&str> {
    line.split_whitespace().next()?.trim_end_matches(':').rsplit('/').next()
}

/// What the command of a container says of how its server can be reached: servers retitle themselves, so that nobody
/// inside can read it any more.
pub fn told(words: &[String]) -> (Option<String>, Option<String>) {
    let value_of = |flag: &str| {
        let at = words.iter().position(|word| word == flag)?;
        // A variable that a shell would fill in is in the container's environment, where the scripts look.
        words.get(at + 1).filter(|word| !word.starts_with('$')).cloned()
    };
    let config = words.iter().find(|word| word.starts_with('/') && word.ends_with(".conf")).cloned();
    (value_of("--requirepass"), config)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(lines: &[&str]) -> Vec<String> {
        lines.iter().map(|line| (*line).to_owned()).collect()
    }

    #[test]
    fn servers_are_told_by_their_programs_and_not_by_their_names() {
        let kinds = |all: &[&str]| Adapter::among(&lines(all)).iter().map(|one| one.kind).collect::<Vec<_>>();
        assert_eq!(kinds(&["/usr/bin/tini -- x", "postgres: walwriter"]), [DatabaseKind::Postgres]);
        assert_eq!(kinds(&["/usr/sbin/mariadbd --user=mysql"]), [DatabaseKind::Mysql]);
        assert_eq!(
            kinds(&["redis-server *:6379", "mongod --bind_ip_all"]),
            [DatabaseKind::Redis, DatabaseKind::Mongodb]
        );
        let others = ["postgres_exporter", "redis-cli monitor", "sh -c mysqld", "", "vi /etc/mysqld"];
        assert!(kinds(&others).is_empty());
    }

    #[test]
    fn nobody_is_asked_before_it_is_up() {
        let up = |kind, all: &[&str]| Adapter::of(kind).unwrap().is_up(&lines(all));
        assert!(!up(DatabaseKind::Postgres, &["/usr/bin/tini -- start", "postgres -D /data"]));
        assert!(up(DatabaseKind::Postgres, &["postgres -D /data", "postgres: startup recovering"]));
        assert!(!up(DatabaseKind::Mysql, &["mariadb-install-db"]) && up(DatabaseKind::Mysql, &["mariadbd"]));
    }

    #[test]
    fn the_folder_of_its_files_is_what_command_or_variables_name_or_the_customary_one() {
        let folders = |kind, told: &[&str]| Adapter::of(kind).unwrap().folders(&lines(told)).join(" ");
        let postgres = |told: &[&str]| folders(DatabaseKind::Postgres, told);
        assert_eq!(postgres(&["postgres", "-D", "/a", "-c", "data_directory=/b", "PGDATA=/c"]), "/a /b /c");
        assert!(postgres(&["postgres", "-D", "$PGDATA", "PGPORT=/x", "-D"]).starts_with("/var/lib/postgresql/data "));
        assert_eq!(folders(DatabaseKind::Mysql, &["mysqld", "--datadir=/srv/my", "--port=1"]), "/srv/my");
        assert_eq!(folders(DatabaseKind::Mongodb, &["mongod", "--dbpath", "/srv/mongo"]), "/srv/mongo");
    }

    #[test]
    fn a_command_tells_its_password_unless_a_shell_fills_it_in() {
        let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(told(&words("--requirepass x /etc/redis.conf")), (Some("x".into()), Some("/etc/redis.conf".into())));
        assert_eq!(told(&words("redis-server --requirepass $REDIS_PASSWORD")), (None, None));
        assert_eq!(told(&words("redis-server --requirepass")), (None, None));
    }
}
