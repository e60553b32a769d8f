//! The models: vision encoder, adapter, language model, and their assembly.
//!
//! ```text
//!  pixels ─► vision ─► adapter ─┐                 (one forward pass, one definition)
//!                               ▼
//!  token ids ─► embedding ─► rows of x ─► llm blocks ─► hidden ─► head ─► log-probs
//!                 Pack: prefix + branches    │
//!                                            └ KvCache: prefill and decode
//!                                            └ value head: the reward model's score
//! ```
//!
//! Every block is a forward function and a backward function written by hand that reruns it;
//! there is no tape of single operations. Gradients are computed for the names present in
//! [`tensor::Gradients`] and for nothing else, so a frozen weight costs nothing.
//!
//! ```
//! use model::pack::Pack;
//!
//! // One prompt of three tokens shared by two completions: its rows are computed once.
//! let mut pack = Pack::new();
//! pack.push_tree(&[5, 6, 7], &[], &[&[8, 9], &[10, 11, 12]]);
//! assert_eq!(pack.ids, [5, 6, 7, 8, 10, 11]);
//! assert_eq!(pack.layout.positions, [0, 1, 2, 3, 3, 4]);
//! // The first token of every branch is predicted from the prefix's last row.
//! assert_eq!((pack.targets[0].row, pack.targets[0].id), (2, 8));
//! assert_eq!((pack.targets[2].row, pack.targets[2].id), (2, 10));
//! ```
//!
//! This crate does not sample, does not compute losses and does not step an optimiser: it maps
//! inputs to hidden states and log-probs, and their gradients back.

pub mod error;
pub mod config;
pub mod weights;
pub mod parameter;
pub mod projection;
pub mod lora;
mod norm;
pub mod vision;
pub mod unshuffle;
pub mod adapter;
pub mod rope;
pub mod layout;
pub mod pack;
pub mod cache;
pub mod llm;
pub mod patch_vision;
pub mod image_side;
pub mod vlm;
pub mod value_head;
pub mod reward_model;
pub mod feature_cache;
pub mod assemble;
pub mod inspect;

pub use error::Error;
