//! Looks into snapshots of a real app on a real engine: listed, downloaded, found and compared as they lay in the volume.

use holdfast_tests::{
    demo::Demo,
    house::{self, Appliance, Setup, sh},
};
use std::path::Path;

const ENGINE: &str = "/var/run/docker.sock";
/// A folder in the database's volume, with all that files can be.
const MAKE: &str = r#"cd /var/lib/postgresql/data && mkdir -p odd/deep && cd odd &&
    printf 'one\n' > plain.conf && ln plain.conf deep/again && ln -s ../../../etc/passwd soft &&
    truncate -s 50M holed && printf end >> holed && head -c 3000000 /dev/urandom > noise &&
    printf x > $'line\nbreak' && printf y > $'\xff\xfe' && printf '<script>' > '<b>.html'"#;

#[test]
fn files_of_a_real_volume_are_listed_downloaded_found_and_compared() {
    let Some(binary) = house::real_parts("real_files") else { return };
    let home = tempfile::tempdir().expect("a folder");
    let demo = Demo::start("hffiles", 1, "172.31.88", ENGINE);
    let data = "/var/lib/postgresql/data";
    demo.exec("db", MAKE);
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

    // Nothing is replaced of an app that cannot be backed up before.
    let volume = sh("docker volume inspect -f '{{.Mountpoint}}' hffiles_data");
    let file = format!("{}/odd/plain.conf", volume.trim());
    sh(&format!(
        "printf three > {file} && docker rm -f $(docker ps -aq --filter label=com.docker.compose.project=hffiles)"
    ));
    let unsaved = put("plain.conf", &["--replace"]);
    assert!(unsaved.code != 0 && unsaved.code != 3, "{}{}", unsaved.out, unsaved.err);
    assert!(format!("{}{}", unsaved.out, unsaved.err).contains("backed up first"), "{}{}", unsaved.out, unsaved.err);
    assert_eq!(std::fs::read_to_string(&file).expect("the file is there"), "three");
    put("plain.conf", &["--to", "odd/beside.conf"]).expect(0);
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
