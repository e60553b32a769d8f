//! Linear layers.

use kernels::cuda::Buffer;
use kernels::linear;

use crate::tensor::card_of;
use crate::weight::CardMatrix;
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
    if layers.iter().any(|(weight, _)| weight.card().is_some()) {
        return linear_on_card(x, layers);
    }
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

fn linear_on_card<const N: usize>(
    x: &Tensor,
    layers: [(&Weight, Option<&Tensor>); N],
) -> [Tensor; N] {
    let layers = layers.map(|(weight, bias)| {
        let on_card = weight.card().expect("layers of one input are in one place");
        assert_eq!(x.cols(), on_card.inputs, "input width of a linear layer");
        (on_card, bias)
    });
    let card = layers[0].0.matrix.card();
    let biases = layers.map(|(_, bias)| bias.map(|bias| bias.on(card)));
    let of = std::array::from_fn::<_, N, _>(|i| (&layers[i].0.matrix, biases[i].as_deref()));
    let all = kernels::cuda::linear::forward_all(&x.on(card), of, x.cols());
    let mut outputs = layers.iter().map(|(on_card, _)| on_card.outputs());
    all.map(|y| {
        let cols = outputs.next().expect("a result for each layer");
        Tensor::of_card(y, &x.shape_with_cols(cols))
    })
}

/// `dx = dy·W`: `[t, out] -> [t, in]`.
pub fn linear_backward(dy: &Tensor, weight: &Weight) -> Tensor {
    assert_eq!(dy.cols(), weight.out_features(), "gradient width of a linear layer");
    if let Some(CardMatrix { matrix, inputs }) = weight.card() {
        let card = matrix.card();
        let mut dx = Buffer::scratch(card, dy.rows() * inputs);
        kernels::cuda::linear::backward(&dy.on(card), matrix, &mut dx, *inputs, false);
        return Tensor::of_card(dx, &dy.shape_with_cols(*inputs));
    }
    let mut dx = dy.scratch_with_cols(weight.in_features());
    linear::backward(dy.as_slice(), weight.packed(), dx.as_mut_slice());
    dx
}

/// `dx += dy·W`.
pub fn linear_backward_add(dy: &Tensor, weight: &Weight, dx: &mut Tensor) {
    assert_eq!(dy.cols(), weight.out_features(), "gradient width of a linear layer");
    assert_eq!(dx.cols(), weight.in_features(), "input width of a linear layer");
    if let Some(CardMatrix { matrix, inputs }) = weight.card() {
        let card = matrix.card();
        return kernels::cuda::linear::backward(
            &dy.on(card),
            matrix,
            dx.on_mut(card),
            *inputs,
            true,
        );
    }
    linear::backward_add(dy.as_slice(), weight.packed(), dx.as_mut_slice());
}

/// `grad += dyᵀ·x`, `grad` being `[out, in]`.
pub fn weight_gradient(dy: &Tensor, x: &Tensor, grad: &mut Tensor) {
    assert_eq!(grad.len(), dy.cols() * x.cols(), "shape of a weight gradient");
    if let Some(card) = card_of(&[dy, x]) {
        let (dy, x_card) = (dy.on(&card), x.on(&card));
        return kernels::cuda::linear::weight_gradient(&dy, &x_card, x.cols(), grad.on_mut(&card));
    }
    linear::weight_gradient(dy.as_slice(), x.as_slice(), x.cols(), grad.as_mut_slice());
}

/// `grad += Σ_t dy`, `grad` being `[out]`.
pub fn bias_gradient(dy: &Tensor, grad: &mut Tensor) {
    assert_eq!(grad.len(), dy.cols(), "shape of a bias gradient");
    if let Some(card) = card_of(&[dy]) {
        return kernels::cuda::elementwise::column_sums(&dy.on(&card), None, grad.on_mut(&card));
    }
    kernels::columns::bias_gradient(dy.as_slice(), grad.as_mut_slice());
}
