//! What can go wrong with a store.

use std::path::PathBuf;

/// The store cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[error("{}: {source}", path.display())]
pub struct Error {
    /// Its file.
    pub path: PathBuf,
    /// Why.
    pub source: rusqlite::Error,
}
