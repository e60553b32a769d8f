//! Our half of each comparison: a piece of work is prepared, then done once for every line that comes in.
//!
//! ```text
//! run.py ─ "\n" ─► this program     {"seconds": …, "outputs": […], "peak_bytes": …}
//!        ─ "\n" ─► peers/<work>.py  the same, on the same weights and inputs
//! ```
//!
//! Inputs are arithmetic ([`inputs`]), so both sides make the same ones without a file between them.
//! This crate is never part of the product: nothing depends on it.

use std::io::{self, BufRead, Write};
use std::time::Instant;

use anyhow::Result;
use clap::{Parser, Subcommand};
use serde_json::json;

mod inputs;
mod flop;
mod peak;
mod load;
mod adapter_step;
mod features;
mod decode;
mod grpo_step;
mod mpo_step;
mod images;

/// One piece of work, prepared.
trait Work {
    /// Does it once; returns numbers that the peer's must agree with.
    fn round(&mut self) -> Result<Vec<f64>>;

    /// Operations that a round cannot do without, where they are counted.
    fn flop(&self) -> Option<usize> {
        None
    }
}

#[derive(Parser)]
#[command(about = "Does one piece of work for every line on the standard input")]
struct Args {
    #[command(subcommand)]
    work: Kind,
}

#[derive(Subcommand)]
enum Kind {
    /// The most operations that the processor can do.
    Peak,
    /// A model read from its folder.
    Load(load::Args),
    /// Forward and backward through the frozen language model to the adapter.
    AdapterStep(adapter_step::Args),
    /// Features of the vision encoder.
    Features(features::Args),
    /// Greedy decoding after a shared prompt.
    Decode(decode::Args),
    /// Rollout and update of group-relative policy optimisation.
    GrpoStep(grpo_step::Args),
    /// An update of mixed preference optimisation.
    MpoStep(mpo_step::Args),
    /// Photographs to normalised tiles.
    Images(images::Args),
}

impl Kind {
    fn prepare(&self) -> Result<Box<dyn Work>> {
        Ok(match self {
            Self::Peak => Box::new(peak::Peak),
            Self::Load(args) => Box::new(load::Load::new(args)),
            Self::AdapterStep(args) => Box::new(adapter_step::AdapterStep::new(args)?),
            Self::Features(args) => Box::new(features::Features::new(args)?),
            Self::Decode(args) => Box::new(decode::Decode::new(args)?),
            Self::GrpoStep(args) => Box::new(grpo_step::GrpoStep::new(args)?),
            Self::MpoStep(args) => Box::new(mpo_step::MpoStep::new(args)?),
            Self::Images(args) => Box::new(images::Images::new(args)?),
        })
    }
}

fn main() -> Result<()> {
    let start = Instant::now();
    let mut work = Args::parse().work.prepare()?;
    let mut out = io::stdout();
    let seconds = start.elapsed().as_secs_f64();
    writeln!(out, "{}", json!({"ready": true, "seconds": seconds, "flop": work.flop()}))?;
    for line in io::stdin().lock().lines() {
        line?;
        let (start, cpu) = (Instant::now(), cpu_seconds()?);
        let outputs = work.round()?;
        let (seconds, cpu) = (start.elapsed().as_secs_f64(), cpu_seconds()? - cpu);
        let peak = peak_bytes()?;
        let answer =
            json!({"seconds": seconds, "cpu": cpu, "outputs": outputs, "peak_bytes": peak});
        writeln!(out, "{answer}")?;
        out.flush()?;
    }
    Ok(())
}

/// The most memory this process ever held, as the kernel counts it.
fn peak_bytes() -> Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes = line.and_then(|line| line.trim().strip_suffix("kB")).map(str::trim);
    Ok(kilobytes.map_or(Ok(0), str::parse::<u64>)? * 1024)
}

/// Seconds that all threads of this process were given, to a hundredth.
fn cpu_seconds() -> Result<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    // The name before it may hold anything; user and system time are the twelfth and thirteenth after.
    let after = stat.rsplit_once(") ").map_or("", |(_, after)| after);
    let ticks = after.split(' ').skip(11).take(2).map(str::parse::<f64>);
    Ok(ticks.sum::<Result<f64, _>>()? / 100.0)
}
