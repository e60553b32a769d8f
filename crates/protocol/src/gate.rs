//! Thresholds that a run must keep, for pipelines.

use std::str::FromStr;

use serde::Serialize;

use crate::Error;
use crate::compare::Comparison;
use crate::summary::{Summary, TaskSummary};

/// What is held against a threshold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Metric {
    /// The score that counts.
    Score,
    /// The lower end of its interval.
    Low,
    /// Share of responses that the limit on tokens ended.
    Clipped,
    /// Share of responses that are missing, empty or cannot be scored.
    Flawed,
    /// Share of responses whose ways of scoring disagree.
    Disputed,
    /// Mean tokens of a response.
    Length,
}

/// A threshold: `mmmu>=69`, `mathvista.low>=0.65`, `*.clipped<=5%`. Shares may be written as percentages: a number
/// above 1 is one, but for lengths.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Threshold {
    /// The benchmark, or `*` for each.
    pub task: String,
    /// What is held against it.
    pub metric: Metric,
    /// Whether the value must be at least the bound, or at most.
    pub at_least: bool,
    /// The bound.
    pub bound: f64,
}

impl FromStr for Threshold {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let refuse =
            |reason: &str| Error::Threshold { text: text.to_owned(), reason: reason.to_owned() };
        let parts = text.split_once(">=").map(|parts| (parts, true));
        let parts = parts.or_else(|| text.split_once("<=").map(|parts| (parts, false)));
        let ((name, bound), at_least) =
            parts.ok_or_else(|| refuse("expected task>=number or task.metric<=number"))?;
        let (task, metric) = name.trim().split_once('.').unwrap_or((name.trim(), "score"));
        let metric = match metric {
            "score" => Metric::Score,
            "low" => Metric::Low,
            "clipped" => Metric::Clipped,
            "flawed" => Metric::Flawed,
            "disputed" => Metric::Disputed,
            "length" => Metric::Length,
            _ => {
                return Err(refuse(
                    "the metrics are score, low, clipped, flawed, disputed and length",
                ));
            }
        };
        let number = bound.trim().trim_end_matches('%');
        let value: f64 = number.parse().map_err(|_| refuse("the bound is no number"))?;
        let is_percent = metric != Metric::Length && (bound.trim().ends_with('%') || value > 1.0);
        let bound = if is_percent { value / 100.0 } else { value };
        Ok(Self { task: task.replace('-', "_"), metric, at_least, bound })
    }
}

/// What a run must keep.
#[derive(Clone, Debug, Default)]
pub struct Gate {
    /// Thresholds.
    pub thresholds: Vec<Threshold>,
    /// Largest loss against a baseline that passes, significant or not.
    pub max_drop: Option<f64>,
    /// A loss with a p-value below this does not pass.
    pub alpha: Option<f64>,
}

/// One thing that was checked.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Outcome {
    /// What was asked for.
    pub check: String,
    /// What was found; nothing where the run has no such benchmark.
    pub value: Option<f64>,
    /// Whether it passes.
    pub passed: bool,
}

impl Gate {
    /// Checks a run, and its comparison with a baseline if there is one.
    pub fn check(&self, summary: &Summary, comparisons: &[Comparison]) -> Vec<Outcome> {
        let thresholds = self.thresholds.iter().flat_map(|one| one.check(summary));
        let drops = comparisons.iter().flat_map(|comparison| self.drops(comparison));
        thresholds.chain(drops).collect()
    }

    fn drops(&self, comparison: &Comparison) -> Vec<Outcome> {
        let Comparison { task, difference, p_value, .. } = comparison;
        let by_size = self.max_drop.map(|most| Outcome {
            check: format!("{task}: lost against the baseline <= {:.1} points", 100.0 * most),
            value: Some(-difference),
            passed: -difference <= most + 1e-12,
        });
        let by_chance = self.alpha.map(|alpha| Outcome {
            check: format!("{task}: no loss with p < {alpha}"),
            value: Some(*p_value),
            passed: *difference >= 0.0 || *p_value >= alpha,
        });
        by_size.into_iter().chain(by_chance).collect()
    }
}

impl Threshold {
    fn check(&self, summary: &Summary) -> Vec<Outcome> {
        let is_meant = |task: &&TaskSummary| self.task == "*" || task.task == self.task;
        let tasks: Vec<&TaskSummary> = summary.tasks.iter().filter(is_meant).collect();
        let sign = if self.at_least { ">=" } else { "<=" };
        let name = serde_json::to_string(&self.metric).unwrap_or_default().replace('"', "");
        let outcome = |task: &str, value: Option<f64>| Outcome {
            check: format!("{task}.{name} {sign} {}", self.bound),
            value,
            passed: value.is_some_and(|value| match self.at_least {
                true => value >= self.bound,
                false => value <= self.bound,
            }),
        };
        match tasks.is_empty() {
            // What was not measured does not pass.
            true => vec![outcome(&self.task, None)],
            false => {
                tasks.iter().map(|task| outcome(&task.task, self.value(task, summary))).collect()
            }
        }
    }

    fn value(&self, task: &TaskSummary, summary: &Summary) -> Option<f64> {
        let estimate = task.scores.get(&summary.settings.scoring);
        let num = estimate.map_or(0, |estimate| estimate.num_items) * summary.settings.num_runs;
        let num = (num + task.num_unscored + task.num_unasked) as f64;
        let share = |part: usize| (num > 0.0).then(|| part as f64 / num);
        match self.metric {
            Metric::Score => estimate.map(|estimate| estimate.score.value),
            Metric::Low => estimate.map(|estimate| estimate.score.low),
            Metric::Clipped => Some(task.clipped),
            Metric::Flawed => share(task.num_unasked + task.num_unscored + task.num_empty),
            Metric::Disputed => share(task.num_disputed),
            Metric::Length => Some(task.mean_length),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thresholds_are_read() {
        let parsed =
            |text: &str| text.parse::<Threshold>().map(|t| (t.task, t.metric, t.at_least, t.bound));
        let cases = [
            ("mmmu>=69", ("mmmu", Metric::Score, true, 0.69)),
            ("mathvista.low >= 0.65", ("mathvista", Metric::Low, true, 0.65)),
            ("*.clipped<=5%", ("*", Metric::Clipped, false, 0.05)),
            ("*.clipped<=1%", ("*", Metric::Clipped, false, 0.01)),
            ("aime-2024.length<=8000", ("aime_2024", Metric::Length, false, 8000.0)),
        ];
        for (text, (task, metric, at_least, bound)) in cases {
            assert_eq!(parsed(text).unwrap(), (task.to_owned(), metric, at_least, bound), "{text}");
        }
        for text in ["mmmu", "mmmu=3", "mmmu.luck>=1", "mmmu>=much"] {
            assert!(parsed(text).unwrap_err().to_string().contains(text));
        }
    }
}
