//! Several sequences in one forward pass: trees of a prefix and its branches.
//!
//! ```text
//!  rows      p p p p a a a b b | q q q q q c c          two trees in one pack
//!  positions 0 1 2 3 4 5 6 4 5   0 1 2 3 4 5 6          restart after the prefix
//!  sees      p       p+a   p+b   q         q+c          a branch sees the prefix and itself
//! ```
//!
//! The completions of a group, the chosen and the rejected answer of a pair: both are branches of
//! one prompt, whose rows are computed once. So is whatever branches begin with alike: branches
//! part where their tokens do. A sequence for supervised fine-tuning is a prefix without branches.
//! The text that prefixes open with, a system turn or a worked example, is computed once for the
//! whole pack. Rows that nothing is predicted from (the end of every sequence) are left out.

use std::collections::HashMap;
use std::ops::Range;

use tensor::Span;

use crate::layout::{Layout, row_u32};

/// Fewer tokens than this at the beginning of prefixes are not worth parting attention for.
const WORTH_SHARING: usize = 8;

/// A row that takes an image feature in place of a token embedding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImageSlot {
    /// Row of the pack (of the prefix, in [`Pack::push_tree`]).
    pub row: usize,
    /// Row of the projected image features.
    pub feature: usize,
}

/// What the branches of a tree have in common, or a whole sequence.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Prefix<'a> {
    /// Token of every row.
    pub ids: &'a [u32],
    /// The rows that are image features, counted within the prefix.
    pub images: &'a [ImageSlot],
    /// Time, row and column of every row (see [`Layout::axes`]); `None`: the row's number on each.
    pub places: Option<&'a [[u32; 3]]>,
}

/// A token to be predicted, and the row it is predicted from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Target {
    /// Row of the pack.
    pub row: usize,
    /// The token.
    pub id: u32,
}

/// Which rows of a judged branch have a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Valued {
    /// The last: the score of a response.
    Last,
    /// All, from where the branches of a tree part.
    All,
}

/// The rows of one forward pass and the tokens to be predicted from them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Pack {
    /// Token of every row.
    pub ids: Vec<u32>,
    /// Positions, who sees whom, and which rows have targets.
    pub layout: Layout,
    /// Rows that are image features.
    pub images: Vec<ImageSlot>,
    /// What is predicted, sequence by sequence.
    pub targets: Vec<Target>,
    /// Targets of each sequence: one per branch, or one per prefix without branches.
    pub sequences: Vec<Range<usize>>,
    /// The rows whose value is wanted, where a value head reads the pack: the last of each sequence, or more.
    pub ends: Vec<usize>,
    /// The first prefix's rows up to its first image: later ones may begin with them too.
    opening: Range<usize>,
}

/// A prefix that has its rows: which they are, and the place after them on every axis.
struct Trunk {
    rows: Vec<Range<usize>>,
    next_place: u32,
}

