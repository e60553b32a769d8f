//! What can go wrong with a distillation, as opposed to one of its items.

use std::path::PathBuf;

use judge::TeacherError;

/// Why a distillation cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The data set cannot be read, or a file not be written.
    #[error(transparent)]
    Data(#[from] data::Error),
    /// A file cannot be read or written.
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
    /// A table that cannot be written.
    #[error("{}: {source}", path.display())]
    Parquet {
        /// The file.
        path: PathBuf,
        /// Why.
        source: parquet::errors::ParquetError,
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
    /// A filter that is none.
    #[error(
        "{text:?}: expected COLUMN OP VALUE, with OP one of = != < <= > >= and COLUMN one of {columns}"
    )]
    Filter {
        /// The filter.
        text: String,
        /// What there is to filter by.
        columns: String,
    },
}

impl Error {
    pub(crate) fn value(key: &'static str, value: &impl ToString, expected: &'static str) -> Self {
        Self::Value { key, value: value.to_string(), expected }
    }

    /// The error of an operation on `path`, for `map_err`.
    pub(crate) fn io(path: &std::path::Path) -> impl Fn(std::io::Error) -> Self {
        move |source| Self::Io { path: path.to_owned(), source }
    }
}
