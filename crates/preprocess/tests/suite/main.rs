//! The crate against its references: Pillow, transformers, and the golden checkpoint.

#![expect(clippy::unwrap_used, reason = "a failed step of a test is a failed test")]

mod common;
mod pillow;
mod tiling;
mod tokenizers;
mod templates;
mod examples;
mod internvl;
mod qwen;
