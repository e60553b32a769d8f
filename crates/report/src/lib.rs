//! A run told on one page: `report.html`, self-contained, readable on a phone, light and dark.
//!
//! ```text
//! RunSummary (stages, curves, examples) ─┐
//! metrics.jsonl of each stage ───────────┼─► charts as SVG ─► page.html ─► report.html
//! images ────────────────────────────────┘   data URLs
//! ```
//!
//! ```
//! use report::{Interval, RunSummary, Stage};
//!
//! let accuracy = Interval { value: 0.61, low: 0.55, high: 0.66 };
//! let stage = Stage { accuracy: Some(accuracy), ..Stage::named("SFT") };
//! let summary = RunSummary { stages: vec![stage], ..RunSummary::titled("Digits") };
//! let html = report::render(&summary, std::path::Path::new("."))?;
//! assert!(html.contains("61.0 %"));
//! # Ok::<(), report::Error>(())
//! ```
//!
//! Whatever a model, a data set or a file name says is escaped; the page runs no script and may load
//! nothing, and says so in its own content security policy. The page of benchmarks ([`items`]) runs its own
//! script to filter items, and no other.
//!
//! This crate does not compute any number that it shows, and runs no model.

pub mod error;
pub mod summary;
mod metrics;
mod chart;
mod image;
mod page;
pub mod items;

pub use error::Error;
pub use items::{AskedView, ItemPage, ItemView, ResponseView, render_items, write_items};
pub use page::{render, write};
pub use summary::{
    Answer, Comparison, Curve, Example, Fact, Histogram, Interval, Line, Ranking, RunSummary, Stage,
};
