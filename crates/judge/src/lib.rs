//! Judgements in words: a typed question, a strict reading of the reply, and one round of repair.
//!
//! ```text
//! Question ─► prompt ─► Respond: a model behind a server, or one in this process ─► reply ─► read ─► verdict
//!    │                                        ▲                                               │
//!    │                                        └── once more, with what was wrong ◄────────────┘
//!    └─► by_rule ─► verdict                   where no model is configured, or none is needed
//! ```
//!
//! ```
//! use judge::{Correctness, Judge, Question as _, judge_all};
//!
//! let question = Correctness { question: "3 + 4?", gold: "7", response: r"It is \boxed{7}." };
//! let mut verdicts = vec![];
//! judge_all(&mut Judge::Rules, &[question], &mut |index, judged| verdicts.push((index, judged)));
//! assert!(verdicts[0].1.as_ref().unwrap().verdict.correct);
//! assert!(Correctness::read_text(r#"Sure! {"correct": true, "reason": ""}"#).is_err());
//! ```
//!
//! This crate does not open connections or run models, and believes no reply that is not exactly in the form asked for.

mod respond;
mod question;
mod form;
mod ask;
mod questions;
mod teacher;
mod scripted;

pub use ask::{Judge, Judged, Judging, judge_all, judge_identity};
pub use form::{Score, read_json};
pub use question::{Question, quoting};
pub use questions::{
    Better, Compared, Comparison, Consistency, Consistent, Correct, Correctness, Rating, Rubric,
    without_tags,
};
pub use respond::{
    Decoding, Done, Failure, Prose, Request, Respond, Response, estimate_prompt, estimate_text,
    whole_response,
};
pub use scripted::Scripted;
pub use teacher::{TeacherConfig, TeacherError, TeacherKind};
