//! What people do with the insides of snapshots: list, get, put back, find, compare.
//!
//! Files are named by strangers: what is printed is the text that the API makes of a name, what is written goes where
//! the person said, or into a new file of the working folder. A download that breaks off leaves nothing behind.

use super::Desk;
use crate::{
    args::{ComposeArgs, FilesCommand, GetArgs, LsArgs, PutArgs, Tier},
    client::{Download, part},
    outcome::{self, DONE, Failure, Outcome, PROBLEMS},
    watch::{Reach, until_one_ended},
    words,
};
use holdfast_model::{
    Error,
    job::JobView,
    view::{DiffView, FindView, FolderView, From, PutRequest, SectionView},
};
use serde_json::json;
use std::{
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

/// Entries asked for at once.
const PAGE: usize = 2000;

/// `files …`.
pub async fn files(desk: &Desk, command: FilesCommand) -> Outcome {
    match command {
        FilesCommand::Ls(args) => list(desk, args).await,
        FilesCommand::Get(args) => get(desk, args).await,
        FilesCommand::Put(args) => put(desk, args).await,
        FilesCommand::Find { app, pattern, limit } => find(desk, &app, &pattern, limit).await,
    }
}

async fn list(desk: &Desk, args: LsArgs) -> Outcome {
    let (snapshot, rest) = split(&args.place);
    if rest.is_empty() {
        let sections: Vec<SectionView> = desk.client.get(&format!("/snapshots/{}/sections", part(snapshot))).await?;
        desk.output.show(&sections, |sections| words::sections(sections));
        return Ok(DONE);
    }
    let place = Place::find(desk, &args.place).await?;
    let mut whole: Option<FolderView> = None;
    let mut after = args.after;
    loop {
        let have = whole.as_ref().map_or(0, |view| view.files.len());
        let limit = args.limit.saturating_sub(have).clamp(1, PAGE);
        let behind = after.as_ref().map(|name| format!("&after={}", part(name))).unwrap_or_default();
        let page: FolderView =
            desk.client.get(&format!("{}&limit={limit}{behind}", place.address("files", args.from))).await?;
        after = page.next.clone();
        whole = Some(match whole {
            Some(mut view) => {
                view.files.extend(page.files);
                (view.next, view.left_out) = (page.next, view.left_out.max(page.left_out));
                view
            }
            None => page,
        });
        let full = whole.as_ref().is_some_and(|view| view.files.len() >= args.limit);
        if after.is_none() || full {
            break;
        }
    }
    if let Some(view) = &whole {
        desk.output.show(view, words::folder);
        if let Some(next) = &view.next {
            desk.output.talk(&format!("there is more: --after '{next}'"));
        }
        if view.left_out > 0 {
            desk.output.talk(&format!("{} entries with names that no file can have are not shown", view.left_out));
            return Ok(PROBLEMS);
        }
    }
    Ok(DONE)
}

async fn get(desk: &Desk, args: GetArgs) -> Outcome {
    let place = Place::find(desk, &args.place).await?;
    let format = if args.zip { "&format=zip" } else { "" };
    let download = desk.client.download(&format!("{}{format}", place.address("content", args.from))).await?;
    let output = match args.output {
        Some(output) => output,
        None => PathBuf::from(place.file_name(download.ending())?),
    };
    save(desk, download, &output).await
}

/// `compose SNAPSHOT`.
pub async fn compose(desk: &Desk, args: ComposeArgs) -> Outcome {
    let download = desk.client.download(&format!("/snapshots/{}/compose", part(&args.snapshot))).await?;
    save(desk, download, &args.output.unwrap_or_else(|| PathBuf::from("-"))).await
}

/// Writes what comes into a new file, or to stdout.
async fn save(desk: &Desk, mut download: Download, output: &Path) -> Outcome {
    if output == Path::new("-") {
        let mut stdout = std::io::stdout().lock();
        while let Some(bytes) = download.next().await? {
            stdout.write_all(&bytes).map_err(|error| Error::io("cannot write to stdout", error))?;
        }
        stdout.flush().map_err(|error| Error::io("cannot write to stdout", error))?;
        return Ok(DONE);
    }
    let wrong = |error: std::io::Error| {
        let made = Error::io(format!("cannot write {}", output.display()), error);
        if made.code() == "file.exists" {
            made.advice("Name a file that does not exist yet with --output.")
        } else {
            made
        }
    };
    let open = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(output);
    let mut file = std::io::BufWriter::with_capacity(1 << 20, open.map_err(wrong)?);
    let mut bytes = 0u64;
    let written: Result<(), Failure> = async {
        while let Some(piece) = download.next().await? {
            bytes += piece.len() as u64;
            file.write_all(&piece).map_err(wrong)?;
        }
        file.flush().and_then(|()| file.get_ref().sync_all()).map_err(wrong)?;
        Ok(())
    }
    .await;
    if let Err(failure) = written {
        // What came is not whole and must not pass for it.
        let _ = std::fs::remove_file(output);
        return Err(failure);
    }
    let told = json!({ "file": output.to_string_lossy(), "bytes": bytes });
    desk.output.show(&told, |told| format!("{} ({bytes} bytes)", told["file"].as_str().unwrap_or_default()));
    Ok(DONE)
}

async fn put(desk: &Desk, args: PutArgs) -> Outcome {
    let Place { snapshot, section, path } = Place::find(desk, &args.place).await?;
    let from = match args.from {
        Tier::Auto => From::Auto,
        Tier::Cache => From::Cache,
        Tier::Bucket => From::Bucket,
    };
    let request = PutRequest { section, path, to: args.to, replace: args.replace, from };
    let mut job: JobView = desk.client.post(&format!("/snapshots/{}/files", part(&snapshot)), &request).await?;
    if args.wait {
        job = until_one_ended(&Reach::Socket(&desk.client), desk.output, job).await?;
    }
    desk.output.show(&job, |job| words::ended_jobs(std::slice::from_ref(job)));
    outcome::of_jobs(std::slice::from_ref(&job))
}

async fn find(desk: &Desk, app: &str, pattern: &str, limit: usize) -> Outcome {
    let view: holdfast_model::view::AppView = match app.split_once('/') {
        Some((host, name)) => desk.client.get(&format!("/apps/{}/{}", part(host), part(name))).await?,
        None => named(desk, app).await?,
    };
    let place = format!("/apps/{}/{}/files", part(&view.host), part(&view.name));
    let found: FindView = desk.client.get(&format!("{place}?pattern={}&limit={limit}", part(pattern))).await?;
    desk.output.show(&found, words::found);
    Ok(if found.complete { DONE } else { PROBLEMS })
}

/// `diff BEFORE AFTER`.
pub async fn diff(desk: &Desk, before: &str, after: &str, limit: usize) -> Outcome {
    let address = format!("/snapshots/{}/diff?before={}", part(after), part(before));
    let mut whole: DiffView = desk.client.get(&format!("{address}&limit={}", limit.clamp(1, PAGE))).await?;
    while let Some(next) = whole.next.clone().filter(|_| whole.changes.len() < limit) {
        let left = (limit - whole.changes.len()).clamp(1, PAGE);
        let page: DiffView = desk.client.get(&format!("{address}&limit={left}&after={}", part(&next))).await?;
        whole.changes.extend(page.changes);
        (whole.next, whole.missing) = (page.next, [whole.missing, page.missing].concat());
    }
    whole.missing.sort();
    whole.missing.dedup();
    desk.output.show(&whole, words::diff);
    if whole.next.is_some() {
        desk.output.talk("there is more: give a larger --limit");
    }
    whole.missing.iter().for_each(|line| desk.output.talk(line));
    Ok(if whole.missing.is_empty() { DONE } else { PROBLEMS })
}

/// The app of a name without its host.
async fn named(desk: &Desk, name: &str) -> Result<holdfast_model::view::AppView, Failure> {
    let apps: Vec<holdfast_model::view::AppView> = desk.client.get("/apps").await?;
    let mut fitting = apps.into_iter().filter(|app| app.name == name);
    match (fitting.next(), fitting.next()) {
        (Some(app), None) => Ok(app),
        (Some(one), Some(other)) => {
            let what = format!("several apps are called “{name}”");
            Err(Error::invalid("app.ambiguous", what).advice(format!("Say {} or {}.", one.id, other.id)).into())
        }
        (None, _) => Err(Error::not_found("app.unknown", format!("there is no app “{name}”"))
            .advice("See holdfast apps.")
            .into()),
    }
}

/// A place in a snapshot.
struct Place {
    snapshot: String,
    section: String,
    path: String,
}

impl Place {
    /// Finds out which part of the snapshot a place lies in.
    async fn find(desk: &Desk, text: &str) -> Result<Place, Failure> {
        let (snapshot, rest) = split(text);
        let sections: Vec<SectionView> = desk.client.get(&format!("/snapshots/{}/sections", part(snapshot))).await?;
        let Some((section, path)) = within(&sections, rest) else {
            let names: Vec<&str> = sections.iter().take(10).map(|one| one.name.as_str()).collect();
            let what = format!("the snapshot has no volume, host path or container for “{rest}”");
            return Err(Error::not_found("files.section", what)
                .advice(format!("It has: {}.", names.join(", ")))
                .into());
        };
        Ok(Place { snapshot: snapshot.into(), section: section.into(), path: path.into() })
    }

    fn address(&self, what: &str, from: Tier) -> String {
        let from = match from {
            Tier::Auto => "auto",
            Tier::Cache => "cache",
            Tier::Bucket => "bucket",
        };
        let (id, section, path) = (part(&self.snapshot), part(&self.section), part(&self.path));
        format!("/snapshots/{id}/{what}?section={section}&path={path}&from={from}")
    }

    /// The name that the person asked for, as a new file here.
    fn file_name(&self, ending: &str) -> Result<String, Error> {
        let asked = if self.path.is_empty() { &self.section } else { &self.path };
        let last = asked.trim_end_matches('/').rsplit(['/', ':']).next().unwrap_or_default();
        if matches!(last, "" | "." | ".." | "-") {
            let error = Error::invalid("files.output", "this has no name that a file here could have");
            return Err(error.advice("Name a file with --output."));
        }
        Ok(format!("{last}{ending}"))
    }
}

/// `SNAPSHOT` and what follows its colon; the name of an app in `latest:APP` belongs to the snapshot.
fn split(place: &str) -> (&str, &str) {
    let begin = if place.starts_with("latest:") { "latest:".len() } else { 0 };
    match place[begin..].find(':') {
        Some(colon) => (&place[..begin + colon], &place[begin + colon + 1..]),
        None => (place, ""),
    }
}

/// The section that a path without its kind lies in, and the rest of the path. Volumes come before containers; of host
/// paths that lie in one another the longest counts.
fn within<'a>(sections: &'a [SectionView], rest: &'a str) -> Option<(&'a str, &'a str)> {
    let mut best: Option<(&SectionView, &str)> = None;
    for section in sections {
        let named = rest.strip_prefix(&format!("{}:", section.kind)).unwrap_or(rest);
        let Some(path) = named.strip_prefix(section.name.trim_end_matches('/')) else { continue };
        let longer = best.is_none_or(|(other, _)| section.name.len() > other.name.len());
        if (path.is_empty() || path.starts_with('/')) && longer {
            best = Some((section, path));
        }
    }
    best.map(|(section, path)| (section.section.as_str(), path.trim_start_matches('/')))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn section(kind: &str, name: &str) -> SectionView {
        SectionView {
            section: format!("{kind}:{name}"),
            kind: kind.into(),
            name: name.into(),
            folder: true,
            entries: 1,
            bytes: 1,
            readable: true,
            reason: None,
            logged: Vec::new(),
        }
    }

    #[test]
    fn places_are_read_as_they_are_written() {
        assert_eq!(split("01abc"), ("01abc", ""));
        assert_eq!(split("01abc:data/x:y"), ("01abc", "data/x:y"));
        assert_eq!(split("latest:shop"), ("latest:shop", ""));
        assert_eq!(split("latest:local/shop:/srv/a"), ("latest:local/shop", "/srv/a"));
        let sections = [
            section("volume", "data"),
            section("volume", "web"),
            section("bind", "/srv"),
            section("bind", "/srv/deep"),
            section("container", "data"),
            section("container", "shop-1"),
        ];
        for (rest, expected) in [
            ("data", Some(("volume:data", ""))),
            ("data/a/b", Some(("volume:data", "a/b"))),
            ("datax/a", None),
            ("container:data/etc", Some(("container:data", "etc"))),
            ("shop-1/etc", Some(("container:shop-1", "etc"))),
            ("/srv/x", Some(("bind:/srv", "x"))),
            ("/srv/deep/x", Some(("bind:/srv/deep", "x"))),
            ("/etc", None),
        ] {
            assert_eq!(within(&sections, rest), expected, "{rest}");
        }
    }

    #[test]
    fn downloads_take_the_name_that_was_asked_for() {
        let name = |section: &str, path: &str, folder: bool| {
            let ending = if folder { ".tar" } else { "" };
            Place { snapshot: "s".into(), section: section.into(), path: path.into() }.file_name(ending).ok()
        };
        assert_eq!(name("volume:data", "a/b.txt", false).as_deref(), Some("b.txt"));
        assert_eq!(name("volume:data", "a/b/", true).as_deref(), Some("b.tar"));
        assert_eq!(name("volume:data", "", true).as_deref(), Some("data.tar"));
        assert_eq!(name("bind:/srv/www", "", true).as_deref(), Some("www.tar"));
        assert_eq!(name("bind:/", "", true), None);
        assert_eq!(name("volume:data", "a/..", true), None);
    }
}