impl Pack {
    /// An empty pack.
    pub fn new() -> Self {
        let layout = Layout { outputs: Some(Vec::new()), ..Layout::default() };
        Self { layout, ..Self::default() }
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// Appends a prefix with its image slots (rows counted within the prefix) and `branches`,
    /// every token of which is a target. Each branch becomes a sequence; its first token is
    /// predicted from the prefix's last row. Tokens that branches begin with alike share their
    /// rows, and their targets are there once for each branch.
    ///
    /// # Panics
    ///
    /// If the prefix is empty.
    pub fn push_tree(&mut self, prefix: &[u32], images: &[ImageSlot], branches: &[&[u32]]) {
        self.push_placed_tree(Prefix { ids: prefix, images, places: None }, branches);
    }

    /// As [`push_tree`](Self::push_tree) for a prefix whose rows have places on three axes. A
    /// branch goes on from the largest of them, the same on each axis.
    ///
    /// # Panics
    ///
    /// If the prefix is empty, or has not one place a row.
    pub fn push_placed_tree(&mut self, prefix: Prefix, branches: &[&[u32]]) {
        assert!(!prefix.ids.is_empty(), "a branch needs a prefix to be predicted from");
        if branches.iter().all(|branch| branch.is_empty()) {
            let none = self.targets.len()..self.targets.len();
            return self.sequences.extend(branches.iter().map(|_| none.clone()));
        }
        let start = self.len();
        let trunk = self.push_prefix(prefix, prefix.ids.len() - 1);
        let mut crown = Crown {
            branches,
            num_rows: prefix.ids.len(),
            next_place: trunk.next_place,
            sources: vec![vec![self.len() - 1]; branches.len()],
        };
        let all = (0..branches.len()).collect();
        self.grow(&trunk.rows, &Fork { at: 0, members: all }, &mut crown);
        for (rows, branch) in crown.sources.into_iter().zip(branches) {
            let first = self.targets.len();
            self.targets.extend(rows.into_iter().zip(*branch).map(|(row, &id)| Target { row, id }));
            self.sequences.push(first..self.targets.len());
        }
        self.note_outputs(start);
    }

    /// Appends a prefix and branches that are judged, not predicted: the value of each branch's
    /// last row is wanted ([`ends`](Self::ends)), or that of each of its rows, and nothing else.
    ///
    /// # Panics
    ///
    /// If prefix or a branch is empty, or the prefix has not one place a row.
    pub fn push_judged_tree(&mut self, prefix: Prefix, branches: &[&[u32]], valued: Valued) {
        assert!(!prefix.ids.is_empty(), "a branch needs a prefix to follow");
        let trunk = self.push_prefix(prefix, prefix.ids.len());
        for branch in branches {
            assert!(!branch.is_empty(), "an empty branch has no last row");
            let rows = self.push_branch(&trunk.rows, branch, trunk.next_place);
            let rows = match valued {
                Valued::Last => rows.end - 1..rows.end,
                Valued::All => rows,
            };
            self.ends.extend(rows.clone());
            self.layout.outputs.get_or_insert_default().extend(rows);
        }
    }

    /// Appends one sequence in which the tokens marked in `supervised` are targets, each predicted
    /// from the row before it. The first token cannot be predicted, whatever its mark.
    ///
    /// # Panics
    ///
    /// If there is not one mark a token.
    pub fn push_sequence(&mut self, ids: &[u32], images: &[ImageSlot], supervised: &[bool]) {
        self.push_placed_sequence(Prefix { ids, images, places: None }, supervised);
    }

    /// As [`push_sequence`](Self::push_sequence) for rows that have places on three axes.
    ///
    /// # Panics
    ///
    /// If there is not one mark, or one place, a token.
    pub fn push_placed_sequence(&mut self, sequence: Prefix, supervised: &[bool]) {
        let Prefix { ids, images, places } = sequence;
        assert_eq!(ids.len(), supervised.len(), "one mark a token");
        let predicted = (1..ids.len()).filter(|&i| supervised[i]);
        // Nothing is predicted from the last target or from what follows it.
        let used = predicted.clone().next_back().unwrap_or(0);
        let images: Vec<_> = images.iter().copied().filter(|slot| slot.row < used).collect();
        let places = places.map(|places| &places[..used]);
        let (start, first) = (self.len(), self.targets.len());
        let most_shared = predicted.clone().next().map_or(0, |i| i - 1);
        self.push_prefix(Prefix { ids: &ids[..used], images: &images, places }, most_shared);
        let shared = start + used - self.len();
        self.targets.extend(predicted.map(|i| Target { row: start + i - 1 - shared, id: ids[i] }));
        self.sequences.push(first..self.targets.len());
        self.note_outputs(start);
    }

    /// Index of every target's row among the hidden states that the model returns for this pack.
    pub fn target_outputs(&self) -> Vec<usize> {
        let outputs = self.layout.outputs.as_deref().unwrap_or_default();
        let index = |target: &Target| outputs.partition_point(|&row| row < target.row);
        self.targets.iter().map(index).collect()
    }

    /// Index of every judged sequence's last row among the hidden states that the model returns.
    pub fn end_outputs(&self) -> Vec<usize> {
        let outputs = self.layout.outputs.as_deref().unwrap_or_default();
        self.ends.iter().map(|&end| outputs.partition_point(|&row| row < end)).collect()
    }

    /// The tokens of all targets.
    pub fn target_ids(&self) -> Vec<u32> {
        self.targets.iter().map(|target| target.id).collect()
    }

    /// What the head has to answer: targets that branches share are asked once.
    pub(crate) fn questions(&self) -> Questions {
        let mut questions = Questions::default();
        let mut known = HashMap::new();
        for (target, output) in self.targets.iter().zip(self.target_outputs()) {
            let next = questions.ids.len();
            let question = *known.entry(*target).or_insert(next);
            if question == next {
                questions.outputs.push(output);
                questions.ids.push(target.id);
            }
            questions.of_target.push(question);
        }
        questions
    }

    /// Rows that a tree takes: what a caller adds up to fill a pack to its budget.
    pub fn tree_rows(prefix: usize, branches: impl IntoIterator<Item = usize>) -> usize {
        prefix + branches.into_iter().map(|len| len.saturating_sub(1)).sum::<usize>()
    }

    /// Appends a prefix, of which at most `most_shared` rows may be those of the pack's opening.
    fn push_prefix(&mut self, prefix: Prefix, most_shared: usize) -> Trunk {
        let Prefix { ids, images, places } = prefix;
        assert!(places.is_none_or(|places| places.len() == ids.len()), "one place a row");
        let first_image = images.iter().map(|slot| slot.row).min().unwrap_or(ids.len());
        if self.is_empty() {
            self.opening = 0..first_image;
        }
        let opening = self.ids.get(self.opening.clone()).unwrap_or_default();
        let alike = opening.iter().zip(ids).take_while(|(a, b)| a == b).count();
        // Text before an image stands at its position on every axis.
        let shared = alike.min(first_image).min(most_shared);
        let shared = if shared < WORTH_SHARING { 0 } else { shared };
        let rows = self.len()..self.len() + ids.len() - shared;
        self.ids.extend_from_slice(&ids[shared..]);
        self.layout.positions.extend((shared..ids.len()).map(row_u32));
        if let Some(places) = places {
            self.axes_until(rows.start).extend_from_slice(&places[shared..]);
        }
        self.fill_axes();
        let slots = images.iter().map(|s| ImageSlot { row: rows.start + s.row - shared, ..*s });
        self.images.extend(slots);
        let past: Vec<_> = (shared > 0).then_some(0..shared).into_iter().collect();
        self.push_span(rows.clone(), past.clone());
        let next_place = match places {
            Some(places) => places.iter().flatten().max().map_or(0, |&last| last + 1),
            None => row_u32(ids.len()),
        };
        Trunk { rows: [past, vec![rows]].concat(), next_place }
    }

    /// Appends the rows of branches that agree up to a fork, one run of rows for each way on, and
    /// notes them as what a branch's tokens are predicted from.
    fn grow(&mut self, past: &[Range<usize>], fork: &Fork, crown: &mut Crown) {
        for way in fork.ways(crown.branches) {
            let ids = &crown.branches[way.members[0]][fork.at..way.at];
            // The last token is only a target, unless a branch goes on from it.
            let goes_on = way.members.iter().any(|&member| crown.branches[member].len() > way.at);
            let ids = &ids[..ids.len() - usize::from(!goes_on)];
            let before = past.iter().map(Range::len).sum::<usize>() - crown.num_rows;
            let rows = self.push_branch(past, ids, crown.next_place + row_u32(before));
            way.members.iter().for_each(|&member| crown.sources[member].extend(rows.clone()));
            if goes_on {
                self.grow(&[past, std::slice::from_ref(&rows)].concat(), &way, crown);
            }
        }
    }

    /// Appends rows that see some others and themselves; the first stands at `place` on every axis.
    fn push_branch(&mut self, past: &[Range<usize>], ids: &[u32], place: u32) -> Range<usize> {
        let rows = self.len()..self.len() + ids.len();
        self.ids.extend_from_slice(ids);
        let before = past.iter().map(Range::len).sum::<usize>();
        self.layout.positions.extend((before..before + ids.len()).map(row_u32));
        if let Some(axes) = &mut self.layout.axes {
            axes.extend((0..ids.len()).map(|i| [place + row_u32(i); 3]));
        }
        self.push_span(rows.clone(), past.to_vec());
        rows
    }

    /// The places of all rows, of which the first `num_rows` are there at least.
    fn axes_until(&mut self, num_rows: usize) -> &mut Vec<[u32; 3]> {
        let positions = &self.layout.positions[..num_rows];
        self.layout.axes.get_or_insert_with(|| positions.iter().map(|&p| [p; 3]).collect())
    }

    /// Gives rows without places of their own their position on each axis, if any row has places.
    fn fill_axes(&mut self) {
        let Layout { axes: Some(axes), positions, .. } = &mut self.layout else { return };
        let from = axes.len();
        axes.extend(positions[from..].iter().map(|&p| [p; 3]));
    }

    fn push_span(&mut self, rows: Range<usize>, past: Vec<Range<usize>>) {
        if !rows.is_empty() {
            self.layout.spans.push(Span { queries: rows.clone(), past, own: rows, causal: true });
        }
    }

    /// Adds the rows from `start` on that have a target to those whose hidden state is wanted.
    fn note_outputs(&mut self, start: usize) {
        let rows = self.targets.iter().map(|target| target.row).filter(|&row| row >= start);
        let mut rows: Vec<usize> = rows.collect();
        rows.sort_unstable();
        rows.dedup();
        self.layout.outputs.get_or_insert_default().extend(rows);
    }
}

/// The different targets of a pack.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Questions {
    /// Index of the row among the hidden states that the model returns.
    pub(crate) outputs: Vec<usize>,
    /// The token.
    pub(crate) ids: Vec<u32>,
    /// For every target of the pack, which of these it is.
    pub(crate) of_target: Vec<usize>,
}

