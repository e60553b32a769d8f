//! Pairs through all steps, with scripted models.

#![expect(clippy::unwrap_used, reason = "a failed step of a test is a failed test")]

mod fixture;
mod collected;
mod gathered;
mod weak;
