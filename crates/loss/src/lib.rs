//! The losses of the recipe: from log-probs to a number and its gradient with respect to those log-probs.
//!
//! ```text
//! log-probs ─► sft, grpo ──────────────► Terms (one per token) ─┐
//! log-probs ─► dpo, bco, mpo ──────────► PairTerm ──────────────┼─ Reduction, Counts ─► Loss ─► engine
//! scores ────► bradley_terry ──────────► PairTerm ──────────────┘   (the one division)
//! ```
//!
//! Between a policy and its loss stand only the log-probs of the target tokens, so a loss is plain
//! arithmetic on slices. Log-probs come and gradients go as `f32`, which is what the model speaks;
//! everything between is `f64`.
//!
//! A loss is first unreduced. [`Reduction`] then divides by [`Counts`], which are known over *all*
//! micro-batches before the first backward pass: the parts simply add up, and accumulating in two
//! parts equals one big batch.
//!
//! ```
//! use loss::{Counts, Reduction};
//!
//! let answers: [&[f32]; 2] = [&[-0.1, -0.3], &[-0.2]];
//! let totals: Counts = answers.iter().map(|a| Counts::sequence(a.len(), Reduction::TokenMean)).sum();
//! let losses = answers.map(|a| Reduction::TokenMean.reduce(&loss::sft(a), &totals));
//! assert!((losses[0].value + losses[1].value - 0.2).abs() < 1e-6);
//! assert_eq!(losses[1].gradient, [-1.0 / 3.0]);
//! ```
//!
//! This crate does not know tensors, models or masks, draws nothing at random and keeps no state:
//! a slice holds exactly the supervised tokens of one sequence, and what a loss remembers between
//! steps ([`RewardShift`]) is an argument.

mod sft;
mod bradley_terry;
mod dpo;
mod bco;
mod mpo;
mod kl;
mod grpo;
mod reduction;

pub use bco::{RewardShift, bco};
pub use bradley_terry::bradley_terry;
pub use dpo::{Pair, dpo};
pub use grpo::{Clip, Completion, Objective, PolicyTerms, Sampled, Surrogate, grpo};
pub use kl::{Kl, KlEstimator};
pub use mpo::{MpoTerms, MpoWeights, mpo};
pub use reduction::{Counts, Loss, PairTerm, Reduction, Terms};
pub use sft::sft;

/// `ln σ(x)` without overflow or loss of digits at either end.
fn log_sigmoid(x: f64) -> f64 {
    x.min(0.0) - (-x.abs()).exp().ln_1p()
}

/// `σ(x)`, the derivative of `−ln σ(−x)`.
fn sigmoid(x: f64) -> f64 {
    log_sigmoid(x).exp()
}
