//! Results of stages, kept by the hash of all that shapes them: a rerun recomputes nothing that is unchanged.
//!
//! ```text
//! questions, requests ─► key ─► in the store? ─ yes ─► result
//!                                    └─ no ─► judge or model ─► store, at once ─► result
//! ```
//!
//! ```
//! use judge::{Correctness, Judge};
//! use stages::{Keyed, Stage, Store};
//!
//! let store = Store::in_memory()?;
//! let question = Correctness { question: "3 + 4?", gold: "7", response: r"\boxed{7}" };
//! let questions = vec![Keyed { content: "the hash of its item", value: question }];
//! let stage = Stage { name: "check", seed: 42 };
//! let mut right = 0;
//! store.ask(stage, &mut Judge::Rules, questions, &mut |_, found| right += usize::from(found.unwrap().correct))?;
//! assert_eq!(right, 1);
//! # Ok::<(), stages::Error>(())
//! ```
//!
//! This crate does not know what a stage is for, or open connections.

mod error;
mod store;
mod ask;
mod fingerprint;

pub use ask::{Found, Keyed, Responded, Stage, question_key, request_key};
pub use error::Error;
pub use fingerprint::fingerprint;
pub use store::{Entry, IN_MEMORY, Spending, Store, database, hex, key};
