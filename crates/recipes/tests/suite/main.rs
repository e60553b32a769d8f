//! The recipes on a checkpoint of 345,000 parameters in the InternVL layout.

mod common;
mod config;
mod sft;
mod trainable;
mod grpo;
mod resume;
mod mpo;
