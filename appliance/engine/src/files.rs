//! Looking into snapshots: which files they hold, one of them, some by name, what differs between two.
//!
//! Lives here: what is asked and answered. Never here: how files are stored (repository), how they are listed
//! (`listing`). Invariants: nothing is unpacked and no name from outside is used as one here (law L8); work runs off
//! the async threads, a few questions at a time, as long as somebody waits for the answer, and what it reads stays readable until it is
//! done.

mod body;
mod diff;
mod find;
mod put;
mod section;
mod zip;

pub use body::{Content, OpenFile};
pub use put::request as put;

use crate::{
    house::House,
    listing::{Desk, Lies, Listing, path},
    snapshots,
};
use holdfast_model::{
    Error, Kind, Result,
    snapshot::Snapshot,
    view::{DiffView, FileKind, FindView, FolderView, From, SectionView},
};
use holdfast_runtime::Stop;
use section::Section;
use std::{future::Future, sync::Arc};
use tokio::runtime::Handle;

/// Most that one page holds.
const PAGE_MAX: usize = 2000;

/// The parts of a snapshot that hold files.
pub fn sections(house: &House, snapshot: &str) -> Result<Vec<SectionView>> {
    let entry = snapshots::find(house, snapshot)?;
    Ok(section::everything(&entry.snapshot).into_iter().map(|section| section.view).collect())
}

/// One page of a folder.
pub async fn list(house: &Arc<House>, asked: Asked, after: Option<&str>, limit: usize) -> Result<FolderView> {
    let place = Place::find(house, &asked)?;
    let after = after.map(path::read_name).transpose()?;
    let limit = limit.clamp(1, PAGE_MAX);
    apart(house, async move {
        let Place { snapshot, section, path: folder, desk } = place;
        if section.plain.is_some() {
            let what = format!("{} is not a folder", section.view.section);
            return Err(Error::invalid("files.not_folder", what).advice("Download it as it is."));
        }
        let listing = Listing::of(&desk, &section.streams).await?;
        match listing.lies_at(&desk, &folder).await? {
            Some(Lies::Entry(_, unit, row)) if unit.rows()[row].kind != FileKind::Folder => {
                return Err(Error::invalid("files.not_folder", format!("“{}” is not a folder", path::show(&folder))));
            }
            Some(_) => {}
            None => return Err(absent(&section, &folder)),
        }
        let (files, more, left_out) = listing.children(&desk, &folder, after.as_deref(), limit).await?;
        let next = files.last().filter(|_| more).map(|file| file.name.clone());
        let (id, section, path) = (snapshot.id.clone(), section.view.section, path::show(&folder));
        Ok(FolderView { snapshot: id, section, path, files, next, left_out })
    })
    .await
}

/// Opens a file or a folder for reading.
pub async fn open(house: &Arc<House>, asked: Asked) -> Result<OpenFile> {
    let place = Place::find(house, &asked)?;
    let sending = Arc::clone(&house.looks.sending);
    apart(house, body::open(place, sending)).await
}

/// Looks for names in all snapshots of an app.
pub async fn find(house: &Arc<House>, app: &str, pattern: &str, limit: usize) -> Result<FindView> {
    let search = find::Search::new(house, app, pattern, limit.clamp(1, PAGE_MAX))?;
    let desk = desk(house, From::Auto);
    apart(house, search.run(desk)).await
}

/// One page of what differs between two snapshots.
pub async fn diff(
    house: &Arc<House>,
    before: &str,
    after: &str,
    from_here: Option<&str>,
    limit: usize,
) -> Result<DiffView> {
    let pair = (snapshots::find(house, before)?.snapshot, snapshots::find(house, after)?.snapshot);
    let begin = from_here.map(diff::Mark::read).transpose()?;
    let desk = desk(house, From::Auto);
    let limit = limit.clamp(1, PAGE_MAX);
    apart(house, async move { diff::page(&desk, &pair.0, &pair.1, begin, limit).await }).await
}

/// What somebody wants to see.
#[derive(Clone, Debug)]
pub struct Asked {
    /// Snapshot id, a unique beginning of one, or `latest:APP`.
    pub snapshot: String,
    /// See [`SectionView::section`].
    pub section: String,
    /// Path in it, as text.
    pub path: String,
    /// Where it may come from.
    pub from: From,
}

/// A path in a section of a snapshot.
struct Place {
    snapshot: Arc<Snapshot>,
    section: Section,
    path: Vec<u8>,
    desk: Desk,
}

impl Place {
    fn find(house: &House, asked: &Asked) -> Result<Place> {
        let path = path::read(&asked.path)?;
        let snapshot = snapshots::find(house, &asked.snapshot)?.snapshot;
        let section = section::find(&snapshot, &asked.section)?;
        Ok(Place { snapshot, section, path, desk: desk(house, asked.from) })
    }
}

fn desk(house: &House, from: From) -> Desk {
    Desk { repository: house.repository(), shelves: Arc::clone(&house.looks.shelves), from }
}

fn absent(section: &Section, path: &[u8]) -> Error {
    let what = format!("there is no “{}” in {} of this snapshot", path::show(path), section.view.section);
    Error::not_found("files.absent", what)
}

/// Answers a question on a thread that may compute, when it is its turn. Dropped, the question is not gone on with: it would keep others from
/// their turns for minutes, for nobody.
async fn apart<T: Send + 'static>(
    house: &Arc<House>,
    question: impl Future<Output = Result<T>> + Send + 'static,
) -> Result<T> {
    let closed = || Error::new(Kind::Stopped, "appliance.stopping", "the appliance is ending");
    let house = Arc::clone(house);
    let gone = Stop::new();
    let (asked, _asker) = (gone.clone(), gone.drop_guard());
    let task = tokio::spawn(async move {
        let turn = async { house.looks.looking.acquire().await.map_err(|_| closed()) };
        let _turn = while_asked(&asked, turn).await?;
        let _hold = house.repository().hold();
        let handle = Handle::current();
        let answer = tokio::task::spawn_blocking(move || handle.block_on(while_asked(&asked, question))).await;
        answer.unwrap_or_else(|_| Err(Error::bug("a mistake in the program ended this look into a snapshot")))
    });
    task.await.unwrap_or_else(|_| Err(Error::bug("a mistake in the program ended this look into a snapshot")))
}

/// What comes of it, unless nobody waits for it any more.
async fn while_asked<T>(asked: &Stop, work: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::select! {
        biased;
        () = asked.cancelled() => Err(Error::new(Kind::Stopped, "files.unasked", "nobody waits for the answer any more")),
        outcome = work => outcome,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_question_is_not_gone_on_with_when_nobody_waits_for_the_answer() {
        let gone = Stop::new();
        let (asked, asker) = (gone.clone(), gone.drop_guard());
        let question = tokio::spawn(async move { while_asked(&asked, std::future::pending::<Result<()>>()).await });
        drop(asker);
        let error = question.await.unwrap().unwrap_err();
        assert_eq!((error.kind(), error.code()), (Kind::Stopped, "files.unasked"));
        assert_eq!(while_asked(&Stop::new(), async { Ok(7) }).await.unwrap(), 7);
    }
}
