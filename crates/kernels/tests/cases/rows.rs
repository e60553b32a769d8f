//! Norms, rotary embedding, activations and the optimiser.

use super::{close, random};
use kernels::optimizer::AdamW;
use kernels::{activation, columns, elementwise, norm, optimizer, reference, rotary};

/// Rows and columns: shorter than a vector, odd, many.
const SHAPES: [(usize, usize); 7] =
    [(1, 1), (3, 7), (2, 16), (5, 33), (70, 24), (130, 576), (3, 1537)];

/// The largest and the smallest arguments beside ordinary ones.
fn arguments(len: usize, seed: u64) -> Vec<f32> {
    let mut x: Vec<f32> = random(len, seed).iter().map(|v| v * 8.0).collect();
    let extremes = [0.0, -0.0, 90.0, -90.0, 1e4, -1e4, 1e-30, -1e-30];
    x.iter_mut().step_by(11).zip(extremes.iter().cycle()).for_each(|(x, e)| *x = *e);
    x
}

pub(crate) fn norms() {
    for (i, (rows, columns)) in SHAPES.into_iter().enumerate() {
        let len = rows * columns;
        let seed = i as u64;
        let x: Vec<f32> = random(len, seed).iter().map(|v| v * 30.0 + 3.0).collect();
        let (dy, w, b) = (random(len, 50 + seed), random(columns, 60), random(columns, 61));
        let what = format!("{rows}×{columns}");
        let (mut fast, mut slow) = (vec![0.0; len], vec![0.0; len]);
        norm::rms_norm(&x, &w, 1e-5, &mut fast);
        reference::norm::rms_norm(&x, &w, 1e-5, &mut slow);
        close(&fast, &slow, 2e-6, &what);
        norm::layer_norm(&x, &w, &b, 1e-5, &mut fast);
        reference::norm::layer_norm(&x, &w, &b, 1e-5, &mut slow);
        close(&fast, &slow, 4e-6, &what);

        let (mut dw, mut db) = (vec![0.5; columns], vec![0.5; columns]);
        let (mut slow_dw, mut slow_db) = (dw.clone(), db.clone());
        norm::rms_norm_backward((&dy, &x), &w, 1e-5, &mut fast, Some(&mut dw));
        reference::norm::rms_norm_backward((&dy, &x), &w, 1e-5, &mut slow, Some(&mut slow_dw));
        // One column has no slope, two hardly any: what is left is rounding.
        let tolerance = if columns < 2 { f32::INFINITY } else { 1e-5 };
        close(&fast, &slow, tolerance, &what);
        close(&dw, &slow_dw, 5e-6, &what);
        norm::layer_norm_backward((&dy, &x), &w, 1e-5, &mut fast, Some((&mut dw, &mut db)));
        let slow_gradients = Some((&mut slow_dw[..], &mut slow_db[..]));
        reference::norm::layer_norm_backward((&dy, &x), &w, 1e-5, &mut slow, slow_gradients);
        close(&fast, &slow, tolerance, &what);
        close(&dw, &slow_dw, 1e-5, &what);
        close(&db, &slow_db, 5e-6, &what);
    }
}

pub(crate) fn rotations() {
    for (rows, heads, dim) in [(1, 1, 2), (3, 2, 24), (130, 9, 64), (7, 3, 16)] {
        let x = random(rows * heads * dim, 3);
        let angles: Vec<f32> = random(rows * dim / 2, 4).iter().map(|v| v * 3.0).collect();
        let (cos, sin): (Vec<f32>, Vec<f32>) = angles.iter().map(|a| (a.cos(), a.sin())).unzip();
        for direction in [1.0, -1.0] {
            let (mut fast, mut slow) = (x.clone(), x.clone());
            rotary::rotate(&mut fast, dim, &cos, &sin, direction);
            reference::rotary::rotate(&mut slow, dim, &cos, &sin, direction);
            close(&fast, &slow, 1e-6, &format!("{rows}×{heads}×{dim}"));
        }
    }
}

/// Close value by value, not only to the largest: tails matter.
fn near(fast: &[f32], slow: &[f32], what: &str) {
    for (f, s) in fast.iter().zip(slow) {
        // Below the normal range the vector exponential is zero.
        let bound = 2e-6 * s.abs() + 1e-6 * f32::EPSILON.max(s.abs()) + 1e-30;
        assert!(
            (f - s).abs() <= bound.max(2e-7 * s.abs().min(1.0)).max(1e-7),
            "{what}: {f}, not {s}"
        );
    }
}

