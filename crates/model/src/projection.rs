//! A linear layer with an optional bias and an optional low-rank addition.

use tensor::{DType, Gradients, Tensor, Weight, ops};

use crate::Error;
use crate::lora::Lora;
use crate::parameter::{Part, PartMut};
use crate::weights::Checkpoint;

/// `y = x Wᵀ + b + (α/r)·(x Aᵀ) Bᵀ`; bias and low-rank term where present.
pub struct Projection {
    /// `[out, in]`.
    pub weight: Weight,
    /// `[out]`.
    pub bias: Option<Tensor>,
    /// Low-rank addition (LoRA).
    pub lora: Option<Lora>,
}

impl Projection {
    /// Takes `name.weight` of shape `[out, in]` from a checkpoint, and `name.bias` if `has_bias`.
    ///
    /// # Errors
    ///
    /// When a tensor is missing, misshapen or unreadable.
    pub fn take(
        checkpoint: &mut Checkpoint,
        name: &str,
        [outputs, inputs]: [usize; 2],
        has_bias: bool,
        dtype: DType,
    ) -> Result<Self, Error> {
        let weight = checkpoint.take_weight(&format!("{name}.weight"), outputs, inputs, dtype)?;
        let bias = match has_bias {
            true => Some(checkpoint.take_tensor(&format!("{name}.bias"), &[outputs])?),
            false => None,
        };
        Ok(Self { weight, bias, lora: None })
    }

    /// `[rows, in]` to `[rows, out]`.
    pub fn forward(&self, x: &Tensor) -> Tensor {
        let [y] = Self::forward_all([self], x);
        y
    }

    /// As [`forward`](Self::forward) of several layers of the same rows, at once.
    pub fn forward_all<const N: usize>(layers: [&Self; N], x: &Tensor) -> [Tensor; N] {
        let mut all = ops::linear_all(x, layers.map(|layer| (&layer.weight, layer.bias.as_ref())));
        for (layer, y) in layers.iter().zip(&mut all) {
            if let Some(lora) = &layer.lora {
                lora.add_forward(x, y);
            }
        }
        all
    }

    /// The gradient with respect to `x`, `[rows, in]`, given that with respect to the output,
    /// `[rows, out]`; adds the gradients of the parameters under `name` that `grads` has.
    pub fn backward(&self, dy: &Tensor, x: &Tensor, grads: &mut Gradients, name: &str) -> Tensor {
        self.backward_from(dy, Some(x), grads, name)
    }

    /// As [`backward`](Self::backward); `x` may be `None` where
    /// [`needs_input`](Self::needs_input) is false, so that callers need not recompute it.
    pub fn backward_from(
        &self,
        dy: &Tensor,
        x: Option<&Tensor>,
        grads: &mut Gradients,
        name: &str,
    ) -> Tensor {
        let mut dx = ops::linear_backward(dy, &self.weight);
        self.backward_rest(dy, x, &mut dx, grads, name);
        dx
    }

    /// As [`backward_from`](Self::backward_from), adding to a gradient that other layers of the
    /// same input began.
    pub fn backward_add(
        &self,
        dy: &Tensor,
        x: Option<&Tensor>,
        dx: &mut Tensor,
        grads: &mut Gradients,
        name: &str,
    ) {
        ops::linear_backward_add(dy, &self.weight, dx);
        self.backward_rest(dy, x, dx, grads, name);
    }

    /// Whether the backward pass needs the layer's input: not if all of it is frozen, as then only
    /// the bias could train.
    pub fn needs_input(&self, grads: &Gradients, name: &str) -> bool {
        self.lora.is_some() || grads.get(&format!("{name}.weight")).is_some()
    }

    /// Everything but the gradient through the dense weight.
    fn backward_rest(
        &self,
        dy: &Tensor,
        x: Option<&Tensor>,
        dx: &mut Tensor,
        grads: &mut Gradients,
        name: &str,
    ) {
        if let Some(bias) = grads.get_mut(&format!("{name}.bias")) {
            ops::bias_gradient(dy, bias);
        }
        let Some(x) = x else { return };
        if let Some(weight) = grads.get_mut(&format!("{name}.weight")) {
            ops::weight_gradient(dy, x, weight);
        }
        if let Some(lora) = &self.lora {
            lora.backward_add(dy, x, dx, grads, name);
        }
    }

    /// The dense parameters, by full name: `name.weight`, `name.bias`.
    pub fn parts(&self, name: &str) -> Vec<(String, Part<'_>)> {
        let mut parts = vec![(format!("{name}.weight"), Part::Matrix(&self.weight))];
        parts.extend(self.bias.iter().map(|b| (format!("{name}.bias"), Part::Plain(b))));
        parts
    }

    /// As [`parts`](Self::parts), to be replaced; with the low-rank matrices.
    pub fn parts_mut(&mut self, name: &str) -> Vec<(String, PartMut<'_>)> {
        let mut parts = vec![(format!("{name}.weight"), PartMut::Matrix(&mut self.weight))];
        parts.extend(self.bias.iter_mut().map(|b| (format!("{name}.bias"), PartMut::Plain(b))));
        if let Some(lora) = &mut self.lora {
            parts.extend(lora.parts_mut(name));
        }
        parts
    }

    /// The low-rank matrices, by full name: `name.lora_A.weight`, `name.lora_B.weight`.
    pub fn lora_parts(&self, name: &str) -> Vec<(String, Part<'_>)> {
        self.lora.iter().flat_map(|lora| lora.parts(name)).collect()
    }

    /// Adds the low-rank term into the dense weight, in the weight's storage format, and drops it.
    pub fn merge_lora(&mut self) {
        let Some(lora) = self.lora.take() else { return };
        let mut rows = self.weight.unpack();
        lora.add_to_dense(&mut rows);
        let (outputs, inputs) = (self.weight.out_features(), self.weight.in_features());
        self.weight = Weight::pack(&rows, outputs, inputs, self.weight.dtype());
    }
}
