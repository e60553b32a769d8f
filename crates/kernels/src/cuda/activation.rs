//! SwiGLU and GELU with their gradients.

use crate::cuda::compile::ELEMENTWISE;
use crate::cuda::launch::Launch;
use crate::cuda::memory::Buffer;

/// `silu(gate)·up` (arXiv:2002.05202, equation 6).
///
/// # Panics
/// If the lengths differ; so for all functions here.
pub fn swiglu(gate: &Buffer, up: &Buffer, y: &mut Buffer) {
    assert_eq!((gate.len(), up.len()), (y.len(), y.len()), "lengths of an activation");
    let launch = Launch::new(gate.card(), &ELEMENTWISE, "swiglu");
    launch.arg(gate).arg(up).arg(y).over(gate.len());
}

/// Gradient of [`swiglu`] with respect to gate and up.
pub fn swiglu_backward(
    dy: &Buffer,
    (gate, up): (&Buffer, &Buffer),
    (dgate, dup): (&mut Buffer, &mut Buffer),
) {
    let n = dy.len();
    assert_eq!([gate.len(), up.len(), dgate.len(), dup.len()], [n; 4], "lengths of an activation");
    let launch = Launch::new(dy.card(), &ELEMENTWISE, "swiglu_backward");
    launch.arg(dy).arg(gate).arg(up).arg(dgate).arg(dup).over(n);
}

/// GELU by the error function, `x·Φ(x)` (arXiv:1606.08415).
pub fn gelu_erf(x: &Buffer, y: &mut Buffer) {
    one("gelu_erf", x, y);
}

/// Gradient of [`gelu_erf`].
pub fn gelu_erf_backward(dy: &Buffer, x: &Buffer, dx: &mut Buffer) {
    two("gelu_erf_backward", dy, x, dx);
}

/// GELU by its tanh approximation.
pub fn gelu_tanh(x: &Buffer, y: &mut Buffer) {
    one("gelu_tanh", x, y);
}

/// Gradient of [`gelu_tanh`].
pub fn gelu_tanh_backward(dy: &Buffer, x: &Buffer, dx: &mut Buffer) {
    two("gelu_tanh_backward", dy, x, dx);
}

fn one(kernel: &'static str, x: &Buffer, y: &mut Buffer) {
    assert_eq!(x.len(), y.len(), "lengths of an activation");
    Launch::new(x.card(), &ELEMENTWISE, kernel).arg(x).arg(y).over(x.len());
}

fn two(kernel: &'static str, dy: &Buffer, x: &Buffer, dx: &mut Buffer) {
    assert_eq!((dy.len(), dx.len()), (x.len(), x.len()), "lengths of an activation");
    Launch::new(x.card(), &ELEMENTWISE, kernel).arg(dy).arg(x).arg(dx).over(x.len());
}
