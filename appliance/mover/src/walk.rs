//! The walk: every entry of a tree in path order, looked at by several threads ahead of the one who asks.
//!
//! Invariants:
//! - Path order: byte order of components, parents first. The same tree gives the same entries, however many
//!   threads look.
//! - Memory is bounded: helpers stop [`AHEAD_MAX`] bytes or [`OPEN_MAX`] folders ahead. Beyond that it is the names
//!   of the folders on the way down, and one record for each inode whose other names are still to come.
//! - What cannot be read is a [`Trouble`], never a silent gap. So is a file that claims more bytes than there is room for: who comes
//!   first in path order has it. Of each kind the first [`NAMED_MAX`](crate::trouble::NAMED_MAX) are named, and of the rest their number
//!   is told at the end.

use crate::{
    entry::{Entry, Kind, Time},
    root::Root,
    scan::{self, Found, Names, Rules},
    task::{By, Task},
    trouble::{Trouble, Troubles, What},
    xattr,
};
use rustix::{fd::OwnedFd, io::Errno};
use std::{
    collections::HashMap,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
    vec,
};

/// About how many bytes helpers hold ready.
const AHEAD_MAX: usize = 32 << 20;
/// Folders that helpers hold open ahead of need.
const OPEN_MAX: usize = 256;
/// About what one looked-at name takes, bytes.
const FOUND_BYTES: usize = 256;
/// Work that is remembered for helpers before what was done meanwhile is thrown out.
const JOBS_MAX: usize = 4096;

/// How a tree is walked.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Threads that look, with the one who asks; 1 to 16.
    pub threads: usize,
    /// Whether to go on into other file systems mounted below the root. Those without data (proc, sysfs and the like)
    /// are never entered.
    pub cross_mounts: bool,
    /// Entries that changed at or after this moment are not trusted to be the same at the next walk
    /// ([`Entry::unsettled`]). Two seconds before the walk is right for all file systems.
    pub unsettled_since: Option<Time>,
    /// What makes the identities of such entries this walk's own; `unsettled_since` if not said. Two walks that share the
    /// one must not share the other.
    pub stamp: Option<Time>,
}

impl Default for Options {
    fn default() -> Options {
        let threads = thread::available_parallelism().map_or(2, usize::from).clamp(2, 8);
        Options { threads, cross_mounts: false, unsettled_since: None, stamp: None }
    }
}

/// A folder to be listed.
type Folder = Task<FolderIn, Result<Listing, Errno>>;
/// A block of names to be looked at.
type Block = Task<BlockIn, Vec<Step>>;

/// Major and minor number of the file system, and the inode.
type Inode = (u32, u32, u64);

#[derive(Debug)]
struct FolderIn {
    /// The folder above and the name in it; the root has none.
    place: Option<(Arc<OwnedFd>, Box<[u8]>)>,
    path: Arc<[u8]>,
}

#[derive(Debug)]
struct BlockIn {
    folder: Arc<OwnedFd>,
    path: Arc<[u8]>,
    names: Vec<u8>,
}

#[derive(Debug)]
struct Listing {
    blocks: Vec<Arc<Block>>,
    bytes: usize,
}

/// One name, and the folder that opens below it.
#[derive(Debug)]
struct Step {
    found: Found,
    below: Option<Arc<Folder>>,
}

#[derive(Debug)]
enum Job {
    Folder(Arc<Folder>),
    Block(Arc<Block>),
}

#[derive(Debug)]
struct Scanner {
    root: Arc<Root>,
    rules: Rules,
    has_helpers: bool,
    ahead: Mutex<Ahead>,
    wake: Condvar,
}

/// What helpers have to do and have done. The job to do next is the last.
#[derive(Debug, Default)]
struct Ahead {
    jobs: Vec<Job>,
    /// Number of jobs at which those done meanwhile are thrown out.
    trim_at: usize,
    bytes: usize,
    open: usize,
    over: bool,
}

/// Entries of a tree in path order.
#[derive(Debug)]
pub struct Walk {
    scanner: Arc<Scanner>,
    helpers: Vec<JoinHandle<()>>,
    /// The folders from the root down to where the walk is.
    frames: Vec<Frame>,
    /// The folder to go down into next, and its path.
    below: Option<(Arc<Folder>, Box<[u8]>)>,
    is_begun: bool,
    /// By file system and inode: the first name, and how many are still to come.
    first_names: HashMap<Inode, (Box<[u8]>, u32)>,
    troubles: Troubles,
    xattrs: xattr::Reader,
}

#[derive(Debug)]
struct Frame {
    path: Box<[u8]>,
    blocks: vec::IntoIter<Arc<Block>>,
    steps: vec::IntoIter<Step>,
}

