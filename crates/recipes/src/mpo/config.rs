//! The keys of `sightline mpo`, under TRL's names where it has one.

use std::path::PathBuf;

use engine::{CheckpointConfig, OptimizerConfig};
use loss::MpoWeights;
use serde::{Deserialize, Serialize};

use super::RoundsConfig;
use crate::Error;
use crate::config::{
    BatchConfig, ModelConfig, Part, RateConfig, Recipe, RunConfig, Training, in_range,
};

/// The keys of `sightline mpo`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct MpoConfig {
    /// The model and what of it trains.
    #[serde(flatten)]
    pub model: ModelConfig,
    /// Where the run reads and writes; the data set holds preference pairs.
    #[serde(flatten)]
    pub run: RunConfig,
    /// When checkpoints are written and held-out pairs are measured, and how many stay.
    #[serde(flatten)]
    pub checkpoint: CheckpointConfig,
    /// AdamW and clipping.
    #[serde(flatten)]
    pub optimizer: OptimizerConfig,
    /// The learning rate over the run.
    #[serde(flatten)]
    pub rate: RateConfig,
    /// How much goes into a step; a micro-batch holds pairs.
    #[serde(flatten)]
    pub batch: BatchConfig,
    /// What is minimised.
    #[serde(flatten)]
    pub objective: PreferenceConfig,
    /// Which pairs are used.
    #[serde(flatten)]
    pub pairs: PairConfig,
    /// When the run ends early.
    #[serde(flatten)]
    pub validation: ValidationConfig,
    /// Where pairs come from.
    #[serde(flatten)]
    pub rounds: RoundsConfig,
}

/// What is minimised: equation 2 of R1V2 (arXiv:2504.16656), or a part of it alone.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PreferenceConfig {
    /// How far a policy may move from the one it began as.
    #[serde(default = "beta")]
    pub beta: f64,
    /// The parts of the loss: `sigmoid` (DPO), `bco_pair`, `sft`.
    #[serde(default = "all_losses")]
    pub loss_type: Vec<PreferenceLoss>,
    /// A weight for each part; 0.8, 0.2 and 1 for the three, and 1 for each of fewer, when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loss_weights: Option<Vec<f64>>,
}

/// A part of the loss, under TRL's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PreferenceLoss {
    /// `L_pref`: direct preference optimisation.
    Sigmoid,
    /// `L_qual`: binary classifier optimisation.
    BcoPair,
    /// `L_gen`: the mean negative log-likelihood of the chosen response.
    Sft,
}

/// Which pairs are used.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PairConfig {
    /// Longest prompt with its longer response, in tokens; longer pairs are left out and counted.
    #[serde(default = "max_length")]
    pub max_length: usize,
    /// Folder that image paths are relative to; the data set's own when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_folder: Option<PathBuf>,
    /// What happens to lines that hold no pair, and to pairs that teach nothing: same responses, an empty one, a missing
    /// or damaged image, a score that is none, a rejected response that scores higher.
    #[serde(default)]
    pub bad_pairs: BadPairs,
    /// Pairs whose scores, where both are known, differ by no more than this are ties, left out and counted.
    #[serde(default = "min_score_gap")]
    pub min_score_gap: f64,
}

/// What happens to something that cannot be used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BadPairs {
    /// It is left out and counted.
    #[default]
    Skip,
    /// The run ends before it begins.
    Stop,
}

/// When the run ends early, for want of progress on held-out pairs.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ValidationConfig {
    /// Held-out pairs, measured at every checkpoint; the best one is kept as `best`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eval_dataset: Option<PathBuf>,
    /// Checkpoints without a better one after which the run ends; never when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub early_stopping_patience: Option<u64>,
    /// What makes a checkpoint better: `loss`, `accuracies` or `margins`.
    #[serde(default)]
    pub metric_for_best_model: BestMetric,
}

/// What makes one checkpoint better than another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BestMetric {
    /// A lower loss.
    Loss,
    /// A larger share of pairs whose chosen response has the higher implicit reward.
    #[default]
    Accuracies,
    /// A larger mean difference of implicit rewards.
    Margins,
}

/// The MPO paper (arXiv:2411.10442), section 4.
fn beta() -> f64 {
    0.1
}

fn all_losses() -> Vec<PreferenceLoss> {
    vec![PreferenceLoss::Sigmoid, PreferenceLoss::BcoPair, PreferenceLoss::Sft]
}

/// InternVL2.5-MPO's scripts.
fn max_length() -> usize {
    8192
}

