//! What can go wrong in a recipe.

use std::path::PathBuf;

/// An error of this crate.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file cannot be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A configuration file does not parse, or a value has the wrong type.
    #[error("{}: {source}", path.as_deref().map_or("command line".into(), |path| path.display().to_string()))]
    Config {
        /// The file, if there is one.
        path: Option<PathBuf>,
        /// What the parser says.
        source: toml::de::Error,
    },
    /// A key that the recipe does not have.
    #[error("unknown key `{key}`; the keys are {known}")]
    UnknownKey {
        /// The key.
        key: String,
        /// The keys that exist.
        known: String,
    },
    /// Two settings that cannot both hold.
    #[error("{first} and {second} contradict each other: {why}")]
    Contradiction {
        /// One setting.
        first: String,
        /// The other.
        second: String,
        /// Why they disagree.
        why: &'static str,
    },
    /// A setting outside its range.
    #[error("{key} = {value}: expected {expected}")]
    Value {
        /// The key.
        key: &'static str,
        /// Its value.
        value: String,
        /// What it may be.
        expected: &'static str,
    },
    /// A configuration that TOML cannot hold.
    #[error("the configuration cannot be written: {0}")]
    Resolve(#[from] toml::ser::Error),
    /// Only samples without images, while only the image side trains.
    #[error("{path}: no sample has an image, and text alone gives the adapter no gradient; set trainable = \"adapter+llm\" or \"adapter+lora\"", path = path.display())]
    TextOnly {
        /// The data set.
        path: PathBuf,
    },
    /// A sample that cannot be used, with its file and line.
    #[error("{place}: {source}")]
    Sample {
        /// File and line.
        place: String,
        /// Why.
        source: preprocess::Error,
    },
    /// A sample without a known answer, where the reward needs one.
    #[error("{place}: the rule reward needs an `answer`")]
    NoAnswer {
        /// File and line.
        place: String,
    },
    /// A saved replay buffer that does not read back.
    #[error("{name} of the checkpoint: {source}")]
    Buffer {
        /// The file.
        name: &'static str,
        /// Why.
        source: serde_json::Error,
    },
    /// No group of any rollout held right and wrong answers both.
    #[error(
        "{num_rollouts} rollouts without a group of mixed outcomes: the questions are too easy or too hard for the policy"
    )]
    NothingToLearn {
        /// Rollouts tried.
        num_rollouts: usize,
    },
    /// Low-rank terms without the configuration that says how they are scaled.
    #[error("{}: it holds low-rank terms, whose scale is in the config.toml of their run, in the folder above: {source}", file.display())]
    LoraScale {
        /// The file of trained values.
        file: PathBuf,
        /// Why the configuration cannot be read.
        source: std::io::Error,
    },
    /// No sample to train on.
    #[error("{}: no samples", path.display())]
    Empty {
        /// The data set.
        path: PathBuf,
    },
    /// From the engine.
    #[error(transparent)]
    Engine(#[from] engine::Error),
    /// From the model.
    #[error(transparent)]
    Model(#[from] model::Error),
    /// From a data file.
    #[error(transparent)]
    Data(#[from] data::Error),
    /// From text or image preparation.
    #[error(transparent)]
    Preprocess(#[from] preprocess::Error),
    /// From sampling.
    #[error(transparent)]
    Rollout(#[from] rollout::Error),
}
