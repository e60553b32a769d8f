//! Sums, scales and layer scale.

use crate::Tensor;

/// `x += y`.
pub fn add(x: &mut Tensor, y: &Tensor) {
    assert_eq!(x.len(), y.len(), "terms of a sum");
    for (x, y) in x.as_mut_slice().iter_mut().zip(y.as_slice()) {
        *x += y;
    }
}

/// `x *= s`.
pub fn scale(x: &mut Tensor, s: f32) {
    x.as_mut_slice().iter_mut().for_each(|x| *x *= s);
}

/// `x[i, ·] *= s[i]`: how a loss's per-token gradient meets the head's.
pub fn scale_rows(x: &mut Tensor, s: &[f32]) {
    assert_eq!(x.rows(), s.len(), "rows and scales");
    for (i, &s) in s.iter().enumerate() {
        x.row_mut(i).iter_mut().for_each(|x| *x *= s);
    }
}

/// `y[·, j] = x[·, j] · v[j]` (layer scale, arXiv:2103.17239).
pub fn scale_columns(x: &Tensor, v: &Tensor) -> Tensor {
    assert_eq!(x.cols(), v.len(), "columns and scales");
    let mut y = x.clone();
    for row in y.as_mut_slice().chunks_exact_mut(v.len()) {
        row.iter_mut().zip(v.as_slice()).for_each(|(y, v)| *y *= v);
    }
    y
}

/// Gradient of [`scale_columns`]: returns `dx`, adds to `grad_v`.
pub fn scale_columns_backward(
    dy: &Tensor,
    x: &Tensor,
    v: &Tensor,
    grad_v: Option<&mut Tensor>,
) -> Tensor {
    if let Some(grad) = grad_v {
        let mut product = x.clone();
        product.as_mut_slice().iter_mut().zip(dy.as_slice()).for_each(|(x, dy)| *x *= dy);
        super::bias_gradient(&product, grad);
    }
    scale_columns(dy, v)
}
