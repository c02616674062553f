//! Views in words: what each command prints without `--json`.

mod upkeep;

pub use upkeep::{forgotten, lock, scrub, verification};

use crate::output::{bytes, duration, moment, moment_or_dash, name_of, table};
use holdfast_model::{
    Problem,
    cache::{CacheView, Evicted, WhenFull},
    hooks::ServiceHooks,
    job::JobView,
    uploads::{Days, Uploads},
    view::{
        AppCoverage, AppView, BucketView, ChangeKind, ChangeView, CheckView, CoverageView, DiffView, DoctorLine,
        FileKind, FileView, FindView, FolderView, HooksView, HostView, KeysView, PlanView, PolicyView, PruneView,
        SectionView, SnapshotView, StatusView,
    },
};
use holdfast_provider::TenantView;

/// The first page in lines.
pub fn status(view: &StatusView) -> String {
    let mut lines = vec![
        format!("{} of {} apps are protected; {} need attention", view.protected, view.apps, view.attention),
        format!(
            "{} snapshots of {}; cache {} in {} packs, {} free",
            view.snapshots,
            bytes(view.bytes_logical),
            bytes(view.cache.used_bytes),
            view.cache.packs,
            bytes(view.cache.free_bytes)
        ),
        bucket(&view.bucket),
    ];
    lines.extend(view.enrolment.iter().map(|by| format!("provider {}, tenant {}", by.provider, by.tenant)));
    if !view.kit_confirmed {
        lines.push(
            "the recovery kit is not confirmed: run holdfast key kit --output FILE, then holdfast key confirm".into(),
        );
    }
    lines.extend(problems(&view.problems));
    if !view.hosts.is_empty() {
        lines.push(format!("\n{}", hosts(&view.hosts)));
    }
    if !view.jobs.is_empty() {
        lines.push(format!("\n{}", jobs(&view.jobs)));
    }
    lines.join("\n")
}

/// Apps as a table.
pub fn apps(views: &[AppView]) -> String {
    let row = |app: &AppView| {
        let reason = app.reason.as_deref().map(|reason| format!(" ({reason})")).unwrap_or_default();
        vec![
            app.id.clone(),
            format!("{}{reason}", name_of(&app.state)),
            app.policy.clone().unwrap_or("-".into()),
            moment_or_dash(app.last_backup),
            moment_or_dash(app.next_backup),
            app.snapshots.to_string(),
            app.bytes_logical.map_or("-".into(), bytes),
        ]
    };
    let titles = ["APP", "STATE", "POLICY", "LAST BACKUP", "NEXT BACKUP", ">SNAPSHOTS", ">SIZE"];
    table(&titles, &views.iter().map(row).collect::<Vec<_>>())
}

/// Snapshots as a table.
pub fn snapshots(views: &[SnapshotView]) -> String {
    let row = |snapshot: &SnapshotView| {
        vec![
            snapshot.id.to_string(),
            format!("{}/{}", snapshot.host, snapshot.app),
            moment(snapshot.time),
            name_of(&snapshot.consistency),
            bytes(snapshot.bytes_logical),
            bytes(snapshot.bytes_new),
            name_of(&snapshot.state.local),
            name_of(&snapshot.state.cloud),
            moment_or_dash(snapshot.locked_until),
            snapshot.problems.len().to_string(),
        ]
    };
    let titles = ["SNAPSHOT", "APP", "TIME", "HELD", ">SIZE", ">NEW", "LOCAL", "CLOUD", "LOCKED UNTIL", ">PROBLEMS"];
    table(&titles, &views.iter().map(row).collect::<Vec<_>>())
}

/// Parts of a snapshot as a table.
pub fn sections(views: &[SectionView]) -> String {
    let row = |one: &SectionView| {
        let state = one.reason.clone().unwrap_or_default();
        vec![one.section.clone(), one.entries.to_string(), bytes(one.bytes), state]
    };
    table(&["PART", ">ENTRIES", ">SIZE", ""], &views.iter().map(row).collect::<Vec<_>>())
}

