//! What can go wrong with a run, as opposed to one of its pairs.

use std::path::PathBuf;

use judge::TeacherError;
use reward::ScoreError;

/// Why a run cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A source cannot be read, or a file not be written.
    #[error(transparent)]
    Data(#[from] data::Error),
    /// A file cannot be written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The store cannot be read or written.
    #[error(transparent)]
    Store(#[from] stages::Error),
    /// A pair gets no score, so nothing can be said of it.
    #[error("{place}: {source}")]
    Score {
        /// The pair.
        place: String,
        /// Why not.
        source: ScoreError,
    },
    /// A setting that cannot be used.
    #[error("{key} = {value}, expected {expected}")]
    Value {
        /// The key.
        key: &'static str,
        /// Its value.
        value: String,
        /// What is allowed.
        expected: &'static str,
    },
    /// A model that cannot be asked as the settings have it.
    #[error("{key}: {source}")]
    Teacher {
        /// The table.
        key: &'static str,
        /// What is wrong with it.
        source: TeacherError,
    },
    /// A setting that says nothing without another.
    #[error("{key} needs {missing}")]
    Needs {
        /// The key.
        key: &'static str,
        /// What is missing.
        missing: &'static str,
    },
}
