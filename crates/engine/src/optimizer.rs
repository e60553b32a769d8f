//! AdamW with decoupled weight decay, and the global-norm clip before it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tensor::ops::{self, AdamW};
use tensor::{Gradients, Tensor};

use crate::parameters::decays;
use crate::{Error, Parameters};

/// AdamW's settings under transformers' names, with its defaults.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OptimizerConfig {
    /// Learning rate at the schedule's factor 1.
    pub learning_rate: f64,
    /// Decoupled decay λ: a matrix loses the share `lr · λ` per step. Biases, norms and other vectors do not
    /// decay.
    #[serde(default)]
    pub weight_decay: f64,
    /// β₁, the memory of the gradient's mean.
    #[serde(default = "default_beta1")]
    pub adam_beta1: f64,
    /// β₂, the memory of the gradient's square.
    #[serde(default = "default_beta2")]
    pub adam_beta2: f64,
    /// ε, added to the root of the square.
    #[serde(default = "default_epsilon")]
    pub adam_epsilon: f64,
    /// Largest norm of the gradient over all parameters; longer ones are scaled down. 0 switches it off.
    #[serde(default = "default_max_grad_norm")]
    pub max_grad_norm: f64,
}

fn default_beta1() -> f64 {
    0.9
}

fn default_beta2() -> f64 {
    0.999
}

fn default_epsilon() -> f64 {
    1e-8
}

fn default_max_grad_norm() -> f64 {
    1.0
}

impl OptimizerConfig {
    /// The given rate and decay, everything else as transformers has it.
    pub fn new(learning_rate: f64, weight_decay: f64) -> Self {
        Self {
            learning_rate,
            weight_decay,
            adam_beta1: default_beta1(),
            adam_beta2: default_beta2(),
            adam_epsilon: default_epsilon(),
            max_grad_norm: default_max_grad_norm(),
        }
    }

    /// Checks that each value is in its range.
    pub fn validate(&self) -> Result<(), Error> {
        let not_negative = 0.0..f64::INFINITY;
        let below_one = 0.0..1.0;
        let checks = [
            ("learning_rate", self.learning_rate, &not_negative, "a finite number from 0"),
            ("weight_decay", self.weight_decay, &not_negative, "a finite number from 0"),
            ("adam_beta1", self.adam_beta1, &below_one, "a number from 0 to below 1"),
            ("adam_beta2", self.adam_beta2, &below_one, "a number from 0 to below 1"),
            (
                "adam_epsilon",
                self.adam_epsilon,
                &(f64::MIN_POSITIVE..1.0),
                "a number between 0 and 1",
            ),
            (
                "max_grad_norm",
                self.max_grad_norm,
                &not_negative,
                "a finite number from 0 (0: no clipping)",
            ),
        ];
        for (key, value, range, expected) in checks {
            if !range.contains(&value) {
                return Err(Error::Config { key, value: value.to_string(), expected });
            }
        }
        Ok(())
    }

    fn at(&self, learning_rate: f64, step: u64) -> AdamW {
        AdamW {
            lr: learning_rate as f32,
            beta1: self.adam_beta1 as f32,
            beta2: self.adam_beta2 as f32,
            eps: self.adam_epsilon as f32,
            weight_decay: self.weight_decay as f32,
            // By then the bias correction has long been 1.
            step: u32::try_from(step).unwrap_or(u32::MAX),
        }
    }
}

/// What AdamW remembers of one parameter's gradients.
#[derive(Clone, Debug)]
pub(crate) struct Moments {
    /// m, the running mean.
    pub(crate) mean: Tensor,
    /// v, the running mean of the square.
    pub(crate) square: Tensor,
}

/// Zero moments for each parameter, by name.
pub(crate) fn zero_moments(parameters: &Parameters) -> BTreeMap<String, Moments> {
    parameters
        .iter()
        .map(|(name, values)| {
            let zeros = || Tensor::zeros(values.shape());
            (name.to_owned(), Moments { mean: zeros(), square: zeros() })
        })
        .collect()
}

/// Moves every parameter by one AdamW update, at the given learning rate.
///
/// ```text
/// m ← β₁ m + (1 − β₁) g          v ← β₂ v + (1 − β₂) g²
/// w ← w − lr λ w − lr m̂ / (√v̂ + ε)          m̂ = m / (1 − β₁ᵗ),  v̂ = v / (1 − β₂ᵗ)
/// ```
///
/// Paper: Loshchilov and Hutter, arXiv:1711.05101, algorithm 2, with PyTorch's convention that λ is
/// scaled by the learning rate. `step` is t, from 1.
pub(crate) fn update(
    config: &OptimizerConfig,
    learning_rate: f64,
    step: u64,
    parameters: &mut Parameters,
    moments: &mut BTreeMap<String, Moments>,
    gradients: &Gradients,
) {
    for (name, values) in parameters.iter_mut() {
        let moments = moments.get_mut(name).expect("there are moments for each parameter");
        let gradient = gradients.get(name).expect("there is an accumulator for each parameter");
        let mut rule = config.at(learning_rate, step);
        if !decays(values.shape()) {
            rule.weight_decay = 0.0;
        }
        ops::adamw(values, gradient, &mut moments.mean, &mut moments.square, &rule);
    }
}

/// Norm of the gradient over all parameters; NaN or infinite as soon as one element is.
pub(crate) fn global_norm(gradients: &Gradients) -> f64 {
    gradients.iter().map(|(_, gradient)| ops::sum_squares(gradient)).sum::<f64>().sqrt()
}

/// Scales the gradients so that their norm is at most `max_norm`; 0 leaves them alone.
///
/// The factor is that of PyTorch's `clip_grad_norm_`, `max_norm / (norm + 1e-6)`.
pub(crate) fn clip(gradients: &mut Gradients, norm: f64, max_norm: f64) {
    let factor = max_norm / (norm + 1e-6);
    if max_norm > 0.0 && factor < 1.0 {
        for (_, gradient) in gradients.iter_mut() {
            ops::scale(gradient, factor as f32);
        }
    }
}
