//! The real binary on tiny models: what it writes, what it says, and how it fails.

mod run;
mod models;
mod commands;
mod assemble;
mod training;
mod curate;
mod distill;
mod preference;
mod reward;
mod tasks;
mod bad_input;
