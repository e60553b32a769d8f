//! The keys of `sightline reward train`, under TRL's names where it has one.

use std::path::{Path, PathBuf};

use engine::{CheckpointConfig, OptimizerConfig};
use serde::{Deserialize, Serialize};

use crate::Error;
use crate::config::{
    BatchConfig, ModelConfig, Part, RateConfig, Recipe, RunConfig, Training, in_range,
};
use crate::mpo::BadPairs;

/// The paper's learning rate of the second stage.
const SECOND_LEARNING_RATE: f64 = 1e-6;
/// The paper's passes of the second stage.
const SECOND_EPOCHS: f64 = 2.0;

/// The keys of `sightline reward train`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RewardConfig {
    /// The model and what of it trains beside the value head.
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
    /// The learning rate over a stage.
    #[serde(flatten)]
    pub rate: RateConfig,
    /// How many pairs go into a step, and how many steps a stage has.
    #[serde(flatten)]
    pub batch: BatchConfig,
    /// Which pairs are used.
    #[serde(flatten)]
    pub pairs: PairConfig,
    /// The second stage.
    #[serde(flatten)]
    pub stage: StageConfig,
}

/// Which pairs are used, and which are held out.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PairConfig {
    /// Longest rendered conversation, in tokens; pairs with a longer one are left out and counted.
    #[serde(default = "max_length")]
    pub max_length: usize,
    /// Folder that image paths are relative to; each data set's own when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_folder: Option<PathBuf>,
    /// What happens to lines that hold no pair, and to pairs that teach nothing: same responses, an empty one, a missing
    /// or damaged image, a score that is none, a rejected response that scores higher.
    #[serde(default)]
    pub bad_pairs: BadPairs,
    /// Pairs whose scores, where both are known, differ by no more than this are ties, left out and
    /// counted.
    #[serde(default = "min_score_gap")]
    pub min_score_gap: f64,
    /// Where the loss reads the values of a pair.
    #[serde(default)]
    pub loss_tokens: LossTokens,
    /// Pairs that are measured, never trained on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eval_dataset: Option<PathBuf>,
    /// Share of the prompts whose pairs are held out of the data sets and measured.
    #[serde(default)]
    pub split_dataset_ratio: f64,
    /// Steps between two measurements; 0 measures after the last step alone.
    #[serde(default)]
    pub eval_steps: u64,
}

/// The tokens whose values a pair's loss compares.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LossTokens {
    /// The last of each response, which is the score: the paper's loss.
    #[default]
    Last,
    /// Half of the loss compares the last ones, half the values token by token from where the responses part, as
    /// DeepSpeed-Chat (arXiv:2308.01320) does. What is wrong is felt where it is said, so fewer pairs teach as much.
    All,
}

/// The second stage: what it adds, and how it differs.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct StageConfig {
    /// Pairs of text alone, which the second stage adds to those of `dataset`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text_dataset: Option<PathBuf>,
    /// Learning rate of the second stage; 1e-6 by default, as in the paper.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub second_learning_rate: Option<f64>,
    /// Passes of the second stage over its pairs; 2 by default, as in the paper.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub second_num_train_epochs: Option<f64>,
    /// Take one stage alone, 1 or 2, with `learning_rate` and `num_train_epochs` as its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stage: Option<u8>,
}

/// More than rounding makes of equal scores, and less than any judge means.
fn min_score_gap() -> f64 {
    1e-3
}

/// Long enough for thoughts; LLaMA-Factory's example, from which the other habits of this stage come,
/// cuts at 2048.
fn max_length() -> usize {
    8192
}

impl RewardConfig {
    /// Whether one stage follows another.
    pub fn has_two_stages(&self) -> bool {
        self.stage.text_dataset.is_some() && self.stage.stage.is_none()
    }

    /// The first of two stages, as a recipe of its own.
    pub fn first(&self) -> Self {
        let mut first = self.clone();
        first.run.output_dir.push("stage-1");
        first.stage = StageConfig { stage: Some(1), ..StageConfig::default() };
        first
    }

    /// The second of two stages, as a recipe of its own, which begins with a checkpoint of the first.
    pub fn second(&self, begin_with: PathBuf) -> Self {
        let mut second = self.clone();
        second.run.output_dir.push("stage-2");
        second.model.adapter_name_or_path = Some(begin_with);
        let StageConfig { text_dataset, second_learning_rate, second_num_train_epochs, .. } =
            self.stage.clone();
        second.optimizer.learning_rate = second_learning_rate.unwrap_or(SECOND_LEARNING_RATE);
        second.batch.num_train_epochs = second_num_train_epochs.unwrap_or(SECOND_EPOCHS);
        second.stage = StageConfig { text_dataset, stage: Some(2), ..StageConfig::default() };
        second
    }

