//! The backward pass: probabilities again from the logs of their sums.

use super::pack::{Column, carve, carved, place, queries, wide};
use super::plan::{self, Piece, Task};
use super::softmax::{Backward, Visible};
use super::{Heads, Span};
use crate::buffer::scratch;
use crate::product::{Left, Out, Rows, WIDTH, product};
use crate::simd;
use crate::threads::{Shared, for_each};

/// Gradient of [`forward`](super::forward), whose results are `(out, log_sum_exp)`: adds to
/// `(dq, dk, dv)`.
///
/// # Panics
/// If a span reaches beyond the rows, two spans hold the same query, or the lengths do not fit.
pub fn backward(
    dout: &[f32],
    (q, k, v): (&[f32], &[f32], &[f32]),
    (out, log_sum_exp): (&[f32], &[f32]),
    spans: &[Span],
    heads: Heads,
    (dq, dk, dv): (&mut [f32], &mut [f32], &mut [f32]),
) {
    let (rows, keys) = heads.check(q, k, v);
    assert_eq!((dout.len(), out.len(), dq.len()), (q.len(), q.len(), q.len()), "queries' rows");
    assert_eq!(log_sum_exp.len(), rows * heads.query, "rows of the logs of sums");
    assert_eq!((dk.len(), dv.len()), (k.len(), k.len()), "keys' rows");
    plan::check(spans, rows, keys);
    let pass = Pass {
        heads,
        inputs: Inputs { dout, q, k, v, out, log_sum_exp },
        dq: Shared::new(dq),
        dk: Shared::new(dk),
        dv: Shared::new(dv),
    };
    // A family's tasks follow one another, because they add to the same keys' gradients.
    let families = plan::families(spans);
    let cost = 3 * plan::cost(spans, heads.query * heads.dim);
    for_each(families.len() * heads.key_value, cost, |i| {
        let head = i % heads.key_value;
        for span in &families[i / heads.key_value] {
            for task in plan::blocks(span, heads.group()) {
                // SAFETY: no other family has these keys and queries, with this head.
                unsafe { pass.task(&task, head) }
            }
        }
    });
}

struct Inputs<'a> {
    dout: &'a [f32],
    q: &'a [f32],
    k: &'a [f32],
    v: &'a [f32],
    out: &'a [f32],
    log_sum_exp: &'a [f32],
}

struct Pass<'a> {
    heads: Heads,
    inputs: Inputs<'a>,
    dq: Shared<'a>,
    dk: Shared<'a>,
    dv: Shared<'a>,
}

/// A task's rows, `[queries · group]`.
struct Queries<'a> {
    q: &'a mut [f32],
    dout: &'a mut [f32],
    dq: &'a mut [f32],
    scores: &'a mut [f32],
    dscores: &'a mut [f32],
    log_sum_exp: &'a mut [f32],
    mean: &'a mut [f32],
}

/// A block of keys: `[dim, 64]` for the scores, and as it is for the queries' gradient.
struct Block<'a> {
    range: (usize, usize),
    k_turned: &'a [f32],
    v_turned: &'a [f32],
    k: Rows,
}

