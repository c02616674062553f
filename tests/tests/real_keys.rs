//! Ways in, with the real binary and a bucket in a folder: added, used by a recovery, retired.

use holdfast_tests::house::{self, Appliance, Setup};
use serde_json::Value;
use std::path::{Path, PathBuf};

fn text(path: &Path) -> &str {
    path.to_str().expect("a text path")
}

/// Recovers into a folder of its own. The answer is the exit code and what was said.
fn recover(binary: &Path, home: &Path, number: u32, bucket: &str, key: [&str; 2]) -> house::Said {
    let setup = Setup::new(binary, &home.join(format!("recovered-{number}")));
    setup.cli(&["recover", "--bucket", bucket, key[0], key[1]])
}

fn in_bucket(bucket: &Path) -> Vec<String> {
    let listed = std::fs::read_dir(bucket.join("k")).map(|entries| entries.flatten().collect::<Vec<_>>());
    let mut names: Vec<String> =
        listed.unwrap_or_default().into_iter().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

fn ids(appliance: &Appliance) -> Vec<String> {
    let view = appliance.cli(&["key", "list"]).expect(0).json();
    let slots = view["slots"].as_array().cloned().unwrap_or_default();
    slots.iter().map(|slot| slot["id"].as_str().unwrap_or_default().to_owned()).collect()
}

#[test]
fn a_bucket_opens_by_every_way_that_was_added_and_by_no_retired_one() {
    let Some(binary) = house::real_parts("real_keys") else { return };
    let home = tempfile::tempdir().expect("a folder");
    let file = |name: &str| home.path().join(name);
    let (folder, kit, new_kit) = (file("bucket"), file("kit.txt"), file("new.txt"));
    std::fs::create_dir(&folder).expect("a folder for the bucket");
    let bucket = format!("file://{}", folder.display());
    let appliance = Setup::new(&binary, &file("data")).bucket(&bucket).start();
    let environment = std::fs::read(format!("/proc/{}/environ", appliance.pid())).expect("a process");
    assert!(environment.split(|byte| *byte == 0).any(|one| one == b"MALLOC_ARENA_MAX=2"), "threads share their memory");
    appliance.cli(&["key", "kit", "--output", text(&kit)]).expect(0);
    house::wait_for("the kit's slot is in the bucket", 60, || in_bucket(&folder) == ["recovery-0"]);

    let passphrase = file("passphrase");
    std::fs::write(&passphrase, "four words in a row\n").expect("a file");
    let short = file("short");
    std::fs::write(&short, "short\n").expect("a file");
    let add = ["key", "add", "passphrase", "--name", "Ada", "--passphrase-file"];
    assert_eq!(appliance.cli(&[&add[..], &[text(&short)]].concat()).code, 2);
    let added = appliance.cli(&[&add[..], &[text(&passphrase)]].concat()).expect(0).json();
    let private = file("private.pem");
    let pair = appliance.cli(&["key", "escrow", "pair", "--output", text(&private)]).expect(0).json();
    let public = file("public.pem");
    std::fs::write(&public, pair["public_key"].as_str().expect("a key")).expect("a file");
    let entrust = ["key", "escrow", "add", text(&public), "--name", "the notary"];
    assert_eq!(appliance.cli(&entrust).code, 5, "nobody agreed");
    appliance.cli(&[&entrust[..], &["--yes"]].concat()).expect(0);
    assert_eq!(
        appliance.cli(&["key", "escrow", "add", text(&private), "--name", "x", "--yes"]).code,
        2,
        "the wrong half"
    );
    assert_eq!(ids(&appliance).len(), 4);
    assert_eq!(in_bucket(&folder).len(), 3, "sent at once, and never the device's");

    let rotated = appliance.cli(&["key", "rotate", "--output", text(&new_kit), "--yes"]).expect(0).json();
    assert_eq!(rotated["problems"], Value::Array(Vec::new()));
    let view = appliance.cli(&["key", "list"]).expect(0).json();
    assert_eq!((view["epoch"].as_u64(), ids(&appliance).len()), (Some(1), 4));
    assert_eq!(appliance.cli(&["key", "rotate", "--output", text(&new_kit), "--yes"]).code, 5, "the file is there");
    assert!(
        !ids(&appliance).contains(&added["id"].as_str().expect("an id").to_owned()),
        "sealed anew under a new name"
    );
    // The settings are sealed under the new epoch, and on their way.
    house::wait_for("all is in the bucket", 60, || {
        appliance.cli(&["status"]).expect(0).json()["bucket"]["queued_objects"] == 0
    });
    drop(appliance.stop());

    let old = recover(&binary, home.path(), 1, &bucket, ["--kit", text(&kit)]);
    assert!(old.code != 0 && old.err.contains("kit.wrong"), "{}{}", old.out, old.err);
    assert_ne!(recover(&binary, home.path(), 2, &bucket, ["--passphrase-file", text(&short)]).code, 0);
    for (number, key) in
        [["--kit", text(&new_kit)], ["--passphrase-file", text(&passphrase)], ["--escrow-key", text(&private)]]
            .into_iter()
            .enumerate()
    {
        let said = recover(&binary, home.path(), 3 + u32::try_from(number).expect("three"), &bucket, key);
        assert_eq!(said.code, 0, "{key:?}: {}{}", said.out, said.err);
    }
    let again: PathBuf = home.path().join("recovered-5");
    let appliance = Setup::new(&binary, &again).start();
    let escrow = ids(&appliance).into_iter().find(|id| id.starts_with("escrow")).expect("the notary");
    assert_eq!(appliance.cli(&["key", "remove", "device", "--yes"]).code, 5);
    house::wait_for("the bucket is attached", 60, || appliance.cli(&["key", "remove", &escrow, "--yes"]).code == 0);
    let third = file("third.txt");
    appliance.cli(&["key", "rotate", "recovery", "--output", text(&third), "--yes"]).expect(0);
    drop(appliance.stop());
    assert_ne!(recover(&binary, home.path(), 6, &bucket, ["--escrow-key", text(&private)]).code, 0);
    assert_ne!(recover(&binary, home.path(), 7, &bucket, ["--kit", text(&new_kit)]).code, 0);
    assert_eq!(recover(&binary, home.path(), 8, &bucket, ["--kit", text(&third)]).code, 0);
}
