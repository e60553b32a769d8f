//! Preference pairs for a reward model, made as Skywork-VL Reward's were: gathered, cleaned, judged, scored, mended.
//!
//! ```text
//! open data sets ───────────────────────────────┐
//! prompts ─► several models ─► right and wrong ─┴─► flaws ─► duplicates ─► judge ─► surrogate ─► pairs.jsonl
//!            directly, or caption ─► reasoner                               │          ▲  │ weak
//!                                                       unsure, equal, wrong ▼          └──┴─ chosen written anew
//! ```
//!
//! Paper: Skywork-VL Reward, arXiv:2505.07263, section 3.1. Its thresholds are not published: each is a setting, and the
//! statistics say what every step dropped. Verdicts, responses and scores are kept in `stages.sqlite`, so a rerun asks
//! only for what has changed.
//!
//! This crate does not open connections or run models: whoever is asked comes as [`judge::Respond`] or
//! [`reward::Scorer`].

mod error;
mod config;
mod statistics;
mod pair;
mod gather;
mod collect;
mod duplicates;
mod questions;
mod surrogate;
mod run;

pub use config::{CurateConfig, ResponderConfig, SourceConfig, Way};
pub use error::Error;
pub use run::{Helpers, Progress, Responder, curate};
pub use statistics::{Dropped, Statistics};

/// The pairs of a run, in its folder.
pub const PAIRS_FILE: &str = "pairs.jsonl";

/// Name of the file of those pairs whose prompt has images: what `reward train` begins with.
pub const MULTIMODAL_FILE: &str = "multimodal.jsonl";

/// Name of the file of the other pairs: its `text_dataset`.
pub const TEXT_FILE: &str = "text.jsonl";
/// What was dropped, and why.
pub const DROPPED_FILE: &str = "dropped.jsonl";
/// Counts.
pub const STATISTICS_FILE: &str = "statistics.json";
/// Verdicts, responses and scores.
pub const STORE_FILE: &str = "stages.sqlite";
