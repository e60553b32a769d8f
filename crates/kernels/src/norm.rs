//! RMSNorm and LayerNorm over the last axis: one kernel, with or without centring.
//!
//! Shapes: `x`, `y`, `dy`, `dx` are `[rows, columns]`; `weight`, `bias` and their gradients
//! `[columns]`.

use crate::pointwise::row_blocks;
use crate::simd::{Kernel, Simd, run};
use crate::threads::Shared;

/// Rows of one task.
const ROWS: usize = 64;
/// Columns of one task where gradients of weights are summed over rows.
const COLUMNS: usize = 256;
/// Floating-point operations a value takes.
const COST: usize = 8;

/// RMSNorm, `y = x / √(mean(x²) + ε) · w` (arXiv:1910.07467, equation 4).
pub fn rms_norm(x: &[f32], weight: &[f32], epsilon: f32, y: &mut [f32]) {
    forward::<false>(x, (weight, None), epsilon, y);
}

/// LayerNorm, `y = (x − mean) / √(variance + ε) · w + b` (arXiv:1607.06450, equation 4).
pub fn layer_norm(x: &[f32], weight: &[f32], bias: &[f32], epsilon: f32, y: &mut [f32]) {
    forward::<true>(x, (weight, Some(bias)), epsilon, y);
}

/// Gradient of [`rms_norm`]: writes `dx`, adds to `dweight`.
pub fn rms_norm_backward(
    rows: (&[f32], &[f32]),
    weight: &[f32],
    epsilon: f32,
    dx: &mut [f32],
    dweight: Option<&mut [f32]>,
) {
    let statistics = backward::<false>(rows, weight, epsilon, dx);
    if let Some(dweight) = dweight {
        weight_gradients(rows, &statistics, dweight, None);
    }
}

/// Gradient of [`layer_norm`]: writes `dx`, adds to the gradients of weight and bias.
pub fn layer_norm_backward(
    rows: (&[f32], &[f32]),
    weight: &[f32],
    epsilon: f32,
    dx: &mut [f32],
    gradients: Option<(&mut [f32], &mut [f32])>,
) {
    let statistics = backward::<true>(rows, weight, epsilon, dx);
    if let Some((dweight, dbias)) = gradients {
        weight_gradients(rows, &statistics, dweight, Some(dbias));
    }
}

fn forward<const CENTRED: bool>(
    x: &[f32],
    (weight, bias): (&[f32], Option<&[f32]>),
    epsilon: f32,
    y: &mut [f32],
) {
    let columns = weight.len();
    assert!(x.len() == y.len() && x.len().is_multiple_of(columns));
    let len = x.len();
    let y = Shared::new(y);
    row_blocks(len / columns, ROWS, len * COST, |rows| {
        for row in rows {
            let range = row * columns..(row + 1) * columns;
            // SAFETY: every row is written by one task.
            let y = unsafe { y.slice(range.clone()) };
            run(Forward::<CENTRED> { x: &x[range], weight, bias, epsilon, y });
        }
    });
}

/// Writes `dx`; returns mean and inverse deviation of every row.
fn backward<const CENTRED: bool>(
    (dy, x): (&[f32], &[f32]),
    weight: &[f32],
    epsilon: f32,
    dx: &mut [f32],
) -> Vec<f32> {
    let columns = weight.len();
    assert!(dy.len() == x.len() && dx.len() == x.len() && x.len().is_multiple_of(columns));
    let (len, num_rows) = (x.len(), x.len() / columns);
    let mut statistics = vec![0.0; 2 * num_rows];
    let (dx, kept) = (Shared::new(dx), Shared::new(&mut statistics));
    row_blocks(num_rows, ROWS, len * COST, |rows| {
        for row in rows {
            let range = row * columns..(row + 1) * columns;
            // SAFETY: every row, and its pair of statistics, is written by one task.
            let (dx, kept) = unsafe { (dx.slice(range.clone()), kept.slice(2 * row..2 * row + 2)) };
            let (dy, x) = (&dy[range.clone()], &x[range]);
            let (mean, scale) = run(Backward::<CENTRED> { dy, x, weight, epsilon, dx });
            kept.copy_from_slice(&[mean, scale]);
        }
    });
    statistics
}

