//! `doctor`: tries everything the appliance stands on and says what it found.
//!
//! Invariants: every try has a deadline; tries change nothing but a file and a container of our own
//! that are removed again; no secret appears in a line.

use crate::{folder::Folder, house::House, ship, words::size};
use futures::future::join_all;
use holdfast_docker::{
    Engine,
    rights::{self, Need},
};
use holdfast_model::{
    Error, Result,
    settings::Host,
    view::{Capabilities, DoctorLine},
};
use holdfast_storage::Store;
use std::{future::Future, sync::Arc, time::Duration};

/// Longest wait for one try.
const LIMIT: Duration = Duration::from_secs(30);
/// A clock that is off by more breaks signatures (S3 allows 15 minutes) and retention.
const SKEW_MAX_S: i64 = 60;

/// All lines, in a fixed order: own house first, then hosts by name, then the bucket.
pub async fn look(house: &Arc<House>) -> Vec<DoctorLine> {
    let mut lines = folder(&house.folder);
    lines.push(catalog(house));
    lines.push(repository(house).await);
    lines.push(kit(house));
    let settings = house.settings();
    let hosts = join_all(settings.hosts.values().map(|host| look_at_host(house, host))).await;
    lines.extend(hosts.into_iter().flatten());
    lines.extend(look_at_bucket(house).await);
    lines
}

fn folder(folder: &Folder) -> Vec<DoctorLine> {
    let writable = match folder.try_writing() {
        Ok(()) => good("data folder", format!("{} takes data", folder.root().display())),
        Err(error) => bad("data folder", &error),
    };
    let space = match folder.space() {
        Ok(space) if crate::status::is_low(space) => {
            line("free space", false, format!("only {} of {} are free", size(space.free), size(space.total)))
        }
        Ok(space) => good("free space", format!("{} of {} are free", size(space.free), size(space.total))),
        Err(error) => bad("free space", &error),
    };
    let key = match folder.key_is_private() {
        Ok(true) => good("device key", "only its owner may read it".into()),
        Ok(false) => line("device key", false, "others may read device.key; run chmod 600 on it".into()),
        Err(error) => bad("device key", &error),
    };
    vec![writable, space, key]
}

fn catalog(house: &House) -> DoctorLine {
    match house.catalog.flush() {
        Ok(()) => good("catalog", "it remembers; losing it would lose no data".into()),
        Err(error) => bad("catalog", &error),
    }
}

async fn repository(house: &House) -> DoctorLine {
    let repository = house.repository();
    match repository.settings().await {
        Ok(_) => {
            let uses = repository.cache_use();
            let words =
                format!("{} opens, {} packs, {} in the cache", repository.id().short(), uses.packs, size(uses.bytes));
            good("repository", words)
        }
        Err(error) => bad("repository", &error),
    }
}

fn kit(house: &House) -> DoctorLine {
    match house.settings().kit_confirmed {
        Some(when) => good("recovery kit", format!("confirmed {when}")),
        None => {
            line("recovery kit", false, "nobody has confirmed that it is stored; print it with holdfast key kit".into())
        }
    }
}

async fn look_at_host(house: &House, host: &Host) -> Vec<DoctorLine> {
    let test = format!("host {}", host.name);
    let engine = match in_time(house.outside.host(host)).await {
        Ok(engine) => engine,
        Err(error) => return vec![bad(&test, &error)],
    };
    let reach = match in_time(engine.info()).await {
        Ok(info) => {
            let words = format!(
                "{} {} (API {}) on {}, storage driver {}",
                info.product, info.version, info.api_version, info.platform, info.driver
            );
            good(&test, words)
        }
        Err(error) => return vec![bad(&test, &error)],
    };
    let mover = mover(&test, engine.clone(), &house.owner()).await;
    let mut lines = vec![reach];
    lines.extend(rights(&test, engine.as_ref()).await);
    lines.push(mover);
    lines
}

/// Without a mover data can be read all the same, but less of it, and all of it each time.
async fn mover(host: &str, engine: Arc<dyn Engine>, owner: &str) -> DoctorLine {
    let test = format!("{host} mover");
    match in_time(holdfast_capture::try_mover(engine, owner)).await {
        Ok(()) => good(&test, "a helper container may run and reads only what changed, with all attributes".into()),
        Err(error) => {
            let why = error.chain();
            line(
                &test,
                false,
                format!("no helper container may run: data is read whole, through the archive API: {why}"),
            )
        }
    }
}

