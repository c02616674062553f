//! Looks into snapshots of a real app on a real engine: listed, downloaded, found and compared as they lay in the volume.

use holdfast_tests::{
    demo::Demo,
    house::{self, Appliance, Setup, sh},
};
use serde_json::{Value, json};
use std::{path::Path, process::Command};

const ENGINE: &str = "/var/run/docker.sock";
/// A folder in the database's volume, with all that files can be.
const MAKE: &str = r#"cd /var/lib/postgresql/data && mkdir -p odd/deep && cd odd &&
    printf 'one\n' > plain.conf && ln plain.conf deep/again && ln -s ../../../etc/passwd soft &&
    truncate -s 50M holed && printf end >> holed && head -c 3000000 /dev/urandom > noise &&
    printf x > $'line\nbreak' && printf y > $'\xff\xfe' && printf '<script>' > '<b>.html'"#;
/// A folder beside it, with what a zip can hold and one thing that it cannot.
const PACK: &str = r#"cd /var/lib/postgresql/data && mkdir -p pack/empty && chmod 755 pack pack/empty && cd pack &&
    printf 'grün' > 'größe ü.txt' && chmod 640 'größe ü.txt' && head -c 200000 /dev/urandom > noise && chmod 644 noise &&
    ln noise again && ln -s noise link && mkfifo pipe"#;
/// Python's reader of zips on one: kind and mode, size and sum of each name, every content read; and the file of the zip that
/// names what is not in it.
const READ_ZIP: &str = "import hashlib, json, sys, zipfile
zip, note = zipfile.ZipFile(sys.argv[1]), 'NOT IN THIS ZIP.txt'
assert zip.testzip() is None
entries = [i for i in zip.infolist() if i.filename != note]
told = {i.filename: [oct(i.external_attr >> 16), i.file_size, hashlib.sha256(zip.read(i)).hexdigest()] for i in entries}
assert len(told) == len(entries), 'a name is there twice'
print(json.dumps([told, zip.read(note).decode()]))";

#[test]
fn files_of_a_real_volume_are_listed_downloaded_found_and_compared() {
    let Some(binary) = house::real_parts("real_files") else { return };
    let home = tempfile::tempdir().expect("a folder");
    let demo = Demo::start("hffiles", 1, "172.31.88", ENGINE);
    let data = "/var/lib/postgresql/data";
    demo.exec("db", MAKE);
    demo.exec("db", PACK);
    let appliance = Setup::new(&binary, &home.path().join("data")).start();
    let first = appliance.backup("hffiles");

    let sections = appliance.cli(&["files", "ls", &first]).expect(0).json();
    let named = |name: &str| sections.as_array().is_some_and(|all| all.iter().any(|one| one["section"] == name));
    assert!(named("volume:hffiles_data") && named(&format!("bind:{}", demo.folder.display())), "{sections}");

    let odd = format!("{first}:hffiles_data/odd");
    let listed = appliance.cli(&["files", "ls", &odd]).expect(0).json();
    let names: Vec<&str> =
        listed["files"].as_array().into_iter().flatten().filter_map(|f| f["name"].as_str()).collect();
    assert_eq!(names, ["<b>.html", "deep", "holed", "line\\x0Abreak", "noise", "plain.conf", "soft", "\\xFF\\xFE"]);
    let stat = demo.exec("db", &format!("stat -c '%s %a %u %g' {data}/odd/noise"));
    let noise = &listed["files"][4];
    let octal = format!("{:o}", noise["mode"].as_u64().unwrap_or(0));
    assert_eq!(stat.trim(), format!("{} {octal} {} {}", noise["size"], noise["uid"], noise["gid"]));

    for (path, file) in [("odd/noise", "noise"), ("odd/holed", "holed"), ("odd/deep/again", "again")] {
        let output = home.path().join(file);
        let place = format!("{first}:hffiles_data/{path}");
        appliance.cli(&["files", "get", &place, "--output", output.to_str().expect("a text path")]).expect(0);
        let there = demo.exec("db", &format!("sha256sum < {data}/{path}"));
        assert_eq!(sh(&format!("sha256sum < {}", output.display())), there, "{path}");
    }
    let text = appliance.cli(&["files", "get", &format!("{odd}/\\xFF\\xFE"), "--output", "-"]).expect(0).out;
    assert_eq!(text, "y");
    assert_eq!(appliance.cli(&["files", "get", &format!("{odd}/soft"), "--output", "-"]).code, 2);
    assert_eq!(appliance.cli(&["files", "ls", &format!("{odd}/none")]).code, 4);
    let tar = home.path().join("odd.tar");
    appliance.cli(&["files", "get", &odd, "--output", tar.to_str().expect("a text path")]).expect(0);
    unpacks_as_it_was(&demo, home.path(), data);
    comes_as_a_zip(&demo, &appliance, &first, home.path());
    shows_beginnings(&demo, &appliance, &first, home.path());

    demo.exec(
        "db",
        &format!("cd {data}/odd && printf 'two\n' > plain.conf && rm noise && printf n > new && chmod 600 holed"),
    );
    std::thread::sleep(std::time::Duration::from_secs(3));
    let second = appliance.backup("hffiles");
    let diff = appliance.cli(&["diff", &first, &second]).expect(0).json();
    let lines: Vec<String> = diff["changes"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|one| one["path"].as_str().is_some_and(|path| path.starts_with("odd/")))
        .map(|one| format!("{} {} {}", one["path"], one["change"], one["differs"]).replace('"', ""))
        .collect();
    // Of two names of one file the first by path holds the content, the other one points to it.
    for expected in ["odd/holed changed [mode]", "odd/new added []", "odd/noise removed []"] {
        assert!(lines.iter().any(|line| line == expected), "{expected}: {lines:?}");
    }
    assert!(
        lines.iter().any(|line| line.starts_with("odd/deep/again changed") && line.contains("content")),
        "{lines:?}"
    );
    let found = appliance.cli(&["files", "find", "hffiles", "plain.conf"]).expect(0).json();
    assert_eq!(found["found"][0]["versions"].as_array().map(Vec::len), Some(2), "{found}");
    files_are_put_back(&demo, &appliance, &first, data);
}

