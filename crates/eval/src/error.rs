//! The one error type of this crate.

use std::path::PathBuf;

/// Why an evaluation could not be made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A sample cannot be made into a prompt.
    #[error("{place}: {source}")]
    Sample {
        /// File and line.
        place: String,
        /// Why.
        source: preprocess::Error,
    },
    /// A sample has no known answer to compare with.
    #[error("{place}: no `answer`, and no final assistant turn that holds one")]
    NoGold {
        /// File and line.
        place: String,
    },
    /// A line of a benchmark is not what its columns should be.
    #[error("{place}: {reason}")]
    Benchmark {
        /// File and line.
        place: String,
        /// What is wrong, with the value.
        reason: String,
    },
    /// A file holds no question.
    #[error("{path}: no questions")]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// Two runs to be compared did not answer the same questions.
    #[error("answer {index} is to `{before}` in one run and to `{after}` in the other")]
    NotTheSame {
        /// Place among the answers, from 0.
        index: usize,
        /// The question's id in the first run, or nothing past its end.
        before: String,
        /// The question's id in the second run, or nothing past its end.
        after: String,
    },
    /// A file could not be written.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// A data file is not what it should be.
    #[error(transparent)]
    Data(#[from] data::Error),
    /// A benchmark's file is not what its name says.
    #[error(transparent)]
    Table(#[from] benchmark::Error),
    /// Generation failed.
    #[error(transparent)]
    Rollout(#[from] rollout::Error),
}