/// A folder as a table.
pub fn folder(view: &FolderView) -> String {
    let row = |file: &FileView| {
        let owner = file.uid.zip(file.gid).map_or("-".into(), |(uid, gid)| format!("{uid}:{gid}"));
        vec![
            mode(file),
            owner,
            file.size.map_or("-".into(), |size| size.to_string()),
            moment_or_dash(file.mtime),
            called(file),
        ]
    };
    table(&["MODE", "OWNER", ">BYTES", "CHANGED", "NAME"], &view.files.iter().map(row).collect::<Vec<_>>())
}

/// What a search found: each path, below it its versions.
pub fn found(view: &FindView) -> String {
    let mut lines = Vec::new();
    for one in &view.found {
        lines.push(format!("{}/{}", one.section, one.path));
        for version in &one.versions {
            let file = &version.file;
            let size = file.size.map_or_else(|| name_of(&file.kind), bytes);
            let in_newest = version.snapshots.first().map(|newest| format!("{} of {}", newest.id, moment(newest.time)));
            let others = if version.count > 1 { format!(" and {} before", version.count - 1) } else { String::new() };
            let newest = in_newest.unwrap_or_default();
            lines.push(format!("  {size}, changed {}, in {newest}{others}", moment_or_dash(file.mtime)));
        }
    }
    if view.found.is_empty() {
        lines.push(format!("nothing in {} snapshots is called so", view.snapshots));
    }
    lines.extend(view.missing.iter().map(|what| format!("not complete: {what}")));
    lines.join("\n")
}