impl Questions {
    /// One value a question, for every target.
    pub(crate) fn answers(&self, values: &[f32]) -> Vec<f32> {
        self.of_target.iter().map(|&question| values[question]).collect()
    }

    /// One value a target, summed over those that are the same question.
    pub(crate) fn sums(&self, values: &[f32]) -> Vec<f32> {
        let mut sums = vec![0.0; self.ids.len()];
        self.of_target.iter().zip(values).for_each(|(&question, value)| sums[question] += value);
        sums
    }
}

/// The branches of a tree while they grow.
struct Crown<'a> {
    branches: &'a [&'a [u32]],
    /// Rows of the prefix, and the place after it.
    num_rows: usize,
    next_place: u32,
    /// The rows that each branch's tokens are predicted from.
    sources: Vec<Vec<usize>>,
}

/// Branches that agree on their first `at` tokens.
struct Fork {
    at: usize,
    members: Vec<usize>,
}

impl Fork {
    /// The ways on, by the token that follows: each as far as all who take it agree.
    fn ways(&self, branches: &[&[u32]]) -> Vec<Self> {
        let mut ways: Vec<Self> = Vec::new();
        for &member in self.members.iter().filter(|&&member| branches[member].len() > self.at) {
            let begins =
                |way: &&mut Self| branches[way.members[0]][self.at] == branches[member][self.at];
            match ways.iter_mut().find(begins) {
                Some(way) => way.members.push(member),
                None => ways.push(Self { at: self.at, members: vec![member] }),
            }
        }
        for way in &mut ways {
            let first = branches[way.members[0]];
            let agreed = |&member: &usize| {
                let pairs = first.iter().zip(branches[member]);
                pairs.take_while(|(a, b)| a == b).count()
            };
            way.at = way.members.iter().map(agreed).min().expect("a way has members");
        }
        ways
    }
}

