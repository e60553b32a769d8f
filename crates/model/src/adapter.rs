//! The adapter between vision encoder and language model.
//!
//! ```text
//! v = W_b · gelu(W_a · norm(y) + b_a) + b_b        y [tokens, k²·c] -> v [tokens, hidden]
//! ```
//!
//! Two forms, which differ by flags: InternVL's `mlp1` normalises all of a token's values together
//! (LayerNorm, epsilon 1e-5, PyTorch's default, whatever the encoder's); Qwen2.5-VL's `merger`
//! each patch of a token alone (RMSNorm). GELU is the exact erf form.

use tensor::ops::{self, Gelu};
use tensor::{DType, Gradients, Tensor};

use crate::Error;
use crate::config::qwen_vl::{self, PatchVisionConfig};
use crate::config::vision::NormKind;
use crate::norm::Norm;
use crate::parameter::{Part, PartMut};
use crate::projection::Projection;
use crate::weights::Checkpoint;

/// What precedes the tensor names of InternVL's adapter.
pub const PREFIX: &str = "mlp1.";

/// What precedes the tensor names of Qwen2.5-VL's.
pub const MERGER_PREFIX: &str = "visual.merger.";

const MLP1: Names = Names { prefix: PREFIX, norm: "mlp1.0", first: "mlp1.1", second: "mlp1.3" };
const MERGER: Names = Names {
    prefix: MERGER_PREFIX,
    norm: "visual.merger.ln_q",
    first: "visual.merger.mlp.0",
    second: "visual.merger.mlp.2",
};

/// Shapes of an adapter, and what distinguishes its form.
#[derive(Clone, Debug, PartialEq)]
pub struct AdapterConfig {
    names: &'static Names,
    norm: NormKind,
    eps: f32,
    /// Values that are normalised together.
    norm_size: usize,
    feature_size: usize,
    /// Width between the two layers.
    wide: usize,
    hidden_size: usize,
}

/// What a form calls its tensors.
#[derive(Debug, PartialEq)]
struct Names {
    prefix: &'static str,
    norm: &'static str,
    first: &'static str,
    second: &'static str,
}

impl AdapterConfig {
    /// Values of one row of features.
    pub fn feature_size(&self) -> usize {
        self.feature_size
    }

    /// InternVL's form.
    pub fn mlp1(feature_size: usize, hidden_size: usize) -> Self {
        Self {
            names: &MLP1,
            norm: NormKind::Layer,
            eps: 1e-5,
            norm_size: feature_size,
            feature_size,
            wide: hidden_size,
            hidden_size,
        }
    }

    /// Qwen2.5-VL's form.
    pub fn merger(vision: &PatchVisionConfig, hidden_size: usize) -> Self {
        Self {
            names: &MERGER,
            norm: NormKind::Rms,
            eps: qwen_vl::NORM_EPS,
            norm_size: vision.hidden_size,
            feature_size: vision.feature_size(),
            wide: vision.feature_size(),
            hidden_size,
        }
    }

    /// What precedes the tensors' names.
    pub fn prefix(&self) -> &'static str {
        self.names.prefix
    }

    /// Name and shape of every tensor.
    pub fn tensors(&self) -> Vec<(String, Vec<usize>)> {
        let Self { norm_size, feature_size, wide, hidden_size, .. } = *self;
        let named =
            |name: &str, kind: &str, shape: &[usize]| (format!("{name}.{kind}"), shape.to_vec());
        let Names { norm, first, second, .. } = *self.names;
        let mut tensors = vec![named(norm, "weight", &[norm_size])];
        if self.norm == NormKind::Layer {
            tensors.push(named(norm, "bias", &[norm_size]));
        }
        tensors.extend([
            named(first, "weight", &[wide, feature_size]),
            named(first, "bias", &[wide]),
            named(second, "weight", &[hidden_size, wide]),
            named(second, "bias", &[hidden_size]),
        ]);
        tensors
    }
}

