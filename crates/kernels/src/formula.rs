//! Formulas applied value by value, and folded over a row.

use crate::simd::{self, Kernel, Simd};
use crate::threads::{Shared, for_each};

/// Values of a task: 64 KiB of each operand.
pub(crate) const BLOCK: usize = 1 << 14;

/// A formula with `I` inputs and `O` results that replace old values.
pub(crate) trait Formula<const I: usize, const O: usize>: Copy + Send + Sync {
    /// The new values. Implementations are `#[inline(always)]`, as a [`Kernel`] is.
    fn at<S: Simd>(self, s: S, inputs: [S::V; I], old: [S::V; O]) -> [S::V; O];
}

/// Applies a formula to every value.
pub(crate) fn map<const I: usize, const O: usize>(
    formula: impl Formula<I, O>,
    inputs: [&[f32]; I],
    outputs: [&mut [f32]; O],
) {
    let len = outputs[0].len();
    let lengths = inputs.iter().map(|x| x.len()).chain(outputs.iter().map(|y| y.len()));
    assert!(lengths.into_iter().all(|l| l == len), "operands of one length");
    let outputs = outputs.map(Shared::new);
    for_each(len.div_ceil(BLOCK), len * 4, |task| {
        let range = task * BLOCK..len.min((task + 1) * BLOCK);
        let inputs = inputs.map(|x| &x[range.clone()]);
        // SAFETY: each task has its own range.
        let outputs = outputs.map(|y| unsafe { y.slice(range.clone()) });
        simd::run(Map { formula, inputs, outputs });
    });
}

/// [`map`] on one thread.
pub(crate) struct Map<'a, F, const I: usize, const O: usize> {
    pub(crate) formula: F,
    pub(crate) inputs: [&'a [f32]; I],
    pub(crate) outputs: [&'a mut [f32]; O],
}

impl<F: Formula<I, O>, const I: usize, const O: usize> Kernel for Map<'_, F, I, O> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, s: S) {
        let len = self.outputs[0].len();
        let zero = s.splat(0.0);
        let whole = len / S::LANES * S::LANES;
        for i in (0..whole).step_by(S::LANES) {
            let (mut x, mut y) = ([zero; I], [zero; O]);
            for (x, from) in x.iter_mut().zip(&self.inputs) {
                *x = s.get(&from[i..]);
            }
            for (y, from) in y.iter_mut().zip(&self.outputs) {
                *y = s.get(&from[i..]);
            }
            let y = self.formula.at(s, x, y);
            for (y, to) in y.into_iter().zip(&mut self.outputs) {
                s.put(&mut to[i..], y);
            }
        }
        if whole < len {
            let (mut x, mut y) = ([zero; I], [zero; O]);
            for (x, from) in x.iter_mut().zip(&self.inputs) {
                *x = s.get_short(&from[whole..], 0.0);
            }
            for (y, from) in y.iter_mut().zip(&self.outputs) {
                *y = s.get_short(&from[whole..], 0.0);
            }
            let y = self.formula.at(s, x, y);
            for (y, to) in y.into_iter().zip(&mut self.outputs) {
                s.put_short(&mut to[whole..], y);
            }
        }
    }
}

/// Sums a formula's terms over a row, in an order that depends on its length alone.
///
/// The formula adds its term to the old value it is given.
#[inline(always)]
pub(crate) fn fold<S: Simd, const I: usize>(
    s: S,
    formula: impl Formula<I, 1>,
    inputs: [&[f32]; I],
) -> f32 {
    let zero = s.splat(0.0);
    let len = inputs[0].len();
    let (wide, whole) = (len / (4 * S::LANES) * (4 * S::LANES), len / S::LANES * S::LANES);
    let mut sums = [zero; 4];
    for i in (0..wide).step_by(4 * S::LANES) {
        for (j, sum) in sums.iter_mut().enumerate() {
            let mut x = [zero; I];
            for (x, from) in x.iter_mut().zip(&inputs) {
                *x = s.get(&from[i + j * S::LANES..]);
            }
            [*sum] = formula.at(s, x, [*sum]);
        }
    }
    let mut sum = s.add(s.add(sums[0], sums[1]), s.add(sums[2], sums[3]));
    for i in (wide..whole).step_by(S::LANES) {
        let mut x = [zero; I];
        for (x, from) in x.iter_mut().zip(&inputs) {
            *x = s.get(&from[i..]);
        }
        [sum] = formula.at(s, x, [sum]);
    }
    let mut x = [zero; I];
    for (x, from) in x.iter_mut().zip(&inputs) {
        *x = s.get_short(&from[whole..], 0.0);
    }
    let mut last = [0.0; 16];
    s.put(&mut last, formula.at(s, x, [zero])[0]);
    last[..len - whole].iter().fold(s.sum(sum), |sum, term| sum + term)
}
