//! RMSNorm and LayerNorm over the last axis.
//!
//! Shapes: `x`, `y`, `dy`, `dx` are `[rows, columns]`; `weight`, `bias` and their gradients
//! `[columns]`.

use crate::columns::{Factor, column_sums};
use crate::formula::{Formula, Map, fold};
use crate::simd::{self, Kernel, Simd};
use crate::threads::{Shared, for_each};

/// Rows of a task.
const ROWS: usize = 16;

/// RMSNorm, `y = x / √(mean(x²) + ε) · w` (arXiv:1910.07467, equation 4).
///
/// # Panics
/// If the lengths are not those of one set of shapes.
pub fn rms_norm(x: &[f32], weight: &[f32], epsilon: f32, y: &mut [f32]) {
    rows(weight.len(), x, y, |x, y| {
        simd::run(Forward { x, weight, bias: None, epsilon, y });
    });
}

/// LayerNorm, `y = (x − mean) / √(variance + ε) · w + b` (arXiv:1607.06450, equation 4).
///
/// # Panics
/// If the lengths are not those of one set of shapes.
pub fn layer_norm(x: &[f32], weight: &[f32], bias: &[f32], epsilon: f32, y: &mut [f32]) {
    assert_eq!(bias.len(), weight.len(), "length of a norm's bias");
    rows(weight.len(), x, y, |x, y| {
        simd::run(Forward { x, weight, bias: Some(bias), epsilon, y });
    });
}

/// Gradient of [`rms_norm`]: writes `dx`, adds to `dweight`.
///
/// # Panics
/// If the lengths are not those of one set of shapes.
pub fn rms_norm_backward(
    (dy, x): (&[f32], &[f32]),
    weight: &[f32],
    epsilon: f32,
    dx: &mut [f32],
    dweight: Option<&mut [f32]>,
) {
    let stats = input_gradient((dy, x), weight, (epsilon, false), dx);
    if let Some(dweight) = dweight {
        assert_eq!(dweight.len(), weight.len(), "length of a norm's gradient");
        column_sums(dy, Factor::Normal(x, &stats), dweight);
    }
}

/// Gradient of [`layer_norm`]: writes `dx`, adds to the gradients of weight and bias.
///
/// # Panics
/// If the lengths are not those of one set of shapes.
pub fn layer_norm_backward(
    (dy, x): (&[f32], &[f32]),
    weight: &[f32],
    epsilon: f32,
    dx: &mut [f32],
    gradients: Option<(&mut [f32], &mut [f32])>,
) {
    let stats = input_gradient((dy, x), weight, (epsilon, true), dx);
    if let Some((dweight, dbias)) = gradients {
        let lengths = (dweight.len(), dbias.len());
        assert_eq!(lengths, (weight.len(), weight.len()), "lengths of a norm's gradients");
        column_sums(dy, Factor::Normal(x, &stats), dweight);
        column_sums(dy, Factor::One, dbias);
    }
}

/// Runs `task` on blocks of rows of `x` and `y`.
fn rows(columns: usize, x: &[f32], y: &mut [f32], task: impl Fn(&[f32], &mut [f32]) + Send + Sync) {
    assert!(columns > 0 && x.len().is_multiple_of(columns), "{} in rows of {columns}", x.len());
    assert_eq!(x.len(), y.len(), "values of a norm");
    let block = ROWS * columns;
    let y = Shared::new(y);
    for_each(x.len().div_ceil(block), x.len() * 4, |i| {
        let range = i * block..x.len().min((i + 1) * block);
        // SAFETY: each task has its own rows.
        task(&x[range.clone()], unsafe { y.slice(range) });
    });
}

/// Writes `dx` and returns mean and scale of every row; `centred` for LayerNorm.
fn input_gradient(
    (dy, x): (&[f32], &[f32]),
    weight: &[f32],
    (epsilon, centred): (f32, bool),
    dx: &mut [f32],
) -> Vec<f32> {
    let columns = weight.len();
    assert!(columns > 0 && x.len().is_multiple_of(columns), "{} in rows of {columns}", x.len());
    assert_eq!((dy.len(), dx.len()), (x.len(), x.len()), "values of a norm's gradient");
    let num_rows = x.len() / columns;
    let mut stats = vec![0.0; 2 * num_rows];
    let (dx, shared) = (Shared::new(dx), Shared::new(&mut stats));
    for_each(num_rows.div_ceil(ROWS), x.len() * 8, |i| {
        let rows = i * ROWS..num_rows.min((i + 1) * ROWS);
        let range = rows.start * columns..rows.end * columns;
        let (dy, x) = (&dy[range.clone()], &x[range.clone()]);
        // SAFETY: each task has its own rows.
        let (dx, stats) = unsafe { (dx.slice(range), shared.slice(2 * rows.start..2 * rows.end)) };
        simd::run(Backward { dy, x, weight, epsilon, centred, dx, stats });
    });
    stats
}

struct Forward<'a> {
    x: &'a [f32],
    weight: &'a [f32],
    /// Present for LayerNorm.
    bias: Option<&'a [f32]>,
    epsilon: f32,
    y: &'a mut [f32],
}

