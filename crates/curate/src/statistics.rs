//! What each step dropped: every pair that came in is kept or in one count.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

/// Why a pair was dropped, or a line or response made none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Dropped {
    /// The line is no preference pair, or one that nothing can be learned from.
    BadLine,
    /// The same pair came before.
    Duplicate,
    /// Nearly the same pair about the same images came before.
    NearDuplicate,
    /// The judge finds neither response better.
    Equal,
    /// The judge is not sure.
    Unsure,
    /// The judge finds the rejected response better.
    Reversed,
    /// The judge's reply could not be read, twice.
    JudgeProse,
    /// The chosen response scores too low or too near the rejected one, and there is no better one.
    Weak,
    /// A request failed; a rerun tries again.
    Failed,
    /// The run stopped before it was judged; a rerun goes on.
    Stopped,
}

impl Dropped {
    /// Its name in files.
    pub fn name(self) -> &'static str {
        match self {
            Self::BadLine => "bad_line",
            Self::Duplicate => "duplicate",
            Self::NearDuplicate => "near_duplicate",
            Self::Equal => "equal",
            Self::Unsure => "unsure",
            Self::Reversed => "reversed",
            Self::JudgeProse => "judge_prose",
            Self::Weak => "weak",
            Self::Failed => "failed",
            Self::Stopped => "stopped",
        }
    }
}

/// Counts of a run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Statistics {
    /// Lines and collected pairs, by their source.
    pub sources: BTreeMap<String, usize>,
    /// Prompts that were responded to.
    pub num_prompts: usize,
    /// Responses, by who gave them: right, and in all.
    pub responses: BTreeMap<String, [usize; 2]>,
    /// Requests for responses that failed; a rerun tries again.
    pub num_failed_requests: usize,
    /// Why pairs were dropped.
    pub dropped: BTreeMap<Dropped, usize>,
    /// Chosen responses that were written anew, and kept.
    pub num_rewritten: usize,
    /// Pairs kept.
    pub num_kept: usize,
    /// Those with an image.
    pub num_with_image: usize,
    /// Why the run stopped before its end, if it did; the same command goes on.
    pub stopped: Option<String>,
}

impl Statistics {
    /// Pairs and lines that came in.
    pub fn num_in(&self) -> usize {
        self.sources.values().sum()
    }

    /// How many were dropped so.
    pub fn count(&self, why: Dropped) -> usize {
        self.dropped.get(&why).copied().unwrap_or(0)
    }
}

impl fmt::Display for Statistics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (source, count) in &self.sources {
            writeln!(f, "{source}: {count} pairs")?;
        }
        for (name, [right, all]) in &self.responses {
            writeln!(f, "{name}: {right} of {all} responses right")?;
        }
        for (why, count) in &self.dropped {
            writeln!(f, "  dropped, {}: {count}", why.name().replace('_', " "))?;
        }
        let Self { num_kept, num_with_image, num_rewritten, .. } = self;
        write!(f, "kept {num_kept}, {num_with_image} with an image, {num_rewritten} written anew")?;
        match &self.stopped {
            Some(reason) => write!(f, "\nstopped: {reason}"),
            None => Ok(()),
        }
    }
}
