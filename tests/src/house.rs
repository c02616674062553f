//! A whole appliance under test: the real binary on a folder of its own, asked through its CLI.
//!
//! Never here: assertions about one feature. Everything started is ended by its own handle.

use serde_json::Value;
use std::{
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

/// Where the real engine is, if this run may use one (`HOLDFAST_REAL_DOCKER=1`, `HOLDFAST_BIN`).
/// Prints why a test is skipped, so that a run never looks fuller than it was.
pub fn real_parts(test: &str) -> Option<PathBuf> {
    let wanted = std::env::var("HOLDFAST_REAL_DOCKER").is_ok_and(|value| value == "1");
    let binary = std::env::var_os("HOLDFAST_BIN").map(PathBuf::from);
    match (wanted, binary) {
        (true, Some(binary)) => Some(binary),
        _ => {
            eprintln!("{test}: SKIPPED, it needs HOLDFAST_REAL_DOCKER=1 and HOLDFAST_BIN (deploy/test sets them)");
            None
        }
    }
}

/// The folder `deploy` of the tree.
pub fn deploy(tool: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy").join(tool)
}

/// What a finished command said.
#[derive(Debug)]
pub struct Said {
    /// Exit code; -1 if a signal ended it.
    pub code: i32,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

impl Said {
    /// Standard output as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.out)
            .unwrap_or_else(|error| panic!("not JSON ({error}): {}\nstderr: {}", self.out, self.err))
    }
    /// Panics unless the command ended with `code`.
    pub fn expect(self, code: i32) -> Said {
        assert_eq!(self.code, code, "stdout: {}\nstderr: {}", self.out, self.err);
        self
    }
}

/// What the API answered.
#[derive(Debug)]
pub struct Answer {
    /// Status.
    pub status: u16,
    /// Status line and header lines.
    pub head: String,
    /// What came behind them.
    pub body: Vec<u8>,
}

impl Answer {
    /// What a header says.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(':'));
        lines.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
    }
}

