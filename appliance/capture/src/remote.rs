//! A tree of files as a mover beside it tells it: the repository's asks become its asks.
//!
//! Invariant: an answer is complete only with its closing word; until then it is an error, never a shorter tree.

use crate::talk::{Heard, Talk, malformed};
use async_trait::async_trait;
use futures::{StreamExt, stream};
use holdfast_model::{Problem, Result, Severity, Witness};
use holdfast_mover::{
    Trouble, What, shown,
    wire::{Answer, Ask, GROUPS_AT_ONCE},
};
use holdfast_tree::{BATCH, Frame, Frames, Group, Mark, Request, Tree};
use std::collections::{BTreeMap, VecDeque};
use tokio::sync::OwnedMutexGuard;

/// A tree on the other end of a conversation.
pub(crate) struct RemoteTree {
    talk: OwnedMutexGuard<Talk>,
    /// What people call it.
    label: String,
}

impl RemoteTree {
    pub(crate) fn new(talk: OwnedMutexGuard<Talk>, label: &str) -> RemoteTree {
        RemoteTree { talk, label: label.to_owned() }
    }
}

#[async_trait]
impl Tree for RemoteTree {
    async fn groups(&mut self) -> Result<Vec<Group>> {
        self.talk.ask(&Ask::Groups).await?;
        let mut groups = Vec::new();
        loop {
            match self.talk.next().await? {
                Heard::Other(Answer::Group { witness, entries, bytes }) => {
                    groups.push(Group { witness: Witness(witness), entries, bytes });
                }
                Heard::Other(Answer::Done(_)) => return Ok(groups),
                _ => return Err(malformed()),
            }
        }
    }

    async fn marks(&mut self, groups: &[usize]) -> Result<Vec<Vec<Mark>>> {
        let mut all = Vec::with_capacity(groups.len());
        for some in groups.chunks(GROUPS_AT_ONCE) {
            self.talk.ask(&Ask::Marks(some.iter().map(|group| number(*group)).collect())).await?;
            loop {
                match self.talk.next().await? {
                    Heard::Other(Answer::Marks(marks)) => all.push(marks.into_iter().map(mark).collect()),
                    Heard::Other(Answer::Done(_)) => break,
                    _ => return Err(malformed()),
                }
            }
        }
        Ok(all)
    }

    async fn read<'a>(&'a mut self, requests: Vec<Request>, may_keep: bool) -> Result<Frames<'a>> {
        let mut asks = VecDeque::new();
        for some in requests.chunks(GROUPS_AT_ONCE) {
            let groups = some.iter().map(|request| (number(request.group), request.wanted.clone())).collect();
            asks.push_back(Ask::Read { groups, may_keep });
        }
        let answers = Answers { tree: self, asks, is_open: false };
        Ok(stream::try_unfold(answers, |mut answers| async move {
            Ok(answers.batch().await?.map(|batch| (batch, answers)))
        })
        .boxed())
    }

    async fn finish(&mut self) -> Result<Vec<Problem>> {
        self.talk.ask(&Ask::Finish).await?;
        let mut problems = Bounded::new(&self.label);
        loop {
            match self.talk.next().await? {
                Heard::Other(Answer::Trouble(trouble)) => problems.add(problem_of(&self.label, &trouble)),
                Heard::Other(Answer::Done(_)) => return Ok(problems.all()),
                _ => return Err(malformed()),
            }
        }
    }
}

/// Answers to asks for contents, one ask after the other.
struct Answers<'a> {
    tree: &'a mut RemoteTree,
    asks: VecDeque<Ask>,
    is_open: bool,
}

