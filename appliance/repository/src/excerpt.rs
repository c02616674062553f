//! What of a recipe is needed for some stretches of its stream: chunks and steps, nothing more.
//!
//! Invariant: carrying out the steps on the chunks gives exactly the bytes of the stretches, in order, and uses
//! every chunk up.

use crate::recipe::{Op, Placed, Recipe, Row};
use std::ops::Range;

/// One step of putting a stream together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// The next bytes of a row.
    Take(Row, u64),
    /// The next bytes of a row are not wanted.
    Skip(Row, u64),
    /// Zero bytes.
    Zeros(u64),
}

/// Chunks and steps.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Excerpt {
    pub(crate) chunks: [Vec<Placed>; 3],
    pub(crate) steps: Vec<Step>,
}

/// How far the chunks of one row were gone through.
#[derive(Clone, Copy, Default)]
struct Place {
    index: usize,
    /// Bytes of the chunk at `index` that lie behind.
    within: u64,
    /// Those of them that no step speaks of yet.
    passed: u64,
    /// Whether the chunk was picked.
    picked: bool,
}

impl Excerpt {
    /// All of a recipe.
    pub(crate) fn whole(recipe: Recipe) -> Excerpt {
        let step = |op: &Op| match *op {
            Op::Take(row, count) => Step::Take(row, count),
            Op::Zeros(count) => Step::Zeros(count),
        };
        Excerpt { steps: recipe.ops.iter().map(step).collect(), chunks: recipe.chunks }
    }

    /// Its headers; contents become zeros.
    pub(crate) fn outline(recipe: Recipe) -> Excerpt {
        let step = |op: &Op| match *op {
            Op::Take(Row::Meta, count) => Step::Take(Row::Meta, count),
            Op::Take(_, count) | Op::Zeros(count) => Step::Zeros(count),
        };
        let [meta, ..] = recipe.chunks;
        Excerpt { steps: recipe.ops.iter().map(step).collect(), chunks: [meta, Vec::new(), Vec::new()] }
    }

    /// These stretches of it, which rise and do not overlap.
    pub(crate) fn of(recipe: &Recipe, stretches: &[Range<u64>]) -> Excerpt {
        let mut picker = Picker { recipe, places: Default::default(), excerpt: Excerpt::default() };
        let mut stretches = stretches.iter().filter(|stretch| !stretch.is_empty()).peekable();
        let mut at = 0;
        for op in &recipe.ops {
            let end = at + op.count();
            while let Some(stretch) = stretches.peek().filter(|stretch| stretch.start < end) {
                let (from, to) = (stretch.start.max(at), stretch.end.min(end));
                picker.pass(*op, from - at);
                picker.take(*op, to - from);
                at = to;
                if stretch.end > end {
                    break;
                }
                stretches.next();
            }
            picker.pass(*op, end - at);
            at = end;
        }
        picker.finish()
    }
}

/// Stretches of what a recipe makes that hang on chunks of which `lacks` says so; in order, apart.
pub(crate) fn lacking(recipe: &Recipe, lacks: impl Fn(&Placed) -> bool) -> Vec<Range<u64>> {
    let mut gaps: Vec<Range<u64>> = Vec::new();
    let mut places = [(0usize, 0u64, false); 3];
    let mut at = 0;
    for op in &recipe.ops {
        let Op::Take(row, mut count) = *op else {
            at += op.count();
            continue;
        };
        while count > 0 {
            let (next, left, lost) = &mut places[row as usize];
            if *left == 0 {
                // Decoding saw to it that there is a chunk while there are operations.
                let chunk = &recipe.chunks[row as usize][*next];
                (*next, *left, *lost) = (*next + 1, u64::from(chunk.length), lacks(chunk));
            }
            let part = count.min(*left);
            (*left, count) = (*left - part, count - part);
            if *lost {
                match gaps.last_mut().filter(|gap| gap.end == at) {
                    Some(gap) => gap.end += part,
                    None => gaps.push(at..at + part),
                }
            }
            at += part;
        }
    }
    gaps
}

struct Picker<'a> {
    recipe: &'a Recipe,
    places: [Place; 3],
    excerpt: Excerpt,
}

