//! Adaptive-length chain-of-thought distillation: data with thoughts as long as a question deserves.
//!
//! ```text
//! samples ─► items ─► QDAM  clarity, necessity (with and without the image), relevance, text ─┐
//!              │       VTIA  patterns, integration ───────────────────────────────────────────┴─► min-max ─► P
//!              │ quarantine                                                                             DRLC │
//!              ▼                                                          own chain under penalty P ◄────────┘
//!        report, items.jsonl ◄── distilled.jsonl ◄── kept, or rewritten and verified ◄── checked ◄──┘
//! ```
//!
//! Paper: Skywork R1V, arXiv:2504.05599, section 2.3; its prompts and rubrics are not published, so these are ours. Every
//! result is kept in `stages.sqlite` under the hash of all that shapes it: a killed run goes on, and a rerun
//! recomputes nothing that is unchanged.
//!
//! ```
//! use distill::{Drlc, Scores, repetition_penalty};
//!
//! let drlc = Drlc { alpha: 0.2, beta: 1.0, gamma: 1.0 };
//! let best = Scores { vision: 1.0, text: 1.0, integration: 1.0 };
//! assert_eq!(repetition_penalty(&best, &drlc), 1.0);
//! ```
//!
//! This crate does not open connections, load weights or train: whoever is asked comes as [`judge::Respond`].

mod error;
mod config;
mod sieve;
mod item;
mod clarity;
mod pattern;
mod questions;
mod requests;
mod penalty;
mod record;
mod run;
mod calibration;
mod report;
mod table;
mod filter;
mod columns;
mod plan;

use std::path::{Path, PathBuf};

pub use calibration::{Bin, Calibration, Trend};
pub use clarity::Clarity;
pub use config::{AnswerCheck, DistillConfig};
pub use error::Error;
pub use filter::Filter;
pub use item::{Item, Items};
pub use penalty::{Drlc, Scores, min_max, repetition_penalty};
pub use plan::{Plan, Planned};
pub use questions::{Integration, Relevance, TextGrades};
pub use record::{Outcome, Stage};
pub use report::Report;
pub use run::{Progress, Teachers};
pub use sieve::{Flaw, Needs, Quarantined, Sieved};
pub use table::{Row, export, read_rows};

use run::Run;
use stages::Store;

/// The training samples of a run, in its folder.
pub const DISTILLED_FILE: &str = "distilled.jsonl";
/// Every item with its scores and its end.
pub const ITEMS_FILE: &str = "items.jsonl";
/// What was not used, and why.
pub const QUARANTINE_FILE: &str = "quarantine.jsonl";
/// Counts, spending and calibration.
pub const REPORT_FILE: &str = "report.json";
/// Results of stages.
pub const STORE_FILE: &str = "stages.sqlite";

/// Distils a data set into `output_dir`, which exists; a run that was killed or stopped goes on.
///
/// # Errors
/// When the data set, the store or an output cannot be read or written. What befalls single items is in the report.
pub fn distill(
    config: &DistillConfig,
    mut teachers: Teachers<'_>,
    watch: &mut dyn FnMut(Progress),
) -> Result<Report, Error> {
    config.validate()?;
    let Items { items, mut quarantined, num_lines } = Items::read(&config.dataset, config.limit)?;
    let store = Store::open(&config.output_dir.join(STORE_FILE))?;
    let folder = config.dataset.parent().unwrap_or(Path::new(""));
    let mut run = Run::new(config, (folder, &items), &store, teachers.borrowed(), watch);
    run.all()?;
    let records = run.records;
    for (item, record) in items.iter().zip(&records) {
        if let Some(Outcome::Quarantined { flaw, reason }) = &record.outcome {
            quarantined.push(item.quarantined(*flaw, reason.clone()));
        }
    }
    quarantined.sort_by_key(|flawed| flawed.line);
    let rows: Vec<Row> =
        items.iter().zip(&records).map(|(item, record)| Row::new(item, record, folder)).collect();
    let report = Report::new(num_lines, &rows, &quarantined, store.spending()?, config.drlc());
    let place = |name: &str| -> PathBuf { config.output_dir.join(name) };
    data::write_lines(&place(QUARANTINE_FILE), &quarantined)?;
    data::write_lines(&place(ITEMS_FILE), &rows)?;
    data::write_lines(&place(DISTILLED_FILE), rows.iter().filter_map(Row::training_sample))?;
    report.write(&place(REPORT_FILE))?;
    Ok(report)
}
