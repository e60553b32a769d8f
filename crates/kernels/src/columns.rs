//! Sums over rows, which are the gradients of what all rows share.

use crate::simd::{self, Kernel, Simd};
use crate::threads::{Shared, for_each};

/// Rows summed before their sum joins the total, which bounds the rounding error.
const PARTIAL: usize = 64;
/// Columns of a task.
const COLUMNS: usize = 256;

/// `gradient[c] += Σ_r dy[r, c]`: the gradient of a bias, or of any other per-column addend.
///
/// # Panics
/// If `dy` is not whole rows of `gradient`'s length.
pub fn bias_gradient(dy: &[f32], gradient: &mut [f32]) {
    column_sums(dy, Factor::One, gradient);
}

/// `gradient[c] += Σ_r dy[r, c]·x[r, c]`: the gradient of a per-column factor.
///
/// # Panics
/// If `dy` and `x` are not whole rows of `gradient`'s length.
pub fn factor_gradient(dy: &[f32], x: &[f32], gradient: &mut [f32]) {
    column_sums(dy, Factor::Values(x), gradient);
}

/// What [`column_sums`] multiplies each value with.
#[derive(Clone, Copy)]
pub(crate) enum Factor<'a> {
    /// Nothing.
    One,
    /// The value of another matrix.
    Values(&'a [f32]),
    /// `(x − mean[r])·scale[r]`, with mean and scale of each row: a normalised row.
    Normal(&'a [f32], &'a [f32]),
}

/// `gradient[c] += Σ_r dy[r, c]·factor[r, c]`.
pub(crate) fn column_sums(dy: &[f32], factor: Factor<'_>, gradient: &mut [f32]) {
    let columns = gradient.len();
    assert_eq!(dy.len() % columns.max(1), 0, "rows of a gradient");
    if let Factor::Values(x) | Factor::Normal(x, _) = factor {
        assert_eq!(x.len(), dy.len(), "values and their gradients");
    }
    let gradient = Shared::new(gradient);
    for_each(columns.div_ceil(COLUMNS), dy.len() * 4, |task| {
        let from = task * COLUMNS;
        let to = columns.min(from + COLUMNS);
        // SAFETY: each task has its own columns.
        let gradient = unsafe { gradient.slice(from..to) };
        simd::run(ColumnSums { dy, factor, columns, from, gradient });
    });
}

struct ColumnSums<'a> {
    dy: &'a [f32],
    factor: Factor<'a>,
    columns: usize,
    from: usize,
    gradient: &'a mut [f32],
}

impl Kernel for ColumnSums<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let rows = self.dy.len() / self.columns;
        for start in (0..rows).step_by(PARTIAL) {
            let mut partial = [0.0; COLUMNS];
            let partial = &mut partial[..self.gradient.len()];
            for row in start..rows.min(start + PARTIAL) {
                self.add_row(s, row, partial);
            }
            self.gradient.iter_mut().zip(partial).for_each(|(g, p)| *g += *p);
        }
    }
}

impl ColumnSums<'_> {
    #[inline(always)]
    fn add_row<S: Simd>(&self, s: S, row: usize, partial: &mut [f32]) {
        let at = row * self.columns + self.from;
        let dy = &self.dy[at..at + partial.len()];
        let (x, (mean, scale)) = match self.factor {
            Factor::One => (dy, (0.0, 1.0)),
            Factor::Values(x) => (&x[at..at + partial.len()], (0.0, 1.0)),
            Factor::Normal(x, rows) => {
                (&x[at..at + partial.len()], (rows[2 * row], rows[2 * row + 1]))
            }
        };
        let one = matches!(self.factor, Factor::One);
        let whole = partial.len() / S::LANES * S::LANES;
        for c in (0..whole).step_by(S::LANES) {
            let factor = s.mul(s.sub(s.get(&x[c..]), s.splat(mean)), s.splat(scale));
            let factor = if one { s.splat(1.0) } else { factor };
            let sum = s.fma(s.get(&dy[c..]), factor, s.get(&partial[c..]));
            s.put(&mut partial[c..], sum);
        }
        for c in whole..partial.len() {
            partial[c] += dy[c] * if one { 1.0 } else { (x[c] - mean) * scale };
        }
    }
}
