//! Scores a completion: find the answer, check it against the known one, check the form, add up.
//!
//! ```text
//! completion ─► extract ─► verify ──► rule reward ───┐
//!      │                                             ├─► combine ─► one reward per completion
//!      └──────────────────► format ─► format reward ─┘
//!      ├──────────────────► shaping: length, repetition ─► combine
//!      └──────────────────► statistics ─► reports (length, repetition, correlation)
//! ```
//!
//! ```
//! use reward::{Opening, format_reward, verify};
//!
//! let completion = "Three plus four.\n</think>\n\nIt is \\boxed{7}.";
//! assert!(verify("7", &Opening::InPrompt.response(completion)).equivalent);
//! assert_eq!(format_reward(completion, Opening::InPrompt), 1.0);
//! ```
//!
//! The verifier that trains is the one that evaluates. Completions come from a model and may be
//! anything: every function here takes any text, in time linear in its length.
//!
//! This crate does not run models, read files, or know which data set an answer comes from; a
//! learned reward is one more component of [`combine()`], scored elsewhere behind [`Scorer`].

mod extract;
mod normalise;
mod choice;
mod verify;
mod format;
mod combine;
mod shaping;
mod statistics;
mod scorer;
mod pairwise;

pub use choice::marked_choice;
pub use combine::{Component, ComponentStatistics, combine};
pub use extract::{after_thought, extract_answer, last_boxed};
pub use format::{Flaw, Opening, format_flaw, format_reward};
pub use pairwise::{PairwiseSummary, pairwise};
pub use scorer::{Asked, ScoreError, Scorer};
pub use shaping::{bounded, repetition_reward, soft_overlong};
pub use statistics::{LengthStatistics, correlation, length_statistics, repetition_rate};
pub use verify::{Verdict, Why, verify};
