//! Sums, scales and layer scale.

use kernels::{columns, elementwise};

use crate::Tensor;
use crate::tensor::card_of;

/// `x += y`.
pub fn add(x: &mut Tensor, y: &Tensor) {
    assert_eq!(x.len(), y.len(), "terms of a sum");
    if let Some(card) = card_of(&[x, y]) {
        return kernels::cuda::elementwise::add(x.on_mut(&card), &y.on(&card));
    }
    elementwise::add(x.as_mut_slice(), y.as_slice());
}

/// `x *= s`.
pub fn scale(x: &mut Tensor, s: f32) {
    if let Some(card) = card_of(&[x]) {
        return kernels::cuda::elementwise::scale(x.on_mut(&card), s);
    }
    elementwise::scale(x.as_mut_slice(), s);
}

/// `x[i, ·] *= s[i]`: how a loss's per-token gradient meets the head's.
pub fn scale_rows(x: &mut Tensor, s: &[f32]) {
    assert_eq!(x.rows(), s.len(), "rows and scales");
    if let Some(card) = card_of(&[x]) {
        let s = kernels::cuda::Buffer::upload(&card, s);
        return kernels::cuda::elementwise::scale_rows(x.on_mut(&card), &s);
    }
    elementwise::scale_rows(x.as_mut_slice(), s);
}

/// `y[·, j] = x[·, j] · v[j]` (layer scale, arXiv:2103.17239).
pub fn scale_columns(x: &Tensor, v: &Tensor) -> Tensor {
    assert_eq!(x.cols(), v.len(), "columns and scales");
    if let Some(card) = card_of(&[x, v]) {
        let mut y = kernels::cuda::Buffer::scratch(&card, x.len());
        kernels::cuda::elementwise::scale_columns(&x.on(&card), &v.on(&card), &mut y);
        return Tensor::of_card(y, x.shape());
    }
    let mut y = Tensor::scratch(x.shape());
    elementwise::scale_columns(x.as_slice(), v.as_slice(), y.as_mut_slice());
    y
}

/// Gradient of [`scale_columns`]: returns `dx`, adds to `grad_v`.
pub fn scale_columns_backward(
    dy: &Tensor,
    x: &Tensor,
    v: &Tensor,
    grad_v: Option<&mut Tensor>,
) -> Tensor {
    assert_eq!(dy.shape(), x.shape(), "values and their gradients");
    if let Some(grad) = grad_v {
        assert_eq!(grad.len(), v.len(), "shape of a layer scale's gradient");
        match card_of(&[dy, x]) {
            Some(card) => kernels::cuda::elementwise::column_sums(
                &dy.on(&card),
                Some(&x.on(&card)),
                grad.on_mut(&card),
            ),
            None => columns::factor_gradient(dy.as_slice(), x.as_slice(), grad.as_mut_slice()),
        }
    }
    scale_columns(dy, v)
}
