//! A model behind OpenAI's HTTP API, or a reward model behind vLLM's routes for scores.
//!
//! ```text
//! POST /v1/chat/completions ─► conversation ─► prompt, pixels ────┐ queue       one running batch
//!                                 refused: 400, 401, 404, 429    └──────────►  admit ─► step ─► pieces of text
//!                  reply, or a stream of chunks ◄───────────────────────────────────────────────┘
//! POST /score, /classify, /pooling ─► conversations ─── queue ─► passes of shared prompts ─► scores
//! ```
//!
//! Requests join the running batch while it runs, each with settings of its own, and leave it when their client does.
//! What a request with a seed is answered does not depend on its company.
//!
//! ```no_run
//! use serve::{Served, Settings};
//!
//! let listener = std::net::TcpListener::bind("127.0.0.1:8000")?;
//! let vlm = model::vlm::Vlm::load("vlm".as_ref(), tensor::DType::F32)?;
//! let processor = preprocess::Processor::load("vlm".as_ref())?;
//! serve::serve(listener, Served::chat(vlm, processor), Settings::new("vlm"))?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! This crate reads no file and opens no connection for a client: images come as data URLs, or not at all.

mod error;
mod settings;
mod refusal;
mod queue;
mod aside;
mod conversation;
mod chat;
mod stream;
mod thought;
mod generator;
mod scores;
mod judge;
mod server;

pub use error::Error;
pub use server::{Served, serve, serve_until};
pub use settings::{MAX_NEW_TOKENS, MAX_REQUESTS, Settings};
