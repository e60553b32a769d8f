//! Gradient of the head's own weights.

use super::pass::{Pass, ROWS, columns};
use super::softmax::{Gradient, Row};
use super::{Want, check};
use crate::block::copy_columns;
use crate::buffer::scratch;
use crate::linear::{Input, panel_product};
use crate::packed::Packed;
use crate::product::{Left, Out, Rows, WIDTH, product};
use crate::simd;
use crate::threads::{Shared, for_each, part};

/// Adds `Σ_rows dlogp·∂logp/∂W` to `gradient` `[vocabulary, inputs]`.
///
/// # Panics
/// If a target is outside the vocabulary or the lengths are not those of one set of shapes.
pub fn weight_gradient(
    (hidden, head): (&[f32], &Packed),
    targets: &[u32],
    temperature: f32,
    dlogp: &[f32],
    gradient: &mut [f32],
) {
    check(hidden, head, targets);
    assert_eq!(dlogp.len(), targets.len(), "a gradient for each row");
    assert_eq!(gradient.len(), head.outputs() * head.inputs(), "gradient of the head");
    let want = Want::LogProbs;
    let (rows, _) = Pass { hidden, head, targets, temperature, want }.run();
    let input = Input::of(hidden, [head]);
    let of = Panel { hidden, input: &input, head, targets, temperature, dlogp, rows: &rows };
    let gradient = Shared::new(gradient);
    for_each(head.panels(), 4 * hidden.len() * head.outputs(), |panel| {
        let first = panel * WIDTH * head.inputs();
        let range = first..first + head.columns(panel) * head.inputs();
        // SAFETY: each task has its own panel's rows.
        of.add(panel, unsafe { gradient.slice(range) });
    });
}

struct Panel<'a> {
    hidden: &'a [f32],
    input: &'a Input<'a>,
    head: &'a Packed,
    targets: &'a [u32],
    temperature: f32,
    dlogp: &'a [f32],
    rows: &'a [Row],
}

impl Panel<'_> {
    /// Adds to the rows of one panel.
    fn add(&self, panel: usize, gradient: &mut [f32]) {
        let inputs = self.head.inputs();
        scratch(2 * ROWS * WIDTH, |room| {
            let (logits, room) = room.split_at_mut(ROWS * WIDTH);
            for block in 0..self.targets.len().div_ceil(ROWS) {
                let block = part(self.targets.len(), ROWS, block);
                let x = &self.hidden[block.start * inputs..block.end * inputs];
                let logits = &mut logits[..block.len() * WIDTH];
                let at = logits.as_mut_ptr();
                let out = Out { at, row: WIDTH, columns: WIDTH, add: false };
                // SAFETY: `logits` holds the block's rows.
                unsafe {
                    panel_product(self.input.rows(block.clone(), self.head), self.head, panel, out)
                }
                let targets = &self.targets[block.clone()];
                simd::run(Gradient {
                    logits,
                    width: WIDTH,
                    temperature: self.temperature,
                    rows: &self.rows[block.clone()],
                    dlogp: &self.dlogp[block.clone()],
                    targets: &columns(targets, panel * WIDTH, WIDTH),
                });
                outer(logits, x, inputs, gradient, room);
            }
        });
    }
}

/// `gradient += dlogitsᵀ · x`; `dlogits` is `[rows, 64]`, `gradient` at most 64 rows.
fn outer(dlogits: &[f32], x: &[f32], inputs: usize, gradient: &mut [f32], room: &mut [f32]) {
    let rows = dlogits.len() / WIDTH;
    for from in (0..inputs).step_by(WIDTH) {
        let columns = WIDTH.min(inputs - from);
        copy_columns(x, inputs, from..from + columns, rows, room);
        let left = Left { at: dlogits.as_ptr(), row: 1, step: WIDTH };
        let right = Rows { at: room.as_ptr(), step: WIDTH };
        let at = gradient[from..].as_mut_ptr();
        let out = Out { at, row: inputs, columns, add: true };
        // SAFETY: `dlogits` and `room` hold these rows, `gradient` whole rows of `inputs`.
        unsafe { product(left, right, out, gradient.len() / inputs, rows) }
    }
}
