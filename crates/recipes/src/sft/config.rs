//! The keys of `sightline sft`, under TRL's names where it has one.

use engine::{CheckpointConfig, OptimizerConfig};
use loss::Reduction;
use serde::{Deserialize, Serialize};

use super::batches::Batches;
use crate::Error;
use crate::config::{
    BatchConfig, ModelConfig, Part, RateConfig, Recipe, RunConfig, Training, in_range,
};

/// The keys of `sightline sft`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SftConfig {
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
    /// What is learned from the samples.
    #[serde(flatten)]
    pub samples: SampleConfig,
}

/// What is learned from the samples.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SampleConfig {
    /// Longest sample, in tokens; longer ones are left out and counted.
    #[serde(default = "max_length")]
    pub max_length: usize,
    /// Fill each micro-batch up to `max_length` tokens instead of counting samples.
    #[serde(default)]
    pub packing: bool,
    /// Draw samples in a new order each epoch; otherwise in the file's order.
    #[serde(default = "yes")]
    pub shuffle_dataset: bool,
    /// How token losses are averaged over samples.
    #[serde(default)]
    pub loss_reduction: LossReduction,
}

/// Weight of a token in a sample of `n` supervised tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LossReduction {
    /// 1.
    Token,
    /// 1/n.
    Sample,
    /// 1/√n, as InternVL's stage-1 scripts have it.
    #[default]
    Square,
}

impl From<LossReduction> for Reduction {
    fn from(reduction: LossReduction) -> Self {
        match reduction {
            LossReduction::Token => Self::TokenMean,
            LossReduction::Sample => Self::SequenceMean,
            LossReduction::Square => Self::SquareRootMean,
        }
    }
}

/// The context of R1V's stages (arXiv:2504.05599, section 2.2).
fn max_length() -> usize {
    16_384
}

fn yes() -> bool {
    true
}

impl SftConfig {
    /// Steps of a run over samples of so many tokens each: `max_steps`, or as many as it takes to
    /// draw every sample `num_train_epochs` times.
    pub fn num_steps(&self, lengths: &[usize]) -> u64 {
        if self.batch.max_steps > 0 {
            return self.batch.max_steps;
        }
        let mut batches = Batches::new(self, lengths.to_vec());
        let num_samples = self.batch.num_items(lengths.len());
        let mut num_steps = 0;
        while batches.position() < num_samples {
            batches.step();
            num_steps += 1;
        }
        num_steps
    }
}

impl Training for SftConfig {
    fn output(&self) -> (&RunConfig, &CheckpointConfig) {
        (&self.run, &self.checkpoint)
    }
}

impl Recipe for SftConfig {
    const PARTS: &'static [Part] = &[
        Part::of::<ModelConfig>(),
        Part::of::<RunConfig>(),
        Part::of::<CheckpointConfig>(),
        Part::of::<OptimizerConfig>(),
        Part::of::<RateConfig>(),
        Part::of::<BatchConfig>(),
        Part::of::<SampleConfig>(),
    ];

    fn validate(&self) -> Result<(), Error> {
        self.model.trainable()?;
        self.checkpoint.validate()?;
        self.batch.validate()?;
        self.rate.engine(&self.optimizer, self.batch.max_steps.max(1)).validate()?;
        in_range(self.samples.max_length > 0, "max_length", &0, "at least 1")
    }
}