/// The image slots of a token list: its rows that hold `image_token`, numbered with consecutive
/// features from `first_feature`.
pub fn image_slots(ids: &[u32], image_token: u32, first_feature: usize) -> Vec<ImageSlot> {
    let rows = ids.iter().enumerate().filter(|&(_, &id)| id == image_token).map(|(row, _)| row);
    rows.zip(first_feature..).map(|(row, feature)| ImageSlot { row, feature }).collect()
}

#[cfg(test)]
#[expect(clippy::single_range_in_vec_init, reason = "a past is a list of ranges")]
mod tests {
    use super::*;

    fn rows(pack: &Pack) -> Vec<(usize, u32)> {
        pack.targets.iter().map(|target| (target.row, target.id)).collect()
    }

    #[test]
    fn a_tree_shares_its_prefix() {
        let mut pack = Pack::new();
        pack.push_sequence(&[1, 2, 3, 4], &[], &[true, false, true, false]);
        pack.push_tree(
            &[5, 9, 9],
            &image_slots(&[5, 9, 9], 9, 4),
            &[&[3, 7], &[8], &[], &[6, 6, 6]],
        );
        assert_eq!(pack.ids, [1, 2, 5, 9, 9, 3, 6, 6]);
        assert_eq!(pack.layout.positions, [0, 1, 0, 1, 2, 3, 3, 4]);
        assert_eq!(rows(&pack), [(1, 3), (4, 3), (5, 7), (4, 8), (4, 6), (6, 6), (7, 6)]);
        assert_eq!(pack.sequences, [0..1, 1..3, 3..4, 4..4, 4..7]);
        assert_eq!(pack.layout.outputs.as_deref(), Some(&[1, 4, 5, 6, 7][..]));
        assert_eq!(pack.target_outputs(), [0, 1, 2, 1, 1, 3, 4]);
        let slots: Vec<_> = pack.images.iter().map(|s| (s.row, s.feature)).collect();
        assert_eq!(slots, [(3, 4), (4, 5)]);
        assert_eq!(pack.layout.spans.len(), 4);
        assert_eq!(pack.layout.spans[3].past.as_slice(), std::slice::from_ref(&(2..5)));
        assert_eq!(pack.len(), 2 + Pack::tree_rows(3, [2, 1, 0, 3]));
    }

