//! Reads GGUF files: metadata, tokenizer, and tensors dequantised to `f32`.
//!
//! ```text
//! file ── header ──► metadata ──► tokenizer()          tokens, merges, chat template
//!           └──────► tensor list ──► read(name)        blocks ──► f32, in the file's own order
//!                                └─► read_hf(name)     Hugging Face's name and row order
//! ```
//!
//! The file is untrusted: every count and length is checked against the bytes that are really there before anything is
//! allocated, so a truncated or hostile file ends in an [`Error`].
//!
//! ```
//! assert_eq!(gguf::hf_name("blk.3.attn_q.weight").as_deref(), Some("model.layers.3.self_attn.q_proj.weight"));
//! assert_eq!(gguf::hf_name("rope_freqs.weight"), None);
//! ```
//!
//! This crate does not know what a language model is, beyond the names of its tensors; nor does it write GGUF.

mod source;
mod value;
mod block;
mod file;
mod names;
mod tokenizer;

pub use block::BlockType;
pub use file::{Gguf, TensorInfo};
pub use names::hf_name;
pub use tokenizer::{TokenType, TokenizerTables};
pub use value::{Array, Value};

use std::path::PathBuf;

/// What can be wrong with a GGUF file.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file could not be opened or read.
    #[error("cannot read {path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The bytes do not follow the format.
    #[error("{path} is not a GGUF file this program can read: {reason}")]
    Format {
        /// The file.
        path: PathBuf,
        /// Where it departs, with the values.
        reason: String,
    },
    /// A metadata key that is needed is absent.
    #[error("{path} has no metadata key {key:?}")]
    MissingKey {
        /// The file.
        path: PathBuf,
        /// The key.
        key: String,
    },
    /// A metadata value has another type than the one asked for.
    #[error("metadata key {key:?} of {path} is {found}, expected {expected}")]
    WrongType {
        /// The file.
        path: PathBuf,
        /// The key.
        key: String,
        /// The type in the file.
        found: &'static str,
        /// The type asked for.
        expected: &'static str,
    },
    /// No tensor has the name asked for.
    #[error("{path} has no tensor {name:?}")]
    MissingTensor {
        /// The file.
        path: PathBuf,
        /// The tensor.
        name: String,
    },
    /// The rows of an attention projection do not divide into the file's number of heads.
    #[error(
        "{path}: tensor {name:?} has {rows} rows, which are not {num_heads} heads of even size"
    )]
    Heads {
        /// The file.
        path: PathBuf,
        /// The tensor.
        name: String,
        /// Its rows.
        rows: usize,
        /// Heads by the metadata.
        num_heads: usize,
    },
}

/// Result with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;
