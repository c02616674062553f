//! Restores: plans against the host as it is now, refuses what must not be done, takes a safety
//! backup before anything is replaced, carries out.
//!
//! Invariants (law L7): a plan with conflicts is never carried out; a destructive one only when it was
//! confirmed; what is there is never replaced, in place or on another host, without lying in a safety snapshot first.

use crate::{
    apps::app_id,
    house::House,
    jobs::{Claim, Desk, Order},
    safety::{self, Of},
    snapshots,
    words::size,
};
use async_trait::async_trait;
use holdfast_docker::{ByteStream, Engine};
use holdfast_model::{
    Error, Kind, Problem, Result,
    job::{JobKind, JobView},
    snapshot::StreamRef,
    view::{From, PlanView, RestoreRequest, Target, WayOut},
};
use holdfast_repository::{Entry, Meter, ReadCost, Repository};
use holdfast_restore::{Ask, Plan, Replaced, Source, Trace, carry_out, plan};
use std::sync::Arc;

/// Seconds that a restore takes even without data: containers are made and started.
const OVERHEAD_S: f64 = 3.0;
/// Seconds per request to the bucket, before bytes flow.
const REQUEST_S: f64 = 0.05;

/// What will be done, with all that was looked up for it.
struct Case {
    entry: Entry,
    host: String,
    engine: Arc<dyn Engine>,
    plan: Plan,
    cost: ReadCost,
}

/// Plans; changes nothing.
pub async fn preview(house: &House, request: &RestoreRequest) -> Result<PlanView> {
    let case = prepare(house, request).await?;
    Ok(view(house, request, &case))
}

/// Accepts a restore. `Refused`: `restore.conflict`, `restore.unconfirmed`.
pub async fn request(house: &Arc<House>, request: RestoreRequest) -> Result<JobView> {
    let case = prepare(house, &request).await?;
    refuse(&case, &request)?;
    let subject = app_id(&case.host, &case.plan.name);
    let order = Order { kind: JobKind::Restore, subject: subject.clone(), claim: Claim::Restore(subject) };
    let house_of_job = house.clone();
    // The job restores what was shown, also when a newer snapshot comes before it begins.
    let request = RestoreRequest { snapshot: case.entry.snapshot.id.to_string(), ..request };
    let desk = house
        .jobs
        .add(order, Box::new(move |desk| Box::pin(async move { run(&house_of_job, &desk, &request).await })))?;
    Ok(desk.view())
}

async fn run(house: &House, desk: &Arc<Desk>, request: &RestoreRequest) -> Result<String> {
    desk.phase("plan", 1, 1);
    // A prune beside us takes nothing away before we are done.
    let _hold = house.repository().hold();
    let case = prepare(house, request).await?;
    refuse(&case, request)?;
    desk.snapshot(&case.entry.snapshot.id);
    let case = match request.target {
        Target::Beside => case,
        Target::InPlace | Target::Host { .. } => saved(house, desk, request, &case).await?,
    };
    desk.phase("restore", 1, 1);
    desk.total(desk.moved_bytes() + case.plan.bytes);
    desk.problems(case.plan.notes.iter().cloned());
    let (begun, before) = (house.now(), desk.moved_bytes());
    let source = Arc::new(RepositorySource { repository: house.repository(), from: request.from, desk: desk.clone() });
    let done = carry_out(case.engine.clone(), &case.entry.snapshot, &case.plan, source, desk.stop()).await;
    // Healing is told also when the restore failed.
    desk.problems(house.repository().take_healed());
    house.hosts.nudge();
    house.events.apps();
    let done = done?;
    let seconds = house.now().since(begun) as f64 / 1000.0;
    house.memory.measured(desk.moved_bytes() - before, seconds, case.cost.bucket_bytes > 0);
    desk.problems(done.problems);
    Ok(done.summary)
}

