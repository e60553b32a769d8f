//! Held-out pairs: which checkpoint is the best, and when to stop.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::BestMetric;
use super::config::ValidationConfig;
use super::pairs::Pairs;
use super::reference::Reference;
use super::task::MpoTask;
use crate::Error;

/// Name of the folder that holds the best checkpoint.
pub const BEST_FOLDER: &str = "best";

/// How the run stands: the best checkpoint so far, and how long ago it was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Standing {
    pub best: Option<Best>,
    /// Checkpoints since the best.
    pub num_since: u64,
}

/// The best checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Best {
    pub step: u64,
    pub value: f64,
}

/// The held-out pairs of a run.
pub(super) struct Validation<'a> {
    pub pairs: &'a Pairs,
    pub references: Vec<Reference>,
    pub config: &'a ValidationConfig,
    pub standing: Standing,
}

impl Validation<'_> {
    /// Measures the policy after `step`, under names that begin with `eval/`.
    pub(super) fn measure(
        &mut self,
        task: &mut MpoTask<'_>,
        step: u64,
    ) -> Result<BTreeMap<String, f64>, Error> {
        let measured = task.measure(self.pairs, &self.references)?;
        let metric = self.config.metric_for_best_model;
        self.standing = self.standing.after(step, metric, measured[metric.name()]);
        Ok(measured.into_iter().map(|(name, value)| (format!("eval/{name}"), value)).collect())
    }

    /// Whether the run has waited long enough for a better checkpoint.
    pub(super) fn is_over(&self) -> bool {
        self.config.early_stopping_patience.is_some_and(|most| self.standing.num_since >= most)
    }
}

impl BestMetric {
    /// The metric's name.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Loss => "loss",
            Self::Accuracies => "rewards/accuracies",
            Self::Margins => "rewards/margins",
        }
    }

    fn is_better(self, value: f64, than: f64) -> bool {
        match self {
            Self::Loss => value < than,
            Self::Accuracies | Self::Margins => value > than,
        }
    }
}

impl Standing {
    /// The standing after another checkpoint. Of equally good ones the first stays the best.
    fn after(self, step: u64, metric: BestMetric, value: f64) -> Self {
        match self.best {
            Some(best) if !metric.is_better(value, best.value) => {
                Self { num_since: self.num_since + 1, ..self }
            }
            _ => Self { best: Some(Best { step, value }), num_since: 0 },
        }
    }
}

/// Makes `best` in the output folder the checkpoint of `step`; returns it when it was another before.
///
/// Checkpoints are never written to once they are there, so links to their files are copies.
pub(super) fn keep_best(output_dir: &Path, step: u64) -> Result<Option<PathBuf>, Error> {
    let (best, from) =
        (output_dir.join(BEST_FOLDER), output_dir.join(format!("checkpoint-{step}")));
    if step_of(&best) == Some(step) || !from.is_dir() {
        return Ok(None);
    }
    let partial = output_dir.join(".best.partial");
    let copy = || -> std::io::Result<()> {
        for stale in [&partial, &best] {
            if stale.exists() {
                std::fs::remove_dir_all(stale)?;
            }
        }
        std::fs::create_dir(&partial)?;
        for entry in std::fs::read_dir(&from)? {
            let entry = entry?;
            let to = partial.join(entry.file_name());
            if std::fs::hard_link(entry.path(), &to).is_err() {
                std::fs::copy(entry.path(), &to)?;
            }
        }
        std::fs::rename(&partial, &best)
    };
    copy().map_err(|source| Error::Io { path: best.clone(), source })?;
    Ok(Some(best))
}

/// The step of a checkpoint folder, if it is one.
fn step_of(folder: &Path) -> Option<u64> {
    let text = std::fs::read(folder.join("trainer_state.json")).ok()?;
    let state: serde_json::Value = serde_json::from_slice(&text).ok()?;
    state["global_step"].as_u64()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_better_value_is_the_best() {
        let mut standing = Standing::default();
        let seen = [(1, 0.5), (2, 0.75), (3, 0.75), (4, 0.5), (5, 0.8)];
        let mut waits = vec![];
        for (step, value) in seen {
            standing = standing.after(step, BestMetric::Accuracies, value);
            waits.push(standing.num_since);
        }
        assert_eq!(waits, [0, 0, 1, 2, 0]);
        assert_eq!(standing.best, Some(Best { step: 5, value: 0.8 }));
        let worse = standing.after(6, BestMetric::Loss, 0.9);
        assert_eq!((worse.num_since, worse.best), (1, standing.best));
        // A measurement that is no number is never the better one.
        assert_eq!(standing.after(6, BestMetric::Margins, f64::NAN).best, standing.best);
    }
}
