//! What can be wrong with an image, a model folder or a conversation.

use std::path::PathBuf;

/// An input this crate cannot turn into ids and tiles. Callers that read data files add the file and line.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file could not be read or written.
    #[error("cannot access {path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// An image is missing its end, is of an unknown kind, or is too large.
    #[error("image {name}: {reason}")]
    Image {
        /// The path, or a short form of the data URL.
        name: String,
        /// What is wrong, with the values.
        reason: String,
    },
    /// A file of the model's folder is not what it should be.
    #[error("{path}: {reason}")]
    Config {
        /// The file.
        path: PathBuf,
        /// What is wrong, with the key.
        reason: String,
    },
    /// The model's folder lacks what this crate needs.
    #[error("{path} has no {what}")]
    Missing {
        /// The folder or file.
        path: PathBuf,
        /// What was looked for.
        what: String,
    },
    /// The tokenizer does not know a token that the model needs.
    #[error("the tokenizer has no token {token:?}, which {purpose}")]
    MissingToken {
        /// The token.
        token: String,
        /// What it is for.
        purpose: String,
    },
    /// A tokenizer could not be built, or refused a text.
    #[error("tokenizer: {reason}")]
    Tokenizer {
        /// Why.
        reason: String,
    },
    /// A chat template does not parse, or refused the conversation.
    #[error("chat template: {reason}")]
    Template {
        /// Why, as the template engine says it.
        reason: String,
    },
    /// The text and the list of images disagree.
    #[error("the text has {tags} image tags, but there are {images} images")]
    ImageCount {
        /// `<image>` tags and image parts that take from the list.
        tags: usize,
        /// Entries of the list.
        images: usize,
    },
    /// Images were given, but no user turn can show them.
    #[error("the conversation has {images} images, but no user turn")]
    NoUserTurn {
        /// Entries of the list.
        images: usize,
    },
    /// A training example needs a turn to learn from.
    #[error("the conversation has no assistant turn to learn from")]
    NoAssistantTurn,
    /// Images were given to a model without a vision encoder.
    #[error("the conversation has {images} images, but the model at {path} has no vision settings")]
    NoVision {
        /// Entries of the list.
        images: usize,
        /// The model's folder.
        path: PathBuf,
    },
    /// The text itself spells the token that stands for image rows.
    #[error("the text has {found} image-row tokens where its images account for {expected}")]
    ImageRows {
        /// Rows of all tiles.
        expected: usize,
        /// Rows found after tokenising.
        found: usize,
    },
    /// The ids do not fit the model's context.
    #[error("{length} tokens do not fit the model's context of {context}")]
    TooLong {
        /// Number of ids, or the fewest there can be.
        length: usize,
        /// The model's limit.
        context: usize,
    },
    /// A GGUF file could not be read.
    #[error(transparent)]
    Gguf(#[from] gguf::Error),
}

impl From<minijinja::Error> for Error {
    fn from(error: minijinja::Error) -> Self {
        Self::Template { reason: error.to_string() }
    }
}

/// Result with this crate's [`Error`].
pub type Result<T> = std::result::Result<T, Error>;
