//! What is minimised.

use serde::{Deserialize, Serialize};

use crate::Error;
use crate::config::in_range;

/// What is minimised.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ObjectiveConfig {
    /// How token losses are averaged.
    #[serde(default)]
    pub loss_type: LossType,
    /// Weight of the divergence from the policy at the start of the run.
    #[serde(default)]
    pub beta: f64,
    /// How the divergence is estimated: `k3` or `k1`.
    #[serde(default)]
    pub kl_estimator: Estimator,
    /// Lower, and upper, distance from 1 beyond which the ratio is clipped.
    #[serde(default = "epsilon")]
    pub epsilon: f64,
    /// Upper distance where it differs from `epsilon`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epsilon_high: Option<f64>,
    /// Dual clip: with a negative advantage, a token's loss is at most so many times the advantage. TRL's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delta: Option<f64>,
    /// Leave completions that were cut off out of the loss.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub mask_truncated_completions: bool,
    /// Largest weight of a token that something else than the policy under training drew; 2 by default, and 0 corrects
    /// nothing. Without `max_staleness` and `rollout_dtype` there is no such token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub importance_sampling_cap: Option<f64>,
}

/// How token losses are averaged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LossType {
    /// Over a completion, then over completions: equation 8 of R1V2.
    #[default]
    Grpo,
    /// Over all tokens of the step.
    Dapo,
    /// Over `max_completion_length`, then over completions.
    DrGrpo,
}

/// An estimator of the divergence from the policy at the start of the run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Estimator {
    /// The plain log-ratio, as R1V3 (arXiv:2507.06167), equation 7, prints it.
    K1,
    /// Never negative: DeepSeekMath, TRL, verl's `low_var_kl`.
    #[default]
    K3,
}

/// R1V3 (arXiv:2507.06167), section 3.3.
fn epsilon() -> f64 {
    0.2
}

impl ObjectiveConfig {
    /// Largest weight of a token drawn elsewhere; TRL's `vllm_importance_sampling_cap`.
    pub fn importance_sampling_cap(&self) -> f64 {
        self.importance_sampling_cap.unwrap_or(2.0)
    }

    pub(super) fn validate(&self) -> Result<(), Error> {
        for (key, value) in [
            ("beta", self.beta),
            ("epsilon", self.epsilon),
            ("epsilon_high", self.epsilon_high.unwrap_or(self.epsilon)),
            ("importance_sampling_cap", self.importance_sampling_cap()),
        ] {
            in_range(value >= 0.0 && value.is_finite(), key, &value, "a finite number from 0")?;
        }
        let delta = self.delta.unwrap_or(f64::MAX);
        let expected = "a finite number above 1 + epsilon_high";
        let most = 1.0 + self.epsilon_high.unwrap_or(self.epsilon);
        in_range(delta > most && delta.is_finite(), "delta", &delta, expected)
    }
}
