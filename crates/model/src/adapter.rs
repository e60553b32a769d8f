//! The adapter between vision encoder and language model, `mlp1` in checkpoints.
//!
//! ```text
//! v = W_b · gelu(W_a · layer_norm(y) + b_a) + b_b        y [tokens, k²·c] -> v [tokens, hidden]
//! ```
//!
//! GELU is the exact erf form; the norm's epsilon is 1e-5, PyTorch's default, whatever the encoder's.

use tensor::ops::{self, Gelu};
use tensor::{DType, Gradients, Tensor};

use crate::Error;
use crate::config::vision::NormKind;
use crate::norm::Norm;
use crate::parameter::{Part, PartMut};
use crate::projection::Projection;
use crate::weights::Checkpoint;

/// What precedes the adapter's tensor names.
pub const PREFIX: &str = "mlp1.";

const NORM: &str = "mlp1.0";
const FIRST: &str = "mlp1.1";
const SECOND: &str = "mlp1.3";
const EPS: f32 = 1e-5;

/// The trained bridge: LayerNorm, linear, GELU, linear.
pub struct Adapter {
    norm: Norm,
    first: Projection,
    second: Projection,
}

/// What the backward pass needs of a forward pass.
pub struct AdapterTape {
    features: Tensor,
    normed: Tensor,
    wide: Tensor,
    activated: Tensor,
}

/// The standard deviation of all values together.
pub(crate) fn std(values: &[f32]) -> f64 {
    let num = values.len().max(1) as f64;
    let mean = values.iter().map(|&value| f64::from(value)).sum::<f64>() / num;
    let squares = values.iter().map(|&value| (f64::from(value) - mean).powi(2)).sum::<f64>();
    (squares / num).sqrt()
}

/// Name and shape of every tensor of an adapter.
pub fn tensors(feature_size: usize, hidden_size: usize) -> Vec<(String, Vec<usize>)> {
    let named =
        |name: &str, kind: &str, shape: &[usize]| (format!("{name}.{kind}"), shape.to_vec());
    vec![
        named(NORM, "weight", &[feature_size]),
        named(NORM, "bias", &[feature_size]),
        named(FIRST, "weight", &[hidden_size, feature_size]),
        named(FIRST, "bias", &[hidden_size]),
        named(SECOND, "weight", &[hidden_size, hidden_size]),
        named(SECOND, "bias", &[hidden_size]),
    ]
}

impl Adapter {
    /// Takes `mlp1.*` from a checkpoint. The adapter is stored in f32, as it trains.
    ///
    /// # Errors
    /// When a tensor is missing, misshapen or unreadable.
    pub fn take(
        checkpoint: &mut Checkpoint,
        feature_size: usize,
        hidden_size: usize,
    ) -> Result<Self, Error> {
        let first = [hidden_size, feature_size];
        let second = [hidden_size, hidden_size];
        Ok(Self {
            norm: Norm::take(checkpoint, NORM, feature_size, NormKind::Layer, EPS)?,
            first: Projection::take(checkpoint, FIRST, first, true, DType::F32)?,
            second: Projection::take(checkpoint, SECOND, second, true, DType::F32)?,
        })
    }

    /// Features `[tokens, k²·c]` to embeddings `[tokens, hidden]`.
    pub fn forward(&self, features: &Tensor) -> Tensor {
        let wide = self.first.forward(&self.norm.forward(features));
        self.second.forward(&ops::gelu(&wide, Gelu::Erf))
    }

    /// As [`forward`](Self::forward), keeping what [`Adapter::backward`] needs.
    pub fn forward_train(&self, features: &Tensor) -> (Tensor, AdapterTape) {
        let normed = self.norm.forward(features);
        let wide = self.first.forward(&normed);
        let activated = ops::gelu(&wide, Gelu::Erf);
        let out = self.second.forward(&activated);
        (out, AdapterTape { features: features.clone(), normed, wide, activated })
    }

    /// The gradient with respect to the features; adds those of the parameters that `grads` has.
    pub fn backward(&self, dy: &Tensor, tape: &AdapterTape, grads: &mut Gradients) -> Tensor {
        let dactivated = self.second.backward(dy, &tape.activated, grads, SECOND);
        let dwide = ops::gelu_backward(&dactivated, &tape.wide, Gelu::Erf);
        let dnormed = self.first.backward(&dwide, &tape.normed, grads, FIRST);
        self.norm.backward(&dnormed, &tape.features, grads, NORM)
    }

    /// Fits a new adapter to features like those to come, `[tokens, k²·c]`: its norm gives each of
    /// them mean 0 and variance 1, and its output is scaled to the standard deviation `spread`.
    ///
    /// A frozen encoder says much the same of every image. Until the adapter has learned to take
    /// that away, what tells images apart is lost on a frozen language model. Data-dependent
    /// initialisation after Krähenbühl et al., arXiv:1511.06856.
    pub fn fit(&mut self, features: &Tensor, spread: f32) {
        self.norm.standardise(features);
        let factor = spread / std(self.forward(features).as_slice()) as f32;
        let scaled = |(_, part): (String, Part<'_>)| -> Vec<f32> {
            part.values().iter().map(|value| value * factor).collect()
        };
        let values: Vec<_> = self.second.parts(SECOND).into_iter().map(scaled).collect();
        for ((_, mut part), values) in self.second.parts_mut(SECOND).into_iter().zip(&values) {
            part.set(values);
        }
    }

    /// The parameters, by full name.
    pub fn parts(&self) -> Vec<(String, Part<'_>)> {
        let mut parts = self.norm.parts(NORM);
        parts.extend(self.first.parts(FIRST));
        parts.extend(self.second.parts(SECOND));
        parts
    }

    /// As [`parts`](Self::parts), to be replaced.
    pub fn parts_mut(&mut self) -> Vec<(String, PartMut<'_>)> {
        let mut parts = self.norm.parts_mut(NORM);
        parts.extend(self.first.parts_mut(FIRST));
        parts.extend(self.second.parts_mut(SECOND));
        parts
    }
}
