//! The one error type of this crate.

use std::path::{Path, PathBuf};

/// Why an evaluation could not be made or read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file could not be read or written.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// A line of a file of records is none.
    #[error("{path}:{line}: no record of an evaluation: {reason}")]
    Record {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// Why.
        reason: String,
    },
    /// Two runs share no item.
    #[error("the two runs share no scored item of {task}")]
    NothingShared {
        /// The benchmark, or all.
        task: String,
    },
    /// Two runs have different known answers of an item.
    #[error("{task}/{id}: the known answer is {before:?} in one run and {after:?} in the other")]
    OtherGold {
        /// The benchmark.
        task: String,
        /// The item.
        id: String,
        /// The known answer of the first run.
        before: String,
        /// That of the second.
        after: String,
    },
    /// A threshold that is none.
    #[error("threshold {text:?}: {reason}")]
    Threshold {
        /// As it was given.
        text: String,
        /// What is wrong.
        reason: String,
    },
    /// The model will answer nothing more.
    #[error("stopped, the same command goes on: {reason}")]
    Stopped {
        /// Why.
        reason: String,
    },
    /// The store of responses failed.
    #[error(transparent)]
    Store(#[from] stages::Error),
}

impl Error {
    pub(crate) fn io(path: &Path) -> impl Fn(std::io::Error) -> Self {
        move |source| Self::Io { path: path.to_owned(), source }
    }
}
