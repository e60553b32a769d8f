//! The endpoint against a server in this process.

#![expect(clippy::unwrap_used, reason = "a failed step of a test is a failed test")]

mod content;
mod endpoint;
mod respond;