    /// The files a single stage draws its pairs from.
    pub fn datasets(&self) -> Vec<&Path> {
        let text = self.stage.text_dataset.as_deref().filter(|_| self.stage.stage == Some(2));
        std::iter::once(self.run.dataset.as_path()).chain(text).collect()
    }

    /// Steps of a stage over so many pairs.
    pub fn num_steps(&self, num_pairs: usize) -> u64 {
        match self.batch.max_steps {
            0 => self.batch.num_items(num_pairs).div_ceil(self.batch.step_size() as u64),
            max_steps => max_steps,
        }
    }

    fn validate_stages(&self) -> Result<(), Error> {
        let StageConfig { text_dataset, second_learning_rate, second_num_train_epochs, stage } =
            &self.stage;
        let named = stage.unwrap_or(1);
        in_range((1..=2).contains(&named), "stage", &named, "1 or 2")?;
        let rate = second_learning_rate.unwrap_or(SECOND_LEARNING_RATE);
        in_range(rate > 0.0 && rate.is_finite(), "second_learning_rate", &rate, "above 0")?;
        let epochs = second_num_train_epochs.unwrap_or(SECOND_EPOCHS);
        let holds = epochs > 0.0 && epochs.is_finite();
        in_range(holds, "second_num_train_epochs", &epochs, "a finite number above 0")?;
        let says_second = second_learning_rate.is_some() || second_num_train_epochs.is_some();
        if says_second && !self.has_two_stages() {
            return Err(Error::Contradiction {
                first: "second_learning_rate or second_num_train_epochs is set".to_owned(),
                second: "there is one stage".to_owned(),
                why: "two stages take a text_dataset and no stage",
            });
        }
        match (stage, text_dataset) {
            (Some(2), None) => Err(Error::Contradiction {
                first: "stage = 2".to_owned(),
                second: "text_dataset is not set".to_owned(),
                why: "the second stage adds pairs of text to those of dataset",
            }),
            _ => Ok(()),
        }
    }
}

impl PairConfig {
    /// Whether held-out pairs are measured after a step.
    pub(super) fn is_due(&self, step: u64, last: u64) -> bool {
        step == last || (self.eval_steps > 0 && step.is_multiple_of(self.eval_steps))
    }

    fn validate(&self) -> Result<(), Error> {
        let (length, gap, share) = (self.max_length, self.min_score_gap, self.split_dataset_ratio);
        in_range(length > 0, "max_length", &length, "at least 1")?;
        in_range(gap >= 0.0 && gap.is_finite(), "min_score_gap", &gap, "at least 0")?;
        in_range((0.0..1.0).contains(&share), "split_dataset_ratio", &share, "from 0 to below 1")?;
        if share > 0.0 && self.eval_dataset.is_some() {
            return Err(Error::Contradiction {
                first: format!("split_dataset_ratio = {share}"),
                second: "eval_dataset is set".to_owned(),
                why: "held-out pairs come from one place",
            });
        }
        Ok(())
    }
}

impl Training for RewardConfig {
    fn output(&self) -> (&RunConfig, &CheckpointConfig) {
        (&self.run, &self.checkpoint)
    }
}

impl Recipe for RewardConfig {
    const PARTS: &'static [Part] = &[
        Part::of::<ModelConfig>(),
        Part::of::<RunConfig>(),
        Part::of::<CheckpointConfig>(),
        Part::of::<OptimizerConfig>(),
        Part::of::<RateConfig>(),
        Part::of::<BatchConfig>(),
        Part::of::<PairConfig>(),
        Part::of::<StageConfig>(),
    ];

    fn validate(&self) -> Result<(), Error> {
        let trainable = self.model.trainable()?;
        if trainable.vision() {
            return Err(Error::Contradiction {
                first: format!("trainable = \"{trainable}\""),
                second: "a reward model's encoder is frozen".to_owned(),
                why: "adapter, adapter+llm and adapter+lora train beside the value head",
            });
        }
        self.checkpoint.validate()?;
        self.batch.validate()?;
        self.pairs.validate()?;
        self.validate_stages()?;
        self.rate
            .engine(&self.optimizer, self.batch.max_steps.max(1))
            .validate()
            .map_err(Into::into)
    }
}