    #[test]
    fn branches_share_what_they_begin_with() {
        let mut pack = Pack::new();
        let branches: [&[u32]; 5] = [&[1, 2, 3, 4], &[1, 2, 5, 4], &[1, 2], &[1, 2, 3, 4], &[7]];
        pack.push_tree(&[0], &[], &branches);
        // prefix | 1 2 | 3 | 5
        assert_eq!(pack.ids, [0, 1, 2, 3, 5]);
        assert_eq!(pack.layout.positions, [0, 1, 2, 3, 3]);
        let of = |range: &Range<usize>| rows(&pack)[range.clone()].to_vec();
        let found: Vec<_> = pack.sequences.iter().map(of).collect();
        assert_eq!(found[0], [(0, 1), (1, 2), (2, 3), (3, 4)]);
        assert_eq!(found[1], [(0, 1), (1, 2), (2, 5), (4, 4)]);
        assert_eq!(found[2], found[0][..2]);
        assert_eq!(found[3], found[0]);
        assert_eq!(found[4], [(0, 7)]);
        let sees: Vec<_> = pack.layout.spans.iter().map(|span| span.past.clone()).collect();
        assert_eq!(sees, [vec![], vec![0..1], vec![0..1, 1..3], vec![0..1, 1..3]]);
        let questions = pack.questions();
        assert_eq!(questions.ids, [1, 2, 3, 4, 5, 4, 7]);
        assert_eq!(questions.outputs, [0, 1, 2, 3, 2, 4, 0]);
        assert_eq!(questions.of_target, [0, 1, 2, 3, 0, 1, 4, 5, 0, 1, 0, 1, 2, 3, 6]);
        let ones = vec![1.0; pack.targets.len()];
        assert_eq!(questions.sums(&ones), [4.0, 4.0, 2.0, 2.0, 1.0, 1.0, 1.0]);
    }

