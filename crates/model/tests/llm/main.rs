//! The language model against golden numbers, against itself and against finite differences.

#![expect(clippy::unwrap_used, reason = "a step of a test that fails is a failed test")]

mod common;
mod config;
mod golden;
mod cache;
mod tree;
mod gradients;
mod lora;
mod gguf;
