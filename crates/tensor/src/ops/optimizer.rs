//! AdamW, and what the engine asks of gradients.

pub use kernels::optimizer::AdamW;

use crate::Tensor;
use crate::tensor::card_of;

/// One AdamW update of `value` with its moments `m` and `v` (arXiv:1711.05101).
pub fn adamw(value: &mut Tensor, grad: &Tensor, m: &mut Tensor, v: &mut Tensor, rule: &AdamW) {
    let len = value.len();
    assert_eq!((grad.len(), m.len(), v.len()), (len, len, len), "gradient and moments");
    if let Some(card) = card_of(&[grad, value]) {
        let state = (m.on_mut(&card), v.on_mut(&card));
        return kernels::cuda::optimizer::adamw(value.on_mut(&card), &grad.on(&card), state, rule);
    }
    let state = (m.as_mut_slice(), v.as_mut_slice());
    kernels::optimizer::adamw(value.as_mut_slice(), grad.as_slice(), state, rule);
}

/// `Σ x²` in f64.
pub fn sum_squares(x: &Tensor) -> f64 {
    if let Some(card) = card_of(&[x]) {
        return kernels::cuda::optimizer::sum_squares(&x.on(&card));
    }
    kernels::optimizer::sum_squares(x.as_slice())
}

/// Whether no value is infinite or NaN.
pub fn all_finite(x: &Tensor) -> bool {
    if let Some(card) = card_of(&[x]) {
        return kernels::cuda::optimizer::all_finite(&x.on(&card));
    }
    kernels::optimizer::all_finite(x.as_slice())
}
