//! The keys of `sightline grpo`, under TRL's names where it has one.

use advantage::{ReplayConfig, Scale};
use engine::{CheckpointConfig, OptimizerConfig};
use loss::{Clip, Kl, KlEstimator, Objective, Reduction, Surrogate};
use serde::{Deserialize, Serialize};

use crate::Error;
use crate::config::{ModelConfig, RateConfig, Recipe, RunConfig, Training, Unknown};
use crate::run::steps_for;

/// The keys of `sightline grpo`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct GrpoConfig {
    /// The model and what of it trains.
    #[serde(flatten)]
    pub model: ModelConfig,
    /// Where the run reads and writes.
    #[serde(flatten)]
    pub run: RunConfig,
    /// When checkpoints are written, and how many stay.
    #[serde(flatten)]
    pub checkpoint: CheckpointConfig,
    /// AdamW and clipping.
    #[serde(flatten)]
    pub optimizer: OptimizerConfig,
    /// The learning rate over the run.
    #[serde(flatten)]
    pub rate: RateConfig,
    /// Completions in a micro-batch; a multiple of `num_generations`.
    pub per_device_train_batch_size: usize,
    /// Micro-batches in a step.
    #[serde(default = "one")]
    pub gradient_accumulation_steps: usize,
    /// Passes over the prompts; not used when `max_steps` is given.
    #[serde(default = "one_epoch")]
    pub num_train_epochs: f64,
    /// Steps of the run; 0 derives them from `num_train_epochs`.
    #[serde(default)]
    pub max_steps: u64,
    /// Completions of each prompt: the size G of a group.
    #[serde(default = "eight")]
    pub num_generations: usize,
    /// The most tokens of a completion.
    #[serde(default = "max_completion_length")]
    pub max_completion_length: usize,
    /// Softmax temperature of the rollouts, and of the log-probs under training.
    #[serde(default = "unit")]
    pub temperature: f32,
    /// Sample among the `top_k` most probable tokens; 0 for all.
    #[serde(default)]
    pub top_k: usize,
    /// Sample among the smallest set of tokens with this probability.
    #[serde(default = "unit")]
    pub top_p: f32,
    /// CTRL repetition penalty of the rollouts.
    #[serde(default = "unit")]
    pub repetition_penalty: f32,
    /// Weights of the reward's components.
    #[serde(default)]
    pub reward_weights: RewardWeights,
    /// What advantages are divided by.
    #[serde(default)]
    pub scale_rewards: ScaleRewards,
    /// How token losses are averaged.
    #[serde(default)]
    pub loss_type: LossType,
    /// Weight of the divergence from the policy at the start of the run.
    #[serde(default)]
    pub beta: f64,
    /// Lower, and upper, distance from 1 beyond which the ratio is clipped.
    #[serde(default = "epsilon")]
    pub epsilon: f64,
    /// Upper distance where it differs from `epsilon`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epsilon_high: Option<f64>,
    /// Refill each step from the Selective Sample Buffer.
    #[serde(default = "yes")]
    pub replay_buffer: bool,
    /// Exponent of a buffered completion's priority `|Â|^α`.
    #[serde(default = "priority")]
    pub replay_alpha: f64,
    /// Steps after which a buffered completion is dropped.
    #[serde(default = "staleness")]
    pub replay_staleness: u64,
    /// Keys that no field took.
    #[serde(flatten)]
    pub unknown: Unknown,
}

/// Weights of the reward's components; R1V3 (arXiv:2507.06167), equation 3, has 0.8 and 0.2.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RewardWeights {
    /// The answer is right.
    pub rule: f64,
    /// Thought, then one boxed answer.
    pub format: f64,
}

impl Default for RewardWeights {
    fn default() -> Self {
        Self { rule: 0.8, format: 0.2 }
    }
}

/// What advantages are divided by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ScaleRewards {
    /// The standard deviation of the group's rewards.
    #[default]
    Group,
    /// Nothing.
    None,
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

fn one() -> usize {
    1
}

fn one_epoch() -> f64 {
    1.0
}

fn eight() -> usize {
    8
}

/// R1V (arXiv:2504.05599), section 2.2.
fn max_completion_length() -> usize {
    8192
}

fn unit() -> f32 {
    1.0
}

fn epsilon() -> f64 {
    0.2
}

fn yes() -> bool {
    true
}

fn priority() -> f64 {
    1.0
}

fn staleness() -> u64 {
    4
}

impl GrpoConfig {
    /// Completions of one update.
    pub fn num_completions(&self) -> usize {
        self.per_device_train_batch_size * self.gradient_accumulation_steps
    }

    /// Prompts of one rollout.
    pub fn num_prompts(&self) -> usize {
        self.num_completions() / self.num_generations
    }

    /// Steps of a run over `num_questions` prompts.
    pub fn num_steps(&self, num_questions: usize) -> u64 {
        match self.max_steps {
            0 => steps_for(num_questions, self.num_train_epochs, self.num_prompts()),
            steps => steps,
        }
    }

    /// The objective of fresh and of buffered completions.
    pub fn objective(&self) -> Objective {
        let high = self.epsilon_high.unwrap_or(self.epsilon);
        Objective {
            surrogate: Surrogate::Clipped(Clip { low: self.epsilon, high, dual: None }),
            kl: Kl { beta: self.beta, estimator: KlEstimator::K3 },
        }
    }

    /// How token losses become one number.
    pub fn reduction(&self) -> Reduction {
        match self.loss_type {
            LossType::Grpo => Reduction::SequenceMean,
            LossType::Dapo => Reduction::TokenMean,
            LossType::DrGrpo => Reduction::FixedLength(self.max_completion_length),
        }
    }

    /// What advantages are divided by; TRL's small number.
    pub fn scale(&self) -> Scale {
        match self.scale_rewards {
            ScaleRewards::Group => Scale::Std { epsilon: 1e-4 },
            ScaleRewards::None => Scale::None,
        }
    }

    /// The Selective Sample Buffer's settings.
    pub fn replay(&self, seed: u64) -> ReplayConfig {
        ReplayConfig {
            exponent: self.replay_alpha,
            staleness: self.replay_staleness,
            ..ReplayConfig::new(self.num_completions(), seed)
        }
    }
}

impl Training for GrpoConfig {
    fn output(&self) -> (&RunConfig, &CheckpointConfig) {
        (&self.run, &self.checkpoint)
    }
}

impl Recipe for GrpoConfig {
    fn unknown(&self) -> &Unknown {
        &self.unknown
    }

    fn validate(&self) -> Result<(), Error> {
        self.model.trainable()?;
        self.rate.engine(&self.optimizer, self.max_steps.max(1)).validate()?;
        self.checkpoint.validate()?;
        if self.num_generations < 2 {
            return Err(Error::Value {
                key: "num_generations",
                value: self.num_generations.to_string(),
                expected: "at least 2: a completion is compared with the others of its group",
            });
        }
        if self.temperature <= 0.0 {
            return Err(Error::Value {
                key: "temperature",
                value: self.temperature.to_string(),
                expected: "more than 0: greedy completions of a group are all the same",
            });
        }
        let size = self.per_device_train_batch_size;
        if size == 0 || !size.is_multiple_of(self.num_generations) {
            return Err(Error::Contradiction {
                first: format!("per_device_train_batch_size = {size}"),
                second: format!("num_generations = {}", self.num_generations),
                why: "a micro-batch holds whole groups",
            });
        }
        Ok(())
    }
}
