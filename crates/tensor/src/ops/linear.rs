//! Linear layers.

use kernels::linear;

use crate::{Tensor, Weight};

/// `y = x·Wᵀ + b`: `[t, in] -> [t, out]`. Each row's result does not depend on the other rows.
pub fn linear(x: &Tensor, weight: &Weight, bias: Option<&Tensor>) -> Tensor {
    let [y] = linear_all(x, [(weight, bias)]);
    y
}

/// As [`linear()`] for several layers of the same rows at once.
pub fn linear_all<const N: usize>(
    x: &Tensor,
    layers: [(&Weight, Option<&Tensor>); N],
) -> [Tensor; N] {
    let mut all = layers.map(|(weight, _)| x.scratch_with_cols(weight.out_features()));
    let mut of: Vec<_> = (all.iter_mut().zip(layers))
        .map(|(y, (weight, bias))| {
            assert_eq!(x.cols(), weight.in_features(), "input width of a linear layer");
            let bias = bias.map(Tensor::as_slice);
            linear::Layer { weight: weight.packed(), bias, y: y.as_mut_slice() }
        })
        .collect();
    linear::forward_all(x.as_slice(), &mut of);
    all
}

/// `dx = dy·W`: `[t, out] -> [t, in]`.
pub fn linear_backward(dy: &Tensor, weight: &Weight) -> Tensor {
    assert_eq!(dy.cols(), weight.out_features(), "gradient width of a linear layer");
    let mut dx = dy.scratch_with_cols(weight.in_features());
    linear::backward(dy.as_slice(), weight.packed(), dx.as_mut_slice());
    dx
}

/// `dx += dy·W`.
pub fn linear_backward_add(dy: &Tensor, weight: &Weight, dx: &mut Tensor) {
    assert_eq!(dy.cols(), weight.out_features(), "gradient width of a linear layer");
    assert_eq!(dx.cols(), weight.in_features(), "input width of a linear layer");
    linear::backward_add(dy.as_slice(), weight.packed(), dx.as_mut_slice());
}

/// `grad += dyᵀ·x`, `grad` being `[out, in]`.
pub fn weight_gradient(dy: &Tensor, x: &Tensor, grad: &mut Tensor) {
    assert_eq!(grad.len(), dy.cols() * x.cols(), "shape of a weight gradient");
    linear::weight_gradient(dy.as_slice(), x.as_slice(), x.cols(), grad.as_mut_slice());
}

/// `grad += Σ_t dy`, `grad` being `[out]`.
pub fn bias_gradient(dy: &Tensor, grad: &mut Tensor) {
    assert_eq!(grad.len(), dy.cols(), "shape of a bias gradient");
    kernels::columns::bias_gradient(dy.as_slice(), grad.as_mut_slice());
}
