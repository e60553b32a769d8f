//! `sightline eval gate`: an exit code for pipelines.

use anyhow::{Result, bail};
use protocol::{Gate, Outcome, Summary};

use super::compare::{between, check_run};
use crate::Context;
use crate::args::EvalGateArgs;
use crate::output::Table;

/// Holds a run to its thresholds.
pub(super) fn run(args: &EvalGateArgs, context: &Context) -> Result<()> {
    [Some(&args.run), args.baseline.as_ref()]
        .into_iter()
        .flatten()
        .try_for_each(|folder| check_run(folder))?;
    let summary = Summary::read(&args.run)?;
    let scheme = summary.settings.scoring;
    let comparisons = match &args.baseline {
        Some(baseline) => between(baseline, &args.run, scheme)?,
        None => Vec::new(),
    };
    // Without limits a baseline is there to be kept.
    let is_bare = args.baseline.is_some() && args.max_drop.is_none() && args.alpha.is_none();
    let gate = Gate {
        thresholds: args.require.clone(),
        max_drop: if is_bare { Some(0.0) } else { args.max_drop.map(|points| points / 100.0) },
        alpha: args.alpha,
    };
    let outcomes = gate.check(&summary, &comparisons);
    context.output.show(&outcomes, |outcomes| table(outcomes))?;
    let num_failed = outcomes.iter().filter(|outcome| !outcome.passed).count();
    match num_failed {
        0 => Ok(()),
        failed => bail!("{failed} of {} checks do not pass", outcomes.len()),
    }
}

fn table(outcomes: &[Outcome]) -> String {
    let mut table = Table::new(&["check", "found", "verdict"]);
    for Outcome { check, value, passed } in outcomes {
        let value = value.map_or("not measured".to_owned(), |value| format!("{value:.4}"));
        let verdict = if *passed { "passes" } else { "FAILS" };
        table.row([check.clone(), value, verdict.to_owned()]);
    }
    table.to_string()
}
