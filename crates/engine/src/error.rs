//! What can go wrong after the forward pass, with the values a person needs to act on it.

use std::path::{Path, PathBuf};

/// An error of any kind that a task raised; the engine only adds where it happened.
pub type TaskError = Box<dyn std::error::Error + Send + Sync>;

/// Why a step, a checkpoint or a resume failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A config value is outside its range.
    #[error("{key} = {value}: expected {expected}")]
    Config {
        /// The key as the user wrote it.
        key: &'static str,
        /// Its value.
        value: String,
        /// The accepted range.
        expected: &'static str,
    },
    /// Two config values cannot both hold.
    #[error("{first} contradicts {second}: {reason}")]
    Contradiction {
        /// `key = value` of the one.
        first: String,
        /// `key = value` of the other.
        second: String,
        /// Why they exclude each other.
        reason: &'static str,
    },
    /// A parameter's values do not fill its shape.
    #[error("parameter {name}: {values} values do not fill shape {shape:?}")]
    ParameterShape {
        /// Name of the parameter.
        name: String,
        /// Its declared shape.
        shape: Vec<usize>,
        /// How many values were given.
        values: usize,
    },
    /// Two parameters carry one name.
    #[error("parameter {name} is listed twice")]
    DuplicateParameter {
        /// The name.
        name: String,
    },
    /// A step was asked for without any micro-batch.
    #[error("step {step} has no micro-batches")]
    EmptyStep {
        /// The step that would have been taken.
        step: u64,
    },
    /// The schedule has no step left.
    #[error("the run is complete: max_steps = {max_steps} steps were taken")]
    Complete {
        /// The schedule's length.
        max_steps: u64,
    },
    /// The loss of a micro-batch is NaN or infinite. Nothing was updated.
    #[error("step {step}, micro-batch {micro_batch}: the loss is {value}; samples: {}", samples.join(", "))]
    NonFiniteLoss {
        /// The step under way, from 1.
        step: u64,
        /// Its micro-batch, from 0.
        micro_batch: usize,
        /// The value found.
        value: f64,
        /// The samples to look at: those with a non-finite loss when the task told each one's, else all.
        samples: Vec<String>,
    },
    /// The gradient became NaN or infinite in a micro-batch. Nothing was updated.
    #[error(
        "step {step}, micro-batch {micro_batch}: the gradient of {parameter} is not finite; samples: {}",
        samples.join(", ")
    )]
    NonFiniteGradient {
        /// The step under way, from 1.
        step: u64,
        /// The micro-batch after which it showed, from 0.
        micro_batch: usize,
        /// The first parameter that has a non-finite gradient.
        parameter: String,
        /// The samples of that micro-batch.
        samples: Vec<String>,
    },
    /// The task failed in its forward or backward pass. Nothing was updated.
    #[error("step {step}, micro-batch {micro_batch}: forward and backward pass failed; samples: {}", samples.join(", "))]
    Task {
        /// The step under way, from 1.
        step: u64,
        /// Its micro-batch, from 0.
        micro_batch: usize,
        /// The samples of that micro-batch.
        samples: Vec<String>,
        /// What the task said.
        source: TaskError,
    },
    /// The task refused the new parameters.
    #[error("step {step}: publishing the parameters failed")]
    Publish {
        /// The last step taken.
        step: u64,
        /// What the task said.
        source: TaskError,
    },
    /// Reading or writing failed; the message of the system follows.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// "write", "read", "rename", …
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file of a run is missing, damaged, or holds something else than was saved.
    #[error("{} is corrupt: {reason}", path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The checkpoint was saved for other parameters than those that train now.
    #[error("{}: tensor {name}: expected {expected}, found {found}", path.display())]
    TensorMismatch {
        /// The file.
        path: PathBuf,
        /// The tensor.
        name: String,
        /// Shape wanted, or "no such tensor".
        expected: String,
        /// Shape found, or "no such tensor".
        found: String,
    },
    /// The checkpoint was saved under another config.
    #[error(
        "{} was saved under config {saved}, this run has config {current}: \
         resume with the saved config, or start in another folder",
        path.display()
    )]
    ConfigChanged {
        /// The checkpoint.
        path: PathBuf,
        /// Hash stored in it.
        saved: String,
        /// Hash of the running config.
        current: String,
    },
    /// A fresh run, or one resumed from an earlier step, would mix with checkpoints of another.
    #[error("{} lies ahead of step {step}, where this run would start: resume from it, or move it away", path.display())]
    CheckpointAhead {
        /// The checkpoint in the way.
        path: PathBuf,
        /// The step to start from.
        step: u64,
    },
    /// Another process holds the output folder.
    #[error("another run is writing to {}", path.display())]
    InUse {
        /// The output folder.
        path: PathBuf,
    },
}

impl Error {
    /// For `map_err`: wraps what the system said about `path`.
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Self::Io { action, path, source }
    }

    pub(crate) fn corrupt(path: &Path, reason: &impl std::fmt::Display) -> Self {
        Self::Corrupt { path: path.to_path_buf(), reason: reason.to_string() }
    }
}
