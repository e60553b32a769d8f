//! What a run came to: every line of the data set is in exactly one count.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use serde::{Deserialize, Serialize};
use stages::Spending;

use crate::Error;
use crate::calibration::Calibration;
use crate::penalty::Drlc;
use crate::sieve::{Flaw, Quarantined};
use crate::table::Row;

/// Counts, spending and calibration of a run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Lines of the data set that are not blank.
    pub num_lines: usize,
    /// How items ended, and lines that are none as `quarantined`; the counts add up to `num_lines`.
    pub outcomes: BTreeMap<String, usize>,
    /// What was wrong with those that are quarantined.
    pub flaws: BTreeMap<Flaw, usize>,
    /// Why the run stopped before its end, if it did; the same command goes on.
    pub stopped: Option<String>,
    /// What each stage has taken, in all runs in this folder.
    pub stages: Vec<Spending>,
    /// Length and correctness against the penalty.
    pub calibration: Calibration,
}

impl Report {
    pub(crate) fn new(
        num_lines: usize,
        rows: &[Row],
        quarantined: &[Quarantined],
        stages: Vec<Spending>,
        drlc: Drlc,
    ) -> Self {
        let (mut outcomes, mut flaws) = (BTreeMap::new(), BTreeMap::new());
        for row in rows.iter().filter(|row| row.outcome != "quarantined") {
            *outcomes.entry(row.outcome.clone()).or_insert(0) += 1;
        }
        for flawed in quarantined {
            *flaws.entry(flawed.flaw).or_insert(0) += 1;
        }
        if !quarantined.is_empty() {
            outcomes.insert("quarantined".to_owned(), quarantined.len());
        }
        let stopped = rows.iter().find(|row| row.outcome == "stopped");
        let stopped = stopped.and_then(|row| row.reason.clone());
        let calibration = Calibration::new(rows, drlc);
        Self { num_lines, outcomes, flaws, stopped, stages, calibration }
    }

    /// How many items ended so.
    pub fn count(&self, outcome: &str) -> usize {
        self.outcomes.get(outcome).copied().unwrap_or(0)
    }

    /// Samples to train on.
    pub fn num_distilled(&self) -> usize {
        self.count("kept") + self.count("rewritten")
    }

    pub(crate) fn write(&self, path: &Path) -> Result<(), Error> {
        let text = serde_json::to_string_pretty(self).expect("plain numbers") + "\n";
        std::fs::write(path, text).map_err(Error::io(path))
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = self.outcomes.iter().map(|(name, count)| format!("{count} {name}"));
        writeln!(f, "{} lines: {}", self.num_lines, counts.collect::<Vec<_>>().join(", "))?;
        for (flaw, count) in &self.flaws {
            let name = serde_json::to_value(flaw).expect("a plain name");
            writeln!(f, "  quarantined for {}: {count}", name.as_str().unwrap_or_default())?;
        }
        for stage in &self.stages {
            let Spending { stage, num_results, prompt_tokens, completion_tokens, cost } = stage;
            writeln!(
                f,
                "  {stage:<12} {num_results:>8} results, {prompt_tokens} + {completion_tokens} tokens, cost {cost:.4}"
            )?;
        }
        if let Some(reason) = &self.stopped {
            writeln!(f, "stopped: {reason}")?;
        }
        write!(f, "{}", self.calibration)
    }
}
