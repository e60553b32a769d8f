//! SwiGLU and GELU with their gradients.

use crate::formula::{Formula, map};
use crate::simd::Simd;
use crate::simd::math::{normal, sigmoid};

/// `silu(gate)·up` (arXiv:2002.05202, equation 6).
///
/// # Panics
/// If the lengths differ; so for all functions here.
pub fn swiglu(gate: &[f32], up: &[f32], y: &mut [f32]) {
    map(Swiglu, [gate, up], [y]);
}

/// Gradient of [`swiglu`] with respect to gate and up.
pub fn swiglu_backward(
    dy: &[f32],
    (gate, up): (&[f32], &[f32]),
    (dgate, dup): (&mut [f32], &mut [f32]),
) {
    map(Swiglu, [dy, gate, up], [dgate, dup]);
}

/// GELU by the error function, `x·Φ(x)` (arXiv:1606.08415).
pub fn gelu_erf(x: &[f32], y: &mut [f32]) {
    map(GeluErf, [x], [y]);
}

/// Gradient of [`gelu_erf`].
pub fn gelu_erf_backward(dy: &[f32], x: &[f32], dx: &mut [f32]) {
    map(GeluErf, [dy, x], [dx]);
}

/// GELU by its tanh approximation, `x/2·(1 + tanh(√(2/π)·(x + 0.044715·x³)))`.
pub fn gelu_tanh(x: &[f32], y: &mut [f32]) {
    map(GeluTanh, [x], [y]);
}

/// Gradient of [`gelu_tanh`].
pub fn gelu_tanh_backward(dy: &[f32], x: &[f32], dx: &mut [f32]) {
    map(GeluTanh, [dy, x], [dx]);
}

#[derive(Clone, Copy)]
struct Swiglu;

impl Formula<2, 1> for Swiglu {
    #[inline(always)]
    fn at<S: Simd>(self, s: S, [gate, up]: [S::V; 2], _: [S::V; 1]) -> [S::V; 1] {
        [s.mul(s.mul(gate, sigmoid(s, gate)), up)]
    }
}

impl Formula<3, 2> for Swiglu {
    #[inline(always)]
    fn at<S: Simd>(self, s: S, [dy, gate, up]: [S::V; 3], _: [S::V; 2]) -> [S::V; 2] {
        let (one, open) = (s.splat(1.0), sigmoid(s, gate));
        // silu′(g) = σ(g)·(1 + g·(1 − σ(g)))
        let slope = s.mul(open, s.fma(gate, s.sub(one, open), one));
        [s.mul(s.mul(dy, up), slope), s.mul(dy, s.mul(gate, open))]
    }
}

#[derive(Clone, Copy)]
struct GeluErf;

impl Formula<1, 1> for GeluErf {
    #[inline(always)]
    fn at<S: Simd>(self, s: S, [x]: [S::V; 1], _: [S::V; 1]) -> [S::V; 1] {
        [s.mul(x, normal(s, x).0)]
    }
}

impl Formula<2, 1> for GeluErf {
    #[inline(always)]
    fn at<S: Simd>(self, s: S, [dy, x]: [S::V; 2], _: [S::V; 1]) -> [S::V; 1] {
        let (below, density) = normal(s, x);
        [s.mul(dy, s.fma(x, density, below))]
    }
}

/// Written with the logistic function, `(1 + tanh u)/2 = σ(2u)`.
#[derive(Clone, Copy)]
struct GeluTanh;

impl GeluTanh {
    /// `2·√(2/π)` and `2·√(2/π)·0.044715`.
    const INNER: (f32, f32) = (1.595_769, 0.071_354_814);
}

impl Formula<1, 1> for GeluTanh {
    #[inline(always)]
    fn at<S: Simd>(self, s: S, [x]: [S::V; 1], _: [S::V; 1]) -> [S::V; 1] {
        let slope = s.fma(s.mul(x, x), s.splat(Self::INNER.1), s.splat(Self::INNER.0));
        [s.mul(x, sigmoid(s, s.mul(x, slope)))]
    }
}

impl Formula<2, 1> for GeluTanh {
    #[inline(always)]
    fn at<S: Simd>(self, s: S, [dy, x]: [S::V; 2], _: [S::V; 1]) -> [S::V; 1] {
        let square = s.mul(x, x);
        let inner = s.mul(x, s.fma(square, s.splat(Self::INNER.1), s.splat(Self::INNER.0)));
        let slope = s.fma(square, s.splat(3.0 * Self::INNER.1), s.splat(Self::INNER.0));
        let below = sigmoid(s, inner);
        let spread = s.mul(below, s.sub(s.splat(1.0), below));
        [s.mul(dy, s.fma(s.mul(x, slope), spread, below))]
    }
}
