//! A tree of files as a mover beside it tells it: the repository's asks become its asks.
//!
//! Invariant: an answer is complete only with its closing word; until then it is an error, never a shorter tree.

use crate::talk::{Heard, Talk, malformed};
use async_trait::async_trait;
use futures::{StreamExt, stream};
use holdfast_model::{Problem, Result, Witness};
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
        let mut problems = Vec::new();
        loop {
            match self.talk.next().await? {
                Heard::Other(Answer::Trouble(trouble)) => problems.push(problem_of(&self.label, &trouble)),
                Heard::Other(Answer::Done(_)) => return Ok(problems),
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

/// A million files that changed are not a million sentences.
pub(crate) fn bounded(label: &str, problems: Vec<Problem>) -> Vec<Problem> {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    let mut kept = Vec::new();
    for problem in problems {
        let count = counts.entry(problem.code.clone()).or_default();
        *count += 1;
        if *count <= NAMED {
            kept.push(problem);
        }
    }
    for (code, count) in counts.into_iter().filter(|(_, count)| *count > NAMED) {
        let severity = kept.iter().find(|problem| problem.code == code).map(|problem| problem.severity);
        let text = format!("{label}: {} more files with the same problem", count - NAMED);
        let more = Problem::warning(&code, label, text);
        kept.push(Problem { severity: severity.unwrap_or(more.severity), ..more });
    }
    kept
}

/// A trouble with a file of what people call `label`, in the words of the house.
pub fn problem_of(label: &str, trouble: &Trouble) -> Problem {
    let code = match trouble.what {
        What::Changed | What::Short => "file.changed",
        What::Vanished => "file.vanished",
        What::Mount => "file.mount",
        What::Attributes => "file.attributes",
        _ => "file.unreadable",
    };
    let text = format!("{label}, {trouble}");
    match trouble.what {
        // Only what has no data is left out: windows into the kernel.
        What::Mount => Problem::note(code, shown(&trouble.path), text),
        _ => Problem::warning(code, shown(&trouble.path), text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_problems_of_one_kind_become_a_number() {
        let many = (0..1000).map(|n| Problem::note("file.changed", n.to_string(), "x"));
        let one = Problem::warning("file.mount", "m", "y");
        let kept = bounded("volume data", many.chain([one.clone()]).collect());
        assert_eq!(kept.len(), NAMED + 2);
        assert!(kept.contains(&one));
        assert!(kept.iter().any(|problem| problem.message.contains("950 more") && problem.code == "file.changed"));
    }
}
