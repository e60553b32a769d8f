//! Benchmarks: their published files as items to ask, and what a response to an item is worth.
//!
//! ```text
//! parquet, TSV, CSV, JSON ─► rows ─► a task ─► items: prompt, images, known answer
//!                                                        │
//!                                      response ─────────┴─► score ─► strict, lenient, as VLMEvalKit scores
//! ```
//!
//! Each benchmark is one small file of `tasks`: its columns, its prompt, its scoring.
//!
//! ```
//! use benchmark::{TASKS, find_tasks};
//!
//! assert!(TASKS.len() > 25);
//! assert_eq!(find_tasks("mmmu, mathvista")?[1].title, "MathVista");
//! assert!(find_tasks("mmnu").unwrap_err().to_string().starts_with("no task `mmnu`; the tasks are"));
//! # Ok::<(), benchmark::Error>(())
//! ```
//!
//! This crate does not run models, ask judges or use the network; programs run in a sandbox or not at all.

mod error;
mod python;
mod table;
mod image;
mod frames;
mod prompt;
mod item;
mod task;
mod tasks;
mod sandbox;
mod calls;
mod turns;
mod code;
mod suite;
mod ifeval;
mod vlmevalkit;
mod score;

pub use code::{Program, Test};
pub use error::{Error, Flaw};
pub use frames::FrameSource;
pub use image::{Image, ImageStore};
pub use item::{Comparing, Expected, Item, Language, LiveTask, Scoring};
pub use prompt::{PAPER_CHOICE, PAPER_OPEN, R1_MATHEMATICS, Style};
pub use python::{Call, list as python_list};
pub use sandbox::{Limits, Ran, Sandbox};
pub use score::{Marks, kit_answer, score, score_turns};
pub use suite::Suite;
pub use table::{Row, Rows, open};
pub use task::{Figures, Hub, Loaded, Reading, Task};
pub use tasks::{TASKS, find_tasks, vl_rewardbench_category};
pub use turns::{Dialogue, Turns, World};
pub use vlmevalkit::{Compared, Kit, Next};
