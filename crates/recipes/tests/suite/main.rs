//! The recipes on a checkpoint of 345,000 parameters in the InternVL layout.

#![expect(clippy::unwrap_used, reason = "a failed step of a test is a failed test")]
#![expect(clippy::needless_pass_by_value, reason = "a value to be shown may be any literal")]

mod common;
mod config;
mod sft;
mod trainable;
mod iterative_sft;
mod grpo;
mod guards;
mod resume;
mod rollouts;
mod reward_model;
mod mpo;
mod preferences;
