//! AdamW and sums of squares: the slow twin, which is bound by memory anyway, on all cores.

use crate::pointwise::row_blocks;
use crate::threads::Shared;

/// Values of one task.
const CHUNK: usize = 1 << 15;
/// Floating-point operations a value takes.
const COST: usize = 16;

/// The settings of one AdamW step (arXiv:1711.05101).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamW {
    /// Learning rate of this step.
    pub lr: f32,
    /// Decay of the first moment.
    pub beta1: f32,
    /// Decay of the second moment.
    pub beta2: f32,
    /// Added to the denominator.
    pub eps: f32,
    /// Decoupled weight decay, multiplied by the learning rate.
    pub weight_decay: f32,
    /// Number of this step, counted from 1.
    pub step: u32,
}

/// One AdamW update (arXiv:1711.05101, algorithm 2, with the learning rate inside the decay).
pub fn adamw(value: &mut [f32], gradient: &[f32], state: (&mut [f32], &mut [f32]), rule: &AdamW) {
    let len = value.len();
    let (first, second) = state;
    assert!(gradient.len() == len && first.len() == len && second.len() == len);
    let (value, first, second) = (Shared::new(value), Shared::new(first), Shared::new(second));
    row_blocks(len, CHUNK, len * COST, |range| {
        // SAFETY: the ranges of different tasks are disjoint.
        let value = unsafe { value.slice(range.clone()) };
        // SAFETY: as above.
        let state = unsafe { (first.slice(range.clone()), second.slice(range.clone())) };
        crate::reference::optimizer::adamw(value, &gradient[range], state, rule);
    });
}

/// `Σ x²`, in f64: chunks in parallel, their sums in order.
pub fn sum_squares(x: &[f32]) -> f64 {
    use rayon::prelude::*;
    let sums: Vec<f64> =
        x.par_chunks(CHUNK).map(crate::reference::optimizer::sum_squares).collect();
    sums.into_iter().sum()
}
