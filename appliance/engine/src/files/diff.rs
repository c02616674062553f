//! What differs between the files of two snapshots.
//!
//! Units that both listings have are passed over unread: an unchanged tree costs a look at its list of groups.
//! Invariants: where the source told what it knows of each file (trees), a difference that cannot be seen in times and sizes
//! is found too; what could not be compared is named; memory is bounded by a page and two units.

use super::section::{self, Section};
use crate::listing::{Desk, Key, Listing, Row, Slot, Unit, path};
use futures::StreamExt;
use holdfast_model::{
    Error, Result,
    snapshot::Snapshot,
    view::{ChangeKind, ChangeView, DiffView, FileKind, FileView},
};
use std::{cmp::Ordering, collections::HashSet, ops::Range, sync::Arc};

/// Contents up to this size are read and compared, bytes, if what leads to them differs.
const READ_MAX: u64 = 1 << 20;

/// Where the page before ended.
pub(super) struct Mark {
    section: String,
    path: Vec<u8>,
}

impl Mark {
    /// `Invalid` (`files.after`).
    pub(super) fn read(text: &str) -> Result<Mark> {
        let wrong = || Error::invalid("files.after", "this is no place where a page of differences ended");
        let (section, rest) = text.rsplit_once('\n').ok_or_else(wrong)?;
        Ok(Mark { section: section.into(), path: path::read(rest).map_err(|_| wrong())? })
    }

    fn write(section: &str, path: &str) -> String {
        format!("{section}\n{path}")
    }
}

/// One page.
pub(super) async fn page(
    desk: &Desk,
    before: &Snapshot,
    after: &Snapshot,
    mark: Option<Mark>,
    limit: usize,
) -> Result<DiffView> {
    let mut view = DiffView {
        before: before.id.clone(),
        after: after.id.clone(),
        changes: Vec::new(),
        next: None,
        missing: Vec::new(),
    };
    let (old, new) = (section::all(before), section::all(after));
    let mut names: Vec<&str> = old.iter().chain(&new).map(|one| one.view.section.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    let of = |list: &'_ [Section], name: &str| list.iter().position(|one| one.view.section == name);
    for name in names {
        let begin = match &mark {
            Some(mark) if name < mark.section.as_str() => continue,
            Some(mark) if name == mark.section => Some(mark.path.as_slice()),
            _ => None,
        };
        let pair = (of(&old, name).map(|at| &old[at]), of(&new, name).map(|at| &new[at]));
        let mut sheet = Sheet { section: name, limit, view: &mut view };
        if compare(desk, pair, begin, &mut sheet).await? {
            break;
        }
    }
    Ok(view)
}

/// Compares a section. Whether the page is full.
async fn compare(
    desk: &Desk,
    pair: (Option<&Section>, Option<&Section>),
    begin: Option<&[u8]>,
    sheet: &mut Sheet<'_>,
) -> Result<bool> {
    let (old, new) = match pair {
        (Some(old), Some(new)) => (old, new),
        (old, _) => {
            let change = if old.is_some() { ChangeKind::Removed } else { ChangeKind::Added };
            // The section as a whole comes first of all that could be told of it.
            return Ok(begin.is_none() && sheet.put(change, Vec::new(), None, None));
        }
    };
    if let Some(reason) = old.view.reason.as_ref().or(new.view.reason.as_ref()) {
        sheet.view.missing.push(format!("{} was not compared: {reason}", sheet.section));
        return Ok(false);
    }
    let listings = (Listing::of(desk, &old.streams).await?, Listing::of(desk, &new.streams).await?);
    if Arc::ptr_eq(&listings.0, &listings.1) {
        return Ok(false);
    }
    let keys = |listing: &Listing| listing.slots().iter().map(|slot| slot.key).collect::<HashSet<Key>>();
    let (old_keys, new_keys) = (keys(&listings.0), keys(&listings.1));
    let mut old = Side::new(desk, old, &listings.0, new_keys, begin);
    let mut new = Side::new(desk, new, &listings.1, old_keys, begin);
    loop {
        let (left, right) = (old.here().await?, new.here().await?);
        let order = match (&left, &right) {
            (None, None) => return Ok(false),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(left), Some(right)) => path::order(left.path(), right.path()),
        };
        let full = match (order, left, right) {
            (Ordering::Less, Some(left), _) => sheet.put(ChangeKind::Removed, Vec::new(), Some(left.view()), None),
            (Ordering::Greater, _, Some(right)) => sheet.put(ChangeKind::Added, Vec::new(), None, Some(right.view())),
            (_, Some(left), Some(right)) => {
                let differs = differences(&old, &left, &new, &right).await?;
                let is_equal = differs.is_empty();
                !is_equal && sheet.put(ChangeKind::Changed, differs, Some(left.view()), Some(right.view()))
            }
            _ => false,
        };
        if full {
            return Ok(true);
        }
        if order != Ordering::Greater {
            old.step();
        }
        if order != Ordering::Less {
            new.step();
        }
    }
}

/// The page as it fills.
struct Sheet<'a> {
    section: &'a str,
    limit: usize,
    view: &'a mut DiffView,
}

impl Sheet<'_> {
    /// Writes a line. Whether there is no room for it: then there is a next page.
    fn put(
        &mut self,
        change: ChangeKind,
        differs: Vec<String>,
        before: Option<FileView>,
        after: Option<FileView>,
    ) -> bool {
        if self.view.changes.len() >= self.limit {
            self.view.next = self.view.changes.last().map(|last| Mark::write(&last.section, &last.path));
            return true;
        }
        let path = after.as_ref().or(before.as_ref()).map(|file| file.path.clone()).unwrap_or_default();
        self.view.changes.push(ChangeView { section: self.section.into(), path, change, differs, before, after });
        false
    }
}

