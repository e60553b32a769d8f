//! From a TOML file and `--key value` overrides to a validated recipe.
//!
//! ```text
//! recipe.toml ─┐
//! --key value ─┴─► table ─► unknown keys? ─► parts, one by one ─► recipe ─► validate ─► config.toml
//! ```
//!
//! The file is flat, the structs are not: a recipe is made of parts that others share. Later sources
//! win; an unknown key is an error; the resolved file is written beside the checkpoints.

use std::path::{Path, PathBuf};

use engine::{CheckpointConfig, EngineConfig, LrSchedulerType, OptimizerConfig, ScheduleConfig};
use model::llm::LlmTraining;
use model::vlm::Trainable;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tensor::DType;
use toml::{Table, Value};

use crate::Error;

mod keys;
pub(crate) mod scorer;

pub use keys::{Part, known_keys};

/// A recipe's settings: exactly the keys of its TOML file.
pub trait Recipe: Serialize + DeserializeOwned {
    /// The structs whose keys are the file's: those that the recipe flattens, or the recipe itself.
    const PARTS: &'static [Part];

    /// Checks values against their ranges and against each other.
    ///
    /// # Errors
    /// Names the keys that disagree.
    fn validate(&self) -> Result<(), Error>;
}

/// A recipe that trains, and so writes checkpoints.
pub trait Training: Recipe {
    /// Where the run writes, and when.
    fn output(&self) -> (&RunConfig, &CheckpointConfig);
}

/// Which model a run starts from and which of its parts train.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ModelConfig {
    /// Folder of an assembled model.
    pub model_name_or_path: PathBuf,
    /// A checkpoint, or its file of trained values, to start from instead of the model's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adapter_name_or_path: Option<PathBuf>,
    /// What trains: `adapter`, `adapter+llm`, `adapter+vision`, `adapter+lora`, or, where text alone is learned,
    /// `llm` or `lora`.
    #[serde(default = "adapter")]
    pub trainable: String,
    /// Rank of the low-rank terms; 8 by default, as PEFT has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lora_r: Option<usize>,
    /// Scale of the low-rank terms, which are multiplied by `lora_alpha / lora_r`; twice the rank by
    /// default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lora_alpha: Option<f32>,
    /// Storage of the frozen weights: `float32`, `bfloat16`, `int8` or `int4`.
    #[serde(default)]
    pub dtype: Storage,
    /// Rerun each block in the backward pass instead of keeping its activations.
    #[serde(default)]
    pub gradient_checkpointing: bool,
    /// Where vision features are kept between runs; `features` in `output_dir` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub feature_cache: Option<PathBuf>,
}

/// How frozen weights are held in memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Storage {
    /// Four bytes a weight.
    #[default]
    Float32,
    /// Two bytes a weight; arithmetic stays f32.
    Bfloat16,
    /// 8 bits a weight of the language model, and products of bytes; the vision encoder in bfloat16.
    Int8,
    /// 4 bits a weight of the language model, its embeddings and head as `int8`.
    Int4,
}

impl From<Storage> for DType {
    fn from(storage: Storage) -> Self {
        match storage {
            Storage::Float32 => Self::F32,
            Storage::Bfloat16 => Self::Bf16,
            Storage::Int8 => Self::Int8,
            Storage::Int4 => Self::Int4,
        }
    }
}

/// Where a run reads and writes.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RunConfig {
    /// Samples in the `messages` JSONL format.
    pub dataset: PathBuf,
    /// Folder for checkpoints, metrics and the resolved configuration.
    pub output_dir: PathBuf,
    /// Seed of everything random.
    #[serde(default = "seed")]
    pub seed: u64,
    /// `latest`, `latest-valid`, `never`, or the path of a checkpoint to go on from.
    #[serde(default = "latest")]
    pub resume_from_checkpoint: String,
}

/// The learning rate over the run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RateConfig {
    /// Shape of the learning rate.
    #[serde(default = "cosine")]
    pub lr_scheduler_type: LrSchedulerType,
    /// Share of the steps over which the learning rate rises.
    #[serde(default)]
    pub warmup_ratio: f64,
}

/// How much goes into a step, and how many steps there are.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct BatchConfig {
    /// What a micro-batch holds: samples or, with `packing`, packs of `max_length` tokens; in GRPO
    /// completions, a multiple of `num_generations`.
    pub per_device_train_batch_size: usize,
    /// Micro-batches in a step.
    #[serde(default = "one")]
    pub gradient_accumulation_steps: usize,
    /// Passes over the data set; not used when `max_steps` is given.
    #[serde(default = "one_epoch")]
    pub num_train_epochs: f64,
    /// Steps of the run; 0 derives them from `num_train_epochs`.
    #[serde(default)]
    pub max_steps: u64,
}

fn adapter() -> String {
    Trainable::Adapter.to_string()
}

fn latest() -> String {
    "latest".to_owned()
}

fn seed() -> u64 {
    42
}

fn cosine() -> LrSchedulerType {
    LrSchedulerType::Cosine
}

fn one() -> usize {
    1
}

fn one_epoch() -> f64 {
    1.0
}