impl Picker<'_> {
    fn pass(&mut self, op: Op, mut count: u64) {
        let Op::Take(row, _) = op else { return };
        while count > 0 {
            let part = count.min(self.left(row));
            count -= part;
            self.places[row as usize].within += part;
            self.places[row as usize].passed += part;
            self.go_on(row);
        }
    }

    fn take(&mut self, op: Op, mut count: u64) {
        let Op::Take(row, _) = op else { return self.push(Step::Zeros(count)) };
        while count > 0 {
            let part = count.min(self.left(row));
            count -= part;
            let place = &mut self.places[row as usize];
            place.within += part;
            let passed = std::mem::take(&mut place.passed);
            if !std::mem::replace(&mut place.picked, true) {
                self.excerpt.chunks[row as usize].push(self.recipe.chunks[row as usize][place.index]);
            }
            self.push(Step::Skip(row, passed));
            self.push(Step::Take(row, part));
            self.go_on(row);
        }
    }

    /// Bytes of the row's chunk that lie ahead. Decoding saw to it that there is a chunk while there are operations.
    fn left(&self, row: Row) -> u64 {
        let place = self.places[row as usize];
        u64::from(self.recipe.chunks[row as usize][place.index].length) - place.within
    }

    fn go_on(&mut self, row: Row) {
        if self.left(row) == 0 {
            let place = std::mem::take(&mut self.places[row as usize]);
            self.places[row as usize].index = place.index + 1;
            if place.picked {
                self.push(Step::Skip(row, place.passed));
            }
        }
    }

    fn push(&mut self, step: Step) {
        let steps = &mut self.excerpt.steps;
        match (steps.last_mut(), step) {
            (_, Step::Take(_, 0) | Step::Skip(_, 0) | Step::Zeros(0)) => {}
            (Some(Step::Take(before, count)), Step::Take(row, more)) if *before == row => *count += more,
            (Some(Step::Zeros(count)), Step::Zeros(more)) => *count += more,
            _ => steps.push(step),
        }
    }

    fn finish(mut self) -> Excerpt {
        for row in [Row::Meta, Row::Bundle, Row::Large] {
            let place = self.places[row as usize];
            if place.picked {
                let rest = place.passed + self.left(row);
                self.push(Step::Skip(row, rest));
            }
        }
        self.excerpt
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use holdfast_model::{ChunkId, PackId};
    use proptest::prelude::*;

    /// Chunk contents are numbers, so that each byte tells where it is from.
    fn recipe(lengths: &[Vec<u32>; 3], ops: &[(u8, u64)]) -> Recipe {
        let mut left: [u64; 3] = [0, 1, 2].map(|row: usize| lengths[row].iter().map(|n| u64::from(*n)).sum());
        let mut done = Vec::new();
        for (code, count) in ops {
            done.push(match code {
                3 => Op::Zeros(*count),
                row => {
                    let count = (*count).min(left[*row as usize]);
                    left[*row as usize] -= count;
                    Op::Take([Row::Meta, Row::Bundle, Row::Large][*row as usize], count)
                }
            });
        }
        for (row, left) in [Row::Meta, Row::Bundle, Row::Large].into_iter().zip(left) {
            done.push(Op::Take(row, left));
        }
        done.retain(|op| !matches!(op, Op::Take(_, 0)));
        let chunk = |length: &u32| placed(*length);
        Recipe { chunks: lengths.each_ref().map(|row| row.iter().map(chunk).collect()), ops: done, marks: Vec::new() }
    }

    fn placed(length: u32) -> Placed {
        Placed { id: ChunkId([0; 32]), length, pack: PackId([0; 32]), offset: 0, sealed: length, base: None }
    }

    fn carry_out(excerpt: &Excerpt, bytes: &[Vec<u8>; 3]) -> Vec<u8> {
        let mut at = [0usize; 3];
        let mut out = Vec::new();
        for step in &excerpt.steps {
            match *step {
                Step::Zeros(count) => out.resize(out.len() + count as usize, 0),
                Step::Take(row, count) | Step::Skip(row, count) => {
                    let row = row as usize;
                    let taken = &bytes[row][at[row]..at[row] + count as usize];
                    at[row] += count as usize;
                    if matches!(step, Step::Take(..)) {
                        out.extend_from_slice(taken);
                    }
                }
            }
        }
        assert!(at.iter().zip(bytes).all(|(at, bytes)| *at == bytes.len()), "chunks are left over");
        out
    }

    /// Bytes of the picked chunks of each row: chunks are told apart by place, which is their number in the row.
    fn picked(excerpt: &Excerpt, contents: &[Vec<u8>; 3]) -> [Vec<u8>; 3] {
        let mut out: [Vec<u8>; 3] = Default::default();
        for (row, chunks) in excerpt.chunks.iter().enumerate() {
            for chunk in chunks {
                let start = chunk.offset as usize;
                out[row].extend_from_slice(&contents[row][start..start + chunk.length as usize]);
            }
        }
        out
    }

    proptest! {
        #[test]
        fn stretches_come_out_as_from_the_whole(
            lengths in prop::array::uniform3(prop::collection::vec(1u32..40, 0..6)),
            ops in prop::collection::vec((0u8..4, 1u64..60), 0..12),
            mut cuts in prop::collection::vec(0u64..400, 0..9),
        ) {
            let mut recipe = recipe(&lengths, &ops);
            let mut contents: [Vec<u8>; 3] = Default::default();
            for (row, chunks) in recipe.chunks.iter_mut().enumerate() {
                for chunk in chunks {
                    chunk.offset = contents[row].len() as u32;
                    let number = contents[row].len();
                    contents[row].extend((0..chunk.length as usize).map(|n| (row * 80 + (number + n) % 79 + 1) as u8));
                }
            }
            let whole = carry_out(&Excerpt::whole(recipe.clone()), &contents);
            cuts.sort_unstable();
            let stretches: Vec<Range<u64>> = cuts.chunks_exact(2)
                .map(|pair| pair[0].min(whole.len() as u64)..pair[1].min(whole.len() as u64)).collect();
            let excerpt = Excerpt::of(&recipe, &stretches);
            let expected: Vec<u8> =
                stretches.iter().flat_map(|s| whole[s.start as usize..s.end as usize].to_vec()).collect();
            prop_assert_eq!(carry_out(&excerpt, &picked(&excerpt, &contents)), expected);
            let all = 0..whole.len() as u64;
            prop_assert_eq!(&Excerpt::of(&recipe, std::slice::from_ref(&all)).chunks, &recipe.chunks);
            let gaps = lacking(&recipe, |chunk| chunk.offset % 3 == 1);
            prop_assert!(gaps.windows(2).all(|pair| pair[0].end < pair[1].start));
            for at in 0..whole.len() as u64 {
                let needs = Excerpt::of(&recipe, std::slice::from_ref(&(at..at + 1)));
                let lost = needs.chunks.iter().flatten().any(|chunk| chunk.offset % 3 == 1);
                prop_assert_eq!(lost, gaps.iter().any(|gap| gap.contains(&at)), "{}", at);
            }
        }
    }
}