/// Removed and changed files come back where they were, or beside; what is there gives way only if it may.
fn files_are_put_back(demo: &Demo, appliance: &Appliance, first: &str, data: &str) {
    let put = |path: &str, more: &[&str]| {
        let place = format!("{first}:hffiles_data/odd/{path}");
        appliance.cli(&[&["files", "put", &place, "--wait"], more].concat())
    };
    let look = |path: &str| {
        demo.exec("db", &format!("cd {data}/odd && stat -c '%s %a %u:%g %y' {path} && sha256sum < {path}"))
    };
    let listed = || appliance.cli(&["snapshots", "hffiles"]).expect(0).json().as_array().map_or(0, Vec::len);

    put("noise", &[]).expect(0);
    put("noise", &["--to", "odd/new place/noise again"]).expect(0);
    let (back, beside) = (look("noise"), look("'new place/noise again'"));
    assert!(back.starts_with("3000000 ") && back == beside, "{back}{beside}");
    demo.exec("db", &format!("rm -r {data}/odd/deep {data}/odd/soft"));
    put("deep", &[]).expect(0);
    put("soft", &[]).expect(0);
    assert_eq!(
        demo.exec("db", &format!("readlink {data}/odd/soft && cat {data}/odd/deep/again")),
        "../../../etc/passwd\none\n"
    );

    let kept = put("plain.conf", &[]).expect(3).json();
    let said = kept["problems"][0]["message"].as_str().unwrap_or_default().to_owned();
    assert!(kept["problems"][0]["code"] == "files.left" && said.contains("odd/plain.conf"), "{kept}");
    assert_eq!(demo.exec("db", &format!("cat {data}/odd/plain.conf")), "two\n");
    let before = listed();
    put("plain.conf", &["--replace"]).expect(0);
    assert_eq!(demo.exec("db", &format!("cat {data}/odd/plain.conf")), "one\n");
    assert_eq!(listed(), before + 1, "what was replaced is in a safety snapshot");

    assert!(put("noise", &["--to", "odd/third"]).expect(0).out.contains("read back"));

    let nowhere = appliance.cli(&["files", "put", &format!("{first}:hffiles_data/odd/none")]);
    assert_eq!(nowhere.code, 4, "{}{}", nowhere.out, nowhere.err);
    let outside = put("noise", &["--to", "../../escape"]);
    assert_eq!(outside.code, 2, "{}{}", outside.out, outside.err);

    // Of an app that is not there the place is saved before something in it is replaced.
    let volume = sh("docker volume inspect -f '{{.Mountpoint}}' hffiles_data");
    let file = format!("{}/odd/plain.conf", volume.trim());
    sh(&format!(
        "printf three > {file} && docker rm -f $(docker ps -aq --filter label=com.docker.compose.project=hffiles)"
    ));
    let before = listed();
    put("plain.conf", &["--replace"]).expect(0);
    assert_eq!(std::fs::read_to_string(&file).expect("the file is there"), "one\n");
    let all = appliance.cli(&["snapshots", "hffiles"]).expect(0).json();
    let all = all.as_array().cloned().unwrap_or_default();
    assert_eq!(all.len(), before + 1);
    let says_so = |one: &&Value| {
        one["problems"].as_array().into_iter().flatten().any(|problem| problem["code"] == "snapshot.places")
    };
    let places = all.iter().find(says_so).and_then(|one| one["id"].as_str()).expect("a snapshot of the place alone");
    let place = format!("{places}:hffiles_data/odd/plain.conf");
    assert_eq!(appliance.cli(&["files", "get", &place, "--output", "-"]).expect(0).out, "three");
    put("plain.conf", &["--to", "odd/beside.conf"]).expect(0);
}