pub(crate) fn activations() {
    for len in [1, 15, 16, 17, 1000, 40_000] {
        let (x, up, dy) = (arguments(len, 1), random(len, 2), random(len, 3));
        let (mut fast, mut slow) = (vec![0.0; len], vec![0.0; len]);
        let (mut fast_up, mut slow_up) = (vec![0.0; len], vec![0.0; len]);
        activation::swiglu(&x, &up, &mut fast);
        reference::activation::swiglu(&x, &up, &mut slow);
        near(&fast, &slow, "swiglu");
        activation::swiglu_backward(&dy, (&x, &up), (&mut fast, &mut fast_up));
        reference::activation::swiglu_backward(&dy, (&x, &up), (&mut slow, &mut slow_up));
        near(&fast, &slow, "swiglu to gate");
        near(&fast_up, &slow_up, "swiglu to up");
        activation::gelu_erf(&x, &mut fast);
        reference::activation::gelu_erf(&x, &mut slow);
        near(&fast, &slow, "gelu");
        activation::gelu_erf_backward(&dy, &x, &mut fast);
        reference::activation::gelu_erf_backward(&dy, &x, &mut slow);
        near(&fast, &slow, "gelu backward");
        activation::gelu_tanh(&x, &mut fast);
        reference::activation::gelu_tanh(&x, &mut slow);
        near(&fast, &slow, "gelu by tanh");
        activation::gelu_tanh_backward(&dy, &x, &mut fast);
        reference::activation::gelu_tanh_backward(&dy, &x, &mut slow);
        near(&fast, &slow, "gelu by tanh backward");
    }
}

pub(crate) fn updates() {
    let rule = AdamW { lr: 1e-2, beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay: 0.1, step: 3 };
    for len in [1, 100, 70_000] {
        let (value, gradient) = (random(len, 1), random(len, 2));
        let (mut fast, mut m, mut v) = (value.clone(), random(len, 3), vec![0.1; len]);
        let (mut slow, mut slow_m, mut slow_v) = (value, m.clone(), v.clone());
        optimizer::adamw(&mut fast, &gradient, (&mut m, &mut v), &rule);
        reference::optimizer::adamw(&mut slow, &gradient, (&mut slow_m, &mut slow_v), &rule);
        close(&fast, &slow, 1e-6, "values");
        close(&m, &slow_m, 1e-6, "first moments");
        close(&v, &slow_v, 1e-6, "second moments");
        let exact = reference::optimizer::sum_squares(&gradient);
        assert!((optimizer::sum_squares(&gradient) - exact).abs() <= 1e-12 * exact);
    }
}

pub(crate) fn sums_and_scales() {
    for (rows, columns) in SHAPES {
        let len = rows * columns;
        let (x, y) = (random(len, 1), random(len, 2));
        let (by_row, by_column) = (random(rows, 3), random(columns, 4));
        let mut fast = x.clone();
        elementwise::add(&mut fast, &y);
        elementwise::scale(&mut fast, 0.3);
        elementwise::scale_rows(&mut fast, &by_row);
        let mut scaled = vec![0.0; len];
        elementwise::scale_columns(&fast, &by_column, &mut scaled);
        let slow: Vec<f32> = (0..len)
            .map(|i| (x[i] + y[i]) * 0.3 * by_row[i / columns] * by_column[i % columns])
            .collect();
        close(&scaled, &slow, 1e-7, "sums and scales");
    }
}

/// Long columns too: rounding must not grow with the number of rows.
pub(crate) fn sums_over_rows() {
    for (rows, columns) in [(1, 1), (3, 700), (1000, 37), (513, 64), (50_000, 3)] {
        let (dy, x) = (random(rows * columns, 5), random(rows * columns, 6));
        let mut fast = random(columns, 6);
        let mut slow = fast.clone();
        columns::bias_gradient(&dy, &mut fast);
        reference::linear::bias_gradient(&dy, &mut slow);
        close(&fast, &slow, 2e-6, &format!("{rows}×{columns}"));
        columns::factor_gradient(&dy, &x, &mut fast);
        let products: Vec<f32> = dy.iter().zip(&x).map(|(dy, x)| dy * x).collect();
        reference::linear::bias_gradient(&products, &mut slow);
        close(&fast, &slow, 2e-6, &format!("{rows}×{columns} by factors"));
    }
}

/// Not-a-number and infinity pass through, and are seen.
pub(crate) fn not_finite() {
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let mut x = random(40_000, 1);
        assert!(optimizer::all_finite(&x));
        x[39_999] = bad;
        assert!(!optimizer::all_finite(&x) && !optimizer::sum_squares(&x).is_finite());
        let mut y = vec![0.0; 40_000];
        norm::rms_norm(&x, &vec![1.0; 40_000], 1e-5, &mut y);
        assert!(!optimizer::all_finite(&y));
    }
    for formula in [activation::gelu_erf, activation::gelu_tanh] {
        let mut y = [0.0; 3];
        formula(&[f32::NAN, 1e30, -1e30], &mut y);
        assert!(y[0].is_nan() && y[1] == 1e30 && y[2] == 0.0, "{y:?}");
    }
}
