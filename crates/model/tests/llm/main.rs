//! The language model against golden numbers, against itself and against finite differences.

mod common;
mod config;
mod golden;
mod cache;
mod tree;
mod gradients;
mod lora;
mod gguf;