impl Answers<'_> {
    /// At least one frame, and what has come with it.
    async fn batch(&mut self) -> Result<Option<Vec<Frame>>> {
        let (mut frames, mut weight) = (Vec::new(), 0);
        loop {
            if !self.is_open {
                if !frames.is_empty() {
                    return Ok(Some(frames));
                }
                let Some(ask) = self.asks.pop_front() else { return Ok(None) };
                self.tree.talk.ask(&ask).await?;
                self.is_open = true;
            }
            let heard = match self.tree.talk.at_hand()? {
                Some(heard) => heard,
                None if !frames.is_empty() => return Ok(Some(frames)),
                None => self.tree.talk.next().await?,
            };
            if matches!(heard, Heard::Other(Answer::Done(_))) {
                self.is_open = false;
                continue;
            }
            let frame = self.frame(heard)?;
            if let Frame::Begin(bytes) | Frame::Content(bytes) = &frame {
                weight += bytes.len();
            }
            frames.push(frame);
            if weight >= BATCH {
                return Ok(Some(frames));
            }
        }
    }

    fn frame(&self, heard: Heard) -> Result<Frame> {
        let problem = |trouble: &Trouble| problem_of(&self.tree.label, trouble);
        Ok(match heard {
            Heard::Begin(headers) => Frame::Begin(headers),
            Heard::Content(bytes) => Frame::Content(bytes),
            Heard::Other(Answer::Zeros(count)) => Frame::Hole(count),
            Heard::Other(Answer::Kept { name, count }) => Frame::Kept { name, count },
            Heard::Other(Answer::End) => Frame::End,
            Heard::Other(Answer::Flawed { name, trouble }) => Frame::Flawed { name, problem: problem(&trouble) },
            Heard::Other(Answer::Left(trouble)) => Frame::Left(problem(&trouble)),
            Heard::Other(_) => return Err(malformed()),
        })
    }
}

fn number(group: usize) -> u32 {
    u32::try_from(group).unwrap_or(u32::MAX)
}

fn mark((identity, header, content): (u64, u32, u64)) -> Mark {
    Mark { identity, header, content }
}

/// Problems of one kind that a tree names one by one; of more, their number is told.
const NAMED: usize = 50;
/// How their number is told.
const MORE: &str = " more files with the same problem";

/// A million files that changed are not a million sentences.
pub(crate) fn bounded(label: &str, problems: Vec<Problem>) -> Vec<Problem> {
    let mut all = Bounded::new(label);
    problems.into_iter().for_each(|problem| all.add(problem));
    all.all()
}

/// Problems of a tree, of each kind a few: whoever makes files makes as many as they like. What was bounded before may be bounded again with more.
struct Bounded<'a> {
    label: &'a str,
    kept: Vec<Problem>,
    by_code: BTreeMap<String, Count>,
}

/// Problems of one kind.
struct Count {
    severity: Severity,
    named: usize,
    more: u64,
}

impl Bounded<'_> {
    fn new(label: &str) -> Bounded<'_> {
        Bounded { label, kept: Vec::new(), by_code: BTreeMap::new() }
    }

    fn add(&mut self, problem: Problem) {
        let fresh = Count { severity: problem.severity, named: 0, more: 0 };
        let count = self.by_code.entry(problem.code.clone()).or_insert(fresh);
        match told_more(self.label, &problem) {
            Some(more) => count.more = count.more.saturating_add(more),
            None if count.named == NAMED => count.more = count.more.saturating_add(1),
            None => {
                count.named += 1;
                self.kept.push(problem);
            }
        }
    }

    fn all(mut self) -> Vec<Problem> {
        let more = self.by_code.iter().filter(|(_, count)| count.more > 0);
        self.kept.extend(more.map(|(code, count)| and_more(self.label, code, count.severity, count.more)));
        self.kept
    }
}

fn and_more(label: &str, code: &str, severity: Severity, files: u64) -> Problem {
    Problem { severity, ..Problem::warning(code, label, format!("{label}: {files}{MORE}")) }
}

/// Of how many files a problem tells without their names. What is told of one file begins otherwise ([`problem_of`]).
fn told_more(label: &str, problem: &Problem) -> Option<u64> {
    // The repository counts without a label.
    if let Some(count) = problem.count() {
        return Some(count);
    }
    problem.message.strip_prefix(label)?.strip_prefix(": ")?.strip_suffix(MORE)?.parse().ok()
}

