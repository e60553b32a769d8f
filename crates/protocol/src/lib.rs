//! The protocol of an evaluation that two labs can agree on: what is asked, how often, who judges, and how sure the
//! figures are.
//!
//! ```text
//! items ─► k runs of each ─► responses ─► scores by rule ─┬─► records ─► summaries: pass@1 with intervals
//!            │ store: by content, asked once              │                 │
//!            │    a judge: rulings, VLMEvalKit's matching ┘                 ├─► compare: two runs, paired
//!            └── the judge's too                                            └─► gate: thresholds
//! ```
//!
//! Every response has its strict, lenient and VLMEvalKit's score side by side, and a judge's where there is one;
//! where they differ it is disputed, and listed.
//!
//! ```
//! use protocol::{exact_mcnemar, wilson};
//!
//! let accuracy = wilson(183.0, 300);
//! assert_eq!(format!("{accuracy:.1}"), "61.0 % (55.4 – 66.3)");
//! // 30 questions only the first run had right, 50 only the second.
//! assert!(exact_mcnemar(30, 50) < 0.05);
//! ```
//!
//! This crate does not know benchmarks one by one, run models or open connections.

pub mod error;
pub mod interval;
pub mod settings;
pub mod record;
pub mod ruling;
pub mod matching;
mod respond;
pub mod run;
pub mod estimate;
pub mod figures;
pub mod summary;
pub mod table;
pub mod significance;
pub mod compare;
pub mod gate;

pub use compare::{Comparison, compare};
pub use error::Error;
pub use estimate::{Estimate, clustered};
pub use gate::{Gate, Metric, Outcome, Threshold};
pub use interval::{Interval, wilson};
pub use matching::{Matching, Step};
pub use record::{Record, Scheme, read_records};
pub use run::{Asked, Phase, Run, run};
pub use settings::Settings;
pub use significance::{exact_mcnemar, sign_flip};
pub use summary::{Summary, TaskSummary};
