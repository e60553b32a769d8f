//! The forward pass.

use super::pack::{Column, carve, carved, place, queries, wide};
use super::plan::{self, Piece, Task};
use super::softmax::{Online, Visible};
use super::{Heads, Span};
use crate::buffer::scratch;
use crate::product::{Left, Out, Rows, WIDTH, product};
use crate::simd;
use crate::threads::{Shared, for_each};

/// Softmax attention (arXiv:1706.03762, equation 1) of every query over the keys its span shows.
///
/// `q` and `out` are `[queries, query heads·dim]`, `k` and `v` `[keys, key-value heads·dim]`,
/// `log_sum_exp` `[queries, query heads]`. Rows of no span are left as they are.
///
/// # Panics
/// If a span reaches beyond the rows, two spans hold the same query, or the lengths do not fit.
pub fn forward(
    (q, k, v): (&[f32], &[f32], &[f32]),
    spans: &[Span],
    heads: Heads,
    out: &mut [f32],
    log_sum_exp: &mut [f32],
) {
    let (rows, keys) = heads.check(q, k, v);
    assert_eq!((out.len(), log_sum_exp.len()), (q.len(), rows * heads.query), "result's rows");
    plan::check(spans, rows, keys);
    let tasks = plan::tasks(spans, heads.group());
    let cost = plan::cost(spans, heads.query * heads.dim);
    let (out, log_sum_exp) = (Shared::new(out), Shared::new(log_sum_exp));
    for_each(tasks.len() * heads.key_value, cost, |i| {
        let (task, head) = (&tasks[i / heads.key_value], i % heads.key_value);
        let rows = task.queries.len() * heads.group();
        let width = heads.padded();
        let sizes =
            [rows * width, rows * width, rows * WIDTH, rows, rows, WIDTH * width, WIDTH * width];
        scratch(carved(sizes), |room| {
            let [q_rows, sums, scores, top, total, turned, values] = carve(room, sizes);
            queries(q, task, (heads, head), heads.scale(), q_rows);
            sums.fill(0.0);
            top.fill(f32::NEG_INFINITY);
            total.fill(0.0);
            let mut running = Running { heads, q: q_rows, sums, scores, top, total };
            let (k, v) = (Column::new(k, heads, head), Column::new(v, heads, head));
            for piece in &task.pieces {
                for from in (0..piece.len()).step_by(WIDTH) {
                    let block = (from, piece.len().min(from + WIDTH));
                    k.turn(piece, block, turned);
                    let values = v.right(piece, block, values);
                    // SAFETY: `turned` is `[dim, 64]`, `values` as many rows as the block has keys.
                    unsafe { running.visit(piece, block, turned, values) }
                }
            }
            // SAFETY: no other task has these queries, by `plan::check`, with this head.
            unsafe { running.finish(task, head, out, log_sum_exp) }
        });
    });
}

/// A task's rows, `[queries · group]`, while the keys go by.
struct Running<'a> {
    heads: Heads,
    q: &'a [f32],
    sums: &'a mut [f32],
    scores: &'a mut [f32],
    top: &'a mut [f32],
    total: &'a mut [f32],
}

impl Running<'_> {
    /// Takes in keys `from .. to` of a piece.
    ///
    /// # Safety
    /// `values` must be readable for as many rows, in whole blocks of 64 columns.
    unsafe fn visit(
        &mut self,
        piece: &Piece,
        (from, to): (usize, usize),
        turned: &[f32],
        values: Rows,
    ) {
        let (group, width) = (self.heads.group(), self.heads.padded());
        let skipped = piece.first_to_see(from);
        let rows = (piece.queries.start + skipped) * group..piece.queries.end * group;
        let q = Left { at: self.q[rows.start * width..].as_ptr(), row: width, step: 1 };
        let turned = Rows { at: turned.as_ptr(), step: WIDTH };
        let scores = &mut self.scores[..rows.len() * WIDTH];
        let out = Out { at: scores.as_mut_ptr(), row: WIDTH, columns: WIDTH, add: false };
        // SAFETY: `q` and `scores` hold these rows, `turned` is `[dim, 64]`.
        unsafe { product(q, turned, out, rows.len(), self.heads.dim) }
        let first = piece.first + skipped * piece.step - from;
        let sums = &mut self.sums[rows.start * width..rows.end * width];
        simd::run(Online {
            scores,
            visible: Visible { first, step: piece.step, group },
            top: &mut self.top[rows.clone()],
            total: &mut self.total[rows.clone()],
            sums,
        });
        let p = Left { at: scores.as_ptr(), row: WIDTH, step: 1 };
        let out = Out { at: sums.as_mut_ptr(), row: width, columns: self.heads.dim, add: true };
        // SAFETY: `scores` and `sums` hold these rows; the caller vouches for `values`.
        unsafe { wide(p, values, out, rows.len(), to - from) }
    }

    /// Writes the task's rows of the result.
    ///
    /// # Safety
    /// Nobody else may touch the group's part of these rows meanwhile.
    unsafe fn finish(&self, task: &Task, head: usize, out: Shared, log_sum_exp: Shared) {
        let (heads, group) = (self.heads, self.heads.group());
        for (i, &query) in task.queries.iter().enumerate() {
            let first = query * heads.query + head * group;
            // SAFETY: the caller's promise.
            let (out, logs) = unsafe {
                (out.slice(place(query, heads, head)), log_sum_exp.slice(first..first + group))
            };
            for (j, out) in out.chunks_exact_mut(heads.dim).enumerate() {
                let row = i * group + j;
                let total = self.total[row];
                logs[j] = self.top[row] + total.ln();
                // A query that sees nothing takes nothing.
                let share = if total == 0.0 { 0.0 } else { 1.0 / total };
                let sums = &self.sums[row * heads.padded()..];
                out.iter_mut().zip(sums).for_each(|(out, sum)| *out = sum * share);
            }
        }
    }
}
