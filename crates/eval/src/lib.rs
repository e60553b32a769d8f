//! How well a model answers held-out questions, with the doubt that belongs to the figure.
//!
//! ```text
//! held_out.jsonl ─► questions ─► rollout ─► judge ─► answers ─► summary ─► table, JSON, JSONL
//!                       │                   reward's verifier     │
//!                       └─► blind: the same over grey images ─────┤
//!                                           answers of two runs ──┴─► paired comparison
//! ```
//!
//! ```
//! use eval::{exact_mcnemar, wilson};
//!
//! let accuracy = wilson(183.0, 300);
//! assert_eq!(format!("{accuracy:.1}"), "61.0 % (55.4 – 66.3)");
//! // 30 questions only the first run had right, 50 only the second.
//! assert!(exact_mcnemar(30, 50) < 0.05);
//! ```
//!
//! The verifier that grades here is the one that rewards training.
//!
//! A reward model is measured by how often it ranks two responses as people do ([`ranking`]).
//!
//! This crate does not train.

pub mod error;
pub mod question;
pub mod answer;
pub mod summary;
pub mod paired;
pub mod evaluate;
pub mod ranking;

pub use answer::{Answer, read_answers};
pub use error::Error;
pub use evaluate::{EvalConfig, Evaluation, Subject, View, evaluate};
pub use paired::{Paired, compare};
pub use protocol::{Interval, exact_mcnemar, wilson};
pub use question::{Question, read_questions};
pub use ranking::{Benchmark, CategorySummary, RankingItem, RankingSummary, read_benchmark};
pub use summary::{Summary, table};