/// Adds `Σ dy·x̂` to `dweight` and `Σ dy` to `dbias`, rows in order.
fn weight_gradients(
    (dy, x): (&[f32], &[f32]),
    statistics: &[f32],
    dweight: &mut [f32],
    dbias: Option<&mut [f32]>,
) {
    let columns = dweight.len();
    let dweight = Shared::new(dweight);
    let dbias = dbias.map(Shared::new);
    row_blocks(columns, COLUMNS, x.len() * COST, |block| {
        // SAFETY: the blocks of columns are disjoint.
        let dweight = unsafe { dweight.slice(block.clone()) };
        // SAFETY: as above.
        let mut dbias = dbias.map(|dbias| unsafe { dbias.slice(block.clone()) });
        for (row, statistics) in statistics.chunks_exact(2).enumerate() {
            let range = row * columns + block.start..row * columns + block.end;
            for (i, (dy, x)) in dy[range.clone()].iter().zip(&x[range]).enumerate() {
                dweight[i] += dy * (x - statistics[0]) * statistics[1];
                if let Some(dbias) = dbias.as_deref_mut() {
                    dbias[i] += dy;
                }
            }
        }
    });
}

/// One row forward.
struct Forward<'a, const CENTRED: bool> {
    x: &'a [f32],
    weight: &'a [f32],
    bias: Option<&'a [f32]>,
    epsilon: f32,
    y: &'a mut [f32],
}

impl<const CENTRED: bool> Kernel for Forward<'_, CENTRED> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { x, weight, bias, epsilon, y } = self;
        let (mean, scale) = moments::<S, CENTRED>(s, x, epsilon);
        let (mean, scale) = (s.splat(mean), s.splat(scale));
        let mut at = 0;
        while at < x.len() {
            let normal = s.mul(s.sub(load(s, x, at), mean), scale);
            let shift = match bias {
                Some(bias) => load(s, bias, at),
                None => s.splat(0.0),
            };
            store(s, y, at, s.fma(normal, load(s, weight, at), shift));
            at += S::LANES;
        }
    }
}

/// One row backward; gives its mean and inverse deviation.
struct Backward<'a, const CENTRED: bool> {
    dy: &'a [f32],
    x: &'a [f32],
    weight: &'a [f32],
    epsilon: f32,
    dx: &'a mut [f32],
}

impl<const CENTRED: bool> Kernel for Backward<'_, CENTRED> {
    type Output = (f32, f32);

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> (f32, f32) {
        let Self { dy, x, weight, epsilon, dx } = self;
        let (mean, scale) = moments::<S, CENTRED>(s, x, epsilon);
        let (mean_v, scale_v) = (s.splat(mean), s.splat(scale));
        let (mut level, mut along) = (s.splat(0.0), s.splat(0.0));
        let mut at = 0;
        while at < x.len() {
            let inner = s.mul(load(s, dy, at), load(s, weight, at));
            let normal = s.mul(s.sub(load(s, x, at), mean_v), scale_v);
            level = s.add(level, inner);
            along = s.fma(inner, normal, along);
            at += S::LANES;
        }
        let count = x.len() as f32;
        let level = s.splat(if CENTRED { s.sum(level) / count } else { 0.0 });
        let along = s.splat(s.sum(along) / count);
        at = 0;
        while at < x.len() {
            let inner = s.mul(load(s, dy, at), load(s, weight, at));
            let normal = s.mul(s.sub(load(s, x, at), mean_v), scale_v);
            let inner = s.sub(s.sub(inner, level), s.mul(normal, along));
            store(s, dx, at, s.mul(scale_v, inner));
            at += S::LANES;
        }
        (mean, scale)
    }
}

/// Mean (zero without centring) and inverse deviation of a row.
#[inline(always)]
fn moments<S: Simd, const CENTRED: bool>(s: S, x: &[f32], epsilon: f32) -> (f32, f32) {
    let count = x.len() as f32;
    let mut mean = 0.0;
    if CENTRED {
        let mut total = s.splat(0.0);
        let mut at = 0;
        while at < x.len() {
            total = s.add(total, load(s, x, at));
            at += S::LANES;
        }
        mean = s.sum(total) / count;
    }
    let mean_v = s.splat(mean);
    let mut power = s.splat(0.0);
    let whole = x.len() - x.len() % S::LANES;
    let mut at = 0;
    while at < whole {
        let off = s.sub(s.get(&x[at..]), mean_v);
        power = s.fma(off, off, power);
        at += S::LANES;
    }
    let mut power = s.sum(power);
    // Padding would not be zero once the mean is taken off.
    for x in &x[whole..] {
        power += (x - mean) * (x - mean);
    }
    (mean, 1.0 / (power / count + epsilon).sqrt())
}

/// The vector at `at`, padded with zeros at the end of the row.
#[inline(always)]
fn load<S: Simd>(s: S, from: &[f32], at: usize) -> S::V {
    match from.len() - at >= S::LANES {
        true => s.get(&from[at..]),
        false => s.get_short(&from[at..], 0.0),
    }
}

/// Writes the vector at `at`, cut at the end of the row.
#[inline(always)]
fn store<S: Simd>(s: S, to: &mut [f32], at: usize, value: S::V) {
    match to.len() - at >= S::LANES {
        true => s.put(&mut to[at..], value),
        false => s.put_short(&mut to[at..], value),
    }
}
