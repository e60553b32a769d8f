//! From the rewards of a group to the advantage of each completion, and a buffer of those worth repeating.
//!
//! ```text
//! rewards of G completions ─► group_relative ─► advantages ─┐
//! rule outcomes ────────────► is_effective ─── mixed? ──────┼─► ReplayBuffer::mix ─► one update
//!                                                           │        ▲
//!                                     earlier steps, by |Â| ┴────────┘
//! ```
//!
//! ```
//! use advantage::{Scale, group_relative, is_effective};
//!
//! let advantages = group_relative(&[1.0, 0.0, 0.0, 1.0], Scale::Std { epsilon: 1e-4 });
//! assert!((advantages[0] - 0.8659).abs() < 1e-4);
//! assert!(is_effective(&[true, false, false, true]));
//! assert!(!is_effective(&[true, true]));
//! ```
//!
//! This crate does not score completions, know tokens or tensors, read a clock or draw from
//! anything but a seed: it tests in milliseconds on any machine.

mod group;
mod components;
mod replay;

pub use components::{normalized_sum, scale_by_batch};
pub use group::{Scale, group_relative, is_effective};
pub use replay::{Entry, Mixed, ReplayBuffer, ReplayConfig, ReplayUnit};
