//! The OpenAI chat API: its wire types, both directions, and a client that pays for nothing twice.
//!
//! ```text
//! Sample ─► messages ─► ChatRequest ─► Endpoint ─► ChatReply
//!                                        │ ledger: a stored reply is never asked for again
//!                                        │ account: tokens and money are reserved before they are spent
//!                                        └ transport: timeouts, retries with growing waits, bounded replies
//! ```
//!
//! ```no_run
//! use openai::{Call, ChatRequest, Endpoint, Ledger, Message, Role, Settings};
//!
//! let ledger = Ledger::open("ledger.sqlite".as_ref())?;
//! let endpoint = Endpoint::new(Settings::new("http://localhost:8000/v1", "judge"), ledger)?;
//! let request = ChatRequest::new(vec![Message::text(Role::User, "3 + 4?")]);
//! let answered = endpoint.chat(&Call { prompt_version: "sum/1", request })?;
//! println!("{}", answered.reply.text());
//! # Ok::<(), openai::Error>(())
//! ```
//!
//! The transport also carries requests that are no chats, such as those to a reward model behind a server.
//!
//! This crate does not serve, does not stream, and knows nothing about what is asked.

mod error;
mod wire;
mod content;
mod transport;
mod account;
mod parallel;
mod ledger;
mod endpoint;
mod respond;

pub use account::{Budget, Prices, Spending};
pub use content::{data_url, messages};
pub use endpoint::{Answered, Call, Endpoint, Settings};
pub use error::{Error, excerpt};
pub use ledger::{Attempt, Ledger, Outcome};
pub use parallel::in_parallel;
pub use transport::{ApiKey, Patience, Transport, Trouble};
pub use wire::{
    ApiError, ChatChunk, ChatReply, ChatRequest, Choice, ChunkChoice, Content, Delta, ErrorBody,
    FinishReason, ImageUrl, Message, Part, Reply, Role, Stop, StreamOptions, Usage,
};
