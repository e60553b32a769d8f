//! RMSNorm and LayerNorm over the last axis.

use kernels::cuda::Buffer;
use kernels::norm;

use crate::Tensor;
use crate::tensor::card_of;

/// RMSNorm, `x / √(mean(x²) + ε) · w` over the last axis (arXiv:1910.07467). Per-head norms see
/// the tensor as `[t·heads, dim]`.
pub fn rms_norm(x: &Tensor, weight: &Tensor, eps: f32) -> Tensor {
    assert_eq!(x.cols(), weight.len(), "width of a norm");
    if let Some(card) = card_of(&[x, weight]) {
        let mut y = Buffer::scratch(&card, x.len());
        kernels::cuda::norm::rms_norm(&x.on(&card), &weight.on(&card), eps, &mut y);
        return Tensor::of_card(y, x.shape());
    }
    let mut y = Tensor::scratch(x.shape());
    norm::rms_norm(x.as_slice(), weight.as_slice(), eps, y.as_mut_slice());
    y
}

/// Gradient of [`rms_norm`]: returns `dx`, adds to `grad_w` when the weight trains.
pub fn rms_norm_backward(
    dy: &Tensor,
    x: &Tensor,
    weight: &Tensor,
    eps: f32,
    grad_w: Option<&mut Tensor>,
) -> Tensor {
    assert_eq!((dy.len(), x.cols()), (x.len(), weight.len()), "shapes of a norm's gradient");
    if let Some(card) = card_of(&[dy, x, weight]) {
        let mut dx = Buffer::scratch(&card, x.len());
        let inputs = (&*dy.on(&card), &*x.on(&card));
        let grad_w = grad_w.map(|grad| grad.on_mut(&card));
        kernels::cuda::norm::rms_norm_backward(inputs, &weight.on(&card), eps, &mut dx, grad_w);
        return Tensor::of_card(dx, x.shape());
    }
    let mut dx = Tensor::scratch(x.shape());
    let inputs = (dy.as_slice(), x.as_slice());
    let grad_w = grad_w.map(Tensor::as_mut_slice);
    norm::rms_norm_backward(inputs, weight.as_slice(), eps, dx.as_mut_slice(), grad_w);
    dx
}

/// LayerNorm, `(x − mean) / √(variance + ε) · w + b` over the last axis (arXiv:1607.06450).
pub fn layer_norm(x: &Tensor, weight: &Tensor, bias: &Tensor, eps: f32) -> Tensor {
    assert_eq!((x.cols(), bias.len()), (weight.len(), weight.len()), "width of a norm");
    if let Some(card) = card_of(&[x, weight]) {
        let mut y = Buffer::scratch(&card, x.len());
        let (x_card, weight, bias) = (x.on(&card), weight.on(&card), bias.on(&card));
        kernels::cuda::norm::layer_norm(&x_card, &weight, &bias, eps, &mut y);
        return Tensor::of_card(y, x.shape());
    }
    let mut y = Tensor::scratch(x.shape());
    norm::layer_norm(x.as_slice(), weight.as_slice(), bias.as_slice(), eps, y.as_mut_slice());
    y
}

/// Gradient of [`layer_norm`]: returns `dx`, adds to the gradients of weight and bias.
pub fn layer_norm_backward(
    dy: &Tensor,
    x: &Tensor,
    weight: &Tensor,
    eps: f32,
    grads: Option<(&mut Tensor, &mut Tensor)>,
) -> Tensor {
    assert_eq!((dy.len(), x.cols()), (x.len(), weight.len()), "shapes of a norm's gradient");
    if let Some(card) = card_of(&[dy, x, weight]) {
        let mut dx = Buffer::scratch(&card, x.len());
        let inputs = (&*dy.on(&card), &*x.on(&card));
        let grads = grads.map(|(w, b)| (w.on_mut(&card), b.on_mut(&card)));
        kernels::cuda::norm::layer_norm_backward(inputs, &weight.on(&card), eps, &mut dx, grads);
        return Tensor::of_card(dx, x.shape());
    }
    let mut dx = Tensor::scratch(x.shape());
    let inputs = (dy.as_slice(), x.as_slice());
    let grads = grads.map(|(w, b)| (w.as_mut_slice(), b.as_mut_slice()));
    norm::layer_norm_backward(inputs, weight.as_slice(), eps, dx.as_mut_slice(), grads);
    dx
}