/// A trouble with a file of what people call `label`, in the words of the house.
pub fn problem_of(label: &str, trouble: &Trouble) -> Problem {
    let code = match trouble.what {
        What::Changed | What::Short => "file.changed",
        What::Vanished => "file.vanished",
        What::Mount => "file.mount",
        What::Attributes => "file.attributes",
        What::TooLarge => "file.too_large",
        _ => "file.unreadable",
    };
    let severity = match trouble.what {
        // Only what has no data is left out: windows into the kernel.
        What::Mount => Severity::Note,
        // Whoever can make such a file could hide a true one behind the claim: the snapshot is not good without it.
        What::TooLarge => Severity::Error,
        _ => Severity::Warning,
    };
    if trouble.more > 0 {
        return and_more(label, code, severity, trouble.more);
    }
    let problem = Problem::warning(code, shown(&trouble.path), format!("{label}, {trouble}"));
    let problem = Problem { severity, ..problem };
    match trouble.what {
        What::TooLarge => problem.advice(
            "Make files that claim far more bytes than they hold smaller, or remove them; then back the app up again.",
        ),
        _ => problem,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use holdfast_docker::{
        fake::FakeDocker,
        mover::{Mounted, PROGRAM},
    };
    use holdfast_model::snapshot::{FILE_MAX, TREE_MAX};
    use holdfast_mover::wire::VERSION;
    use std::sync::Arc;
    use tokio::{io::AsyncWriteExt, sync::Mutex};

    #[test]
    fn a_file_that_is_too_large_is_an_error_with_a_way_out() {
        let detail: Box<[u8]> = (*b"a file has at most 64 TiB").into();
        let problem = problem_of("volume data", &Trouble { detail, ..Trouble::new(b"a/\xffhuge", What::TooLarge) });
        assert_eq!((problem.severity, problem.code.as_str()), (Severity::Error, "file.too_large"));
        assert_eq!(problem.subject, "a/\\xffhuge");
        assert!(problem.message.contains("volume data") && problem.message.contains("64 TiB"), "{}", problem.message);
        assert!(problem.advice.is_some());
        let many = bounded("volume data", vec![problem; NAMED + 2]);
        assert!(many.len() == NAMED + 1 && many.iter().all(|problem| problem.severity == Severity::Error), "{many:?}");
    }

    #[test]
    fn the_mover_leaves_out_what_the_repository_would_refuse() {
        assert_eq!((holdfast_mover::FILE_MAX, holdfast_mover::TREE_MAX), (FILE_MAX, TREE_MAX));
    }

    #[test]
    fn many_problems_of_one_kind_become_a_number() {
        let many = (0..1000).map(|n| Problem::note("file.changed", n.to_string(), "x"));
        let one = Problem::warning("file.mount", "m", "y");
        let kept = bounded("volume data", many.chain([one.clone()]).collect());
        assert_eq!(kept.len(), NAMED + 2);
        assert!(kept.contains(&one));
        assert!(kept.iter().any(|problem| problem.message.contains("950 more") && problem.code == "file.changed"));
    }

    #[test]
    fn what_was_counted_before_is_counted_on() {
        let huge = |n: u32| problem_of("volume data", &Trouble::new(n.to_string().as_bytes(), What::TooLarge));
        let others = Trouble { more: 5_000_000, ..Trouble::new(b"", What::TooLarge) };
        let walk: Vec<Problem> = (0..1000).map(huge).chain([problem_of("volume data", &others)]).collect();
        let mut first = Bounded::new("volume data");
        walk.into_iter().for_each(|problem| first.add(problem));
        assert_eq!(first.kept.len(), NAMED, "nothing else was ever in memory");
        // Those that grew while they were read come before those of the walk.
        let of_repository = Problem::more("file.too_large", Severity::Error, 40);
        let all: Vec<Problem> = (2000..2010).map(huge).chain([of_repository]).chain(first.all()).collect();
        let told = bounded("volume data", all);
        let (last, named) = told.split_last().unwrap();
        assert_eq!((named.len(), &*named[0].subject, &*named[49].subject), (NAMED, "2000", "39"));
        assert_eq!((&*last.code, last.severity), ("file.too_large", Severity::Error));
        assert_eq!(last.message, "volume data: 5001000 more files with the same problem");
    }

    #[tokio::test]
    async fn troubles_are_bounded_while_they_are_heard() {
        let docker = FakeDocker::new();
        docker.program(PROGRAM, |mut run| async move {
            let trouble = |n: u32| Answer::Trouble(Trouble::new(n.to_string().as_bytes(), What::Unreadable));
            let mut said = Vec::new();
            Answer::Hello { version: VERSION }.put(&mut said);
            (0..2000).map(trouble).for_each(|answer| answer.put(&mut said));
            Answer::Done(2000).put(&mut said);
            run.output.write_all(&said).await?;
            tokio::io::copy(&mut run.input, &mut tokio::io::sink()).await.map(drop)
        });
        let talk = Talk::open(Arc::new(docker), "me", Mounted::Volume("data"), [0; 32]).await.unwrap();
        let talk = Arc::new(Mutex::new(talk)).lock_owned().await;
        let told = RemoteTree::new(talk, "volume data").finish().await.unwrap();
        assert_eq!(told.len(), NAMED + 1);
        assert_eq!(told[NAMED].message, "volume data: 1950 more files with the same problem");
    }
}
