//! The one error type of this crate: every variant carries what a person needs to mend the input.

use std::path::PathBuf;

/// What can be wrong with a model folder, a configuration or the tensors handed to a model.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file or folder could not be read or written.
    #[error("{path}: {source}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// A file that should hold JSON does not.
    #[error("{path}: not valid JSON: {source}")]
    Json {
        /// The file.
        path: PathBuf,
        /// Where the parser stopped.
        source: serde_json::Error,
    },
    /// A weight file breaks its own format: truncated, overlapping, oversized.
    #[error("{path}: damaged weight file: {reason}")]
    DamagedWeights {
        /// The file.
        path: PathBuf,
        /// What is inconsistent.
        reason: String,
    },
    /// A folder holds no weights in a format we read.
    #[error(
        "{path}: no model.safetensors, model.safetensors.index.json or single .gguf file found"
    )]
    NoWeights {
        /// The folder.
        path: PathBuf,
    },
    /// A GGUF file could not be read.
    #[error(transparent)]
    Gguf(#[from] gguf::Error),
    /// The model needs a tensor that the checkpoint lacks.
    #[error("{path}: tensor `{name}` is missing")]
    MissingTensor {
        /// The tensor's name as the model knows it.
        name: String,
        /// The checkpoint.
        path: PathBuf,
    },
    /// A tensor has another shape than the configuration implies.
    #[error("{path}: tensor `{name}` has shape {found:?}, the configuration implies {expected:?}")]
    Shape {
        /// The tensor.
        name: String,
        /// The file it lies in.
        path: PathBuf,
        /// What the configuration implies.
        expected: Vec<usize>,
        /// What the file holds.
        found: Vec<usize>,
    },
    /// A tensor is stored in a number format that we do not read.
    #[error("{path}: tensor `{name}` is stored as {dtype}; F32, F16 and BF16 are supported")]
    DType {
        /// The tensor.
        name: String,
        /// The file it lies in.
        path: PathBuf,
        /// The format's name.
        dtype: String,
    },
    /// A checkpoint holds tensors that the model has no place for.
    #[error("{path}: {num} tensors have no place in this model: {names}")]
    UnusedTensors {
        /// The checkpoint.
        path: PathBuf,
        /// How many there are.
        num: usize,
        /// The first few names.
        names: String,
    },
    /// A configuration lacks a key.
    #[error("config: `{key}` is missing")]
    MissingKey {
        /// The key, with its path (`vision_config.hidden_size`).
        key: String,
    },
    /// A configuration value is of another kind than the one needed.
    #[error("config: `{key}` is {value}, expected {expected}")]
    WrongValue {
        /// The key, with its path.
        key: String,
        /// What stands there.
        value: String,
        /// What could stand there.
        expected: String,
    },
    /// A configuration value cannot be used.
    #[error("config: `{key}` {reason}")]
    Config {
        /// The key, with its path.
        key: String,
        /// Why it cannot be used, and what could be.
        reason: String,
    },
    /// Inputs to a model disagree with it or with each other.
    #[error("{what}: {reason}")]
    Input {
        /// What was handed in.
        what: &'static str,
        /// Why it does not fit.
        reason: String,
    },
    /// Parts of a model do not fit together.
    #[error("cannot assemble: {reason}")]
    Assemble {
        /// What does not fit, and what to do.
        reason: String,
    },
}

impl Error {
    /// Wraps an operating-system error with the path it concerns.
    pub fn io(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { path, source }
    }

    /// A configuration value that cannot be used.
    pub fn config(key: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Config { key: key.into(), reason: reason.into() }
    }

    /// Inputs that do not fit.
    pub fn input(what: &'static str, reason: impl Into<String>) -> Self {
        Self::Input { what, reason: reason.into() }
    }
}
