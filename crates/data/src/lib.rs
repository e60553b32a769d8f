//! Data sets: `messages` JSONL in and out, preference pairs, the order of training, and the two tasks the
//! demonstrations learn.
//!
//! ```text
//! MNIST digits ──digits──┐
//! easy-VQA ──easy_vqa────┴─► train.jsonl, held_out.jsonl, images/ ──Dataset::read──► samples ──Order──► epochs
//!            TRL, ms-swift, MMPR columns ────────────────────────────────Preferences::read──► pairs ────┘
//! ```
//!
//! ```
//! // The second half of epoch 0 and all of epoch 1, as a resumed run sees them.
//! let mut order = data::Order::shuffled(4, 7);
//! let all: Vec<usize> = order.by_ref().take(8).collect();
//! order.seek(2);
//! assert_eq!(order.take(6).collect::<Vec<_>>(), all[2..]);
//! ```
//!
//! This crate does not decode images for a model, render prompts or judge answers.

mod error;
mod jsonl;
mod dataset;
mod preference;
mod random;
mod order;
pub mod digits;
pub mod arithmetic;
pub mod easy_vqa;

pub use dataset::{
    Dataset, absolute, majority_answer, num_image_tags, prompt_of, response_of, retain,
};
pub use error::{Error, Result};
pub use jsonl::{lines, read_lines, write_lines};
pub use order::Order;
pub use preference::{Found, PairFault, PairFlaw, PairReport, Preference, Preferences};