impl Kernel for Forward<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let columns = self.weight.len();
        for (x, y) in self.x.chunks_exact(columns).zip(self.y.chunks_exact_mut(columns)) {
            let (mean, scale) = moments(s, x, self.epsilon, self.bias.is_some());
            let formula = Affine { mean, scale };
            match self.bias {
                Some(bias) => {
                    let inputs = [x, self.weight, bias];
                    Map { formula, inputs, outputs: [y] }.run(s);
                }
                None => Map { formula, inputs: [x, self.weight], outputs: [y] }.run(s),
            }
        }
    }
}

struct Backward<'a> {
    dy: &'a [f32],
    x: &'a [f32],
    weight: &'a [f32],
    epsilon: f32,
    centred: bool,
    dx: &'a mut [f32],
    stats: &'a mut [f32],
}

impl Kernel for Backward<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let columns = self.weight.len();
        let rows = self.x.chunks_exact(columns).zip(self.dy.chunks_exact(columns));
        let outputs = self.dx.chunks_exact_mut(columns).zip(self.stats.chunks_exact_mut(2));
        for ((x, dy), (dx, stats)) in rows.zip(outputs) {
            let (mean, scale) = moments(s, x, self.epsilon, self.centred);
            stats.copy_from_slice(&[mean, scale]);
            let along = Along { mean, scale };
            let along = fold(s, along, [x, dy, self.weight]) / columns as f32;
            let level =
                if self.centred { fold(s, Dot, [dy, self.weight]) / columns as f32 } else { 0.0 };
            let formula = InputGradient { mean, scale, level, along };
            Map { formula, inputs: [x, dy, self.weight], outputs: [dx] }.run(s);
        }
    }
}

/// Mean (zero unless centred) and one over the root of the mean square around it.
#[inline(always)]
fn moments<S: Simd>(s: S, x: &[f32], epsilon: f32, centred: bool) -> (f32, f32) {
    let len = x.len() as f32;
    let mean = if centred { fold(s, Sum, [x]) / len } else { 0.0 };
    let variance = fold(s, Square { mean }, [x]) / len;
    (mean, 1.0 / (variance + epsilon).sqrt())
}

/// `Σ x`.
#[derive(Clone, Copy)]
struct Sum;

impl Formula<1, 1> for Sum {
    #[inline(always)]
    fn at<S: Simd>(self, s: S, [x]: [S::V; 1], [sum]: [S::V; 1]) -> [S::V; 1] {
        [s.add(sum, x)]
    }
}

/// `Σ (x − mean)²`.
#[derive(Clone, Copy)]
struct Square {
    mean: f32,
}

impl Formula<1, 1> for Square {
    #[inline(always)]
    fn at<S: Simd>(self, s: S, [x]: [S::V; 1], [sum]: [S::V; 1]) -> [S::V; 1] {
        let x = s.sub(x, s.splat(self.mean));
        [s.fma(x, x, sum)]
    }
}

/// `Σ a·b`.
#[derive(Clone, Copy)]
struct Dot;

impl Formula<2, 1> for Dot {
    #[inline(always)]
    fn at<S: Simd>(self, s: S, [a, b]: [S::V; 2], [sum]: [S::V; 1]) -> [S::V; 1] {
        [s.fma(a, b, sum)]
    }
}

/// `Σ normal(x)·dy·w`.
#[derive(Clone, Copy)]
struct Along {
    mean: f32,
    scale: f32,
}

impl Formula<3, 1> for Along {
    #[inline(always)]
    fn at<S: Simd>(self, s: S, [x, dy, w]: [S::V; 3], [sum]: [S::V; 1]) -> [S::V; 1] {
        let normal = s.mul(s.sub(x, s.splat(self.mean)), s.splat(self.scale));
        [s.fma(normal, s.mul(dy, w), sum)]
    }
}

/// `normal(x)·w`, and `+ b`.
#[derive(Clone, Copy)]
struct Affine {
    mean: f32,
    scale: f32,
}

impl Formula<2, 1> for Affine {
    #[inline(always)]
    fn at<S: Simd>(self, s: S, [x, w]: [S::V; 2], _: [S::V; 1]) -> [S::V; 1] {
        [s.mul(s.mul(x, s.splat(self.scale)), w)]
    }
}

impl Formula<3, 1> for Affine {
    #[inline(always)]
    fn at<S: Simd>(self, s: S, [x, w, b]: [S::V; 3], _: [S::V; 1]) -> [S::V; 1] {
        let normal = s.mul(s.sub(x, s.splat(self.mean)), s.splat(self.scale));
        [s.fma(normal, w, b)]
    }
}

/// `scale·(dy·w − level − normal(x)·along)`.
#[derive(Clone, Copy)]
struct InputGradient {
    mean: f32,
    scale: f32,
    level: f32,
    along: f32,
}

impl Formula<3, 1> for InputGradient {
    #[inline(always)]
    fn at<S: Simd>(self, s: S, [x, dy, w]: [S::V; 3], _: [S::V; 1]) -> [S::V; 1] {
        let normal = s.mul(s.sub(x, s.splat(self.mean)), s.splat(self.scale));
        let inner = s.sub(s.mul(dy, w), s.splat(self.level));
        [s.mul(s.splat(self.scale), s.sub(inner, s.mul(normal, s.splat(self.along))))]
    }
}
