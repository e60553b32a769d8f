//! SwiGLU and GELU.

use kernels::activation;

use crate::Tensor;

/// `silu(gate) · up` (arXiv:2002.05202).
pub fn swiglu(gate: &Tensor, up: &Tensor) -> Tensor {
    assert_eq!(gate.shape(), up.shape(), "gate and up");
    let mut y = Tensor::scratch(gate.shape());
    activation::swiglu(gate.as_slice(), up.as_slice(), y.as_mut_slice());
    y
}

/// Gradient of [`swiglu`]: `(dgate, dup)`.
pub fn swiglu_backward(dy: &Tensor, gate: &Tensor, up: &Tensor) -> (Tensor, Tensor) {
    assert_eq!((gate.len(), up.len()), (dy.len(), dy.len()), "gate, up and their gradient");
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
    let mut dx = Tensor::scratch(x.shape());
    let (g, x) = (dy.as_slice(), x.as_slice());
    match kind {
        Gelu::Erf => activation::gelu_erf_backward(g, x, dx.as_mut_slice()),
        Gelu::Tanh => activation::gelu_tanh_backward(g, x, dx.as_mut_slice()),
    }
    dx
}
