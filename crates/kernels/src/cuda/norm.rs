//! RMSNorm and LayerNorm over the last axis, whose width is the weight's length.

use crate::cuda::compile::NORM;
use crate::cuda::elementwise::column_sums;
use crate::cuda::launch::{Grid, Launch, int};
use crate::cuda::memory::Buffer;

/// `y = x / √(mean(x²) + ε) · w` (arXiv:1910.07467, equation 4).
///
/// # Panics
/// If lengths disagree; so for all functions here.
pub fn rms_norm(x: &Buffer, weight: &Buffer, eps: f32, y: &mut Buffer) {
    let rows = rows(x, weight);
    assert_eq!(x.len(), y.len(), "lengths of a norm");
    let launch = Launch::new(x.card(), &NORM, "rms_norm").arg(x).arg(weight).arg(eps).arg(y);
    launch.arg(int(weight.len())).run(Grid::of(rows));
}

/// `y = (x − mean) / √(variance + ε) · w + b` (arXiv:1607.06450, equation 4).
pub fn layer_norm(x: &Buffer, weight: &Buffer, bias: &Buffer, eps: f32, y: &mut Buffer) {
    let rows = rows(x, weight);
    assert_eq!((x.len(), weight.len()), (y.len(), bias.len()), "lengths of a norm");
    let launch =
        Launch::new(x.card(), &NORM, "layer_norm").arg(x).arg(weight).arg(bias).arg(eps).arg(y);
    launch.arg(int(weight.len())).run(Grid::of(rows));
}

/// Gradient of [`rms_norm`]: writes `dx`, adds to `dweight`.
pub fn rms_norm_backward(
    inputs: (&Buffer, &Buffer),
    weight: &Buffer,
    eps: f32,
    dx: &mut Buffer,
    dweight: Option<&mut Buffer>,
) {
    let normal = backward("rms_norm_backward", inputs, (weight, eps), dx, dweight.is_some());
    if let (Some(dweight), Some(normal)) = (dweight, normal) {
        column_sums(inputs.0, Some(&normal), dweight);
    }
}

/// Gradient of [`layer_norm`]: writes `dx`, adds to the gradients of weight and bias.
pub fn layer_norm_backward(
    inputs: (&Buffer, &Buffer),
    weight: &Buffer,
    eps: f32,
    dx: &mut Buffer,
    gradients: Option<(&mut Buffer, &mut Buffer)>,
) {
    let normal = backward("layer_norm_backward", inputs, (weight, eps), dx, gradients.is_some());
    if let (Some((dweight, dbias)), Some(normal)) = (gradients, normal) {
        column_sums(inputs.0, Some(&normal), dweight);
        column_sums(inputs.0, None, dbias);
    }
}

/// Writes `dx`; the normed rows, where a gradient is a sum over them.
fn backward(
    kernel: &'static str,
    (dy, x): (&Buffer, &Buffer),
    (weight, eps): (&Buffer, f32),
    dx: &mut Buffer,
    wants_normal: bool,
) -> Option<Buffer> {
    let rows = rows(x, weight);
    assert_eq!((dy.len(), dx.len()), (x.len(), x.len()), "lengths of a norm's gradient");
    let normal = wants_normal.then(|| Buffer::scratch(x.card(), x.len()));
    let launch = Launch::new(x.card(), &NORM, kernel).arg(dy).arg(x).arg(weight).arg(eps).arg(dx);
    launch.arg(normal.as_ref()).arg(int(weight.len())).run(Grid::of(rows));
    normal
}

fn rows(x: &Buffer, weight: &Buffer) -> usize {
    let rows = x.len() / weight.len().max(1);
    assert_eq!(rows * weight.len(), x.len(), "width of a norm");
    rows
}
