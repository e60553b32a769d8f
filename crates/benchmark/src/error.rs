//! What keeps a whole benchmark from being read, and what keeps one item from being asked.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// Why a benchmark cannot be read at all.
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
    /// A name that is no benchmark's.
    #[error("no task `{name}`; the tasks are {known}")]
    UnknownTask {
        /// The name.
        name: String,
        /// The names there are.
        known: String,
    },
    /// A folder that holds none of a benchmark's files.
    #[error("{folder}: no files of {task}; expected a folder `{task}` with {expected}")]
    NoFiles {
        /// The benchmark.
        task: &'static str,
        /// Where they were looked for.
        folder: PathBuf,
        /// What was looked for.
        expected: String,
    },
    /// A file that is not of the format its name says.
    #[error("{path}: {reason}")]
    Table {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A benchmark of which not one item can be asked.
    #[error("{task}: none of its {num_items} items can be asked; the first: {first}")]
    NoItems {
        /// The benchmark.
        task: &'static str,
        /// How many there are.
        num_items: usize,
        /// What is wrong with the first of them.
        first: String,
    },
}

impl Error {
    /// The error of an operation on `path`, for `map_err`.
    pub(crate) fn io(path: &Path) -> impl Fn(std::io::Error) -> Self {
        move |source| Self::Io { path: path.to_owned(), source }
    }

    /// The error of what a file holds, for `map_err`.
    pub(crate) fn table<E: std::fmt::Display>(path: &Path) -> impl Fn(E) -> Self {
        move |reason| Self::Table { path: path.to_owned(), reason: reason.to_string() }
    }
}

/// An item that cannot be asked, or a response that cannot be scored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flaw {
    /// File and line, or row.
    pub place: String,
    /// What is wrong, with the column and the value.
    pub reason: String,
}

impl std::fmt::Display for Flaw {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.place, self.reason)
    }
}
