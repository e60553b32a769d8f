//! Running softmax over chunks of the vocabulary.

use crate::simd::math::exp;
use crate::simd::{Kernel, Simd};

/// Stands for a logit that is not there: its exponential is zero, and so is their product.
const ABSENT: f32 = -1e38;

/// Softmax of one row over the tokens seen so far.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row {
    /// Largest `z = logit / T`.
    pub(super) top: f32,
    /// `Σ e^(z − top)`.
    pub(super) total: f64,
    /// `Σ e^(z − top)·(z − top)`.
    spread: f64,
    /// `z` of the target, once it was seen.
    pub(super) target: Option<f32>,
}

impl Row {
    /// No tokens yet.
    pub(super) const EMPTY: Self =
        Self { top: f32::NEG_INFINITY, total: 0.0, spread: 0.0, target: None };

    /// Raises the maximum to `top` if it is higher; by what the sums were multiplied.
    #[inline(always)]
    pub(super) fn raise(&mut self, top: f32) -> f64 {
        if self.top >= top || self.total == 0.0 {
            self.top = self.top.max(top);
            return 1.0;
        }
        let growth = f64::from(self.top) - f64::from(top);
        let shrink = growth.exp();
        // A growth without bound, times sums shrunk to nothing, is nothing.
        self.spread = if shrink > 0.0 { shrink * (self.spread + self.total * growth) } else { 0.0 };
        self.total *= shrink;
        self.top = top;
        shrink
    }

    /// Joins the tokens of two parts.
    pub(super) fn join(mut self, mut other: Self) -> Self {
        self.raise(other.top);
        other.raise(self.top);
        self.total += other.total;
        self.spread += other.spread;
        self.target = self.target.or(other.target);
        self
    }

    /// Log-probability of the target.
    pub(super) fn log_prob(&self) -> f32 {
        let target = self.target.expect("the parts hold every token");
        (f64::from(target) - f64::from(self.top) - self.total.ln()) as f32
    }

    /// `−Σ p ln p`.
    pub(super) fn entropy(&self) -> f32 {
        let entropy = (self.total.ln() - self.spread / self.total) as f32;
        // Rounding may take a certain row below zero; NaN stays.
        if entropy < 0.0 { 0.0 } else { entropy }
    }
}

/// Takes in one chunk: `logits` `[rows, width]`, of which `tokens` columns are real, become
/// `e^(z − top)` under each row's new maximum.
pub(super) struct TakeIn<'a> {
    pub(super) logits: &'a mut [f32],
    pub(super) width: usize,
    pub(super) tokens: usize,
    pub(super) temperature: f32,
    /// The target's column, for rows whose target is in the chunk.
    pub(super) targets: &'a [Option<usize>],
    pub(super) rows: &'a mut [Row],
    /// Each row's sum of `e^(z − top)·W` so far, or empty.
    pub(super) means: &'a mut [f32],
}

impl Kernel for TakeIn<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let inputs = self.means.len() / self.rows.len();
        for (r, row) in self.rows.iter_mut().enumerate() {
            let logits = &mut self.logits[r * self.width..][..self.width];
            let top = divide(s, logits, self.temperature, self.tokens);
            row.target = row.target.or(self.targets[r].map(|column| logits[column]));
            let shrink = row.raise(top);
            if shrink != 1.0 {
                scale(s, &mut self.means[r * inputs..][..inputs], shrink as f32);
            }
            let (total, spread) = exponentials(s, logits, row.top);
            row.total += f64::from(total);
            row.spread += f64::from(spread);
        }
    }
}

/// Logits to `z`; the largest.
#[inline(always)]
fn divide<S: Simd>(s: S, logits: &mut [f32], temperature: f32, tokens: usize) -> f32 {
    let mut top = s.splat(f32::NEG_INFINITY);
    let temperature = s.splat(temperature);
    logits[tokens..].fill(f32::NEG_INFINITY);
    for logits in logits.chunks_exact_mut(S::LANES) {
        let z = s.div(s.get(logits), temperature);
        s.put(logits, z);
        top = s.max(top, z);
    }
    logits[tokens..].fill(ABSENT);
    s.top(top)
}

/// `z` to `e^(z − top)`; `Σ e^(z − top)` and `Σ e^(z − top)·(z − top)`.
#[inline(always)]
fn exponentials<S: Simd>(s: S, z: &mut [f32], top: f32) -> (f32, f32) {
    let (mut total, mut spread) = (s.splat(0.0), s.splat(0.0));
    for z in z.chunks_exact_mut(S::LANES) {
        let below = s.sub(s.get(z), s.splat(top));
        let e = exp(s, below);
        s.put(z, e);
        total = s.add(total, e);
        spread = s.fma(e, below, spread);
    }
    (s.sum(total), s.sum(spread))
}

#[inline(always)]
fn scale<S: Simd>(s: S, x: &mut [f32], by: f32) {
    let whole = x.len() / S::LANES * S::LANES;
    let (vectors, rest) = x.split_at_mut(whole);
    for x in vectors.chunks_exact_mut(S::LANES) {
        s.put(x, s.mul(s.get(x), s.splat(by)));
    }
    rest.iter_mut().for_each(|x| *x *= by);
}

/// Logits of one panel to gradients: `z` becomes `−scale·p`, plus `scale` at the target.
pub(super) struct Gradient<'a> {
    /// `[rows, 64]`.
    pub(super) logits: &'a mut [f32],
    pub(super) width: usize,
    pub(super) temperature: f32,
    pub(super) rows: &'a [Row],
    /// Gradient of the loss with respect to each row's log-probability.
    pub(super) dlogp: &'a [f32],
    pub(super) targets: &'a [Option<usize>],
}

impl Kernel for Gradient<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let rows = self.logits.chunks_exact_mut(self.width).zip(self.rows).enumerate();
        for (r, (logits, row)) in rows {
            let scale = self.dlogp[r] / self.temperature;
            let share = s.splat((-f64::from(scale) / row.total) as f32);
            for logits in logits.chunks_exact_mut(S::LANES) {
                let z = s.div(s.get(logits), s.splat(self.temperature));
                s.put(logits, s.mul(exp(s, s.sub(z, s.splat(row.top))), share));
            }
            if let Some(column) = self.targets[r] {
                logits[column] += scale;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_join_in_any_scale() {
        let row = |z: f32| Row { top: z, total: 1.0, spread: 0.0, target: None };
        let far = row(1e4).join(Row::EMPTY).join(row(-1e4));
        assert_eq!((far.top, far.total, far.entropy()), (1e4, 1.0, 0.0));
        let even = Row::EMPTY.join(row(-3.0)).join(row(-3.0));
        assert!((even.entropy() - 2.0_f32.ln()).abs() < 1e-7);
        let uneven = row(0.0).join(row(1.0));
        let p = 1.0 / (1.0 + 1.0_f64.exp());
        let entropy = -p * p.ln() - (1.0 - p) * (1.0 - p).ln();
        assert!((f64::from(uneven.entropy()) - entropy).abs() < 1e-7);
    }
}
