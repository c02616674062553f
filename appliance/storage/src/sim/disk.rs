//! The simulated file system itself: a [`Disk`] in memory with faults at chosen calls and a limit of space.

use super::world::{Lookup, World};
use super::{DiskStep, Event, Inode, Spot, Tape};
use crate::disk::{Disk, Facts, Found, Lock, Reading, Sort, Writing};
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, ErrorKind as Io};
use std::path::{Component, Path};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Calls that change something, for counting and for faults.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Call {
    /// A new file.
    Create,
    /// Bytes into a file.
    Write,
    /// A file's fsync.
    Sync,
    /// A new folder.
    Folder,
    /// Another name.
    Rename,
    /// A folder's fsync.
    SyncFolder,
    /// A file less.
    Remove,
    /// Any of them.
    Any,
}

/// What goes wrong. Numbers are those of errno.h.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// This call fails; of bytes to be written half are.
    Fail(i32),
    /// This call and all later ones fail, but those that free space.
    FailOn(i32),
    /// A write that is answered well and never happens: zeros are there instead.
    Lie,
}

const ENOSPC: i32 = 28;

/// A file system in memory.
#[derive(Clone, Debug)]
pub struct SimDisk {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    tape: Option<(Arc<Tape>, u32)>,
}

#[derive(Debug, Default)]
struct State {
    world: World,
    locks: BTreeSet<Inode>,
    counts: BTreeMap<Call, u64>,
    troubles: BTreeMap<(Call, u64), Trouble>,
    broken: Option<i32>,
    capacity: Option<u64>,
}

impl SimDisk {
    /// An empty disk, or one with a past.
    pub fn new(world: World) -> SimDisk {
        SimDisk::make(world, None)
    }

    /// A disk that writes every step onto a tape, under this number.
    pub fn recorded(world: World, tape: Arc<Tape>, number: u32) -> SimDisk {
        SimDisk::make(world, Some((tape, number)))
    }

    fn make(world: World, tape: Option<(Arc<Tape>, u32)>) -> SimDisk {
        let state = State { world, ..State::default() };
        SimDisk { shared: Arc::new(Shared { state: Mutex::new(state), tape }) }
    }

    /// The medium as it is now.
    pub fn world(&self) -> World {
        self.state().world.clone()
    }

    /// Call number `nth` (from 0, since the disk was made or healed) of this kind goes wrong.
    pub fn trouble(&self, call: Call, nth: u64, trouble: Trouble) {
        self.state().troubles.insert((call, nth), trouble);
    }

    /// No troubles any more; counts begin at 0.
    pub fn heal(&self) {
        let mut state = self.state();
        state.troubles.clear();
        state.counts.clear();
        state.broken = None;
    }

    /// How many calls of a kind there were.
    pub fn calls(&self, call: Call) -> u64 {
        self.state().counts.get(&call).copied().unwrap_or(0)
    }

    /// No more bytes than this fit; `None`: no limit.
    pub fn limit(&self, bytes: Option<u64>) {
        self.state().capacity = bytes;
    }

    /// Bytes of all files.
    pub fn used(&self) -> u64 {
        self.state().world.used()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, call: Call, what: impl FnOnce(&mut State) -> io::Result<DiskStep>) -> io::Result<()> {
        let mut state = self.state();
        if let Some(Trouble::Fail(errno) | Trouble::FailOn(errno)) = state.count(call) {
            return Err(io::Error::from_raw_os_error(errno));
        }
        let step = what(&mut state)?;
        self.shared.take(&mut state, step);
        Ok(())
    }
}

impl Shared {
    fn take(&self, state: &mut State, step: DiskStep) {
        state.world.apply(&step);
        if let Some((tape, number)) = &self.tape {
            tape.push(Event::Disk(*number, step));
        }
    }
}