impl ModelConfig {
    /// What trains.
    ///
    /// # Errors
    /// An unknown setting, or keys that disagree.
    pub fn trainable(&self) -> Result<Trainable, Error> {
        let trainable: Trainable = self.trainable.parse()?;
        let second = format!("trainable = \"{trainable}\"");
        let low_rank = self.lora_r.is_some() || self.lora_alpha.is_some();
        if low_rank && trainable.llm() != LlmTraining::Lora {
            return Err(Error::Contradiction {
                first: "lora_r or lora_alpha is set".to_owned(),
                second,
                why: "low-rank terms train under trainable = \"adapter+lora\" or \"lora\" only",
            });
        }
        let is_rounded = matches!(self.dtype, Storage::Int8 | Storage::Int4);
        if is_rounded && trainable.llm() == LlmTraining::Full {
            return Err(Error::Contradiction {
                first: "dtype of 8 or 4 bits".to_owned(),
                second,
                why: "a language model that trains would begin at rounded weights",
            });
        }
        if self.feature_cache.is_some() && trainable.vision() {
            return Err(Error::Contradiction {
                first: "feature_cache is set".to_owned(),
                second,
                why: "features of an encoder that trains change with each step",
            });
        }
        in_range(self.lora_r != Some(0), "lora_r", &0, "at least 1")?;
        Ok(trainable)
    }

    /// The same with vision features kept once for all that a recipe in `output_dir` trains.
    ///
    /// # Errors
    /// As [`trainable`](Self::trainable).
    pub(crate) fn with_shared_features(&self, output_dir: &Path) -> Result<Self, Error> {
        let mut model = self.clone();
        if !model.trainable()?.vision() {
            model.feature_cache.get_or_insert_with(|| output_dir.join("features"));
        }
        Ok(model)
    }
}

impl RateConfig {
    /// The engine's settings for a run of `max_steps`.
    pub fn engine(&self, optimizer: &OptimizerConfig, max_steps: u64) -> EngineConfig {
        let schedule = ScheduleConfig {
            lr_scheduler_type: self.lr_scheduler_type,
            warmup_ratio: self.warmup_ratio,
            warmup_steps: 0,
            max_steps,
        };
        EngineConfig { optimizer: optimizer.clone(), schedule }
    }
}

impl BatchConfig {
    /// What a step holds: micro-batches times their size.
    pub fn step_size(&self) -> usize {
        self.per_device_train_batch_size * self.gradient_accumulation_steps
    }

    /// Items that the run reads before it ends, where `max_steps` does not say so: `num_train_epochs`
    /// passes over `num_items`.
    pub fn num_items(&self, num_items: usize) -> u64 {
        (num_items as f64 * self.num_train_epochs).ceil() as u64
    }

    /// Checks the ranges.
    ///
    /// # Errors
    /// Names the key that is out of its range.
    pub fn validate(&self) -> Result<(), Error> {
        let (size, accumulation) =
            (self.per_device_train_batch_size, self.gradient_accumulation_steps);
        in_range(size > 0, "per_device_train_batch_size", &size, "at least 1")?;
        in_range(accumulation > 0, "gradient_accumulation_steps", &accumulation, "at least 1")?;
        let epochs = self.num_train_epochs;
        let holds = epochs > 0.0 && epochs.is_finite();
        in_range(holds, "num_train_epochs", &epochs, "a finite number above 0")
    }
}

/// Refuses a value that is out of its range.
pub(crate) fn in_range(
    holds: bool,
    key: &'static str,
    value: &dyn std::fmt::Display,
    expected: &'static str,
) -> Result<(), Error> {
    match holds {
        true => Ok(()),
        false => Err(Error::Value { key, value: value.to_string(), expected }),
    }
}

/// Reads a recipe from a TOML file and overrides such as `("learning_rate", "1e-3")`.
///
/// # Errors
/// An unreadable file, an unknown key, a value of the wrong type, or values that disagree.
pub fn load<R: Recipe>(path: Option<&Path>, overrides: &[(String, String)]) -> Result<R, Error> {
    let mut table = match path {
        Some(path) => read(path)?,
        None => Table::new(),
    };
    for (key, text) in overrides {
        table.insert(key.replace('-', "_"), parse_value(text));
    }
    let places = [
        path.map(|path| path.display().to_string()),
        (path.is_none() || !overrides.is_empty()).then(|| "command line".to_owned()),
    ];
    let place = places.into_iter().flatten().collect::<Vec<_>>().join(" and ");
    let recipe: R = keys::parse(&table, &place)?;
    recipe.validate()?;
    Ok(recipe)
}

/// The recipe as the TOML file that loads as the same recipe.
///
/// # Errors
/// A value that TOML cannot hold.
pub fn resolved<R: Recipe>(recipe: &R) -> Result<String, Error> {
    Ok(toml::to_string(recipe)?)
}

/// The table of a TOML file.
pub(crate) fn read(path: &Path) -> Result<Table, Error> {
    let text = std::fs::read_to_string(path)
        .map_err(|source| Error::Io { path: path.to_path_buf(), source })?;
    toml::from_str(&text).map_err(|error| Error::config(&path.display().to_string(), &error))
}

/// An override is a TOML value where it parses as one, and a string otherwise.
pub fn parse_value(text: &str) -> Value {
    format!("value = {text}")
        .parse::<Table>()
        .ok()
        .and_then(|mut table| table.remove("value"))
        .unwrap_or_else(|| Value::String(text.to_owned()))
}
