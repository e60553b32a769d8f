//! Project chores: `cargo xtask ci` runs every check, `cargo xtask tidy` the ones about layout; `cargo xtask keys` writes the
//! page of keys.
//!
//! ```text
//! ci = fmt ─► tidy ─► clippy ─► doc ─► test       each fails on any warning
//! ```
//!
//! This crate is no part of the program: nothing depends on it.

#![expect(clippy::print_stdout, reason = "the terminal is where a chore reports")]

mod ci;
mod keys;
mod tidy;

use std::path::PathBuf;

use anyhow::{Result, bail};

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["ci"] => ci::run(&root()),
        ["tidy"] => tidy::run(&root()),
        ["keys"] => keys::write(&root()),
        _ => bail!("usage: cargo xtask ci | tidy | keys"),
    }
}

/// The workspace, wherever cargo was called from. Asked for at run time: a checkout may have moved since it was built.
fn root() -> PathBuf {
    let own = std::env::var_os("CARGO_MANIFEST_DIR").map_or(PathBuf::from("xtask"), PathBuf::from);
    own.parent().expect("xtask lies in the workspace").to_owned()
}