/// Runs a command to its end.
pub fn run(command: &mut Command) -> Said {
    let output = command.stdin(Stdio::null()).output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    Said {
        code: output.status.code().unwrap_or(-1),
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// Runs a shell line; panics with its output if it fails.
pub fn sh(line: &str) -> String {
    let said = run(Command::new("bash").args(["-c", line]));
    assert_eq!(said.code, 0, "{line}\n{}{}", said.out, said.err);
    said.out
}

/// Waits until `done` says so; panics after `seconds`.
pub fn wait_for(what: &str, seconds: u64, mut done: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(seconds);
    while !done() {
        assert!(Instant::now() < end, "{what}: not within {seconds} s");
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// How an appliance is started.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The binary.
    pub binary: PathBuf,
    /// Data folder.
    pub data: PathBuf,
    /// Bucket URL, if any.
    pub bucket: Option<String>,
    /// Docker socket.
    pub socket: String,
    /// Environment: credentials and the like.
    pub env: Vec<(String, String)>,
    /// A command that runs the binary, if it does not run as it is.
    pub within: Vec<String>,
}

impl Setup {
    /// An appliance on `data` for the first engine.
    pub fn new(binary: &Path, data: &Path) -> Setup {
        Setup {
            binary: binary.to_owned(),
            data: data.to_owned(),
            bucket: None,
            socket: "/var/run/docker.sock".into(),
            env: Vec::new(),
            within: Vec::new(),
        }
    }
    /// With this bucket.
    #[must_use]
    pub fn bucket(mut self, url: &str) -> Setup {
        self.bucket = Some(url.to_owned());
        self
    }
    /// With this Docker socket.
    #[must_use]
    pub fn socket(mut self, path: &str) -> Setup {
        self.socket = path.to_owned();
        self
    }
    /// Run by another command, in another network for example.
    #[must_use]
    pub fn within(mut self, command: &[&str]) -> Setup {
        self.within = command.iter().map(|word| (*word).to_owned()).collect();
        self
    }
    /// With S3 keys in the environment.
    #[must_use]
    pub fn keys(mut self, access: &str, secret: &str) -> Setup {
        self.env.push(("HOLDFAST_S3_ACCESS_KEY".into(), access.into()));
        self.env.push(("HOLDFAST_S3_SECRET_KEY".into(), secret.into()));
        self
    }
    /// A command of the CLI on this data folder.
    pub fn command(&self) -> Command {
        let mut command = match self.within.split_first() {
            None => Command::new(&self.binary),
            Some((first, rest)) => {
                let mut command = Command::new(first);
                command.args(rest).arg(&self.binary);
                command
            }
        };
        // The servers under test are on this machine.
        for proxy in ["HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"] {
            command.env_remove(proxy);
        }
        command.arg("--data").arg(&self.data).envs(self.env.iter().cloned());
        command
    }
    /// Runs `holdfast --data DIR ARGS… --json`.
    pub fn cli(&self, args: &[&str]) -> Said {
        run(self.command().args(args).arg("--json"))
    }
    /// Starts `serve` on a free loopback port and waits until it answers.
    pub fn start(&self) -> Appliance {
        let port = free_port();
        let log = self.data.with_extension("log");
        let sink = || {
            let file = std::fs::OpenOptions::new().create(true).append(true).open(&log);
            Stdio::from(file.expect("the log can be written"))
        };
        let mut command = self.command();
        command.args([
            "serve",
            "--listen",
            &format!("127.0.0.1:{port}"),
            "--docker",
            &format!("unix://{}", self.socket),
        ]);
        if let Some(bucket) = &self.bucket {
            command.args(["--bucket", bucket]);
        }
        command.stdin(Stdio::null()).stdout(sink()).stderr(sink());
        let child = command.spawn().expect("the binary starts");
        let mut appliance = Appliance { setup: self.clone(), child: Some(child), port, log };
        appliance.wait_ready();
        appliance
    }
}

/// A running appliance; dropped, it is ended.
#[derive(Debug)]
pub struct Appliance {
    /// How it was started.
    pub setup: Setup,
    child: Option<Child>,
    /// Its TCP port on loopback.
    pub port: u16,
    log: PathBuf,
}

impl Appliance {
    fn wait_ready(&mut self) {
        let end = Instant::now() + Duration::from_secs(60);
        loop {
            if self.setup.cli(&["healthcheck"]).code == 0 {
                return;
            }
            let ended = self.child.as_mut().and_then(|child| child.try_wait().ok().flatten());
            assert!(ended.is_none(), "serve ended at once ({ended:?}):\n{}", self.log_text());
            assert!(Instant::now() < end, "serve does not answer:\n{}", self.log_text());
            std::thread::sleep(Duration::from_millis(100));
        }
    }
    /// Its log so far.
    pub fn log_text(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }
    /// Process id.
    pub fn pid(&self) -> u32 {
        self.child.as_ref().map_or(0, Child::id)
    }
    /// Asks it something; JSON on stdout.
    pub fn cli(&self, args: &[&str]) -> Said {
        self.setup.cli(args)
    }
    /// Reads something of the API with a client that is not ours, over the socket that asks for no login; `more` are
    /// arguments of curl.
    pub fn api(&self, path: &str, more: &[&str]) -> Answer {
        let mut command = Command::new("curl");
        command.args(["-sS", "-i", "--unix-socket"]).arg(self.setup.data.join("holdfast.sock")).args(more);
        command.arg(format!("http://localhost/api/v1{path}")).stdin(Stdio::null());
        let output = command.output().expect("curl runs");
        assert!(output.status.success(), "{path}: {}", String::from_utf8_lossy(&output.stderr));
        let end = output.stdout.windows(4).position(|bytes| bytes == b"\r\n\r\n").expect("an answer has a head");
        let head = String::from_utf8_lossy(&output.stdout[..end]).into_owned();
        let status = head.split(' ').nth(1).and_then(|word| word.parse().ok()).expect("an answer has a status");
        Answer { status, head, body: output.stdout[end + 4..].to_vec() }
    }
    /// Snapshots of an app, oldest first; none of one that is not known.
    pub fn snapshots_of(&self, app: &str) -> Vec<Value> {
        let list = self.cli(&["snapshots"]).expect(0).json();
        list.as_array().into_iter().flatten().filter(|one| one["app"] == app).cloned().collect()
    }
    /// Takes a backup, waits, and returns the id of the snapshot made.
    pub fn backup(&self, app: &str) -> String {
        let said = self.cli(&["backup", app, "--wait"]);
        assert!(said.code == 0 || said.code == 3, "{}{}", said.out, said.err);
        let jobs = said.json();
        jobs[0]["snapshot"].as_str().unwrap_or_else(|| panic!("no snapshot in {jobs}")).to_owned()
    }
    /// Waits until a snapshot is wholly in the bucket.
    pub fn wait_cloud(&self, snapshot: &str, seconds: u64) {
        wait_for("the snapshot reaches the bucket", seconds, || {
            let list = self.cli(&["snapshots"]).expect(0).json();
            list.as_array()
                .is_some_and(|all| all.iter().any(|s| s["id"] == snapshot && s["state"]["cloud"] == "present"))
        });
    }
    /// Ends it at once, as a power cut would.
    pub fn kill(mut self) -> Setup {
        self.end(true);
        self.setup.clone()
    }
    /// Ends it in an orderly way.
    pub fn stop(mut self) -> Setup {
        self.end(false);
        self.setup.clone()
    }
    fn end(&mut self, hard: bool) {
        let Some(mut child) = self.child.take() else { return };
        if hard {
            child.kill().ok();
        } else {
            run(Command::new("kill").arg(child.id().to_string()));
            let end = Instant::now() + Duration::from_secs(20);
            while child.try_wait().ok().flatten().is_none() && Instant::now() < end {
                std::thread::sleep(Duration::from_millis(50));
            }
            child.kill().ok();
        }
        child.wait().ok();
    }
}

impl Drop for Appliance {
    fn drop(&mut self) {
        self.end(true);
        if std::thread::panicking() {
            let text = self.log_text();
            let lines: Vec<_> = text.lines().collect();
            eprintln!("--- end of the appliance's log ---\n{}", lines[lines.len().saturating_sub(40)..].join("\n"));
        }
    }
}

/// A port that nobody listens on now.
pub fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    listener.local_addr().expect("a bound socket has an address").port()
}

/// The real S3 server of this run: endpoint and admin keys. Whoever asked for real parts must have one: a test that
/// quietly did without would look passed.
pub fn seaweed() -> (String, String, String) {
    let read = |name: &str| {
        let name = format!("HOLDFAST_TEST_SEAWEED_{name}");
        std::env::var(&name).unwrap_or_else(|_| panic!("{name} is not set; deploy/test starts the server and sets it"))
    };
    (read("ENDPOINT"), read("ACCESS_KEY"), read("SECRET_KEY"))
}

/// Asks a real S3 server with curl's own signing: a client that is not ours. Returns (status, body).
pub fn s3_curl(keys: (&str, &str), method: &str, url: &str, body: Option<&Path>) -> (u16, Vec<u8>) {
    let mut command = Command::new("curl");
    command.args([
        "-sS",
        "-X",
        method,
        "--aws-sigv4",
        "aws:amz:us-east-1:s3",
        "--user",
        &format!("{}:{}", keys.0, keys.1),
    ]);
    command.args(["-w", "\n%{http_code}", url]);
    if let Some(path) = body {
        command.arg("-T").arg(path);
    }
    let output = command.stdin(Stdio::null()).output().expect("curl runs");
    let mut bytes = output.stdout;
    let line = bytes.iter().rposition(|byte| *byte == b'\n').unwrap_or(0);
    let status = String::from_utf8_lossy(&bytes[line..]).trim().parse().unwrap_or(0);
    bytes.truncate(line);
    (status, bytes)
}

/// Makes a bucket on a real S3 server.
pub fn s3_make_bucket(endpoint: &str, access: &str, secret: &str, name: &str) {
    let (status, body) = s3_curl((access, secret), "PUT", &format!("{endpoint}/{name}"), None);
    assert_eq!(status, 200, "{}", String::from_utf8_lossy(&body));
}

/// Keys in a bucket that begin with `prefix` (one page).
pub fn s3_list(keys: (&str, &str), endpoint: &str, bucket: &str, prefix: &str) -> Vec<String> {
    let (status, body) =
        s3_curl(keys, "GET", &format!("{endpoint}/{bucket}?list-type=2&prefix={}", prefix.replace('/', "%2F")), None);
    assert_eq!(status, 200, "{}", String::from_utf8_lossy(&body));
    let text = String::from_utf8_lossy(&body).into_owned();
    text.split("<Key>").skip(1).filter_map(|rest| rest.split("</Key>").next().map(str::to_owned)).collect()
}
