//! `sightline demo`.

use anyhow::{Result, bail};
use data::digits::DigitTask;

use crate::Context;
use crate::args::DemoArgs;

mod plan;

/// The picture task.
pub(crate) fn task(seed: u64) -> DigitTask {
    plan::Plan::full(seed).task
}

/// Runs the whole pipeline on real small parts.
pub(crate) fn run(_args: &DemoArgs, _context: &Context) -> Result<()> {
    bail!("being written")
}