impl Walk {
    /// Begins a walk. Helpers start at once. All walks and readers of a root share the room for its content; a new walk begins with all
    /// of it, so there is one at a time.
    pub fn new(root: Arc<Root>, options: Options) -> Walk {
        root.room().clear();
        let Options { cross_mounts, unsettled_since, stamp, .. } = options;
        let rules = Rules { cross_mounts, unsettled_since, stamp };
        let helpers = options.threads.clamp(1, 16) - 1;
        let scanner =
            Arc::new(Scanner { root, rules, has_helpers: helpers > 0, ahead: Mutex::default(), wake: Condvar::new() });
        let helpers = (0..helpers).filter_map(|_| {
            let scanner = Arc::clone(&scanner);
            // Without a thread the walk is slower, not wrong.
            thread::Builder::new().name("walk".to_owned()).spawn(move || scanner.help()).ok()
        });
        Walk {
            helpers: helpers.collect(),
            scanner,
            frames: Vec::new(),
            below: None,
            is_begun: false,
            first_names: HashMap::new(),
            troubles: Troubles::default(),
            xattrs: xattr::Reader::new(),
        }
    }

    /// What could not be read since the last call; when the walk is over, also of how many more that is true.
    pub fn take_troubles(&mut self) -> Vec<Trouble> {
        self.troubles.take()
    }

    fn begin(&mut self) -> Option<Entry> {
        self.is_begun = true;
        let found = scan::look_at_root(&self.scanner.root, self.scanner.rules);
        let folder = Arc::new(Task::new(FolderIn { place: None, path: Arc::from(&b""[..]) }));
        self.arrive(Step { found, below: Some(folder) })
    }

    /// Notes what is to be noted of a name; its entry, if it has one.
    fn arrive(&mut self, step: Step) -> Option<Entry> {
        if let Some(trouble) = step.found.trouble {
            self.troubles.add(trouble);
        }
        let entry = step.found.entry?;
        self.below = step.below.map(|folder| (folder, entry.path.clone()));
        let entry = self.know_by_first_name(entry, step.found.device);
        self.admit(entry, step.found.device)
    }

    /// The entry, if there is room for its content. If not, it is no first name: the next name of it is looked at anew.
    fn admit(&mut self, entry: Entry, (major, minor): (u32, u32)) -> Option<Entry> {
        match self.scanner.root.room().take(&entry.path, entry.size, 0) {
            Ok(()) => Some(entry),
            Err(trouble) => {
                self.first_names.remove(&(major, minor, entry.inode));
                self.troubles.add(trouble);
                None
            }
        }
    }

    /// Goes down into the folder that was just told of.
    fn descend(&mut self, folder: &Folder, path: &[u8]) {
        match self.scanner.listing(folder) {
            Some(Ok(listing)) => {
                self.frames.push(Frame {
                    path: path.into(),
                    blocks: listing.blocks.into_iter(),
                    steps: Vec::new().into_iter(),
                });
            }
            Some(Err(error)) => self.troubles.add(Trouble::of(path, What::Unreadable, error)),
            None => self.troubles.add(Trouble::new(path, What::Unreadable)),
        }
    }

    /// Turns a further name of an inode into a link to the first.
    fn know_by_first_name(&mut self, entry: Entry, (major, minor): (u32, u32)) -> Entry {
        if entry.kind == Kind::Directory || entry.links < 2 {
            return entry;
        }
        let key = (major, minor, entry.inode);
        let Some((first, left)) = self.first_names.get_mut(&key) else {
            self.first_names.insert(key, (entry.path.clone(), entry.links - 1));
            return entry;
        };
        *left -= 1;
        let link = first.clone();
        if *left == 0 {
            self.first_names.remove(&key);
        }
        Entry { kind: Kind::HardLink, size: 0, may_have_holes: false, link, xattrs: Vec::new(), ..entry }
    }
}

impl Iterator for Walk {
    type Item = Entry;

    fn next(&mut self) -> Option<Entry> {
        if !self.is_begun {
            return self.begin();
        }
        loop {
            if let Some((folder, path)) = self.below.take() {
                self.descend(&folder, &path);
            }
            let Some(frame) = self.frames.last_mut() else {
                self.troubles.end();
                return None;
            };
            if let Some(step) = frame.steps.next() {
                let entry = self.arrive(step);
                if entry.is_some() {
                    return entry;
                }
            } else if let Some(block) = frame.blocks.next() {
                match self.scanner.steps(&block, &mut self.xattrs) {
                    Some(steps) => frame.steps = steps.into_iter(),
                    None => self.troubles.add(Trouble::new(&frame.path, What::Unreadable)),
                }
            } else {
                self.frames.pop();
            }
        }
    }
}

impl Drop for Walk {
    fn drop(&mut self) {
        self.scanner.lock().over = true;
        self.scanner.wake.notify_all();
        for helper in self.helpers.drain(..) {
            // A helper that panicked has left its work undone; nobody waits for it any more.
            let _ = helper.join();
        }
    }
}

