//! SwiGLU and GELU with their gradients, in f64.

use std::f64::consts::PI;

/// `silu(gate) · up` (arXiv:2002.05202, equation 6).
pub fn swiglu(gate: &[f32], up: &[f32], y: &mut [f32]) {
    for ((y, &gate), &up) in y.iter_mut().zip(gate).zip(up) {
        *y = (silu(f64::from(gate)) * f64::from(up)) as f32;
    }
}

/// Gradient of [`swiglu`] with respect to gate and up.
pub fn swiglu_backward(
    dy: &[f32],
    (gate, up): (&[f32], &[f32]),
    (dgate, dup): (&mut [f32], &mut [f32]),
) {
    for i in 0..dy.len() {
        let (g, u, dy) = (f64::from(gate[i]), f64::from(up[i]), f64::from(dy[i]));
        let s = sigmoid(g);
        dgate[i] = (dy * u * s * (1.0 + g * (1.0 - s))) as f32;
        dup[i] = (dy * silu(g)) as f32;
    }
}

/// GELU by the error function, `x·Φ(x)` (arXiv:1606.08415).
pub fn gelu_erf(x: &[f32], y: &mut [f32]) {
    for (y, &x) in y.iter_mut().zip(x) {
        let x = f64::from(x);
        *y = (x * normal_cdf(x)) as f32;
    }
}

/// Gradient of [`gelu_erf`].
pub fn gelu_erf_backward(dy: &[f32], x: &[f32], dx: &mut [f32]) {
    for i in 0..x.len() {
        let x = f64::from(x[i]);
        let density = (-0.5 * x * x).exp() / (2.0 * PI).sqrt();
        dx[i] = (f64::from(dy[i]) * (normal_cdf(x) + x * density)) as f32;
    }
}

/// GELU by its tanh approximation, `x/2·(1 + tanh(√(2/π)·(x + 0.044715·x³)))`.
pub fn gelu_tanh(x: &[f32], y: &mut [f32]) {
    for (y, &x) in y.iter_mut().zip(x) {
        let x = f64::from(x);
        *y = (0.5 * x * (1.0 + tanh_argument(x).tanh())) as f32;
    }
}

/// Gradient of [`gelu_tanh`].
pub fn gelu_tanh_backward(dy: &[f32], x: &[f32], dx: &mut [f32]) {
    for i in 0..x.len() {
        let x = f64::from(x[i]);
        let t = tanh_argument(x).tanh();
        let slope = (2.0 / PI).sqrt() * (1.0 + 3.0 * 0.044715 * x * x);
        let d = 0.5 * (1.0 + t) + 0.5 * x * (1.0 - t * t) * slope;
        dx[i] = (f64::from(dy[i]) * d) as f32;
    }
}

/// Error function to about 1e-15: its Maclaurin series near zero, the continued fraction of
/// `erfc` (NIST DLMF 7.9.1) in the tail.
pub fn erf(x: f64) -> f64 {
    if x.abs() < 3.0 {
        let mut term = x;
        let mut sum = x;
        for n in 1..100 {
            term *= -x * x / f64::from(n);
            sum += term / f64::from(2 * n + 1);
        }
        return sum * 2.0 / PI.sqrt();
    }
    x.signum() * (1.0 - (-x * x).exp() / tail_fraction(x.abs()))
}

/// Standard normal distribution `Φ(x) = erfc(−x/√2)/2`, accurate in both tails.
pub fn normal_cdf(x: f64) -> f64 {
    let t = x / 2.0_f64.sqrt();
    if t <= -2.0 { 0.5 * (-t * t).exp() / tail_fraction(-t) } else { 0.5 * (1.0 + erf(t)) }
}

/// `e^(−x²) / erfc(x)` for `x ≥ 2`.
fn tail_fraction(x: f64) -> f64 {
    PI.sqrt() * (1..120).rev().fold(x, |f, k| x + 0.5 * f64::from(k) / f)
}

fn tanh_argument(x: f64) -> f64 {
    (2.0 / PI).sqrt() * (x + 0.044715 * x * x * x)
}

fn silu(x: f64) -> f64 {
    x * sigmoid(x)
}

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}
