//! One pass of some rows over the whole vocabulary.

use std::ops::Range;

use rayon::prelude::*;

use super::Want;
use super::softmax::{Row, TakeIn};
use crate::buffer::scratch;
use crate::linear::{Input, InputRows, panel_product};
use crate::packed::Packed;
use crate::product::{Left, Out, Rows, WIDTH, product};
use crate::simd;
use crate::threads::part;

/// Most rows of a task: with their sums and a panel they fit the second-level cache.
pub(super) const ROWS: usize = 128;
/// Parts of the vocabulary, of which threads take one at a time.
const PARTS: usize = 16;
/// Panels taken in at once: turned over, 64 columns of them fit the first-level cache.
const PANELS: usize = 2;
const CHUNK: usize = PANELS * WIDTH;

pub(super) struct Pass<'a> {
    pub(super) hidden: &'a [f32],
    pub(super) head: &'a Packed,
    pub(super) targets: &'a [u32],
    pub(super) temperature: f32,
    pub(super) want: Want,
}

/// What one task found: some rows over one part of the vocabulary.
struct Found {
    rows: Vec<Row>,
    /// `Σ e^(z − top)·W`, `[rows, inputs]`, or empty.
    means: Vec<f32>,
}

/// The sums of all tasks.
pub(super) struct Means {
    found: Vec<Found>,
    /// First row of each block of rows, and the end.
    starts: Vec<usize>,
}

impl Pass<'_> {
    /// Every row's softmax, and the sums that give its gradient.
    pub(super) fn run(&self) -> (Vec<Row>, Means) {
        let blocks = self.targets.len().div_ceil(ROWS);
        let input = Input::of(self.hidden, [self.head]);
        // Tasks side by side share a part of the weights rather than rows.
        let found: Vec<Found> = (0..blocks * PARTS)
            .into_par_iter()
            .with_max_len(1)
            .map(|task| self.task(&input, self.block(task % blocks), self.panels(task / blocks)))
            .collect();
        let mut rows = vec![Row::EMPTY; self.targets.len()];
        for (task, found) in found.iter().enumerate() {
            for (row, found) in rows[self.block(task % blocks)].iter_mut().zip(&found.rows) {
                *row = row.join(*found);
            }
        }
        let starts = (0..blocks).map(|b| self.block(b).start).chain([self.targets.len()]);
        (rows, Means { found, starts: starts.collect() })
    }

    fn block(&self, i: usize) -> Range<usize> {
        part(self.targets.len(), ROWS, i)
    }

    fn panels(&self, i: usize) -> Range<usize> {
        let panels = self.head.panels();
        panels * i / PARTS..panels * (i + 1) / PARTS
    }

    fn task(&self, input: &Input<'_>, block: Range<usize>, panels: Range<usize>) -> Found {
        let inputs = self.head.inputs();
        let wanted = if self.want == Want::Gradient { block.len() * inputs } else { 0 };
        let mut found = Found { rows: vec![Row::EMPTY; block.len()], means: vec![0.0; wanted] };
        let rooms = [block.len() * CHUNK, CHUNK * WIDTH, WIDTH * WIDTH];
        scratch(rooms.iter().sum(), |room| {
            let (logits, room) = room.split_at_mut(rooms[0]);
            let (turned, room) = room.split_at_mut(rooms[1]);
            for first in panels.clone().step_by(PANELS) {
                let chunk = first..panels.end.min(first + PANELS);
                self.logits(input.rows(block.clone(), self.head), &chunk, logits);
                self.take_in(&block, &chunk, logits, &mut found);
                if wanted > 0 {
                    self.add_weights(&chunk, logits, &mut found.means, (turned, room));
                }
            }
        });
        found
    }

    fn logits(&self, x: InputRows<'_>, chunk: &Range<usize>, logits: &mut [f32]) {
        for (i, panel) in chunk.clone().enumerate() {
            let at = logits[i * WIDTH..].as_mut_ptr();
            let out = Out { at, row: CHUNK, columns: WIDTH, add: false };
            // SAFETY: `logits` is `[rows, CHUNK]`, of which this is one panel's columns.
            unsafe { panel_product(x, self.head, panel, out) }
        }
        // A chunk of one panel leaves the other's columns as they were; they become absent tokens.
    }

    fn take_in(
        &self,
        block: &Range<usize>,
        chunk: &Range<usize>,
        logits: &mut [f32],
        found: &mut Found,
    ) {
        let start = chunk.start * WIDTH;
        let tokens = self.head.outputs().min(chunk.end * WIDTH) - start;
        let targets = columns(&self.targets[block.clone()], start, tokens);
        simd::run(TakeIn {
            logits,
            width: CHUNK,
            tokens,
            temperature: self.temperature,
            targets: &targets,
            rows: &mut found.rows,
            means: &mut found.means,
        });
    }

    /// `means += e^(z − top)·W` for the tokens of a chunk.
    fn add_weights(
        &self,
        chunk: &Range<usize>,
        exponentials: &[f32],
        means: &mut [f32],
        (turned, room): (&mut [f32], &mut [f32]),
    ) {
        let inputs = self.head.inputs();
        for from in (0..inputs).step_by(WIDTH) {
            let columns = WIDTH.min(inputs - from);
            for (turned, panel) in turned.chunks_exact_mut(WIDTH * WIDTH).zip(chunk.clone()) {
                self.head.turned(panel, from, columns, (turned, room));
            }
            let left = Left { at: exponentials.as_ptr(), row: CHUNK, step: 1 };
            let right = Rows { at: turned.as_ptr(), step: WIDTH };
            let at = means[from..].as_mut_ptr();
            let out = Out { at, row: inputs, columns, add: true };
            // SAFETY: the exponentials and `means` hold these rows, `turned` the chunk's tokens.
            unsafe { product(left, right, out, means.len() / inputs, chunk.len() * WIDTH) }
        }
    }
}

/// Which of `tokens` columns from `start` each target is.
pub(super) fn columns(targets: &[u32], start: usize, tokens: usize) -> Vec<Option<usize>> {
    let column = |&target: &u32| (target as usize).checked_sub(start).filter(|&at| at < tokens);
    targets.iter().map(column).collect()
}

impl Means {
    /// `E_p[W]` of row `r`, whose softmax is `row`.
    pub(super) fn row(&self, r: usize, row: &Row) -> Vec<f32> {
        let blocks = self.starts.len() - 1;
        let block = self.starts.partition_point(|&start| start <= r) - 1;
        let r = r - self.starts[block];
        let mut mean: Vec<f32> = Vec::new();
        for found in self.found[block..].iter().step_by(blocks) {
            let inputs = found.means.len() / found.rows.len();
            mean.resize(inputs, 0.0);
            let below = f64::from(found.rows[r].top) - f64::from(row.top);
            // A part without tokens has no maximum, and no share either.
            let share = (below.exp() / row.total) as f32;
            let sums = &found.means[r * inputs..][..inputs];
            mean.iter_mut().zip(sums).for_each(|(mean, sum)| *mean += share * sum);
        }
        mean
    }
}
