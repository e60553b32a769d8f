//! SwiGLU and GELU.

use kernels::activation;
use kernels::cuda::Buffer;

use crate::Tensor;
use crate::tensor::card_of;

/// `silu(gate) · up` (arXiv:2002.05202).
pub fn swiglu(gate: &Tensor, up: &Tensor) -> Tensor {
    assert_eq!(gate.shape(), up.shape(), "gate and up");
    if let Some(card) = card_of(&[gate, up]) {
        let mut y = Buffer::scratch(&card, gate.len());
        kernels::cuda::activation::swiglu(&gate.on(&card), &up.on(&card), &mut y);
        return Tensor::of_card(y, gate.shape());
    }
    let mut y = Tensor::scratch(gate.shape());
    activation::swiglu(gate.as_slice(), up.as_slice(), y.as_mut_slice());
    y
}

/// Gradient of [`swiglu`]: `(dgate, dup)`.
pub fn swiglu_backward(dy: &Tensor, gate: &Tensor, up: &Tensor) -> (Tensor, Tensor) {
    assert_eq!((gate.len(), up.len()), (dy.len(), dy.len()), "gate, up and their gradient");
    if let Some(card) = card_of(&[dy, gate, up]) {
        let [mut dgate, mut dup] = [(); 2].map(|()| Buffer::scratch(&card, gate.len()));
        let inputs = (&*gate.on(&card), &*up.on(&card));
        kernels::cuda::activation::swiglu_backward(&dy.on(&card), inputs, (&mut dgate, &mut dup));
        return (Tensor::of_card(dgate, gate.shape()), Tensor::of_card(dup, up.shape()));
    }
    let (mut dgate, mut dup) = (Tensor::scratch(gate.shape()), Tensor::scratch(up.shape()));
    let inputs = (gate.as_slice(), up.as_slice());
    activation::swiglu_backward(dy.as_slice(), inputs, (dgate.as_mut_slice(), dup.as_mut_slice()));
    (dgate, dup)
}

/// Which GELU a checkpoint was trained with (arXiv:1606.08415).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gelu {
    /// By the error function (`gelu`).
    Erf,
    /// Its tanh approximation (`gelu_pytorch_tanh`).
    Tanh,
}

/// GELU of every value.
pub fn gelu(x: &Tensor, kind: Gelu) -> Tensor {
    if let Some(card) = card_of(&[x]) {
        let mut y = Buffer::scratch(&card, x.len());
        match kind {
            Gelu::Erf => kernels::cuda::activation::gelu_erf(&x.on(&card), &mut y),
            Gelu::Tanh => kernels::cuda::activation::gelu_tanh(&x.on(&card), &mut y),
        }
        return Tensor::of_card(y, x.shape());
    }
    let mut y = Tensor::scratch(x.shape());
    match kind {
        Gelu::Erf => activation::gelu_erf(x.as_slice(), y.as_mut_slice()),
        Gelu::Tanh => activation::gelu_tanh(x.as_slice(), y.as_mut_slice()),
    }
    y
}

/// Gradient of [`gelu`].
pub fn gelu_backward(dy: &Tensor, x: &Tensor, kind: Gelu) -> Tensor {
    assert_eq!(dy.len(), x.len(), "input and gradient");
    if let Some(card) = card_of(&[dy, x]) {
        let mut dx = Buffer::scratch(&card, x.len());
        let (dy, on_card) = (dy.on(&card), x.on(&card));
        match kind {
            Gelu::Erf => kernels::cuda::activation::gelu_erf_backward(&dy, &on_card, &mut dx),
            Gelu::Tanh => kernels::cuda::activation::gelu_tanh_backward(&dy, &on_card, &mut dx),
        }
        return Tensor::of_card(dx, x.shape());
    }
    let mut dx = Tensor::scratch(x.shape());
    let (g, x) = (dy.as_slice(), x.as_slice());
    match kind {
        Gelu::Erf => activation::gelu_erf_backward(g, x, dx.as_mut_slice()),
        Gelu::Tanh => activation::gelu_tanh_backward(g, x, dx.as_mut_slice()),
    }
    dx
}
