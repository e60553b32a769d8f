//! What can go wrong when assets are fetched.

use std::path::{Path, PathBuf};

/// What can go wrong when assets are fetched.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file or folder of the cache could not be read or written.
    #[error("{path}: {source}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// No variable says where a cache could be.
    #[error("no place for the cache: give --cache, or set SIGHTLINE_CACHE, XDG_CACHE_HOME or HOME")]
    NoCache,
    /// Every source failed.
    #[error("cannot fetch {asset}; tried:{}", list(.attempts))]
    Unavailable {
        /// The asset's name.
        asset: &'static str,
        /// What was tried, in order.
        attempts: Vec<Attempt>,
    },
}

/// One source that was tried in vain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// What was asked: a repository or a command.
    pub source: String,
    /// Why it failed, or why it was not tried.
    pub reason: String,
}

/// Result with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// The error of an operation on `path`, for `map_err`.
    pub(crate) fn io(path: &Path) -> impl Fn(std::io::Error) -> Self {
        move |source| Self::Io { path: path.to_owned(), source }
    }
}

fn list(attempts: &[Attempt]) -> String {
    attempts.iter().map(|attempt| format!("\n  {}: {}", attempt.source, attempt.reason)).collect()
}
