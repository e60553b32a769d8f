//! From a TOML file and `--key value` overrides to a validated recipe.
//!
//! Later sources win; an unknown key is an error; the resolved file is written beside the checkpoints.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use engine::{CheckpointConfig, EngineConfig, LrSchedulerType, OptimizerConfig, ScheduleConfig};
use model::vlm::Trainable;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tensor::DType;
use toml::{Table, Value};

use crate::Error;

/// A recipe's settings: exactly the keys of its TOML file.
pub trait Recipe: Serialize + DeserializeOwned {
    /// Keys that no field took.
    fn unknown(&self) -> &Unknown;

    /// Checks values against each other.
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

/// Keys that no field took. A recipe's flattened parts must not flatten others themselves: serde
/// would leave their keys here too.
pub type Unknown = BTreeMap<String, Value>;

/// Which model a run starts from and which of its parts train.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ModelConfig {
    /// Folder of an assembled model.
    pub model_name_or_path: PathBuf,
    /// A checkpoint, or its file of trained values, to start from instead of the model's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adapter_name_or_path: Option<PathBuf>,
    /// What trains: `adapter`, `adapter+llm`, `adapter+vision` or `adapter+lora`.
    #[serde(default = "adapter")]
    pub trainable: String,
    /// Rank of the low-rank terms of `adapter+lora`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lora_r: Option<usize>,
    /// Scale of the low-rank terms: they are multiplied by `lora_alpha / lora_r`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lora_alpha: Option<f32>,
    /// Storage of the frozen weights: `float32` or `bfloat16`.
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
}

impl From<Storage> for DType {
    fn from(storage: Storage) -> Self {
        match storage {
            Storage::Float32 => Self::F32,
            Storage::Bfloat16 => Self::Bf16,
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

impl ModelConfig {
    /// What trains.
    ///
    /// # Errors
    /// An unknown setting, or keys that disagree.
    pub fn trainable(&self) -> Result<Trainable, Error> {
        let trainable: Trainable = self.trainable.parse()?;
        let low_rank = self.lora_r.is_some() || self.lora_alpha.is_some();
        if low_rank && trainable != Trainable::AdapterLora {
            return Err(Error::Contradiction {
                first: "lora_r or lora_alpha is set".to_owned(),
                second: format!("trainable = {trainable:?}", trainable = self.trainable),
                why: "low-rank terms train under trainable = \"adapter+lora\" only",
            });
        }
        Ok(trainable)
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

/// Reads a recipe from a TOML file and overrides such as `("learning_rate", "1e-3")`.
///
/// # Errors
/// An unreadable file, a value of the wrong type, an unknown key, or values that disagree.
pub fn load<R: Recipe>(path: Option<&Path>, overrides: &[(String, String)]) -> Result<R, Error> {
    let mut table = match path {
        Some(path) => read(path)?,
        None => Table::new(),
    };
    for (key, text) in overrides {
        table.insert(key.replace('-', "_"), parse_value(text));
    }
    let recipe: R = table
        .try_into()
        .map_err(|source| Error::Config { path: path.map(Path::to_path_buf), source })?;
    if let Some(key) = recipe.unknown().keys().next() {
        return Err(Error::UnknownKey { key: key.clone(), known: known_keys(&recipe) });
    }
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

fn read(path: &Path) -> Result<Table, Error> {
    let text = std::fs::read_to_string(path)
        .map_err(|source| Error::Io { path: path.to_path_buf(), source })?;
    toml::from_str(&text).map_err(|source| Error::Config { path: Some(path.to_path_buf()), source })
}

/// An override is a TOML value where it parses as one, and a string otherwise.
fn parse_value(text: &str) -> Value {
    format!("value = {text}")
        .parse::<Table>()
        .ok()
        .and_then(|mut table| table.remove("value"))
        .unwrap_or_else(|| Value::String(text.to_owned()))
}

fn known_keys<R: Recipe>(recipe: &R) -> String {
    let unknown = recipe.unknown();
    let Ok(Value::Table(table)) = Value::try_from(recipe) else { return String::new() };
    let known: Vec<_> = table.keys().filter(|key| !unknown.contains_key(*key)).cloned().collect();
    known.join(", ")
}
