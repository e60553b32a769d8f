//! Who may begin: the next in line, and beside it those that leave it what it is going to have.

use std::collections::HashMap;
use std::ops::Range;

use super::{Batch, PREFILL_ROWS};
use crate::Error;
use crate::sequence::Sequence;

/// Prompts that are looked at where the first one does not fit.
const LOOKED_AT: usize = 256;

/// A prompt that has rows, and the rows of those of its samples that can go on at once.
pub(super) struct Begun {
    pub(super) prompt: usize,
    pub(super) rooms: Vec<Range<usize>>,
}

impl Batch<'_> {
    /// Fills the free rows: samples that wait first, then further prompts, then whoever is in nobody's way.
    /// Nothing is tried again before a row has come free or a prompt has come.
    pub(super) fn admit(&mut self) -> Result<(), Error> {
        while !std::mem::replace(&mut self.is_settled, true) {
            self.resume();
            let mut begun = Vec::new();
            if self.pending.is_empty() {
                begun = self.begin();
            }
            if begun.is_empty() {
                begun = self.overtake();
            }
            if !begun.is_empty() {
                self.prefill(begun)?;
                self.is_settled = false;
            }
        }
        Ok(())
    }

    /// Lets samples go on that wait for rows, in their order.
    fn resume(&mut self) {
        while let Some(sequence) = self.pending.front()
            && let Some(rows) = self.free.take(sequence.num_rows())
        {
            let mut sequence = self.pending.pop_front().expect("the front was there");
            sequence.rows = rows;
            self.running.push(sequence);
        }
    }

    /// Takes rows for the next prompts, as many as leave room for one sample of each: no prompt
    /// may sit in the cache without being able to go on.
    fn begin(&mut self) -> Vec<Begun> {
        let (mut begun, mut num_rows) = (Vec::new(), 0);
        while num_rows < PREFILL_ROWS
            && let Some(&next) = self.waiting.front()
        {
            let [num_own, num_sample] = self.needed(next);
            let Some([own, sample]) = self.free.take_both([num_own, num_sample]) else { break };
            self.settle(next, own);
            begun.push(Begun { prompt: next, rooms: vec![sample] });
            num_rows += num_own;
            self.waiting.pop_front();
        }
        begun
    }

    /// The next in line does not fit. Lets others go on beside the rows that are kept for it: samples that wait, and
    /// prompts with all their samples, so that the line grows no longer.
    fn overtake(&mut self) -> Vec<Begun> {
        let kept = self.kept_for_next();
        let held: Vec<_> = kept.iter().flat_map(|rows| self.free.withhold(rows)).collect();
        for mut sequence in std::mem::take(&mut self.pending) {
            match self.free.take(sequence.num_rows()) {
                Some(rows) => {
                    sequence.rows = rows;
                    self.running.push(sequence);
                }
                None => self.pending.push_back(sequence),
            }
        }
        let begun = self.begin_whole();
        held.into_iter().for_each(|rows| self.free.give(rows));
        begun
    }

    /// Takes rows for prompts that have room for all their samples.
    fn begin_whole(&mut self) -> Vec<Begun> {
        let (mut begun, mut num_rows) = (Vec::new(), 0);
        let waiting: Vec<usize> = self.waiting.iter().take(LOOKED_AT).copied().collect();
        for prompt in waiting {
            if num_rows >= PREFILL_ROWS {
                break;
            }
            let [num_own, num_sample] = self.needed(prompt);
            let num_samples = self.groups[&prompt].samples().count();
            let lens = std::iter::once(num_own).chain(std::iter::repeat_n(num_sample, num_samples));
            let mut taken: Vec<_> = lens.map_while(|len| self.free.take(len)).collect();
            if taken.len() <= num_samples {
                taken.into_iter().for_each(|rows| self.free.give(rows));
                continue;
            }
            self.settle(prompt, taken.remove(0));
            begun.push(Begun { prompt, rooms: taken });
            num_rows += num_own;
            self.waiting.retain(|&waiting| waiting != prompt);
        }
        begun
    }

    /// Rows of a prompt after the common opening, and rows of one of its samples.
    fn needed(&self, prompt: usize) -> [usize; 2] {
        let group = &self.groups[&prompt];
        [group.prompt.ids.len() - self.opening.len(), group.limit().saturating_sub(1)]
    }

    fn settle(&mut self, prompt: usize, rows: Range<usize>) {
        self.groups.get_mut(&prompt).expect("what waits is known").rows = rows;
    }

    /// The rows that the next in line is going to have: they come free when so many of the running samples have ended,
    /// which is at their limits at the latest. It never gets later, since nobody begins in them.
    fn kept_for_next(&self) -> Vec<Range<usize>> {
        let needed = match (self.pending.front(), self.waiting.front()) {
            (Some(sequence), _) => [sequence.num_rows(), 0],
            (None, Some(&prompt)) => self.needed(prompt),
            (None, None) => return Vec::new(),
        };
        let mut running: Vec<&Sequence<'_>> = self.running.iter().collect();
        running.sort_by_key(|sequence| (sequence.num_left(), sequence.prompt, sequence.sample));
        let mut num_ended: HashMap<usize, usize> = HashMap::new();
        let mut free = self.free.clone();
        for Sequence { prompt, rows, .. } in running {
            free.give(rows.clone());
            let ended = num_ended.entry(*prompt).or_default();
            *ended += 1;
            if *ended == self.groups[prompt].num_open {
                free.give(self.groups[prompt].rows.clone());
            }
            if let Some(kept) = free.places(needed, &self.free) {
                return kept.into();
            }
        }
        Vec::new()
    }
}