/// Tries each call: a socket proxy may allow some and forbid others.
async fn rights(host: &str, engine: &dyn Engine) -> Vec<DoctorLine> {
    let tried = in_time(async {
        // Forbidden or broken, a listing that fails says why.
        let lists = [
            ("containers", engine.container_list().await.err()),
            ("images", engine.image_list().await.err()),
            ("volumes", engine.volume_list().await.err()),
            ("networks", engine.network_list().await.err()),
        ];
        let failed = lists.iter().filter_map(|(what, error)| Some(format!("{what}: {}", error.as_ref()?.chain())));
        Ok((failed.collect::<Vec<_>>(), rights::missing(engine).await))
    });
    let test = |what: &str| format!("{host} {what}");
    let (failed, missing) = match tried.await {
        Ok(tried) => tried,
        Err(error) => return vec![bad(&test("rights"), &error)],
    };
    let of = |need| missing.iter().filter(move |missing| missing.need == need);
    let name = |missing: &rights::Missing| format!("forbidden: {} ({})", missing.what, missing.call);
    let backup: Vec<_> = failed.into_iter().chain(of(Need::Backup).map(name)).collect();
    let restore: Vec<_> = of(Need::Restore).map(name).collect();
    let line = |what: &str, wrong: Vec<String>, fine: &str| match wrong.is_empty() {
        true => good(&test(what), fine.to_owned()),
        false => line(&test(what), false, wrong.join("; ")),
    };
    vec![
        line("rights", backup, "all that a backup asks of the engine is allowed"),
        line("restores", restore, "all that a restore asks besides is allowed"),
    ]
}

async fn look_at_bucket(house: &House) -> Vec<DoctorLine> {
    let Some(bucket) = house.settings().bucket.clone() else {
        return vec![line("bucket", false, "none is set: backups are on this machine only".into())];
    };
    let store = match in_time(house.outside.bucket(&bucket, None)).await {
        Ok(store) => store,
        Err(error) => return vec![bad("bucket", &error)],
    };
    let reach = match in_time(reach(store)).await {
        Ok(()) => good("bucket", format!("{} answers", bucket.url)),
        Err(error) => return vec![bad("bucket", &error)],
    };
    let probe = async {
        let _probing = house.tier.probing().await;
        house.outside.probe(&bucket).await
    };
    match in_time(probe).await {
        Ok(seen) => {
            let lines = vec![reach, can(&seen), clock(&seen)];
            let url = bucket.url.to_string();
            ship::learn(house, &url, house.memory.capabilities(&url).as_ref(), seen);
            lines
        }
        Err(error) => vec![reach, bad("bucket rights", &error)],
    }
}

async fn reach(store: Arc<dyn Store>) -> Result<()> {
    store.head("format").await.map(drop)
}

fn can(seen: &Capabilities) -> DoctorLine {
    let all = [
        ("lists what was just written", seen.list_after_put),
        ("refuses to overwrite when asked", seen.conditional_put),
        ("reads ranges", seen.range),
        ("checks checksums", seen.checksum),
        ("keeps versions", seen.versioning),
        ("locks objects", seen.object_lock),
        ("lets our key delete", seen.can_delete),
    ];
    let yes: Vec<&str> = all.iter().filter(|(_, can)| *can).map(|(what, _)| *what).collect();
    let no: Vec<&str> = all.iter().filter(|(_, can)| !can).map(|(what, _)| *what).collect();
    // Only what backups cannot do without makes the line a bad one.
    let ok = seen.list_after_put && seen.range;
    let tell = |what: &[&str]| if what.is_empty() { "nothing".to_owned() } else { what.join(", ") };
    line("bucket rights", ok, format!("it {}; not: {}", tell(&yes), tell(&no)))
}

fn clock(seen: &Capabilities) -> DoctorLine {
    let skew = seen.clock_skew_seconds;
    let words = match skew {
        0 => "the bucket's clock and ours agree".to_owned(),
        skew => format!("the bucket's clock and ours differ by {} s", skew.unsigned_abs()),
    };
    line("bucket clock", skew.abs() <= SKEW_MAX_S, words)
}

async fn in_time<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::time::timeout(LIMIT, work).await.unwrap_or_else(|_| {
        Err(Error::new(holdfast_model::Kind::Unavailable, "doctor.timeout", "no answer within 30 s"))
    })
}

fn good(test: &str, detail: String) -> DoctorLine {
    line(test, true, detail)
}

fn bad(test: &str, error: &Error) -> DoctorLine {
    let advice = error.advice_text().map(|advice| format!(" — {advice}")).unwrap_or_default();
    line(test, false, format!("{}{advice}", error.chain()))
}

fn line(test: &str, ok: bool, detail: String) -> DoctorLine {
    DoctorLine { test: test.into(), ok, detail }
}
