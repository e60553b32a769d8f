//! The one error type of this crate.

use std::path::PathBuf;

/// Why a report could not be made.
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
    /// A line of a metrics file is not a JSON object.
    #[error("{path}:{line}: not a JSON object: {source}")]
    Metrics {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// Where the parser stopped.
        source: serde_json::Error,
    },
    /// A file given as an image is none that a browser shows.
    #[error("{path}: not a PNG, JPEG, GIF, WebP or BMP image")]
    NotAnImage {
        /// The file.
        path: PathBuf,
    },
    /// A chart could not be drawn.
    #[error("chart `{title}`: {reason}")]
    Chart {
        /// The chart's title.
        title: String,
        /// What the drawing library said.
        reason: String,
    },
    /// The page could not be filled in.
    #[error("report page: {0}")]
    Page(#[from] minijinja::Error),
}
