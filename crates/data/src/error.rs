//! What can go wrong with a data set.

use std::path::PathBuf;

use crate::PairFault;

/// What can go wrong with a data set.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file could not be read or written.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A line is no JSON, or not of the shape asked for.
    #[error("{path}:{line}:{column}: {reason}")]
    Json {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// The column in the line, from 1.
        column: usize,
        /// Why.
        reason: String,
    },
    /// A line holds bytes that are no UTF-8.
    #[error("{path}:{line}: byte {byte} of the line is not UTF-8")]
    NotUtf8 {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// The first wrong byte in the line, from 0.
        byte: usize,
    },
    /// The text and the list of images disagree.
    #[error("{path}:{line}: the text has {tags} image tags, but \"images\" has {images} entries")]
    ImageCount {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// `<image>` tags, and image parts that take from the list.
        tags: usize,
        /// Entries of the list.
        images: usize,
    },
    /// An image that a line names is not there.
    #[error("{path}:{line}: there is no image file {image}")]
    MissingImage {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// Where the image should be.
        image: PathBuf,
    },
    /// A line is no preference pair.
    #[error("{path}:{line}: {fault}")]
    Pair {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// Why not.
        fault: PairFault,
    },
    /// A source of a task does not have the form it should have.
    #[error("{path}: {reason}")]
    Source {
        /// The file.
        path: PathBuf,
        /// Where it departs, with the values.
        reason: String,
    },
    /// An option of a task has a value that makes no sense.
    #[error("{option} is {value}, expected {expected}")]
    Option {
        /// The option.
        option: &'static str,
        /// Its value.
        value: String,
        /// What is allowed.
        expected: String,
    },
    /// A picture could not be encoded.
    #[error("{path}: {source}")]
    Encode {
        /// The picture.
        path: PathBuf,
        /// Why.
        source: image::ImageError,
    },
}

/// Result with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// The error of an operation on `path`, for `map_err`.
    pub(crate) fn io(path: &std::path::Path) -> impl Fn(std::io::Error) -> Self {
        move |source| Self::Io { path: path.to_owned(), source }
    }
}
