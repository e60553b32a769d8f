//! Linear layers over weights packed once.
//!
//! One layout ([`Packed`]) serves training and decoding, forward and backward. Forward, a panel's
//! rows are the right side of [`product`]; decoding streams every panel once for all sequences.
//! Backward, blocks of a panel are turned over into a scratch that stays in cache. A row of a
//! result never depends on how many other rows there are.

use crate::block::copy_columns;
use crate::buffer::scratch;
use crate::packed::Packed;
use crate::product::{Left, Out, Right, WIDTH, product};
use crate::threads::{Shared, for_each, part};

/// Depth of a block of the right side: 32 KiB, which the first-level cache holds.
const DEPTH: usize = 128;
/// Most rows of the left side a task takes: they stay in the second-level cache.
const ROWS: usize = 128;
/// Most rows of a backward task, which turns over the weights it meets.
const BACKWARD_ROWS: usize = 256;

/// `y = x·Wᵀ + b`; `x` `[rows, inputs]`, `y` `[rows, outputs]`.
///
/// # Panics
/// If the lengths are not those of one set of shapes.
pub fn forward(x: &[f32], weight: &Packed, bias: Option<&[f32]>, y: &mut [f32]) {
    let rows = check(x.len(), weight.inputs(), y.len(), weight.outputs());
    if let Some(bias) = bias {
        assert_eq!(bias.len(), weight.outputs(), "length of a bias");
    }
    let chunks = rows.div_ceil(ROWS);
    let y = Shared::new(y);
    for_each(chunks * weight.panels(), 2 * x.len() * weight.outputs(), |task| {
        let rows = part(rows, ROWS, task / weight.panels());
        let x = &x[rows.start * weight.inputs()..rows.end * weight.inputs()];
        let panel = task % weight.panels();
        let first = rows.start * weight.outputs() + panel * WIDTH;
        let last = first + (rows.len() - 1) * weight.outputs() + weight.columns(panel) - 1;
        // SAFETY: rows × panel is this task's own block of `y`, checked by `at` to lie inside.
        unsafe { forward_block(x, weight, panel, bias, y.at(first, last)) }
    });
}

/// All of `x`'s rows times one panel, into `y` with `outputs` values between rows.
///
/// # Safety
/// `y` must be writable there and nobody else's meanwhile.
pub(crate) unsafe fn forward_block(
    x: &[f32],
    weight: &Packed,
    panel: usize,
    bias: Option<&[f32]>,
    y: *mut f32,
) {
    let (rows, columns) = (x.len() / weight.inputs(), weight.columns(panel));
    let out = Out { at: y, row: weight.outputs(), columns, add: false };
    scratch(DEPTH * WIDTH, |room| {
        // SAFETY: the caller vouches for `y`.
        unsafe { panel_product(x, weight, panel, out, room) }
    });
    let Some(bias) = bias else { return };
    for r in 0..rows {
        // SAFETY: the block the product has just written.
        let row = unsafe { std::slice::from_raw_parts_mut(y.add(r * weight.outputs()), columns) };
        row.iter_mut().zip(&bias[panel * WIDTH..]).for_each(|(y, b)| *y += b);
    }
}

/// `out = x · panel`, in blocks of depth.
///
/// # Safety
/// `out` must be writable for `x`'s rows and nobody else's meanwhile.
pub(crate) unsafe fn panel_product(
    x: &[f32],
    weight: &Packed,
    panel: usize,
    out: Out,
    room: &mut [f32],
) {
    let rows = x.len() / weight.inputs();
    for from in (0..weight.inputs()).step_by(DEPTH) {
        let depth = DEPTH.min(weight.inputs() - from);
        let block = weight.block(panel, from, depth, room);
        let left = Left { at: x[from..].as_ptr(), row: weight.inputs(), step: 1 };
        let right = Right { at: block.as_ptr(), step: WIDTH };
        // SAFETY: `x` holds whole rows of `inputs`, `block` `depth` rows of 64, `out` is vouched for.
        unsafe { product(left, right, Out { add: out.add || from > 0, ..out }, rows, depth) }
    }
}

/// `dx = dy·W`.
///
/// # Panics
/// If the lengths are not those of one set of shapes.
pub fn backward(dy: &[f32], weight: &Packed, dx: &mut [f32]) {
    backward_into(dy, weight, dx, false);
}

/// `dx += dy·W`.
///
/// # Panics
/// If the lengths are not those of one set of shapes.
pub fn backward_add(dy: &[f32], weight: &Packed, dx: &mut [f32]) {
    backward_into(dy, weight, dx, true);
}

