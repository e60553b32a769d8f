//! `sightline eval compare`: two runs, item by item.

use std::path::Path;

use anyhow::{Result, ensure};
use protocol::{Comparison, Record, Scheme, Summary, read_records};

use crate::Context;
use crate::args::EvalCompareArgs;
use crate::output::Table;

/// What a run on benchmarks keeps of each response.
const RECORDS_FILE: &str = "records.jsonl";

/// Compares two runs.
pub(super) fn run(args: &EvalCompareArgs, context: &Context) -> Result<()> {
    [&args.before, &args.after].into_iter().try_for_each(|folder| check_run(folder))?;
    let scheme = match args.scoring {
        Some(scheme) => scheme,
        None => Summary::read(&args.before)?.settings.scoring,
    };
    let comparisons = between(&args.before, &args.after, scheme)?;
    context.output.show(&comparisons, |comparisons| table(comparisons, scheme))
}

/// That a folder is that of a run on benchmarks; an evaluation on a held-out file has no records.
pub(super) fn check_run(folder: &Path) -> Result<()> {
    ensure!(
        folder.join(RECORDS_FILE).is_file(),
        "{}: not the folder of an evaluation on benchmarks (eval --tasks): it has no {RECORDS_FILE}",
        folder.display()
    );
    Ok(())
}

/// The comparisons of the runs in two folders.
pub(super) fn between(before: &Path, after: &Path, scheme: Scheme) -> Result<Vec<Comparison>> {
    let records =
        |folder: &Path| -> Result<Vec<Record>> { Ok(read_records(&folder.join(RECORDS_FILE))?) };
    Ok(protocol::compare(&records(before)?, &records(after)?, scheme)?)
}

fn table(comparisons: &[Comparison], scheme: Scheme) -> String {
    let mut table = Table::new(&[
        "task",
        "items",
        "before",
        "after",
        "difference",
        "95 % interval",
        "worse",
        "better",
        "p",
        "McNemar",
    ]);
    let points = |share: f64| format!("{:.1}", 100.0 * share);
    for one in comparisons {
        table.row([
            one.task.clone(),
            one.num_items.to_string(),
            points(one.before),
            points(one.after),
            format!("{:+.1}", 100.0 * one.difference),
            format!("{:+.1} to {:+.1}", 100.0 * one.low, 100.0 * one.high),
            one.num_worse.to_string(),
            one.num_better.to_string(),
            format!("{:.4}", one.p_value),
            one.mcnemar.map_or_else(String::new, |p| format!("{p:.4}")),
        ]);
    }
    let unpaired: usize =
        comparisons.iter().filter(|one| one.task != "all").map(|one| one.num_unpaired).sum();
    format!(
        "{table}scores: {}; {unpaired} items are scored in one run only and left out",
        scheme.name()
    )
}