impl State {
    /// Counts a call; the answer is what goes wrong with it.
    fn count(&mut self, call: Call) -> Option<Trouble> {
        let mut number = |call| {
            let counter = self.counts.entry(call).or_insert(0);
            *counter += 1;
            *counter - 1
        };
        let (own, any) = (number(call), number(Call::Any));
        let trouble = self.troubles.get(&(call, own)).or_else(|| self.troubles.get(&(Call::Any, any))).copied();
        if let Some(Trouble::FailOn(errno)) = trouble {
            self.broken = Some(errno);
        }
        // Removing a file needs no space, and its folder's fsync goes along.
        let exempt = self.broken == Some(ENOSPC) && matches!(call, Call::Remove | Call::SyncFolder | Call::Sync);
        trouble.or(self.broken.filter(|_| !exempt).map(Trouble::Fail))
    }

    fn find(&self, path: &Path) -> io::Result<Inode> {
        match self.world.find(names(path)?.into_iter()) {
            Lookup::There(inode) => Ok(inode),
            Lookup::Missing => Err(Io::NotFound.into()),
            Lookup::Blocked => Err(Io::NotADirectory.into()),
        }
    }

    fn spot(&self, path: &Path) -> io::Result<Spot> {
        let mut parts = names(path)?;
        let name = parts.pop().ok_or(Io::InvalidInput)?.to_owned();
        match self.world.find(parts.into_iter()) {
            Lookup::There(folder) if self.world.folders.contains_key(&folder) => Ok(Spot { folder, name }),
            Lookup::Missing => Err(Io::NotFound.into()),
            _ => Err(Io::NotADirectory.into()),
        }
    }

    fn at(&self, spot: &Spot) -> Option<Inode> {
        self.world.folders.get(&spot.folder)?.current.get(&spot.name).copied()
    }

    fn free_spot(&self, path: &Path) -> io::Result<Spot> {
        let spot = self.spot(path)?;
        if self.at(&spot).is_some() { Err(Io::AlreadyExists.into()) } else { Ok(spot) }
    }

    fn facts(&self, inode: Inode) -> Facts {
        match self.world.files.get(&inode) {
            Some(file) => Facts { sort: Sort::File, size: file.size(), modified: None },
            None => Facts { sort: Sort::Folder, size: 0, modified: None },
        }
    }

    fn fits(&self, more: usize) -> bool {
        self.capacity.is_none_or(|capacity| self.world.used().saturating_add(more as u64) <= capacity)
    }
}

fn names(path: &Path) -> io::Result<Vec<&str>> {
    let mut names = Vec::new();
    for part in path.components() {
        match part {
            Component::RootDir => {}
            Component::Normal(name) => names.push(name.to_str().ok_or(Io::InvalidInput)?),
            _ => return Err(Io::InvalidInput.into()),
        }
    }
    Ok(names)
}

impl Disk for SimDisk {
    fn make_folder(&self, path: &Path) -> io::Result<()> {
        self.change(Call::Folder, |state| {
            let spot = state.free_spot(path)?;
            Ok(DiskStep::NewFolder(spot, state.world.next))
        })
    }

