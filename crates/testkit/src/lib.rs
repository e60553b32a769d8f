//! What tests share: golden files, comparisons that name the worst element, a finite-difference check, a server.
//!
//! ```text
//! tests/golden/*.safetensors ─► Golden ─┐
//! tests/golden/*.json ────────► json   ─┼─► assert_close, assert_close_by_norm
//! the code under test ──────────────────┘   check_gradient
//! ```
//!
//! ```
//! use testkit::{Tolerance, assert_close, check_gradient};
//!
//! assert_close("halves", &[0.5, 1.5], &[0.5, 1.50001], Tolerance::absolute(1e-4));
//! check_gradient(|x| x[0] * x[0] + x[1], &[3.0, 1.0], &[6.0, 1.0], 1e-4, 1e-6);
//! ```
//!
//! Everything here panics on failure: it is called from tests only.
//!
//! This crate does not know any other crate of the workspace, so every one may use it.

mod golden;
mod close;
mod gradient;
mod server;

pub use close::{Tolerance, assert_close, assert_close_by_norm, relative_error};
pub use golden::{Golden, json};
pub use gradient::check_gradient;
pub use server::{Reply, Server};