/// More than rounding makes of equal scores, and less than any judge means.
fn min_score_gap() -> f64 {
    1e-3
}

impl PreferenceConfig {
    /// The weights of equation 2.
    pub fn weights(&self) -> MpoWeights {
        let paper = MpoWeights::PAPER;
        let mut weights = MpoWeights { preference: 0.0, quality: 0.0, generation: 0.0 };
        for (index, part) in self.loss_type.iter().enumerate() {
            let (slot, default) = match part {
                PreferenceLoss::Sigmoid => (&mut weights.preference, paper.preference),
                PreferenceLoss::BcoPair => (&mut weights.quality, paper.quality),
                PreferenceLoss::Sft => (&mut weights.generation, paper.generation),
            };
            *slot = match &self.loss_weights {
                Some(given) => given[index],
                None if self.loss_type.len() == 3 => default,
                None => 1.0,
            };
        }
        weights
    }

    fn validate(&self) -> Result<(), Error> {
        let Self { beta, loss_type, loss_weights } = self;
        in_range(*beta > 0.0 && beta.is_finite(), "beta", beta, "a finite number above 0")?;
        let twice = (1..loss_type.len()).any(|at| loss_type[..at].contains(&loss_type[at]));
        let shown = format!("{loss_type:?}");
        let expected = "one or more of sigmoid, bco_pair and sft, each once";
        in_range(!loss_type.is_empty() && !twice, "loss_type", &shown, expected)?;
        let Some(weights) = loss_weights else { return Ok(()) };
        if weights.len() != loss_type.len() {
            return Err(Error::Contradiction {
                first: format!("loss_weights = {weights:?}"),
                second: format!("loss_type = {shown}"),
                why: "every part of the loss has one weight",
            });
        }
        let holds = weights.iter().all(|weight| weight.is_finite() && *weight >= 0.0)
            && weights.iter().sum::<f64>() > 0.0;
        let expected = "finite numbers from 0, not all of them 0";
        in_range(holds, "loss_weights", &format!("{weights:?}"), expected)
    }
}

impl MpoConfig {
    /// Steps of a run over `num_pairs` pairs: `max_steps`, or as many as it takes to draw every pair
    /// `num_train_epochs` times.
    pub fn num_steps(&self, num_pairs: usize) -> u64 {
        match self.batch.max_steps {
            0 => self.batch.num_items(num_pairs).div_ceil(self.batch.step_size() as u64),
            steps => steps,
        }
    }

    /// Whether a checkpoint is written after this step.
    pub(super) fn is_checkpoint(&self, step: u64, max_steps: u64) -> bool {
        step.is_multiple_of(self.checkpoint.save_steps) || step == max_steps
    }
}

impl Training for MpoConfig {
    fn output(&self) -> (&RunConfig, &CheckpointConfig) {
        (&self.run, &self.checkpoint)
    }
}

impl Recipe for MpoConfig {
    const PARTS: &'static [Part] = &[
        Part::of::<ModelConfig>(),
        Part::of::<RunConfig>(),
        Part::of::<CheckpointConfig>(),
        Part::of::<OptimizerConfig>(),
        Part::of::<RateConfig>(),
        Part::of::<BatchConfig>(),
        Part::of::<PreferenceConfig>(),
        Part::of::<PairConfig>(),
        Part::of::<ValidationConfig>(),
        Part::of::<RoundsConfig>(),
    ];

    fn validate(&self) -> Result<(), Error> {
        self.model.trainable()?;
        self.checkpoint.validate()?;
        self.batch.validate()?;
        self.rate.engine(&self.optimizer, self.batch.max_steps.max(1)).validate()?;
        self.objective.validate()?;
        self.rounds.validate()?;
        in_range(self.pairs.max_length > 0, "max_length", &0, "at least 1")?;
        let gap = self.pairs.min_score_gap;
        in_range(gap >= 0.0 && gap.is_finite(), "min_score_gap", &gap, "at least 0")?;
        let patience = self.validation.early_stopping_patience;
        in_range(patience != Some(0), "early_stopping_patience", &0, "at least 1")?;
        match (patience, &self.validation.eval_dataset) {
            (Some(patience), None) => Err(Error::Contradiction {
                first: format!("early_stopping_patience = {patience}"),
                second: "eval_dataset is not set".to_owned(),
                why: "without held-out pairs nothing says when to stop",
            }),
            _ => Ok(()),
        }
    }
}
