//! Scores to probabilities, a block of 64 keys at a time.

use crate::product::WIDTH;
use crate::simd::math::exp;
use crate::simd::{Kernel, Simd};

/// How many keys of a block each row sees: `group` rows see `first`, the next `step` more, ….
#[derive(Clone, Copy)]
pub(super) struct Visible {
    pub(super) first: usize,
    pub(super) step: usize,
    pub(super) group: usize,
}

impl Visible {
    #[inline(always)]
    fn of(&self, row: usize) -> usize {
        WIDTH.min(self.first + row / self.group * self.step)
    }
}

/// Turns scores into `exp(score − top)` under the running maximum `top`, and adds them to
/// `total`; where the maximum grows, what was summed before shrinks.
pub(super) struct Online<'a> {
    pub(super) scores: &'a mut [f32],
    pub(super) visible: Visible,
    pub(super) top: &'a mut [f32],
    pub(super) total: &'a mut [f32],
    /// `[rows, _]`: the weighted values.
    pub(super) sums: &'a mut [f32],
}

impl Kernel for Online<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let width = self.sums.len() / self.top.len();
        let rows = self.scores.chunks_exact_mut(WIDTH).zip(self.sums.chunks_exact_mut(width));
        for (r, (scores, sums)) in rows.enumerate() {
            scores[self.visible.of(r)..].fill(f32::NEG_INFINITY);
            let old = self.top[r];
            let top = old.max(largest(s, scores));
            if top > old {
                let shrink = (old - top).exp();
                self.total[r] *= shrink;
                scale(s, sums, shrink);
                self.top[r] = top;
            }
            self.total[r] += exponentials(s, scores, top);
        }
    }
}

#[inline(always)]
fn largest<S: Simd>(s: S, scores: &[f32]) -> f32 {
    let mut top = s.splat(f32::NEG_INFINITY);
    for scores in scores.chunks_exact(S::LANES) {
        top = s.max(top, s.get(scores));
    }
    s.top(top)
}

/// `x = exp(x − top)`; returns their sum.
#[inline(always)]
fn exponentials<S: Simd>(s: S, x: &mut [f32], top: f32) -> f32 {
    let mut sum = s.splat(0.0);
    for x in x.chunks_exact_mut(S::LANES) {
        let e = exp(s, s.sub(s.get(x), s.splat(top)));
        s.put(x, e);
        sum = s.add(sum, e);
    }
    s.sum(sum)
}

#[inline(always)]
fn scale<S: Simd>(s: S, x: &mut [f32], by: f32) {
    for x in x.chunks_exact_mut(S::LANES) {
        s.put(x, s.mul(s.get(x), s.splat(by)));
    }
}

/// Turns scores into probabilities `P` and `dP` into the gradient of the scores,
/// `P·(dP − mean)`.
pub(super) struct Backward<'a> {
    pub(super) scores: &'a mut [f32],
    pub(super) dscores: &'a mut [f32],
    pub(super) visible: Visible,
    pub(super) log_sum_exp: &'a [f32],
    /// `Σ P·dP` of each row, which is `dout·out`.
    pub(super) mean: &'a [f32],
}

impl Kernel for Backward<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let rows = self.scores.chunks_exact_mut(WIDTH).zip(self.dscores.chunks_exact_mut(WIDTH));
        for (r, (scores, dscores)) in rows.enumerate() {
            let visible = self.visible.of(r);
            scores[visible..].fill(f32::NEG_INFINITY);
            dscores[visible..].fill(0.0);
            let (total, mean) = (s.splat(self.log_sum_exp[r]), s.splat(self.mean[r]));
            let blocks = scores.chunks_exact_mut(S::LANES).zip(dscores.chunks_exact_mut(S::LANES));
            for (scores, dscores) in blocks {
                let p = exp(s, s.sub(s.get(scores), total));
                s.put(scores, p);
                s.put(dscores, s.mul(p, s.sub(s.get(dscores), mean)));
            }
        }
    }
}