impl Scanner {
    fn lock(&self) -> MutexGuard<'_, Ahead> {
        self.ahead.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does work ahead of need until the walk is over.
    fn help(&self) {
        let mut xattrs = xattr::Reader::new();
        while let Some(job) = self.next_job() {
            match job {
                Job::Folder(folder) => self.help_list(&folder),
                Job::Block(block) => self.help_look(&block, &mut xattrs),
            }
        }
    }

    fn next_job(&self) -> Option<Job> {
        let mut ahead = self.lock();
        loop {
            if ahead.over {
                return None;
            }
            if ahead.bytes < AHEAD_MAX
                && ahead.open < OPEN_MAX
                && let Some(job) = ahead.jobs.pop()
            {
                return Some(job);
            }
            ahead = self.wake.wait(ahead).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn help_list(&self, folder: &Folder) {
        folder.help(|input| {
            let listing = self.list(input);
            if let Ok(listing) = &listing {
                let mut ahead = self.lock();
                ahead.bytes += listing.bytes;
                ahead.open += 1;
            }
            listing
        });
    }

    fn help_look(&self, block: &Block, xattrs: &mut xattr::Reader) {
        block.help(|input| {
            let steps = self.look(input, xattrs);
            self.lock().bytes += steps.len() * FOUND_BYTES;
            steps
        });
    }

    /// The names of a folder, for the one who needs them.
    fn listing(&self, folder: &Folder) -> Option<Result<Listing, Errno>> {
        let (listing, by) = folder.take(|input| self.list(input))?;
        if let (Ok(listing), By::Helper) = (&listing, by) {
            self.release(listing.bytes, 1);
        }
        Some(listing)
    }

    /// What there is to say of a block of names, for the one who needs it.
    fn steps(&self, block: &Block, xattrs: &mut xattr::Reader) -> Option<Vec<Step>> {
        let (steps, by) = block.take(|input| self.look(input, xattrs))?;
        if by == By::Helper {
            self.release(steps.len() * FOUND_BYTES, 0);
        }
        Some(steps)
    }

    fn release(&self, bytes: usize, open: usize) {
        let mut ahead = self.lock();
        let was_full = ahead.bytes >= AHEAD_MAX || ahead.open >= OPEN_MAX;
        ahead.bytes -= bytes;
        ahead.open -= open;
        if was_full && ahead.bytes < AHEAD_MAX && ahead.open < OPEN_MAX {
            self.wake.notify_all();
        }
    }

    fn list(&self, input: FolderIn) -> Result<Listing, Errno> {
        let fd = match &input.place {
            Some((parent, name)) => self.root.open_folder(parent, name)?,
            None => self.root.open_folder(self.root.fd(), b".")?,
        };
        let names: Names = scan::names(&fd)?;
        let folder = Arc::new(fd);
        let bytes = names.iter().map(Vec::len).sum();
        let block =
            |names| Arc::new(Task::new(BlockIn { folder: Arc::clone(&folder), path: Arc::clone(&input.path), names }));
        let blocks: Vec<_> = names.into_iter().map(block).collect();
        self.suggest(blocks.iter().rev().map(|block| Job::Block(Arc::clone(block))));
        Ok(Listing { blocks, bytes })
    }

    fn look(&self, input: BlockIn, xattrs: &mut xattr::Reader) -> Vec<Step> {
        let found = scan::look(&self.root, self.rules, &input.folder, &input.path, &input.names, xattrs);
        let step = |found: Found| {
            let path = found.entry.as_ref().filter(|_| found.is_open).map(|entry| Arc::from(&*entry.path));
            let below = path.map(|path: Arc<[u8]>| {
                let name = crate::root::split(&path).1.into();
                Arc::new(Task::new(FolderIn { place: Some((Arc::clone(&input.folder), name)), path }))
            });
            Step { found, below }
        };
        let steps: Vec<_> = found.into_iter().map(step).collect();
        self.suggest(steps.iter().rev().filter_map(|step| step.below.clone()).map(Job::Folder));
        steps
    }

    /// Tells helpers what will be needed; the last first.
    fn suggest(&self, jobs: impl Iterator<Item = Job>) {
        if !self.has_helpers {
            return;
        }
        let mut ahead = self.lock();
        let before = ahead.jobs.len();
        ahead.jobs.extend(jobs);
        match ahead.jobs.len() - before {
            0 => {}
            1 => self.wake.notify_one(),
            _ => self.wake.notify_all(),
        }
        if ahead.jobs.len() > ahead.trim_at.max(JOBS_MAX) {
            ahead.jobs.retain(|job| match job {
                Job::Folder(folder) => folder.is_waiting(),
                Job::Block(block) => block.is_waiting(),
            });
            ahead.trim_at = ahead.jobs.len() * 2;
        }
    }
}