fn backward_into(dy: &[f32], weight: &Packed, dx: &mut [f32], add: bool) {
    let rows = check(dx.len(), weight.inputs(), dy.len(), weight.outputs());
    let blocks = weight.inputs().div_ceil(WIDTH);
    let dx = Shared::new(dx);
    for_each(rows.div_ceil(BACKWARD_ROWS) * blocks, 2 * dy.len() * weight.inputs(), |task| {
        let rows = part(rows, BACKWARD_ROWS, task / blocks);
        let dy = &dy[rows.start * weight.outputs()..rows.end * weight.outputs()];
        let from = task % blocks * WIDTH;
        let columns = WIDTH.min(weight.inputs() - from);
        let first = rows.start * weight.inputs() + from;
        let last = first + (rows.len() - 1) * weight.inputs() + columns - 1;
        let out = Out { at: dx.at(first, last), row: weight.inputs(), columns, add };
        // SAFETY: rows × columns is this task's own block of `dx`, checked by `at` to lie inside.
        unsafe { backward_block(dy, weight, from, out) }
    });
}

/// All of `dy`'s rows times columns `from .. from + out.columns` of the matrix.
///
/// # Safety
/// `out` must be writable for `dy`'s rows and nobody else's meanwhile.
unsafe fn backward_block(dy: &[f32], weight: &Packed, from: usize, out: Out) {
    let rows = dy.len() / weight.outputs();
    scratch(2 * WIDTH * WIDTH, |room| {
        let (turned, room) = room.split_at_mut(WIDTH * WIDTH);
        for panel in 0..weight.panels() {
            weight.turned(panel, from, out.columns, (turned, room));
            let left = Left { at: dy[panel * WIDTH..].as_ptr(), row: weight.outputs(), step: 1 };
            let right = Right { at: turned.as_ptr(), step: WIDTH };
            let out = Out { add: out.add || panel > 0, ..out };
            // SAFETY: `dy` holds whole rows, `turned` 64 of 64, and the caller vouches for `out`.
            unsafe { product(left, right, out, rows, weight.columns(panel)) }
        }
    });
}

/// `dW += dyᵀ·x`, `dW` being row-major `[outputs, inputs]`.
///
/// # Panics
/// If the lengths are not those of one set of shapes.
pub fn weight_gradient(dy: &[f32], x: &[f32], inputs: usize, gradient: &mut [f32]) {
    let outputs = gradient.len() / inputs.max(1);
    let rows = check(x.len(), inputs, dy.len(), outputs);
    let blocks = inputs.div_ceil(WIDTH);
    let gradient = Shared::new(gradient);
    for_each(outputs.div_ceil(ROWS) * blocks, 2 * rows * outputs * inputs, |task| {
        let mine = part(outputs, ROWS, task / blocks);
        let from = task % blocks * WIDTH;
        let columns = WIDTH.min(inputs - from);
        let first = mine.start * inputs + from;
        let at = gradient.at(first, first + (mine.len() - 1) * inputs + columns - 1);
        let out = Out { at, row: inputs, columns, add: true };
        scratch(DEPTH * WIDTH, |room| {
            for start in (0..rows).step_by(DEPTH) {
                let depth = DEPTH.min(rows - start);
                copy_columns(&x[start * inputs..], inputs, from..from + columns, depth, room);
                let left =
                    Left { at: dy[start * outputs + mine.start..].as_ptr(), row: 1, step: outputs };
                let right = Right { at: room.as_ptr(), step: WIDTH };
                // SAFETY: `dy` holds whole rows, `room` `depth` of 64; the block is this task's own.
                unsafe { product(left, right, out, mine.len(), depth) }
            }
        });
    });
}

/// `db += Σ_rows dy`; also the gradient of any other per-column addend.
///
/// # Panics
/// If `dy` is not whole rows of `gradient`'s length.
pub fn bias_gradient(dy: &[f32], gradient: &mut [f32]) {
    assert_eq!(dy.len() % gradient.len().max(1), 0, "rows of a bias gradient");
    // Partial sums over a few rows first: the rounding error grows with their number, not with
    // the number of rows.
    for rows in dy.chunks(gradient.len().max(1) * 64) {
        let mut partial = vec![0.0; gradient.len()];
        for row in rows.chunks_exact(gradient.len()) {
            partial.iter_mut().zip(row).for_each(|(p, v)| *p += v);
        }
        gradient.iter_mut().zip(&partial).for_each(|(g, p)| *g += p);
    }
}

/// The number of rows of `[rows, inputs]` and `[rows, outputs]`.
fn check(inner: usize, inputs: usize, outer: usize, outputs: usize) -> usize {
    assert!(inputs > 0 && outputs > 0, "a matrix of [{outputs}, {inputs}]");
    let rows = inner / inputs;
    assert_eq!((inner, outer), (rows * inputs, rows * outputs), "values for [{outputs}, {inputs}]");
    rows
}
