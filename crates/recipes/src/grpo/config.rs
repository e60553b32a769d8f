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

mod generation;
mod reward;
mod replay;
mod objective;
mod guard;

pub use generation::{RethinkingConfig, RolloutConfig};
pub use guard::{AlarmConfig, GrpoMetric, GuardConfig};
pub use objective::{Estimator, LossType, ObjectiveConfig};
pub use replay::BufferConfig;
pub use reward::{Aggregation, CustomReward, RewardConfig, RewardWeights, ScaleRewards};

/// TRL's small number beside a standard deviation.
pub(super) const EPSILON: f64 = 1e-4;

/// The dual clip of buffered completions where `delta` sets none: verl's `clip_ratio_c`.
const REPLAY_DUAL_CLIP: f64 = 3.0;

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
    /// From completions to advantages.
    #[serde(flatten)]
    pub reward: RewardConfig,
    /// How long completions are kept.
    #[serde(flatten)]
    pub buffer: BufferConfig,
    /// What is minimised.
    #[serde(flatten)]
    pub objective: ObjectiveConfig,
    /// Held-out questions, alarms, and the rule that ends a run.
    #[serde(flatten)]
    pub guard: GuardConfig,
}

impl GrpoConfig {
    /// Completions of one rollout.
    pub fn num_completions(&self) -> usize {
        self.batch.per_device_train_batch_size * self.steps_per_generation()
    }

    /// Prompts of one rollout.
    pub fn num_prompts(&self) -> usize {
        self.num_completions() / self.rollout.num_generations
    }

    /// Parts of a rollout that are an update each.
    pub fn num_parts(&self) -> usize {
        self.steps_per_generation() / self.batch.gradient_accumulation_steps
    }

    /// Updates that a rollout is learned in.
    pub(super) fn updates_per_rollout(&self) -> u64 {
        (self.rollout.num_iterations * self.num_parts()) as u64
    }

    fn steps_per_generation(&self) -> usize {
        self.rollout.steps_per_generation.unwrap_or(self.batch.gradient_accumulation_steps)
    }

    /// Steps of a run over `num_questions` prompts: `max_steps`, or as many as it takes to draw every
    /// prompt `num_train_epochs` times, if each step draws once.
    pub fn num_steps(&self, num_questions: usize) -> u64 {
        match self.batch.max_steps {
            0 => {
                let num_items = self.batch.num_items(num_questions);
                num_items.div_ceil(self.num_prompts() as u64) * self.updates_per_rollout()
            }
            steps => steps,
        }
    }

    /// How tokens are chosen.
    pub fn sampling(&self) -> Sampling {
        let RolloutConfig { temperature, top_k, top_p, repetition_penalty, .. } = self.rollout;
        Sampling { temperature, top_k, top_p, repetition_penalty, seed: self.run.seed }
    }

    /// The objective of fresh completions.
    pub fn objective(&self) -> Objective {
        let ObjectiveConfig { beta, epsilon, epsilon_high, delta, kl_estimator, .. } =
            self.objective;
        let high = epsilon_high.unwrap_or(epsilon);
        let estimator = match kl_estimator {
            Estimator::K1 => KlEstimator::K1,
            Estimator::K3 => KlEstimator::K3,
        };
        Objective {
            surrogate: Surrogate::Clipped(Clip { low: epsilon, high, dual: delta }),
            kl: Kl { beta, estimator },
        }
    }

    /// The objective of buffered completions: their ratios may be far from 1, so one of a negative advantage is
    /// bounded too.
    pub fn replay_objective(&self) -> Objective {
        let objective = self.objective();
        let surrogate = match (self.buffer.replay_importance_cap, objective.surrogate) {
            (Some(cap), _) => Surrogate::Truncated { cap },
            (None, Surrogate::Clipped(clip)) => {
                Surrogate::Clipped(Clip { dual: clip.dual.or(Some(REPLAY_DUAL_CLIP)), ..clip })
            }
            (None, other) => other,
        };
        Objective { surrogate, ..objective }
    }

    /// How token losses become one number.
    pub fn reduction(&self) -> Reduction {
        match self.objective.loss_type {
            LossType::Grpo => Reduction::SequenceMean,
            LossType::Dapo => Reduction::TokenMean,
            LossType::DrGrpo => Reduction::FixedLength(self.rollout.max_completion_length),
        }
    }

    /// Whether tokens that something else than the policy under training drew are weighted.
    pub(super) fn corrects_importance(&self) -> bool {
        self.rollout.is_apart() && self.objective.importance_sampling_cap() > 0.0
    }

    /// What the advantages of a sum of rewards are divided by.
    pub fn scale(&self) -> Scale {
        match self.reward.scale_rewards {
            ScaleRewards::Group => Scale::Std { epsilon: EPSILON },
            ScaleRewards::None => Scale::None,
        }
    }

    /// The Selective Sample Buffer's settings. It counts in steps: a completion that was drawn ahead is older by as
    /// many rollouts when it is first learned from.
    pub fn replay(&self) -> ReplayConfig {
        let rollouts = match self.buffer.replay_staleness {
            0 => 0,
            rollouts => rollouts + self.rollout.max_staleness() as u64,
        };
        let default = ReplayConfig::new(self.num_completions(), self.run.seed);
        ReplayConfig {
            exponent: self.buffer.replay_alpha,
            staleness: rollouts * self.updates_per_rollout(),
            capacity: self.buffer.replay_capacity.unwrap_or(default.capacity),
            unit: self.buffer.replay_unit,
            ..default
        }
    }

    /// Whether the divergence from the reference is measured: where it costs something, or an alarm asks for it.
    pub(super) fn measures_kl(&self) -> bool {
        self.objective.beta != 0.0 || self.guard.alarms().kl.is_some()
    }

    /// Whether held-out questions are answered after this step.
    pub(super) fn is_measured(&self, step: u64, max_steps: u64) -> bool {
        let steps = self.guard.eval_steps.unwrap_or(self.checkpoint.save_steps);
        self.guard.is_measuring() && (step.is_multiple_of(steps) || step == max_steps)
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
        Part::of::<BufferConfig>(),
        Part::of::<ObjectiveConfig>(),
        Part::of::<GuardConfig>(),
    ];

    fn validate(&self) -> Result<(), Error> {
        self.model.trainable()?;
        self.checkpoint.validate()?;
        self.batch.validate()?;
        self.rate.engine(&self.optimizer, self.batch.max_steps.max(1)).validate()?;
        self.rollout.validate()?;
        self.sampling().validate()?;
        self.validate_sizes()?;
        self.reward.validate()?;
        self.buffer.validate()?;
        self.objective.validate()?;
        self.guard.validate(self.checkpoint.save_steps)
    }
}

impl GrpoConfig {
    /// Groups fit into micro-batches, and micro-batches into updates.
    fn validate_sizes(&self) -> Result<(), Error> {
        let (size, num_generations) =
            (self.batch.per_device_train_batch_size, self.rollout.num_generations);
        if !size.is_multiple_of(num_generations) {
            return Err(Error::Contradiction {
                first: format!("per_device_train_batch_size = {size}"),
                second: format!("num_generations = {num_generations}"),
                why: "a micro-batch holds whole groups",
            });
        }
        let (steps, accumulation) =
            (self.steps_per_generation(), self.batch.gradient_accumulation_steps);
        let holds = steps > 0 && steps.is_multiple_of(accumulation);
        let expected = "a multiple of gradient_accumulation_steps";
        in_range(holds, "steps_per_generation", &steps, expected)
    }
}
