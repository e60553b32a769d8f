//! SwiGLU of a decoder block. Paper: arXiv:2002.05202, equation 6, without biases as a rule.

use tensor::{Gradients, Tensor, ops};

use crate::projection::Projection;

/// `y = down(silu(gate(x)) * up(x))`.
pub(crate) struct Mlp {
    /// Full name in the checkpoint, `….mlp`.
    pub(crate) name: String,
    pub(crate) gate: Projection,
    pub(crate) up: Projection,
    pub(crate) down: Projection,
}

/// What the backward pass needs of the forward pass, `[rows, intermediate]` each. Their product
/// is cheap to compute again and is not kept.
pub(crate) struct MlpTape {
    gate: Tensor,
    up: Tensor,
}

impl Mlp {
    /// The dear half of the forward pass: the two wide layers.
    pub(crate) fn widen(&self, x: &Tensor) -> MlpTape {
        let [gate, up] = Projection::forward_all([&self.gate, &self.up], x);
        MlpTape { gate, up }
    }

    /// The other half: back to `[rows, hidden]`.
    pub(crate) fn narrow(&self, tape: &MlpTape) -> Tensor {
        self.down.forward(&ops::swiglu(&tape.gate, &tape.up))
    }

    /// The gradient with respect to `x`, given that with respect to the output. `x` is wanted only
    /// where [`needs_input`](Self::needs_input) says so.
    pub(crate) fn backward(
        &self,
        dy: &Tensor,
        x: Option<&Tensor>,
        tape: &MlpTape,
        grads: &mut Gradients,
    ) -> Tensor {
        let [gate, up, down] = ["gate_proj", "up_proj", "down_proj"].map(|part| self.path(part));
        let product =
            self.down.needs_input(grads, &down).then(|| ops::swiglu(&tape.gate, &tape.up));
        let dproduct = self.down.backward_from(dy, product.as_ref(), grads, &down);
        let (dgate, dup) = ops::swiglu_backward(&dproduct, &tape.gate, &tape.up);
        let mut dx = self.gate.backward_from(&dgate, x, grads, &gate);
        self.up.backward_add(&dup, x, &mut dx, grads, &up);
        dx
    }

    /// Whether any weight that trains needs the layer's input in the backward pass.
    pub(crate) fn needs_input(&self, grads: &Gradients) -> bool {
        self.gate.needs_input(grads, &self.path("gate_proj"))
            || self.up.needs_input(grads, &self.path("up_proj"))
    }

    fn path(&self, part: &str) -> String {
        format!("{}.{part}", self.name)
    }
}
