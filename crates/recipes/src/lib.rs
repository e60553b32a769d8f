//! The trainers: which data goes through the model, which loss comes back, and nothing but the loops.
//!
//! ```text
//! sft:   data ─► preprocess ─► packs ─────────────────────────────► loss ─► engine
//! iterative_sft: scores, mistakes ─► samples ─► sft, round after round ─► choice
//! reward_model: pairs ─► preprocess ─► packs ─► values ───────────► loss ─► engine
//! preferences: data ─► prompts ─► rollout ─► scorer ─► pairs
//! mpo:   pairs ─► preprocess ─► packs ────────────────────────────► loss ─► engine
//! grpo:  data ─► prompts ─► rollout ─► reward ─► advantage ─► packs ─► loss ─► engine
//! ```
//!
//! A recipe is a TOML file of flat keys under the names TRL uses; see [`config::load`]:
//!
//! ```
//! use recipes::sft::SftConfig;
//!
//! let keys = [("model_name_or_path", "vlm"), ("dataset", "train.jsonl"), ("output_dir", "run"),
//!     ("learning_rate", "2e-4"), ("per_device_train_batch_size", "8"), ("save_steps", "100")];
//! let overrides: Vec<_> = keys.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
//! let config: SftConfig = recipes::config::load(None, &overrides)?;
//! assert_eq!(config.samples.max_length, 16_384);
//!
//! let misspelt = [("learning_rat".to_owned(), "1".to_owned())];
//! let overrides = [overrides, misspelt.to_vec()].concat();
//! let error = recipes::config::load::<SftConfig>(None, &overrides).unwrap_err();
//! assert!(error.to_string().contains("learning_rat"));
//! # Ok::<(), recipes::Error>(())
//! ```
//!
//! This crate does not draw progress bars, parse a command line or know how a kernel works.

pub mod error;
pub mod config;
pub mod run;
mod whole_lines;
pub mod policy;
mod best;
mod journal;
mod left_out;
mod identity;
pub mod choice;
pub mod sft;
pub mod iterative_sft;
pub mod reward_model;
pub mod preferences;
pub mod mpo;
pub mod grpo;
#[cfg(test)]
mod golden;

pub use error::Error;