async fn prepare(house: &House, request: &RestoreRequest) -> Result<Case> {
    let entry = snapshots::find(house, &request.snapshot)?;
    if let Some(volume) = &request.volume {
        snapshots::check_volume(&entry.snapshot, volume)?;
    }
    let host = match &request.target {
        Target::Host { host } => host.clone(),
        Target::Beside | Target::InPlace => entry.snapshot.host.clone(),
    };
    let engine = house.hosts.engine(&host).await?;
    let ask = Ask {
        target: request.target.clone(),
        name: request.name.clone(),
        volume: request.volume.clone(),
        services: request.services.clone(),
        no_ports: request.no_ports,
        no_addresses: request.no_addresses,
        ports: request.ports.clone(),
        ways: request.ways.clone(),
        owner: house.owner(),
        trace: Some(Trace { folder: house.folder.restores(), host: host.clone() }),
    };
    let mut plan = plan(&engine, &entry.snapshot, &ask).await?;
    let repository = house.repository();
    if request.from == From::Bucket && !repository.has_bucket() {
        return Err(Error::new(Kind::Unavailable, "bucket.none", "no bucket is attached to restore from")
            .advice("Restore from the cache, or wait until the bucket answers."));
    }
    let cost = repository.cost(&plan.streams, request.from).await?;
    plan.conflicts.extend(source_conflict(&entry, request.from, &cost));
    Ok(Case { entry, host, engine, plan, cost })
}

/// What stands in the way on our own side: bytes that the chosen source does not have.
fn source_conflict(entry: &Entry, from: From, cost: &ReadCost) -> Option<Problem> {
    let id = entry.snapshot.id.as_str();
    if cost.missing_bytes > 0 {
        let (what, advice) = match from {
            From::Cache => ("the cache does not hold", "Let the restore read from the bucket too."),
            From::Bucket => ("the bucket does not hold", "Let the restore read from the cache too."),
            From::Auto => ("no tier holds", "Run a check; attach the bucket if it is not."),
        };
        let words = format!("{what} {} that this restore needs", size(cost.missing_bytes));
        return Some(Problem::error("snapshot.incomplete", id, words).advice(advice));
    }
    if from == From::Cache && cost.bucket_bytes > 0 {
        let words = format!("{} that this restore needs are only in the bucket", size(cost.bucket_bytes));
        return Some(
            Problem::error("snapshot.incomplete", id, words).advice("Let the restore read from the bucket too."),
        );
    }
    None
}

fn refuse(case: &Case, request: &RestoreRequest) -> Result<()> {
    if !case.plan.conflicts.is_empty() {
        let words: Vec<&str> = case.plan.conflicts.iter().map(|conflict| conflict.message.as_str()).collect();
        let error = Error::new(Kind::Refused, "restore.conflict", words.join("; "));
        return Err(match case.plan.conflicts.iter().find_map(|conflict| conflict.advice.clone()) {
            Some(advice) => error.advice(advice),
            None => error,
        });
    }
    if case.plan.destructive && !request.confirmed {
        let words = format!("this restore replaces {} on {} and needs your word", case.plan.name, case.host);
        return Err(Error::new(Kind::Refused, "restore.unconfirmed", words)
            .advice("Read the plan, then confirm it (--yes). A safety backup is taken first."));
    }
    Ok(())
}

/// Saves what the restore will replace, and decides again: that took its time. What came to be replaced meanwhile was not saved.
async fn saved(house: &House, desk: &Arc<Desk>, request: &RestoreRequest, case: &Case) -> Result<Case> {
    let replaced = case.plan.replaced();
    // On another host containers and volumes of these names would be conflicts; host paths are written over.
    if request.target == Target::InPlace || replaced != Replaced::default() {
        save(house, desk, request, (case, &replaced)).await?;
    }
    let again = prepare(house, request).await?;
    refuse(&again, request)?;
    if !again.plan.replaced().is_within(&replaced) {
        let words = "while the safety backup was taken more came to be there than it holds, so nothing was replaced";
        return Err(Error::new(Kind::Conflict, "restore.changed", words).advice("Look at the host and restore again."));
    }
    Ok(again)
}

async fn save(
    house: &House,
    desk: &Arc<Desk>,
    request: &RestoreRequest,
    (case, replaced): (&Case, &Replaced),
) -> Result<()> {
    let snapshot = &case.entry.snapshot;
    let of = Of { engine: &*case.engine, host: &case.host, app: &snapshot.app, project: snapshot.project };
    let lost = safety::save(house, desk, of, replaced).await?;
    // The job tells the snapshot it restores, not the one it took on the way.
    desk.snapshot(&snapshot.id);
    match lost {
        Some(lost) if !request.lose_uncaptured => {
            Err(safety::incomplete(&lost)
                .advice("Move it elsewhere first, or agree that it is lost (--lose-uncaptured)."))
        }
        lost => {
            desk.problems(lost.map(|lost| safety::unsaved(&case.plan.name, &lost)));
            Ok(())
        }
    }
}

