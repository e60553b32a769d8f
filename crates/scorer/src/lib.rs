//! Scores from outside this process: a reward model behind a server, as vLLM speaks it over HTTP, or a reward of the
//! user's own, a server or a program.
//!
//! ```text
//! conversation, responses ─► body ─► POST /score | /classify | /pooling ─► reply ─► one score each
//!                                     │  timeout, retries with growing waits, bounded replies
//! question, completions ─► own ─► POST, or a line to a program ─► {"rewards": […]}
//! ```
//!
//! ```no_run
//! use reward::{Asked, Scorer as _};
//! use scorer::{HttpScorer, Settings};
//!
//! let settings = Settings::new("http://localhost:8000/classify", "skywork-vl-reward");
//! let mut scorer = HttpScorer::new(settings)?;
//! let prompt = serde_json::from_str(r#"{"messages":[{"role":"user","content":"3 + 4?"}]}"#)?;
//! let asked = Asked { prompt: &prompt, folder: "".as_ref() };
//! let scores = scorer.scores(&asked, &["It is 7.", "It is 8."])?;
//! assert!(scores[0] > scores[1]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! This crate does not run a model, choose what is scored, or believe a reply: whatever is not one
//! number for each response is an error.

mod error;
mod body;
mod reply;
mod own;
mod http;
mod process;

pub use error::Error;
pub use http::{HttpScorer, Route, Settings};
pub use process::ProcessScorer;