    fn make_folders(&self, path: &Path) -> io::Result<()> {
        let above: Vec<&Path> = path.ancestors().collect();
        for folder in above.into_iter().rev() {
            let found = self.state().find(folder);
            match found {
                Ok(_) => {}
                Err(e) if e.kind() == Io::NotFound => self.make_folder(folder)?,
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }

    fn remove_folder(&self, path: &Path) -> io::Result<()> {
        self.change(Call::Remove, |state| {
            let inode = state.find(path)?;
            let folder = state.world.folders.get(&inode).ok_or(Io::NotADirectory)?;
            if !folder.current.is_empty() {
                return Err(Io::DirectoryNotEmpty.into());
            }
            Ok(DiskStep::Remove(state.spot(path)?))
        })
    }

    fn sync_folder(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state();
        let inode = state.find(path)?;
        let trouble = state.count(Call::SyncFolder);
        self.shared.take(&mut state, DiskStep::SyncFolder(inode, trouble.is_none()));
        answer(trouble)
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn Writing>> {
        let mut made = 0;
        self.change(Call::Create, |state| {
            made = state.world.next;
            Ok(DiskStep::NewFile(state.free_spot(path)?, made))
        })?;
        Ok(Box::new(Open { disk: self.clone(), inode: made }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.change(Call::Rename, |state| {
            let (from, to) = (state.spot(from)?, state.spot(to)?);
            let moved = state.at(&from).ok_or(Io::NotFound)?;
            match state.at(&to) {
                Some(there) if state.world.folders.contains_key(&there) => Err(Io::IsADirectory.into()),
                Some(_) if state.world.folders.contains_key(&moved) => Err(Io::NotADirectory.into()),
                _ => Ok(DiskStep::Rename(from, to)),
            }
        })
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.change(Call::Remove, |state| {
            let inode = state.find(path)?;
            if state.world.folders.contains_key(&inode) {
                return Err(Io::IsADirectory.into());
            }
            Ok(DiskStep::Remove(state.spot(path)?))
        })
    }

    fn look(&self, path: &Path) -> io::Result<Facts> {
        let state = self.state();
        Ok(state.facts(state.find(path)?))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn Reading>> {
        let inode = self.state().find(path)?;
        Ok(Box::new(Open { disk: self.clone(), inode }))
    }

    fn entries(&self, path: &Path) -> io::Result<Box<dyn Iterator<Item = io::Result<Found>>>> {
        let state = self.state();
        let inode = state.find(path)?;
        let folder = state.world.folders.get(&inode).ok_or(Io::NotADirectory)?;
        let entry = |(name, inode): (&String, &Inode)| Ok(Found { name: name.into(), facts: Ok(state.facts(*inode)) });
        let found: Vec<io::Result<Found>> = folder.current.iter().map(entry).collect();
        Ok(Box::new(found.into_iter()))
    }

    fn lock(&self, path: &Path) -> io::Result<Option<Lock>> {
        let there = self.state().find(path);
        let inode = match there {
            Ok(inode) => inode,
            Err(e) if e.kind() == Io::NotFound => {
                self.create(path)?;
                self.state().find(path)?
            }
            Err(e) => return Err(e),
        };
        if !self.state().locks.insert(inode) {
            return Ok(None);
        }
        Ok(Some(Box::new(Held { disk: self.clone(), inode })))
    }
}

struct Held {
    disk: SimDisk,
    inode: Inode,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.disk.state().locks.remove(&self.inode);
    }
}

/// An open file.
struct Open {
    disk: SimDisk,
    inode: Inode,
}

impl Writing for Open {
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.disk.state();
        let trouble = match state.count(Call::Write) {
            None if !state.fits(bytes.len()) => Some(Trouble::Fail(ENOSPC)),
            trouble => trouble,
        };
        let written = match trouble {
            None => Bytes::copy_from_slice(bytes),
            Some(Trouble::Lie) => vec![0; bytes.len()].into(),
            // A full disk takes what still fits; what that is does not matter to a file that is given up.
            Some(_) => {
                Bytes::copy_from_slice(if state.fits(bytes.len() / 2) { &bytes[..bytes.len() / 2] } else { &[] })
            }
        };
        self.disk.shared.take(&mut state, DiskStep::Append(self.inode, written));
        answer(trouble)
    }

    fn sync(&mut self) -> io::Result<()> {
        let mut state = self.disk.state();
        let trouble = state.count(Call::Sync);
        self.disk.shared.take(&mut state, DiskStep::SyncFile(self.inode, trouble.is_none()));
        answer(trouble)
    }
}

fn answer(trouble: Option<Trouble>) -> io::Result<()> {
    match trouble {
        Some(Trouble::Fail(errno) | Trouble::FailOn(errno)) => Err(io::Error::from_raw_os_error(errno)),
        Some(Trouble::Lie) | None => Ok(()),
    }
}

impl Reading for Open {
    fn facts(&self) -> io::Result<Facts> {
        Ok(self.disk.state().facts(self.inode))
    }

    fn read_exact_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<()> {
        let file = self.disk.state().world.files.get(&self.inode).cloned().ok_or(Io::IsADirectory)?;
        let mut skip = usize::try_from(offset).map_err(|_| Io::UnexpectedEof)?;
        let mut filled = 0;
        for part in file.parts() {
            let from = skip.min(part.len());
            let count = (part.len() - from).min(bytes.len() - filled);
            bytes[filled..filled + count].copy_from_slice(&part[from..from + count]);
            skip -= from;
            filled += count;
        }
        if filled == bytes.len() { Ok(()) } else { Err(Io::UnexpectedEof.into()) }
    }
}