/// An entry of one side.
struct Here {
    unit: Arc<Unit>,
    row: usize,
    /// Where its unit begins in its stream.
    at: u64,
    /// What its source said of it; 0 if nothing is known.
    identity: u64,
}

impl Here {
    fn row(&self) -> &Row {
        &self.unit.rows()[self.row]
    }
    fn path(&self) -> &[u8] {
        self.unit.path(self.row())
    }
    fn view(&self) -> FileView {
        self.unit.view(self.row())
    }
}

/// One of the two listings, without the units that the other one has too.
struct Side<'a> {
    desk: &'a Desk,
    section: &'a Section,
    listing: &'a Listing,
    shared: HashSet<Key>,
    begin: Option<&'a [u8]>,
    slot: usize,
    row: usize,
    /// Of the members of the unit that is looked at.
    identities: Option<Vec<u64>>,
}

impl<'a> Side<'a> {
    fn new(
        desk: &'a Desk,
        section: &'a Section,
        listing: &'a Listing,
        shared: HashSet<Key>,
        begin: Option<&'a [u8]>,
    ) -> Self {
        Side { desk, section, listing, shared, begin, slot: 0, row: 0, identities: None }
    }

    async fn here(&mut self) -> Result<Option<Here>> {
        while let Some(Slot { key, at, .. }) = self.listing.slots().get(self.slot) {
            if !self.shared.contains(key) {
                let unit = self.listing.unit(self.desk, self.slot).await?;
                if let Some(begin) = self.begin {
                    let behind = |row: &Row| path::order(unit.path(row), begin).is_gt();
                    self.row = self.row.max(unit.rows().partition_point(|row| !behind(row)));
                }
                if self.row < unit.rows().len() {
                    if self.identities.is_none() {
                        self.identities = Some(self.listing.identities(self.desk, self.slot).await?);
                    }
                    let number = unit.rows()[self.row].number as usize;
                    let identity = self.identities.as_ref().and_then(|all| all.get(number)).copied().unwrap_or(0);
                    return Ok(Some(Here { unit, row: self.row, at: *at, identity }));
                }
            }
            (self.slot, self.row, self.identities) = (self.slot + 1, 0, None);
        }
        Ok(None)
    }

    fn step(&mut self) {
        self.row += 1;
    }

    async fn read(&self, here: &Here, range: Range<u64>) -> Result<Vec<u8>> {
        let stream = &self.section.streams[here.row().stream as usize].0;
        let range = here.at.saturating_add(range.start)..here.at.saturating_add(range.end);
        let mut bytes = self.desk.repository.read_range(stream, range, self.desk.from);
        let mut out = Vec::new();
        while let Some(piece) = bytes.next().await {
            out.extend_from_slice(&piece?);
        }
        Ok(out)
    }

    async fn fingerprint(&self, here: &Here) -> Result<[u8; 32]> {
        let row = here.row();
        let stream = &self.section.streams[row.stream as usize].0;
        let begin = here.at.saturating_add(row.body);
        self.desk.repository.fingerprint(stream, begin..begin.saturating_add(row.size), self.desk.from).await
    }
}

/// In what two entries of one path differ.
async fn differences(old: &Side<'_>, left: &Here, new: &Side<'_>, right: &Here) -> Result<Vec<String>> {
    if left.identity != 0 && left.identity == right.identity {
        return Ok(Vec::new());
    }
    let (was, is) = (left.row(), right.row());
    let links = left.unit.link(was) != right.unit.link(is);
    let seen = [
        ("kind", was.kind != is.kind),
        ("size", was.size != is.size && was.kind == is.kind),
        ("mode", was.mode != is.mode),
        ("owner", was.owner != is.owner),
        ("mtime", was.mtime != is.mtime),
        ("link", links && was.kind == is.kind),
    ];
    let mut differs: Vec<String> =
        seen.iter().filter(|(_, differs)| *differs).map(|(name, _)| (*name).into()).collect();
    // Where the source says nothing, the same times and sizes are all there is: to compare everything would take as long
    // as reading it.
    if differs.is_empty() && (left.identity == 0 || right.identity == 0) {
        return Ok(differs);
    }
    let files = was.kind == FileKind::File && is.kind == FileKind::File;
    if files && was.size == is.size && !same_content(old, left, new, right).await? {
        differs.push("content".into());
    }
    // The same in all that is shown: attributes stand in the headers alone. Where something else differs they do too.
    if differs.is_empty() && old.read(left, was.head..was.body).await? != new.read(right, is.head..is.body).await? {
        differs.push("attributes".into());
    }
    Ok(differs)
}

/// Whether two files of one size hold the same. Equal chunks need no reading; a small file may lie in another
/// neighbourhood and be the same all the same, a large one is cut by its own content.
async fn same_content(old: &Side<'_>, left: &Here, new: &Side<'_>, right: &Here) -> Result<bool> {
    let (was, is) = (left.row(), right.row());
    if was.size == 0 || old.fingerprint(left).await? == new.fingerprint(right).await? {
        return Ok(true);
    }
    if was.size > READ_MAX {
        return Ok(false);
    }
    let (old, new) = (old.read(left, was.body..was.body + was.size), new.read(right, is.body..is.body + is.size));
    Ok(old.await? == new.await?)
}