/// The folder comes as a zip by command and by API, and a reader that is not ours finds all of it that a zip can hold; the rest is
/// named. A name that is not ASCII is found by its beginning.
fn comes_as_a_zip(demo: &Demo, appliance: &Appliance, first: &str, home: &Path) {
    let sum = |line: &str| -> Value {
        let said = demo.exec("db", &format!("cd /var/lib/postgresql/data/pack && {line} | sha256sum"));
        said.split(' ').next().unwrap_or_default().into()
    };
    let (noise, none) = (sum("cat noise"), sum("true"));
    let expected = json!({
        "pack/": ["0o40755", 0, none],
        "pack/empty/": ["0o40755", 0, none],
        "pack/größe ü.txt": ["0o100640", 5, sum("printf grün")],
        "pack/noise": ["0o100644", 200_000, noise],
        "pack/again": ["0o100644", 200_000, noise],
        "pack/link": ["0o120777", 5, sum("readlink -n link")],
    });
    let opens = |zip: &Path| {
        let told = house::run(Command::new("python3").args(["-c", READ_ZIP]).arg(zip)).expect(0).json();
        assert_eq!(told[0], expected, "{}", zip.display());
        let note = told[1].as_str().unwrap_or_default();
        assert!(note.contains("pack/pipe: left out, a device or a pipe"), "{note}");
    };

    let by_command = home.join("command.zip");
    let output = by_command.to_str().expect("a text path");
    appliance.cli(&["files", "get", &format!("{first}:hffiles_data/pack"), "--zip", "--output", output]).expect(0);
    opens(&by_command);
    let place = format!("/snapshots/{first}/content?section=volume:hffiles_data&path=pack&format=zip");
    let answer = appliance.api(&place, &[]);
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/zip")), "{}", answer.head);
    let name = answer.header("content-disposition").unwrap_or_default();
    assert!(name.starts_with("attachment; filename=\"pack.zip\""), "{name}");
    let by_api = home.join("api.zip");
    std::fs::write(&by_api, &answer.body).expect("it can be written");
    opens(&by_api);

    let found = appliance.cli(&["files", "find", "hffiles", "größe*"]).expect(0).json();
    let (path, section) = (&found["found"][0]["path"], &found["found"][0]["section"]);
    assert!(path == "pack/größe ü.txt" && section == "volume:hffiles_data" && found["complete"] == true, "{found}");
}

/// The beginning of a file, which is what pages show, or any stretch of it comes alone and is the file's; and nothing comes as
/// what a browser would show or run.
fn shows_beginnings(demo: &Demo, appliance: &Appliance, first: &str, home: &Path) {
    let ask = |file: &str, range: &str| {
        let place = format!("/snapshots/{first}/content?section=volume:hffiles_data&path=odd/{file}");
        let answer = appliance.api(&place, &["--range", range]);
        assert_eq!(answer.header("content-type"), Some("application/octet-stream"), "{file}: {}", answer.head);
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{file}: {}", answer.head);
        assert!(
            answer.header("content-disposition").is_some_and(|how| how.starts_with("attachment;")),
            "{}",
            answer.head
        );
        answer
    };
    let part = home.join("part");
    for (begin, end) in [(0, 65_535), (1_999_999, 2_000_100)] {
        let answer = ask("noise", &format!("{begin}-{end}"));
        let stretch = format!("bytes {begin}-{end}/3000000");
        assert_eq!((answer.status, answer.header("content-range")), (206, Some(stretch.as_str())), "{}", answer.head);
        std::fs::write(&part, &answer.body).expect("it can be written");
        let (skipped, count) = (begin + 1, end - begin + 1);
        let line = format!("tail -c +{skipped} /var/lib/postgresql/data/odd/noise | head -c {count} | sha256sum");
        assert_eq!(sh(&format!("sha256sum < {}", part.display())), demo.exec("db", &line), "{stretch}");
    }
    for (file, size, text) in [("plain.conf", 4, "one\n"), ("%3Cb%3E.html", 8, "<script>")] {
        let answer = ask(file, "0-65535");
        let whole = format!("bytes 0-{}/{size}", size - 1);
        assert_eq!(answer.header("content-range"), Some(whole.as_str()), "{file}: {}", answer.head);
        assert_eq!(String::from_utf8_lossy(&answer.body), text);
    }
}

/// The folder's tar, unpacked by GNU tar, is the folder.
fn unpacks_as_it_was(demo: &Demo, home: &Path, data: &str) {
    let list = "LC_ALL=C find odd -mindepth 1 ! -name holed -printf '%P %y %s %m %U:%G %T@ %l\\n' | LC_ALL=C sort";
    let there = demo.exec("db", &format!("cd {data} && {list}"));
    let here = sh(&format!("cd {} && tar --numeric-owner -xpf odd.tar && {list}", home.display()));
    let sizeless = |text: &str| -> Vec<String> {
        // Folders have sizes of their file system's own.
        text.lines()
            .map(
                |line| if line.contains(" d ") { line.split(" d ").next().unwrap_or(line).into() } else { line.into() },
            )
            .collect()
    };
    assert_eq!(sizeless(&here), sizeless(&there));
    let sums = "LC_ALL=C find odd -type f -exec sha256sum {} + | LC_ALL=C sort";
    assert_eq!(sh(&format!("cd {} && {sums}", home.display())), demo.exec("db", &format!("cd {data} && {sums}")));
}
