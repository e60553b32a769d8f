//! The pipeline on real endpoints in this process, on stubs, and on bad input.

#![expect(clippy::unwrap_used, reason = "a failed step of a test is a failed test")]

mod fixture;
mod bad_input;
mod bad_server;
mod resume;
mod stages;
