//! The real binary on tiny models: what it writes, what it says, and how it fails.

#![expect(clippy::unwrap_used, reason = "a failed step of a test is a failed test")]

mod run;
mod models;
mod commands;
mod chat;
mod serve;
mod assemble;
mod training;
mod curate;
mod distill;
mod pipeline;
mod runs;
mod transfer;
mod preference;
mod reward;
mod tasks;
mod bad_input;
