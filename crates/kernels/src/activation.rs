//! SwiGLU and GELU with their gradients.

use crate::pointwise::{Pointwise, apply};
use crate::simd::Simd;
use crate::simd::math::{normal, sigmoid};

/// `silu(gate) · up` (arXiv:2002.05202, equation 6).
pub fn swiglu(gate: &[f32], up: &[f32], y: &mut [f32]) {
    apply(Swiglu, [gate, up], [y]);
}

/// Gradient of [`swiglu`] with respect to gate and up.
pub fn swiglu_backward(
    dy: &[f32],
    (gate, up): (&[f32], &[f32]),
    (dgate, dup): (&mut [f32], &mut [f32]),
) {
    apply(SwigluBackward, [dy, gate, up], [dgate, dup]);
}

/// GELU by the error function, `x·Φ(x)` (arXiv:1606.08415).
pub fn gelu_erf(x: &[f32], y: &mut [f32]) {
    apply(GeluErf, [x], [y]);
}

/// Gradient of [`gelu_erf`].
pub fn gelu_erf_backward(dy: &[f32], x: &[f32], dx: &mut [f32]) {
    apply(GeluErfBackward, [dy, x], [dx]);
}

/// GELU by its tanh approximation, `x/2·(1 + tanh(√(2/π)·(x + 0.044715·x³)))`.
pub fn gelu_tanh(x: &[f32], y: &mut [f32]) {
    apply(GeluTanh, [x], [y]);
}

/// Gradient of [`gelu_tanh`].
pub fn gelu_tanh_backward(dy: &[f32], x: &[f32], dx: &mut [f32]) {
    apply(GeluTanhBackward, [dy, x], [dx]);
}

#[derive(Clone, Copy)]
struct Swiglu;

impl Pointwise<2, 1> for Swiglu {
    #[inline(always)]
    fn apply<S: Simd>(self, s: S, [gate, up]: [S::V; 2]) -> [S::V; 1] {
        [s.mul(s.mul(gate, sigmoid(s, gate)), up)]
    }
}

#[derive(Clone, Copy)]
struct SwigluBackward;

impl Pointwise<3, 2> for SwigluBackward {
    #[inline(always)]
    fn apply<S: Simd>(self, s: S, [dy, gate, up]: [S::V; 3]) -> [S::V; 2] {
        let one = s.splat(1.0);
        let logistic = sigmoid(s, gate);
        let slope = s.mul(logistic, s.fma(gate, s.sub(one, logistic), one));
        [s.mul(s.mul(dy, up), slope), s.mul(dy, s.mul(gate, logistic))]
    }
}

#[derive(Clone, Copy)]
struct GeluErf;

impl Pointwise<1, 1> for GeluErf {
    #[inline(always)]
    fn apply<S: Simd>(self, s: S, [x]: [S::V; 1]) -> [S::V; 1] {
        [s.mul(x, normal(s, x).0)]
    }
}

#[derive(Clone, Copy)]
struct GeluErfBackward;

impl Pointwise<2, 1> for GeluErfBackward {
    #[inline(always)]
    fn apply<S: Simd>(self, s: S, [dy, x]: [S::V; 2]) -> [S::V; 1] {
        let (cdf, density) = normal(s, x);
        [s.mul(dy, s.fma(x, density, cdf))]
    }
}

/// `√(2/π)` and the weight of the cubic term.
const TANH: (f32, f32) = (0.797_884_6, 0.044_715);

#[derive(Clone, Copy)]
struct GeluTanh;

impl Pointwise<1, 1> for GeluTanh {
    #[inline(always)]
    fn apply<S: Simd>(self, s: S, [x]: [S::V; 1]) -> [S::V; 1] {
        [s.mul(x, tanh_gate(s, x))]
    }
}

#[derive(Clone, Copy)]
struct GeluTanhBackward;

impl Pointwise<2, 1> for GeluTanhBackward {
    #[inline(always)]
    fn apply<S: Simd>(self, s: S, [dy, x]: [S::V; 2]) -> [S::V; 1] {
        let one = s.splat(1.0);
        let gate = tanh_gate(s, x);
        let inner = s.fma(s.mul(x, x), s.splat(3.0 * TANH.1), one);
        let slope = s.mul(s.splat(2.0 * TANH.0), inner);
        let bend = s.mul(s.mul(x, gate), s.mul(s.sub(one, gate), slope));
        [s.mul(dy, s.add(gate, bend))]
    }
}

/// `(1 + tanh u)/2 = σ(2u)`, which loses nothing where `tanh u` is near −1.
#[inline(always)]
fn tanh_gate<S: Simd>(s: S, x: S::V) -> S::V {
    let cube = s.fma(s.mul(x, x), s.splat(TANH.1), s.splat(1.0));
    sigmoid(s, s.mul(s.splat(2.0 * TANH.0), s.mul(x, cube)))
}
