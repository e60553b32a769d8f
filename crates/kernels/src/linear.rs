//! Linear layers over weights packed once.
//!
//! One layout ([`Packed`]) serves training and decoding, forward and backward. Forward, a panel's
//! rows are the right side of `product`; decoding streams every panel once for all sequences.
//! Backward, blocks of a panel are turned over into a scratch that stays in cache. A row of a
//! result never depends on how many other rows there are.

use std::ops::Range;

use crate::block::{copy_columns, transpose};
use crate::buffer::scratch;
use crate::bytes::{self, ByteRows, Bytes};
use crate::packed::{Packed, Stored};
use crate::product::{Left, Out, Rows, Stream, StreamBf16, WIDTH, product};
use crate::threads::{Shared, for_each, part};

/// Depth of a block of the right side: 32 KiB, which the first-level cache holds.
const DEPTH: usize = 128;
/// Most rows of the left side a task takes: they stay in the second-level cache.
const ROWS: usize = 128;
/// Most inputs of a weight-gradient task, which turns over the gradients it meets.
const GRADIENT_INPUTS: usize = 256;
/// Up to this many rows the weights come from memory faster than they are used: decoding.
const STREAMED: usize = 16;
/// Rows of a panel between asking memory and use, when each is used once.
const AHEAD: usize = 64;
/// Most rows of a backward task, which turns over the weights it meets.
const BACKWARD_ROWS: usize = 256;

/// Rows as the products of weights want them.
pub(crate) struct Input<'a> {
    x: &'a [f32],
    inputs: usize,
    bytes: Option<Bytes>,
}

/// Some of the rows.
#[derive(Clone, Copy)]
pub(crate) enum InputRows<'a> {
    Values(&'a [f32]),
    Bytes(ByteRows<'a>),
}

impl<'a> Input<'a> {
    /// `x` `[rows, inputs]`, rounded to bytes too if any of the weights consists of such.
    pub(crate) fn of<'w>(x: &'a [f32], weights: impl IntoIterator<Item = &'w Packed>) -> Self {
        let mut input = Self { x, inputs: 0, bytes: None };
        for weight in weights {
            input.inputs = weight.inputs();
            if weight.storage().is_bytes() {
                input.bytes.get_or_insert_with(|| Bytes::of(x, weight.inputs()));
            }
        }
        input
    }

    /// Rows of a range, for one of the weights.
    pub(crate) fn rows(&self, rows: Range<usize>, weight: &Packed) -> InputRows<'_> {
        match &self.bytes {
            Some(bytes) if weight.storage().is_bytes() => InputRows::Bytes(bytes.rows(rows)),
            _ => InputRows::Values(&self.x[rows.start * self.inputs..rows.end * self.inputs]),
        }
    }
}

/// A layer and its result `[rows, outputs]`.
pub struct Layer<'a> {
    /// The weight.
    pub weight: &'a Packed,
    /// The bias `[outputs]`.
    pub bias: Option<&'a [f32]>,
    /// Where the result goes.
    pub y: &'a mut [f32],
}

/// `y = x·Wᵀ + b`; `x` `[rows, inputs]`, `y` `[rows, outputs]`.
///
/// # Panics
/// If the lengths are not those of one set of shapes.
pub fn forward(x: &[f32], weight: &Packed, bias: Option<&[f32]>, y: &mut [f32]) {
    forward_all(x, &mut [Layer { weight, bias, y }]);
}