    #[test]
    fn prefixes_share_the_text_they_open_with() {
        let opening: Vec<u32> = (20..30).collect();
        let prompt = |rest: &[u32]| [&opening, rest].concat();
        let mut pack = Pack::new();
        let tree = prompt(&[9, 1]);
        pack.push_tree(&tree, &image_slots(&tree, 9, 0), &[&[2, 3]]);
        let tree = prompt(&[9, 1, 9]);
        pack.push_tree(&tree, &image_slots(&tree, 9, 1), &[&[4, 5], &[6]]);
        // What is learned about a token before the image stays the sequence's own.
        let supervised: Vec<bool> = (0..12).map(|i| i >= 9).collect();
        pack.push_sequence(&prompt(&[7, 8]), &[], &supervised);
        pack.push_sequence(&opening[..7], &[], &[true; 7]);
        let rest = [&[9, 1, 2, 9, 1, 9, 4][..], &[28, 29, 7], &opening[..6]].concat();
        assert_eq!(pack.ids, [opening.clone(), rest].concat());
        assert_eq!(pack.layout.positions[10..20], [10, 11, 12, 10, 11, 12, 13, 8, 9, 10]);
        let past: Vec<_> = pack.layout.spans.iter().map(|span| span.past.clone()).collect();
        let none = Vec::new();
        let one = vec![vec![0..12], vec![0..10], vec![0..10, 13..16], vec![0..8], none.clone()];
        assert_eq!(past, [vec![none], one].concat());
        assert_eq!(rows(&pack)[..5], [(11, 2), (12, 3), (15, 4), (16, 5), (15, 6)]);
        assert_eq!(rows(&pack)[5..8], [(17, 29), (18, 7), (19, 8)]);
        let slots: Vec<_> = pack.images.iter().map(|s| (s.row, s.feature)).collect();
        assert_eq!(slots, [(10, 0), (13, 1), (15, 2)]);
    }

    #[test]
    fn a_sequence_without_targets_takes_no_rows() {
        let mut pack = Pack::new();
        pack.push_sequence(&[1, 2], &image_slots(&[1, 2], 2, 0), &[true, false]);
        assert!(pack.is_empty() && pack.targets.is_empty() && pack.images.is_empty());
        pack.push_tree(&[1, 2], &[], &[&[], &[]]);
        assert_eq!(pack, Pack { sequences: vec![0..0, 0..0, 0..0], ..Pack::new() });
    }

    #[test]
    fn places_go_on_after_the_largest_and_text_has_its_position_on_each_axis() {
        let mut pack = Pack::new();
        pack.push_judged_tree(Prefix { ids: &[1, 2], ..Prefix::default() }, &[&[3]], Valued::Last);
        assert_eq!(pack.layout.axes, None);
        // A token, an image of two rows and one column, a token.
        let places = [[0; 3], [1, 1, 1], [1, 2, 1], [3; 3]];
        let prefix = Prefix { ids: &[5, 9, 9, 6], images: &[], places: Some(&places) };
        pack.push_judged_tree(prefix, &[&[7, 8], &[4]], Valued::Last);
        pack.push_judged_tree(Prefix { ids: &[1], ..Prefix::default() }, &[&[2]], Valued::Last);
        let axes = pack.layout.axes.clone().unwrap();
        assert_eq!(axes[..3], [[0; 3], [1; 3], [2; 3]]);
        assert_eq!(axes[3..7], places);
        assert_eq!(axes[7..], [[4; 3], [5; 3], [4; 3], [0; 3], [1; 3]]);
        assert_eq!(pack.layout.positions, [0, 1, 2, 0, 1, 2, 3, 4, 5, 4, 0, 1]);
        assert_eq!((pack.ends.as_slice(), pack.len()), (&[2, 8, 9, 11][..], 12));
        assert_eq!(pack.end_outputs(), [0, 1, 2, 3]);
        assert!(pack.targets.is_empty());
    }
}