/// What differs, one line each: `+` added, `-` removed, `~` changed and in what.
pub fn diff(view: &DiffView) -> String {
    let line = |one: &ChangeView| {
        let sign = match one.change {
            ChangeKind::Added => '+',
            ChangeKind::Removed => '-',
            ChangeKind::Changed => '~',
        };
        let place = if one.path.is_empty() { one.section.clone() } else { format!("{}/{}", one.section, one.path) };
        let differs = if one.differs.is_empty() { String::new() } else { format!("  ({})", one.differs.join(", ")) };
        format!("{sign} {place}{differs}")
    };
    if view.changes.is_empty() {
        return "no file differs".into();
    }
    view.changes.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// Type and permissions, as `ls` writes them.
fn mode(file: &FileView) -> String {
    let kind = match file.kind {
        FileKind::File => '-',
        FileKind::HardLink => 'h',
        FileKind::Folder => 'd',
        FileKind::Symlink => 'l',
        FileKind::Socket => 's',
        FileKind::Pipe => 'p',
        FileKind::CharDevice => 'c',
        FileKind::BlockDevice => 'b',
        FileKind::Other => '?',
    };
    let Some(mode) = file.mode else { return format!("{kind}?????????") };
    let mut text = String::from(kind);
    for (shift, special, letter) in [(6, 0o4000, 's'), (3, 0o2000, 's'), (0, 0o1000, 't')] {
        let bits = mode >> shift;
        text.push(if bits & 4 > 0 { 'r' } else { '-' });
        text.push(if bits & 2 > 0 { 'w' } else { '-' });
        text.push(match (bits & 1 > 0, mode & special > 0) {
            (true, true) => letter,
            (false, true) => letter.to_ascii_uppercase(),
            (true, false) => 'x',
            (false, false) => '-',
        });
    }
    text
}

/// A file's name, and where a link points to.
fn called(file: &FileView) -> String {
    match (&file.link, file.kind) {
        (Some(link), FileKind::HardLink) => format!("{} (a further name of {link})", file.name),
        (Some(link), _) => format!("{} -> {link}", file.name),
        (None, FileKind::Folder) => format!("{}/", file.name),
        (None, _) => file.name.clone(),
    }
}

/// Jobs as a table, with what is not as it should be below.
pub fn jobs(views: &[JobView]) -> String {
    let row = |job: &JobView| {
        vec![
            job.id.to_string(),
            name_of(&job.kind),
            job.subject.clone(),
            name_of(&job.state),
            moment(job.created),
            job.summary.clone().unwrap_or_else(|| job.progress.phase.clone()),
        ]
    };
    table(&["JOB", "KIND", "APP", "STATE", "ASKED FOR", ""], &views.iter().map(row).collect::<Vec<_>>())
}

/// Jobs that ended: the table, and each problem.
pub fn ended_jobs(views: &[JobView]) -> String {
    let told = views.iter().flat_map(|job| problems(&job.problems));
    std::iter::once(jobs(views)).chain(told).collect::<Vec<_>>().join("\n")
}

/// One job with its log.
pub fn job(view: &JobView) -> String {
    let log = view.log.iter().map(|line| format!("{}  {}", moment(line.time), line.text));
    std::iter::once(ended_jobs(std::slice::from_ref(view))).chain(log).collect::<Vec<_>>().join("\n")
}

/// Hosts as a table.
pub fn hosts(views: &[HostView]) -> String {
    let row = |host: &HostView| {
        let state = if host.reachable { "answers".into() } else { host.error.clone().unwrap_or("no answer".into()) };
        let engine = host.engine.as_ref().map(|engine| format!("{} {}", engine.product, engine.version));
        vec![
            host.name.clone(),
            host.url.clone(),
            state,
            engine.unwrap_or("-".into()),
            host.apps.to_string(),
            host.containers.to_string(),
        ]
    };
    let titles = ["HOST", "URL", "STATE", "ENGINE", ">APPS", ">CONTAINERS"];
    table(&titles, &views.iter().map(row).collect::<Vec<_>>())
}

/// Policies as a table.
pub fn policies(views: &[PolicyView]) -> String {
    let row = |view: &PolicyView| {
        let keep = &view.policy.keep;
        let rules = [
            ("last", keep.last),
            ("hourly", keep.hourly),
            ("daily", keep.daily),
            ("weekly", keep.weekly),
            ("monthly", keep.monthly),
        ];
        let rules: Vec<_> =
            rules.iter().filter(|(_, count)| *count > 0).map(|(name, count)| format!("{name} {count}")).collect();
        vec![
            view.policy.name.clone(),
            duration(view.policy.every_seconds),
            name_of(&view.policy.consistency),
            name_of(&view.policy.databases),
            if rules.is_empty() { "everything".into() } else { rules.join(", ") },
            view.apps.join(", "),
        ]
    };
    table(&["POLICY", "EVERY", "HELD", "DATABASES", "KEEPS", "APPS"], &views.iter().map(row).collect::<Vec<_>>())
}

/// Commands around backups: each that holds, and who says it.
pub fn hooks(view: &HooksView) -> String {
    let mut rows = Vec::new();
    for one in &view.services {
        let mut row = |what: &str, holds: &Option<String>, set: &Option<String>, label: &Option<String>| {
            let says = match (holds, set, label) {
                (Some(_), Some(_), Some(label)) => format!("set here; label: {label}"),
                (Some(_), Some(_), None) => "set here".into(),
                (Some(_), None, _) => "label".into(),
                (None, Some(_), Some(label)) => format!("taken away here; label: {label}"),
                _ => return,
            };
            let holds = holds.clone().unwrap_or_else(|| "-".into());
            rows.push(vec![one.service.clone(), what.into(), holds, says]);
        };
        let seconds = |hooks: &ServiceHooks| hooks.timeout_seconds.map(|seconds| format!("{seconds} s"));
        let (holds, set, label) = (&one.effective, &one.set, &one.labels);
        row("dump", &holds.dump, &set.dump, &label.dump);
        row("pre", &holds.pre, &set.pre, &label.pre);
        row("post", &holds.post, &set.post, &label.post);
        row("user", &holds.user, &set.user, &label.user);
        row("timeout", &seconds(holds), &seconds(set), &seconds(label));
    }
    let services: Vec<&str> = view.services.iter().map(|one| one.service.as_str()).collect();
    let mut lines = match rows.is_empty() {
        true => vec![format!("no commands run around its backups; its services: {}", services.join(", "))],
        false => vec![table(&["SERVICE", "WHAT", "COMMAND", "SAID BY"], &rows)],
    };
    lines.extend(view.error.iter().map(|error| format!("what labels say could not be read: {error}")));
    let gone = view.services.iter().filter(|one| !one.present && view.error.is_none());
    lines.extend(gone.map(|one| format!("{} is not in the app any more: its commands do not run", one.service)));
    lines.join("\n")
}

/// The cache in lines: what it takes, and what it may take.
pub fn cache(view: &CacheView) -> String {
    let rule = &view.rule;
    let mut lines = vec![
        format!(
            "cache: {} of {} taken, {} not yet in the bucket, {} can leave",
            bytes(view.used_bytes),
            bytes(view.limit_bytes),
            bytes(view.unshipped_bytes),
            bytes(view.evictable_bytes)
        ),
        format!("  {} of snapshots are in the bucket alone", bytes(view.bucket_only_bytes)),
    ];
    let quota = rule.quota_bytes.map_or("what the disk gives".into(), |quota| format!("{} at most", bytes(quota)));
    let reserve = rule.reserve_bytes.map_or("a twentieth (20 GiB at most)".into(), bytes);
    lines.push(format!("  it may take {quota}; {reserve} of the disk stay free"));
    lines.push(match rule.keep_newest {
        0 => "  what is oldest leaves first".into(),
        1 => format!("  the newest snapshot of each app leaves last ({})", bytes(view.newest_bytes)),
        newest => format!("  the newest {newest} snapshots of each app leave last ({})", bytes(view.newest_bytes)),
    });
    lines.push(match rule.when_full {
        WhenFull::Wait => "  a backup waits for the bucket when it is full".into(),
        WhenFull::Refuse => "  a backup fails when it is full".into(),
    });
    if view.waiting {
        lines.push("  a backup waits for room now".into());
    }
    lines.join("\n")
}

/// What left the cache, or would.
pub fn evicted(gone: &Evicted, dry_run: bool) -> String {
    let verb = if dry_run { "would leave" } else { "left" };
    let done = format!("{} packs of {} {verb} the cache", gone.packs, bytes(gone.bytes));
    match gone.short_bytes {
        0 => done,
        short => {
            format!("{done}; {} more cannot: the bucket does not hold them yet, or they are needed here", bytes(short))
        }
    }
}

/// The bucket in lines.
pub fn bucket(view: &BucketView) -> String {
    let Some(url) = &view.url else { return "no bucket is set: snapshots are on this appliance only".into() };
    let mut lines = vec![format!(
        "bucket {url}: {}, {} stored, {} snapshots complete, {} waiting",
        name_of(&view.health),
        bytes(view.stored_bytes),
        view.snapshots,
        bytes(view.queued_bytes)
    )];
    lines.extend(view.proxy.iter().map(|proxy| format!("  through the proxy {proxy}")));
    if let (Some(code), Some(error)) = (&view.error_code, &view.error) {
        lines.push(format!("  {error} [{code}]"));
    }
    if view.uploads != Uploads::default() {
        lines.push(uploads(view).lines().next().map(|line| format!("  {line}")).unwrap_or_default());
    }
    if view.lock.is_some() {
        lines.extend(lock(view).lines().map(|line| format!("  {line}")));
    }
    lines.join("\n")
}

/// What uploads may take of the line, in lines.
pub fn uploads(view: &BucketView) -> String {
    let speed = |limit: Option<u64>| match limit {
        None => "as fast as the line is".to_owned(),
        Some(0) => "nothing".to_owned(),
        Some(limit) => format!("{} per second at most", bytes(limit)),
    };
    let decided = &view.uploads;
    let mut lines = vec![match decided.paused {
        true => format!("uploads are paused; {} wait", bytes(view.queued_bytes)),
        false => format!("uploads now: {}; {} wait", speed(view.allowed), bytes(view.queued_bytes)),
    }];
    lines.push(format!("  usually {}", speed(decided.bytes_per_second)));
    for window in &decided.windows {
        let days = match window.days {
            Days::All => "",
            Days::Workdays => "on workdays ",
            Days::Weekends => "on weekends ",
        };
        lines.push(format!("  {days}{} to {} UTC: {}", window.from, window.until, speed(window.bytes_per_second)));
    }
    lines.extend(decided.requests_per_second.map(|requests| format!("  {requests} requests per second at most")));
    lines.join("\n")
}

/// What the bucket was seen to do, in lines.
pub fn capabilities(view: &BucketView) -> String {
    let Some(seen) = &view.capabilities else { return bucket(view) };
    let tests = [
        ("lists an object right after its upload", seen.list_after_put),
        ("refuses to overwrite when asked to", seen.conditional_put),
        ("lets exactly one of many writers win", seen.conditional_race),
        ("answers ranges with the range alone", seen.range),
        ("refuses a body with a wrong checksum", seen.checksum),
        ("keeps versions", seen.versioning),
        ("keeps locked objects", seen.object_lock),
        ("lets our key delete", seen.can_delete),
    ];
    let said = tests.iter().map(|(test, yes)| format!("  {} {test}", if *yes { "yes" } else { "no " }));
    let clock = format!("  its clock differs by {} s", seen.clock_skew_seconds);
    let notes = seen.notes.iter().map(|note| format!("  {note}"));
    std::iter::once(bucket(view)).chain(said).chain([clock]).chain(notes).collect::<Vec<_>>().join("\n")
}

/// A restore plan in lines.
pub fn plan(view: &PlanView) -> String {
    let source = &view.snapshot;
    let mut lines = vec![format!(
        "Restore {}/{} of {} as {} on {}: {}, {} of it from the bucket",
        source.host,
        source.app,
        moment(source.time),
        view.name,
        view.host,
        bytes(view.bytes),
        bytes(view.bytes_from_bucket)
    )];
    lines.extend(view.steps.iter().enumerate().map(|(place, step)| format!("  {}. {step}", place + 1)));
    lines.extend(problems(&view.notes));
    lines.extend(problems(&view.conflicts));
    lines.join("\n")
}

/// What prune would do, in lines.
pub fn prune(view: &PruneView) -> String {
    let mut lines = vec![format!(
        "{} snapshots stay, {} go; {} packs: {} in the cache, {} in the bucket",
        view.keep.len(),
        view.forget.len(),
        view.packs,
        bytes(view.cache_bytes),
        bytes(view.bucket_bytes)
    )];
    if view.held_bytes > 0 {
        lines.push(format!("{} are dead but share packs with living data", bytes(view.held_bytes)));
    }
    if view.repack > 0 {
        lines.push(format!(
            "{} packs are repacked: {} move, {} are freed after the grace",
            view.repack,
            bytes(view.repack_bytes),
            bytes(view.repack_frees)
        ));
    }
    if view.locked_bytes > 0 {
        lines.push(format!("{} more are dead and stay in the bucket until their locks end", bytes(view.locked_bytes)));
    }
    lines.extend(
        view.forget.iter().map(|line| format!("  {} {} {}: {}", line.id, line.app, moment(line.time), line.reason)),
    );
    lines.extend(problems(&view.problems));
    lines.join("\n")
}

/// What a check found, in lines.
pub fn check(view: &CheckView) -> String {
    let first = format!(
        "{} snapshots, {} packs in the cache, {} in the bucket, {} read; {} healed, {} problems",
        view.snapshots,
        view.packs_cache,
        view.packs_bucket,
        bytes(view.bytes_read),
        view.healed,
        view.problems.len()
    );
    let verified = match (view.unverified_packs, view.oldest_verified) {
        (0, Some(oldest)) => format!("every pack was read and found good since {oldest}"),
        (0, None) => String::new(),
        (never, _) => format!("{never} packs were never read whole"),
    };
    let scattered = match view.newest_packs_least {
        0 => String::new(),
        least => {
            format!("the newest snapshots need {} packs; together their data would fill {least}", view.newest_packs)
        }
    };
    let lines = [first, verified, scattered].into_iter().filter(|line| !line.is_empty());
    lines.chain(problems(&view.problems)).collect::<Vec<_>>().join("\n")
}

/// What is protected and what is not: a table of apps, and each gap.
pub fn coverage(view: &CoverageView) -> String {
    let apps = view.hosts.iter().flat_map(|host| &host.apps);
    let row = |app: &AppCoverage| {
        let policy = app.policy.clone().unwrap_or("-".into());
        vec![app.id.clone(), name_of(&app.state), policy, app.gaps.len().to_string()]
    };
    let mut lines = vec![table(&["APP", "COVER", "POLICY", ">LEFT OUT"], &apps.clone().map(row).collect::<Vec<_>>())];
    for host in &view.hosts {
        lines.extend(host.error.iter().map(|error| format!("error: host {} could not be asked: {error}", host.host)));
        lines.extend(host.apps.iter().flat_map(|app| problems(&app.gaps)).chain(problems(&host.gaps)));
    }
    lines.join("\n")
}

/// What doctor found, in lines.
pub fn doctor(views: &[DoctorLine]) -> String {
    let row = |line: &DoctorLine| {
        vec![if line.ok { "ok" } else { "FAILS" }.to_owned(), line.test.clone(), line.detail.clone()]
    };
    table(&["", "TEST", "FOUND"], &views.iter().map(row).collect::<Vec<_>>())
}

/// Tenants as a table.
pub fn tenants(views: &[TenantView]) -> String {
    let row = |tenant: &TenantView| {
        vec![
            tenant.name.clone(),
            tenant.state.clone(),
            tenant.driver.clone(),
            tenant.bucket.clone(),
            tenant.quota_bytes.map_or("-".into(), bytes),
            tenant.created.chars().take(10).collect(),
        ]
    };
    let titles = ["TENANT", "STATE", "DRIVER", "BUCKET", ">QUOTA", "MADE"];
    table(&titles, &views.iter().map(row).collect::<Vec<_>>())
}

/// Ways to open the backups as a table.
pub fn keys(view: &KeysView) -> String {
    let yes = |held: bool| if held { "yes" } else { "no" }.to_owned();
    let rows: Vec<Vec<String>> = view
        .slots
        .iter()
        .map(|slot| {
            let note = match (slot.ours, slot.retired, &slot.fingerprint) {
                (false, ..) => "NOT OURS: somebody else put it there".to_owned(),
                (_, true, _) => "retired: opens what was written before".to_owned(),
                (_, _, Some(fingerprint)) => format!("key {fingerprint}"),
                _ => String::new(),
            };
            let name = if slot.name.is_empty() { "-".to_owned() } else { slot.name.clone() };
            vec![slot.id.clone(), name, moment_or_dash(slot.made), yes(slot.in_cache), yes(slot.in_bucket), note]
        })
        .collect();
    let since = view.epoch_since.map(|since| format!(" since {}", moment(since))).unwrap_or_default();
    format!(
        "{}\n\nkey epoch {}{since}; {} of {} slots are used",
        table(&["ID", "NAME", "MADE", "CACHE", "BUCKET", ""], &rows),
        view.epoch,
        view.slots.len(),
        view.slots_max
    )
}

/// Problems in lines.
pub fn problem_lines(all: &[Problem]) -> Vec<String> {
    problems(all).collect()
}

fn problems(all: &[Problem]) -> impl Iterator<Item = String> {
    all.iter().map(|problem| {
        let advice = problem.advice.as_deref().map(|advice| format!(" {advice}")).unwrap_or_default();
        format!("  {}: {}: {} [{}]{advice}", name_of(&problem.severity), problem.subject, problem.message, problem.code)
    })
}