/// The trained bridge: norm, linear, GELU, linear.
pub struct Adapter {
    config: AdapterConfig,
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

/// Name and shape of every tensor of InternVL's adapter.
pub fn tensors(feature_size: usize, hidden_size: usize) -> Vec<(String, Vec<usize>)> {
    AdapterConfig::mlp1(feature_size, hidden_size).tensors()
}

impl Adapter {
    /// Takes the adapter's tensors from a checkpoint. It is stored in f32, as it trains.
    ///
    /// # Errors
    /// When a tensor is missing, misshapen or unreadable.
    pub fn take(checkpoint: &mut Checkpoint, config: AdapterConfig) -> Result<Self, Error> {
        let AdapterConfig { names, norm, eps, norm_size, .. } = config;
        let norm = Norm::take(checkpoint, names.norm, norm_size, norm, eps)?;
        let mut linear = |name: &str, shape: [usize; 2]| {
            Projection::take(checkpoint, name, shape, true, DType::F32)
        };
        let first = linear(names.first, [config.wide, config.feature_size])?;
        let second = linear(names.second, [config.hidden_size, config.wide])?;
        Ok(Self { config, norm, first, second })
    }

    /// Shapes and form.
    pub fn config(&self) -> &AdapterConfig {
        &self.config
    }

    /// Features `[tokens, k²·c]` to embeddings `[tokens, hidden]`.
    pub fn forward(&self, features: &Tensor) -> Tensor {
        let wide = self.first.forward(&self.normalise(features));
        self.second.forward(&ops::gelu(&wide, Gelu::Erf))
    }

    /// As [`forward`](Self::forward), keeping what [`Adapter::backward`] needs.
    pub fn forward_train(&self, features: &Tensor) -> (Tensor, AdapterTape) {
        let normed = self.normalise(features);
        let wide = self.first.forward(&normed);
        let activated = ops::gelu(&wide, Gelu::Erf);
        let out = self.second.forward(&activated);
        (out, AdapterTape { features: features.clone(), normed, wide, activated })
    }

    /// The gradient with respect to the features; adds those of the parameters that `grads` has.
    pub fn backward(&self, dy: &Tensor, tape: &AdapterTape, grads: &mut Gradients) -> Tensor {
        let Names { norm, first, second, .. } = *self.config.names;
        let dactivated = self.second.backward(dy, &tape.activated, grads, second);
        let dwide = ops::gelu_backward(&dactivated, &tape.wide, Gelu::Erf);
        let dnormed = self.first.backward(&dwide, &tape.normed, grads, first);
        let (dnormed, features) = (self.by_norm(&dnormed), self.by_norm(&tape.features));
        let dfeatures = self.norm.backward(&dnormed, &features, grads, norm);
        dfeatures.reshape(tape.features.shape())
    }

    /// Fits a new adapter to features like those to come, `[tokens, k²·c]`: its norm gives each of
    /// them mean 0 and variance 1, and its output is scaled to the standard deviation `spread`.
    ///
    /// A frozen encoder says much the same of every image. Until the adapter has learned to take
    /// that away, what tells images apart is lost on a frozen language model. Data-dependent
    /// initialisation after Krähenbühl et al., arXiv:1511.06856.
    pub fn fit(&mut self, features: &Tensor, spread: f32) {
        self.norm.standardise(features);
        let second = self.config.names.second;
        let factor = spread / std(self.forward(features).as_slice()) as f32;
        let scaled = |(_, part): (String, Part<'_>)| -> Vec<f32> {
            part.values().iter().map(|value| value * factor).collect()
        };
        let values: Vec<_> = self.second.parts(second).into_iter().map(scaled).collect();
        for ((_, mut part), values) in self.second.parts_mut(second).into_iter().zip(&values) {
            part.set(values);
        }
    }

    /// The parameters, by full name.
    pub fn parts(&self) -> Vec<(String, Part<'_>)> {
        let Names { norm, first, second, .. } = *self.config.names;
        let mut parts = self.norm.parts(norm);
        parts.extend(self.first.parts(first));
        parts.extend(self.second.parts(second));
        parts
    }

    /// As [`parts`](Self::parts), to be replaced.
    pub fn parts_mut(&mut self) -> Vec<(String, PartMut<'_>)> {
        let Names { norm, first, second, .. } = *self.config.names;
        let mut parts = self.norm.parts_mut(norm);
        parts.extend(self.first.parts_mut(first));
        parts.extend(self.second.parts_mut(second));
        parts
    }

    /// The norm of each run of values that are normalised together.
    fn normalise(&self, features: &Tensor) -> Tensor {
        self.norm.forward(&self.by_norm(features)).reshape(features.shape())
    }

    /// One row for each run of values that are normalised together.
    fn by_norm(&self, features: &Tensor) -> Tensor {
        let size = self.config.norm_size;
        features.clone().reshape(&[features.len() / size, size])
    }
}
