//! AdamW, and the sums the engine asks of gradients.

use crate::formula::{BLOCK, Formula, map};
use crate::simd::{self, Kernel, Simd};
use crate::threads::{Shared, for_each};

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

/// One AdamW update (arXiv:1711.05101, algorithm 2, with the learning rate inside the decay, as
/// every implementation has it). `first` and `second` are the moments.
///
/// # Panics
/// If the lengths differ.
pub fn adamw(
    value: &mut [f32],
    gradient: &[f32],
    (first, second): (&mut [f32], &mut [f32]),
    rule: &AdamW,
) {
    map(Update::new(rule), [gradient], [value, first, second]);
}

/// A step's constants, each rounded once from f64:
/// `value·keep + rate·m/(√v·root + eps)` with the moments `m` and `v` of this step.
#[derive(Clone, Copy, Debug)]
pub struct Update {
    /// What weight decay leaves of a value.
    pub keep: f32,
    /// The negative rate, bias correction of the first moment included.
    pub rate: f32,
    /// Decay of the first moment, and what is new in it.
    pub beta1: (f32, f32),
    /// Decay of the second moment, and what is new in it.
    pub beta2: (f32, f32),
    /// Bias correction of the second moment's root.
    pub root: f32,
    /// Added to the denominator.
    pub eps: f32,
}

impl Update {
    /// The constants of a step.
    pub fn new(rule: &AdamW) -> Self {
        let (b1, b2) = (f64::from(rule.beta1), f64::from(rule.beta2));
        let step = i32::try_from(rule.step).unwrap_or(i32::MAX);
        let lr = f64::from(rule.lr);
        Self {
            keep: (1.0 - lr * f64::from(rule.weight_decay)) as f32,
            rate: (-lr / (1.0 - b1.powi(step))) as f32,
            beta1: (rule.beta1, (1.0 - b1) as f32),
            beta2: (rule.beta2, (1.0 - b2) as f32),
            root: (1.0 / (1.0 - b2.powi(step)).sqrt()) as f32,
            eps: rule.eps,
        }
    }
}

impl Formula<1, 3> for Update {
    #[inline(always)]
    fn at<S: Simd>(self, s: S, [g]: [S::V; 1], [value, m, v]: [S::V; 3]) -> [S::V; 3] {
        let m = s.fma(m, s.splat(self.beta1.0), s.mul(g, s.splat(self.beta1.1)));
        let v = s.fma(v, s.splat(self.beta2.0), s.mul(s.mul(g, g), s.splat(self.beta2.1)));
        let size = s.fma(s.sqrt(v), s.splat(self.root), s.splat(self.eps));
        let step = s.div(s.mul(m, s.splat(self.rate)), size);
        [s.fma(value, s.splat(self.keep), step), m, v]
    }
}

/// `Σ x²` in f64.
pub fn sum_squares(x: &[f32]) -> f64 {
    let mut sums = vec![0.0_f64; x.len().div_ceil(BLOCK)];
    let slots = Shared::new(bytemuck::cast_slice_mut(&mut sums));
    for_each(x.len().div_ceil(BLOCK), x.len() * 2, |task| {
        let sum = simd::run(SumSquares(&x[task * BLOCK..x.len().min((task + 1) * BLOCK)]));
        // SAFETY: each task has its own slot, two f32 wide.
        let slot = unsafe { slots.slice(2 * task..2 * task + 2) };
        slot.copy_from_slice(bytemuck::cast_slice(&[sum]));
    });
    sums.iter().sum()
}

/// Whether no value is infinite or NaN.
pub fn all_finite(x: &[f32]) -> bool {
    x.chunks(BLOCK).all(|x| simd::run(AllFinite(x)))
}

struct SumSquares<'a>(&'a [f32]);

impl Kernel for SumSquares<'_> {
    type Output = f64;

    /// Plain Rust: in f64 the compiler's vectors are as good as ours.
    #[inline(always)]
    fn run<S: Simd>(self, _: S) -> f64 {
        let mut sums = [0.0_f64; 32];
        let whole = self.0.chunks_exact(32);
        let rest = whole.remainder();
        for x in whole {
            for (sum, &x) in sums.iter_mut().zip(x) {
                *sum += f64::from(x) * f64::from(x);
            }
        }
        for (sum, &x) in sums.iter_mut().zip(rest) {
            *sum += f64::from(x) * f64::from(x);
        }
        sums.iter().sum()
    }
}

struct AllFinite<'a>(&'a [f32]);

impl Kernel for AllFinite<'_> {
    type Output = bool;

    #[inline(always)]
    fn run<S: Simd>(self, _: S) -> bool {
        self.0.iter().fold(true, |finite, x| finite & x.is_finite())
    }
}