fn view(house: &House, request: &RestoreRequest, case: &Case) -> PlanView {
    let rates = house.memory.rates();
    let seconds = |bytes: u64, rate: f64| bytes as f64 / rate.max(1.0) + OVERHEAD_S;
    let cached = case.cost.bucket_bytes == 0 && case.cost.missing_bytes == 0;
    let from_bucket = seconds(case.cost.bucket_bytes.max(1), rates.bucket)
        + case.cost.requests as f64 * REQUEST_S
        + case.plan.bytes as f64 / rates.cache.max(1.0);
    PlanView {
        snapshot: snapshots::view(house, &case.entry),
        host: case.host.clone(),
        name: case.plan.name.clone(),
        steps: case.plan.steps.clone(),
        conflicts: case.plan.conflicts.clone(),
        notes: case.plan.notes.clone(),
        destructive: case.plan.destructive,
        bytes: case.plan.bytes,
        bytes_from_bucket: case.cost.bucket_bytes,
        requests: case.cost.requests,
        seconds_from_cache: cached.then(|| seconds(case.plan.bytes, rates.cache).ceil() as u64),
        seconds_from_bucket: (!cached || request.from == From::Bucket).then(|| from_bucket.ceil() as u64),
        command: command(request, case),
    }
}

/// The same as a CLI line. Names come from a host, which may be hostile: they are quoted for a shell.
fn command(request: &RestoreRequest, case: &Case) -> String {
    let mut line = format!("holdfast restore {}", case.entry.snapshot.id);
    match &request.target {
        Target::Beside => line.push_str(&format!(" --as {}", quoted(&case.plan.name))),
        Target::InPlace => line.push_str(" --in-place"),
        Target::Host { host } => line.push_str(&format!(" --to {}", quoted(host))),
    }
    if let Some(volume) = &request.volume {
        line.push_str(&format!(" --volume {}", quoted(volume)));
    }
    for service in &request.services {
        line.push_str(&format!(" --service {}", quoted(service)));
    }
    line.push_str(if request.no_ports { " --no-ports" } else { "" });
    line.push_str(if request.no_addresses { " --no-addresses" } else { "" });
    for change in &request.ports {
        line.push_str(&format!(" --port {}={}", change.from, change.to));
    }
    for way in &request.ways {
        line.push_str(match way {
            WayOut::NoDevices => " --no-devices",
            WayOut::OwnDrivers => " --own-drivers",
            WayOut::NoPaths => " --no-paths",
            WayOut::MakePaths => " --make-paths",
            WayOut::NoLimits => " --no-limits",
            WayOut::MakeNetworks => " --make-networks",
        });
    }
    match request.from {
        From::Auto => {}
        From::Cache => line.push_str(" --from cache"),
        From::Bucket => line.push_str(" --from bucket"),
    }
    if case.plan.destructive {
        line.push_str(" --yes");
    }
    line
}

fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', "'\\''"))
    }
}

/// The repository as restore's source.
struct RepositorySource {
    repository: Repository,
    from: From,
    desk: Arc<Desk>,
}

#[async_trait]
impl Source for RepositorySource {
    async fn open(&self, stream: &StreamRef) -> Result<ByteStream> {
        // Bytes are counted where they are written, not here: they would count twice.
        Ok(self.repository.read(stream, self.from, None))
    }
    fn phase(&self, name: &str, number: u32, of: u32) {
        self.desk.phase(name, number, of);
        self.desk.log(name);
    }
    fn item(&self, name: &str) {
        self.desk.item(name);
    }
    fn wrote(&self, bytes: u64) {
        self.desk.moved(bytes);
    }
    fn log(&self, text: &str) {
        self.desk.log(text);
    }
}

#[cfg(test)]
mod tests {
    use super::quoted;

    #[test]
    fn names_cannot_leave_their_quotes() {
        assert_eq!(quoted("shop-restore"), "shop-restore");
        assert_eq!(quoted("a b"), "'a b'");
        assert_eq!(quoted("x'; rm -rf /"), r"'x'\''; rm -rf /'");
        assert_eq!(quoted(""), "''");
    }
}