/// As [`forward`] for several layers of the same rows at once: threads meet once, not once a layer.
///
/// # Panics
/// If the lengths are not those of one set of shapes.
pub fn forward_all(x: &[f32], layers: &mut [Layer<'_>]) {
    let (mut rows, inputs) = (0, layers.first().map_or(0, |layer| layer.weight.inputs()));
    for Layer { weight, bias, y } in &*layers {
        assert_eq!(weight.inputs(), inputs, "inputs of layers of the same rows");
        rows = check(x.len(), weight.inputs(), y.len(), weight.outputs());
        if let Some(bias) = bias {
            assert_eq!(bias.len(), weight.outputs(), "length of a bias");
        }
    }
    let input = Input::of(x, layers.iter().map(|layer| layer.weight));
    let panels: usize = layers.iter().map(|layer| layer.weight.panels()).sum();
    let outputs: usize = layers.iter().map(|layer| layer.weight.outputs()).sum();
    let layers: Vec<_> =
        layers.iter_mut().map(|layer| (layer.weight, layer.bias, Shared::new(layer.y))).collect();
    for_each(rows.div_ceil(ROWS) * panels, 2 * x.len() * outputs, |task| {
        let rows = part(rows, ROWS, task / panels);
        let mut panel = task % panels;
        for &(weight, bias, y) in &layers {
            if panel >= weight.panels() {
                panel -= weight.panels();
                continue;
            }
            let first = rows.start * weight.outputs() + panel * WIDTH;
            let last = first + (rows.len() - 1) * weight.outputs() + weight.columns(panel) - 1;
            // SAFETY: rows × panel is this task's own block of `y`, checked by `at` to lie inside.
            unsafe { forward_block(&input, rows, (weight, panel), bias, y.at(first, last)) }
            return;
        }
    });
}

/// Some rows times one panel, into `y` with `outputs` values between rows.
///
/// # Safety
/// `y` must be writable there and nobody else's meanwhile.
unsafe fn forward_block(
    input: &Input<'_>,
    rows: Range<usize>,
    (weight, panel): (&Packed, usize),
    bias: Option<&[f32]>,
    y: *mut f32,
) {
    let columns = weight.columns(panel);
    let out = Out { at: y, row: weight.outputs(), columns, add: false };
    // SAFETY: the caller vouches for `y`.
    unsafe { panel_product(input.rows(rows.clone(), weight), weight, panel, out) }
    let Some(bias) = bias else { return };
    for r in 0..rows.len() {
        // SAFETY: the block the product has just written.
        let row = unsafe { std::slice::from_raw_parts_mut(y.add(r * weight.outputs()), columns) };
        row.iter_mut().zip(&bias[panel * WIDTH..]).for_each(|(y, b)| *y += b);
    }
}

/// `out = x · panel`.
///
/// # Safety
/// `out` must be writable for `x`'s rows and nobody else's meanwhile.
pub(crate) unsafe fn panel_product(x: InputRows<'_>, weight: &Packed, panel: usize, out: Out) {
    match x {
        InputRows::Bytes(rows) => {
            let Stored::Blocks(bits, blocks) = weight.stored(panel, 0, weight.inputs()) else {
                unreachable!("rows are bytes where the weight is");
            };
            // SAFETY: the caller vouches for `out`.
            unsafe { bytes::product(rows, bits, blocks, out) }
        }
        // SAFETY: the caller vouches for `out`.
        InputRows::Values(x) => unsafe { values_product(x, weight, panel, out) },
    }
}

/// `out = x · panel`, in blocks of depth.
///
/// # Safety
/// `out` must be writable for `x`'s rows and nobody else's meanwhile.
unsafe fn values_product(x: &[f32], weight: &Packed, panel: usize, out: Out) {
    let rows = x.len() / weight.inputs();
    for from in (0..weight.inputs()).step_by(DEPTH) {
        let depth = DEPTH.min(weight.inputs() - from);
        let left = Left { at: x[from..].as_ptr(), row: weight.inputs(), step: 1 };
        let out = Out { add: out.add || from > 0, ..out };
        let ahead = if rows <= 6 { AHEAD } else { DEPTH };
        // SAFETY: `x` holds whole rows of `inputs`, each right side `depth` rows, and the caller
        // vouches for `out`.
        unsafe {
            match weight.stored(panel, from, depth) {
                Stored::F32(at) if rows <= STREAMED => {
                    product(left, Stream { at: at.as_ptr(), ahead }, out, rows, depth)
                }
                Stored::Bf16(at) if rows <= STREAMED => {
                    product(left, StreamBf16 { at: at.as_ptr(), ahead }, out, rows, depth)
                }
                _ => scratch(DEPTH * WIDTH, |room| {
                    let block = weight.block(panel, from, depth, room);
                    product(left, Rows { at: block.as_ptr(), step: WIDTH }, out, rows, depth);
                }),
            }
        }
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
    scratch((DEPTH + WIDTH) * WIDTH, |room| {
        let (turned, room) = room.split_at_mut(DEPTH * WIDTH);
        for start in (0..weight.outputs()).step_by(DEPTH) {
            let depth = DEPTH.min(weight.outputs() - start);
            for (i, turned) in turned[..depth.next_multiple_of(WIDTH) * WIDTH]
                .chunks_exact_mut(WIDTH * WIDTH)
                .enumerate()
            {
                weight.turned(start / WIDTH + i, from, out.columns, (turned, room));
            }
            let left = Left { at: dy[start..].as_ptr(), row: weight.outputs(), step: 1 };
            let right = Rows { at: turned.as_ptr(), step: WIDTH };
            let out = Out { add: out.add || start > 0, ..out };
            // SAFETY: `dy` holds whole rows, `turned` `depth` rows of 64, and the caller vouches
            // for `out`.
            unsafe { product(left, right, out, rows, depth) }
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
    let across = inputs.div_ceil(GRADIENT_INPUTS);
    let gradient = Shared::new(gradient);
    for_each(outputs.div_ceil(ROWS) * across, 2 * rows * outputs * inputs, |task| {
        let mine = part(outputs, ROWS, task / across);
        let columns =
            task % across * GRADIENT_INPUTS..inputs.min((task % across + 1) * GRADIENT_INPUTS);
        let first = mine.start * inputs + columns.start;
        let last = (mine.end - 1) * inputs + columns.end - 1;
        let out = Out { at: gradient.at(first, last), row: inputs, columns: 0, add: true };
        // SAFETY: outputs × inputs is this task's own block, checked by `at` to lie inside.
        unsafe { gradient_block((dy, outputs, mine), (x, inputs, columns), out) }
    });
}

/// Adds the product of some columns of `dy` and some of `x`, both `[rows, width]`, to `out`.
///
/// # Safety
/// `out` must be writable for these outputs and inputs, and nobody else's meanwhile.
unsafe fn gradient_block(
    (dy, outputs, mine): (&[f32], usize, Range<usize>),
    (x, inputs, columns): (&[f32], usize, Range<usize>),
    out: Out,
) {
    let rows = x.len() / inputs;
    scratch(ROWS * DEPTH + DEPTH * WIDTH, |room| {
        let (turned, block) = room.split_at_mut(ROWS * DEPTH);
        for start in (0..rows).step_by(DEPTH) {
            let depth = DEPTH.min(rows - start);
            let from = (&dy[start * outputs + mine.start..], outputs);
            transpose(from, (depth, mine.len()), (turned, DEPTH));
            let left = Left { at: turned.as_ptr(), row: DEPTH, step: 1 };
            for from in columns.clone().step_by(WIDTH) {
                let width = WIDTH.min(columns.end - from);
                copy_columns(&x[start * inputs..], inputs, from..from + width, depth, block);
                let right = Rows { at: block.as_ptr(), step: WIDTH };
                // SAFETY: `turned` holds a row of `depth` for each output, `block` `depth` rows of
                // 64, and the caller vouches for `out`.
                unsafe {
                    let at = out.at.add(from - columns.start);
                    product(left, right, Out { at, columns: width, ..out }, mine.len(), depth);
                }
            }
        }
    });
}

/// The number of rows of `[rows, inputs]` and `[rows, outputs]`.
fn check(inner: usize, inputs: usize, outer: usize, outputs: usize) -> usize {
    assert!(inputs > 0 && outputs > 0, "a matrix of [{outputs}, {inputs}]");
    let rows = inner / inputs;
    assert_eq!((inner, outer), (rows * inputs, rows * outputs), "values for [{outputs}, {inputs}]");
    rows
}
