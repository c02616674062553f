//! Looks at a disk after a cut: all that is owed restores exactly, what else is listed does too, nothing is damaged, a
//! prune takes nothing that is needed, and the next backup works.

use crate::{
    driver::{back_up, content, open, prune, read},
    ledger::Ledger,
};
use holdfast_model::Result;
use holdfast_repository::Repository;
use holdfast_runtime::Stop;
use std::path::Path;

/// Not a test of its own: the inspector, when the environment says so.
#[test]
fn role() {
    let Some(data) = std::env::var_os("HOLDFAST_POWER_INSPECTOR") else { return };
    let owed = Ledger::open(Path::new(&std::env::var_os("HOLDFAST_POWER_LEDGER").expect("a ledger is given")));
    let runtime = tokio::runtime::Runtime::new().expect("a runtime starts");
    if let Err(error) = runtime.block_on(inspect(Path::new(&data), &owed)) {
        panic!("{}", error.chain());
    }
}

async fn inspect(data: &Path, owed: &Ledger) -> Result<()> {
    let repository = open(data).await?;
    restore_all(&repository, owed, "after the cut").await?;
    let report = repository.check(true, None, &Stop::new()).await?;
    assert!(report.problems.is_empty(), "check: {:?}", report.problems);
    let number = 1_000_000;
    let next = back_up(&repository, number).await?;
    prune(&repository, Vec::new()).await?;
    restore_all(&repository, owed, "after the next prune").await?;
    assert!(read(&repository, &next).await? == content(number), "the next backup restores wrongly");
    prune(&repository, vec![next.id]).await
}

/// Everything listed restores to what its number says, and everything owed is listed.
async fn restore_all(repository: &Repository, owed: &Ledger, when: &str) -> Result<()> {
    let listed = repository.snapshots();
    for (id, number) in owed.snapshots() {
        let found = listed.iter().find(|entry| entry.snapshot.id.as_str() == id);
        let app = found.map(|entry| entry.snapshot.app.as_str());
        assert_eq!(app, Some(format!("app-{number}").as_str()), "{when}: acknowledged snapshot {id} is lost");
    }
    for entry in &listed {
        let number = entry.snapshot.app.strip_prefix("app-").and_then(|text| text.parse().ok());
        let expected = content(number.expect("the driver numbers its apps"));
        let bytes = read(repository, &entry.snapshot).await?;
        assert!(bytes == expected, "{when}: snapshot {} restores wrong bytes", entry.snapshot.id);
    }
    Ok(())
}
