//! The keys of `sightline grpo`, under TRL's names where it has one.

use advantage::{ReplayConfig, Scale};
use engine::{CheckpointConfig, OptimizerConfig};
use loss::{Clip, Kl, KlEstimator, Objective, Reduction, Surrogate};
use rollout::Sampling;
use serde::{Deserialize, Serialize};

use crate::Error;
use crate::config::{
    BatchConfig, ModelConfig, Part, RateConfig, Recipe, RunConfig, Training, in_range,
};

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
    /// How much goes into a step.
    #[serde(flatten)]
    pub batch: BatchConfig,
    /// How completions are drawn.
    #[serde(flatten)]
    pub rollout: RolloutConfig,
    /// From completions to advantages, and for how long they are kept.
    #[serde(flatten)]
    pub reward: RewardConfig,
    /// What is minimised.
    #[serde(flatten)]
    pub objective: ObjectiveConfig,
}

/// How completions are drawn.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RolloutConfig {
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
}

/// From completions to advantages, and for how long they are kept.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RewardConfig {
    /// Weights of the reward's components.
    #[serde(default)]
    pub reward_weights: RewardWeights,
    /// What advantages are divided by.
    #[serde(default)]
    pub scale_rewards: ScaleRewards,
    /// Exponent α of a buffered completion's priority `|Â|^α`.
    #[serde(default = "replay_alpha")]
    pub replay_alpha: f64,
    /// Steps after which the Selective Sample Buffer drops a completion; 0 for no buffer.
    #[serde(default = "replay_staleness")]
    pub replay_staleness: u64,
}

/// What is minimised.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ObjectiveConfig {
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

/// R1V (arXiv:2504.05599), section 2.2, as are temperature and length.
fn eight() -> usize {
    8
}

fn max_completion_length() -> usize {
    8192
}

fn unit() -> f32 {
    1.0
}

/// R1V3 (arXiv:2507.06167), section 3.3.
fn epsilon() -> f64 {
    0.2
}

/// VL-Rethinker (arXiv:2504.08837), section 3.
fn replay_alpha() -> f64 {
    1.0
}

fn replay_staleness() -> u64 {
    4
}

impl GrpoConfig {
    /// Completions of one update.
    pub fn num_completions(&self) -> usize {
        self.batch.step_size()
    }

    /// Prompts of one rollout.
    pub fn num_prompts(&self) -> usize {
        self.num_completions() / self.rollout.num_generations
    }

    /// Steps of a run over `num_questions` prompts: `max_steps`, or as many as it takes to draw every
    /// prompt `num_train_epochs` times, if each step draws once.
    pub fn num_steps(&self, num_questions: usize) -> u64 {
        match self.batch.max_steps {
            0 => self.batch.num_items(num_questions).div_ceil(self.num_prompts() as u64),
            steps => steps,
        }
    }

    /// How tokens are chosen.
    pub fn sampling(&self) -> Sampling {
        let RolloutConfig { temperature, top_k, top_p, repetition_penalty, .. } = self.rollout;
        Sampling { temperature, top_k, top_p, repetition_penalty, seed: self.run.seed }
    }

    /// The objective of fresh and of buffered completions.
    pub fn objective(&self) -> Objective {
        let ObjectiveConfig { beta, epsilon, epsilon_high, .. } = self.objective;
        let high = epsilon_high.unwrap_or(epsilon);
        Objective {
            surrogate: Surrogate::Clipped(Clip { low: epsilon, high, dual: None }),
            kl: Kl { beta, estimator: KlEstimator::K3 },
        }
    }

    /// How token losses become one number.
    pub fn reduction(&self) -> Reduction {
        match self.objective.loss_type {
            LossType::Grpo => Reduction::SequenceMean,
            LossType::Dapo => Reduction::TokenMean,
            LossType::DrGrpo => Reduction::FixedLength(self.rollout.max_completion_length),
        }
    }

    /// What advantages are divided by; TRL's small number.
    pub fn scale(&self) -> Scale {
        match self.reward.scale_rewards {
            ScaleRewards::Group => Scale::Std { epsilon: 1e-4 },
            ScaleRewards::None => Scale::None,
        }
    }

    /// The Selective Sample Buffer's settings.
    pub fn replay(&self) -> ReplayConfig {
        ReplayConfig {
            exponent: self.reward.replay_alpha,
            staleness: self.reward.replay_staleness,
            ..ReplayConfig::new(self.num_completions(), self.run.seed)
        }
    }
}

impl Training for GrpoConfig {
    fn output(&self) -> (&RunConfig, &CheckpointConfig) {
        (&self.run, &self.checkpoint)
    }
}

impl Recipe for GrpoConfig {
    const PARTS: &'static [Part] = &[
        Part::of::<ModelConfig>(),
        Part::of::<RunConfig>(),
        Part::of::<CheckpointConfig>(),
        Part::of::<OptimizerConfig>(),
        Part::of::<RateConfig>(),
        Part::of::<BatchConfig>(),
        Part::of::<RolloutConfig>(),
        Part::of::<RewardConfig>(),
        Part::of::<ObjectiveConfig>(),
    ];

    fn validate(&self) -> Result<(), Error> {
        self.model.trainable()?;
        self.checkpoint.validate()?;
        self.batch.validate()?;
        self.rate.engine(&self.optimizer, self.batch.max_steps.max(1)).validate()?;
        self.validate_rollout()?;
        self.validate_numbers()
    }
}

impl GrpoConfig {
    fn validate_rollout(&self) -> Result<(), Error> {
        let RolloutConfig { num_generations, max_completion_length, temperature, .. } =
            self.rollout;
        let expected = "at least 2: a completion is compared with the others of its group";
        in_range(num_generations >= 2, "num_generations", &num_generations, expected)?;
        in_range(max_completion_length > 0, "max_completion_length", &0, "at least 1")?;
        let expected = "more than 0: greedy completions of a group are all the same";
        in_range(temperature > 0.0, "temperature", &temperature, expected)?;
        self.sampling().validate()?;
        let size = self.batch.per_device_train_batch_size;
        match size.is_multiple_of(num_generations) {
            true => Ok(()),
            false => Err(Error::Contradiction {
                first: format!("per_device_train_batch_size = {size}"),
                second: format!("num_generations = {num_generations}"),
                why: "a micro-batch holds whole groups",
            }),
        }
    }

    fn validate_numbers(&self) -> Result<(), Error> {
        let RewardWeights { rule, format } = self.reward.reward_weights;
        let ObjectiveConfig { beta, epsilon, epsilon_high, .. } = self.objective;
        let not_negative = [
            ("reward_weights.rule", rule),
            ("reward_weights.format", format),
            ("replay_alpha", self.reward.replay_alpha),
            ("beta", beta),
            ("epsilon", epsilon),
            ("epsilon_high", epsilon_high.unwrap_or(epsilon)),
        ];
        for (key, value) in not_negative {
            in_range(value >= 0.0 && value.is_finite(), key, &value, "a finite number from 0")?;
        }
        Ok(())
    }
}