impl Pass<'_> {
    /// # Safety
    /// Nobody else may touch the gradients of this head's keys and queries meanwhile.
    unsafe fn task(&self, task: &Task, head: usize) {
        let (heads, width) = (self.heads, self.heads.padded());
        let n = task.queries.len() * heads.group();
        let sizes = [n * width, n * width, n * width, n * WIDTH, n * WIDTH, n, n];
        let more = [width * WIDTH; 3];
        scratch(carved(sizes) + carved(more), |room| {
            let (room, more_room) = room.split_at_mut(carved(sizes));
            let [q, dout, dq, scores, dscores, log_sum_exp, mean] = carve(room, sizes);
            let [k_turned, v_turned, k_room] = carve(more_room, more);
            let mut rows = Queries { q, dout, dq, scores, dscores, log_sum_exp, mean };
            self.load(task, head, &mut rows);
            let k = Column::new(self.inputs.k, heads, head);
            let v = Column::new(self.inputs.v, heads, head);
            for piece in &task.pieces {
                for from in (0..piece.len()).step_by(WIDTH) {
                    let range = (from, piece.len().min(from + WIDTH));
                    k.turn(piece, range, k_turned);
                    v.turn(piece, range, v_turned);
                    let k = k.right(piece, range, k_room);
                    let block = Block { range, k_turned, v_turned, k };
                    // SAFETY: the caller's promise; the block is that of this range.
                    unsafe { self.visit(&mut rows, piece, &block, head) }
                }
            }
            // SAFETY: the caller's promise.
            unsafe { self.store(task, head, rows.dq) }
        });
    }

    fn load(&self, task: &Task, head: usize, rows: &mut Queries) {
        let (heads, inputs) = (self.heads, &self.inputs);
        queries(inputs.q, task, (heads, head), heads.scale(), rows.q);
        queries(inputs.dout, task, (heads, head), 1.0, rows.dout);
        rows.dq.fill(0.0);
        let group = heads.group();
        for (i, &query) in task.queries.iter().enumerate() {
            let first = query * heads.query + head * group;
            let logs = &inputs.log_sum_exp[first..first + group];
            rows.log_sum_exp[i * group..][..group].copy_from_slice(logs);
            let place = place(query, heads, head);
            let dout = inputs.dout[place.clone()].chunks_exact(heads.dim);
            let out = inputs.out[place].chunks_exact(heads.dim);
            for (mean, (dout, out)) in rows.mean[i * group..].iter_mut().zip(dout.zip(out)) {
                *mean = dout.iter().zip(out).map(|(a, b)| a * b).sum();
            }
        }
    }

    /// Adds what one block of keys gives and takes.
    ///
    /// # Safety
    /// As [`Self::task`]; `block` must be that of the piece.
    unsafe fn visit(&self, of: &mut Queries, piece: &Piece, block: &Block, head: usize) {
        let (group, width, dim) = (self.heads.group(), self.heads.padded(), self.heads.dim);
        let (from, to) = block.range;
        let skipped = piece.first_to_see(from);
        let rows = (piece.queries.start + skipped) * group..piece.queries.end * group;
        let (q, dout) = (&of.q[rows.start * width..], &of.dout[rows.start * width..]);
        let (scores, dscores) =
            (&mut of.scores[..rows.len() * WIDTH], &mut of.dscores[..rows.len() * WIDTH]);
        let both = [(q, block.k_turned, &mut *scores), (dout, block.v_turned, &mut *dscores)];
        for (left, right, out) in both {
            let left = Left { at: left.as_ptr(), row: width, step: 1 };
            let right = Rows { at: right.as_ptr(), step: WIDTH };
            let out = Out { at: out.as_mut_ptr(), row: WIDTH, columns: WIDTH, add: false };
            // SAFETY: the left and the result hold these rows, the right is `[dim, 64]`.
            unsafe { product(left, right, out, rows.len(), dim) }
        }
        let first = piece.first + skipped * piece.step - from;
        let visible = Visible { first, step: piece.step, group };
        let (log_sum_exp, mean) = (&of.log_sum_exp[rows.clone()], &of.mean[rows.clone()]);
        simd::run(Backward { scores, dscores, visible, log_sum_exp, mean });
        let left = Left { at: dscores.as_ptr(), row: WIDTH, step: 1 };
        let at = of.dq[rows.start * width..].as_mut_ptr();
        // SAFETY: `dscores` and `dq` hold these rows, the block as many keys as it has.
        unsafe {
            wide(
                left,
                block.k,
                Out { at, row: width, columns: dim, add: true },
                rows.len(),
                to - from,
            )
        }
        for (left, right, out) in [(&*dscores, q, self.dk), (&*scores, dout, self.dv)] {
            // SAFETY: the left and the right hold these rows; the caller vouches for the result.
            unsafe { self.to_keys(left, right, out, (piece, block.range, head)) }
        }
    }

    /// `out[keys] += leftᵀ · right`, summed over rows.
    ///
    /// # Safety
    /// As [`Self::task`]; `right` must have as many rows as `left`.
    unsafe fn to_keys(
        &self,
        left: &[f32],
        right: &[f32],
        out: Shared,
        (piece, (from, to), head): (&Piece, (usize, usize), usize),
    ) {
        let (dim, padded) = (self.heads.dim, self.heads.padded());
        let width = self.heads.key_value * dim;
        let right = Rows { at: right.as_ptr(), step: padded };
        for (at, keys) in piece.segments(from, to) {
            let left_keys = Left { at: left[at..].as_ptr(), row: 1, step: WIDTH };
            let first = keys.start * width + head * dim;
            let last = first + (keys.len() - 1) * width + dim - 1;
            let out = Out { at: out.at(first, last), row: width, columns: dim, add: true };
            // SAFETY: both sides hold `left`'s rows; the caller vouches for the result.
            unsafe { wide(left_keys, right, out, keys.len(), left.len() / WIDTH) }
        }
    }

    /// Adds the task's rows to the queries' gradient.
    ///
    /// # Safety
    /// As [`Self::task`].
    unsafe fn store(&self, task: &Task, head: usize, dq: &[f32]) {
        let (heads, scale) = (self.heads, self.heads.scale());
        let mut rows = dq.chunks_exact(heads.padded());
        for &query in &task.queries {
            // SAFETY: the caller's promise.
            let to = unsafe { self.dq.slice(place(query, heads, head)) };
            for (to, row) in to.chunks_exact_mut(heads.dim).zip(&mut rows) {
                to.iter_mut().zip(row).for_each(|(to, row)| *to += row * scale);
            }
        }
    }
}
