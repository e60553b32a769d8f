//! Held-out pairs: which checkpoint is the best, and when to stop.

use super::BestMetric;
use super::config::ValidationConfig;
use super::pairs::Pairs;
use super::reference::Reference;
use super::task::MpoTask;
use crate::Error;
use crate::best::Standing;
use std::collections::BTreeMap;

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
        let value = measured[metric.name()];
        self.standing = self.standing.after(step, value, |best| metric.is_better(value, best));
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::best::Best;

    fn after(standing: Standing, step: u64, metric: BestMetric, value: f64) -> Standing {
        standing.after(step, value, |best| metric.is_better(value, best))
    }

    #[test]
    fn only_a_better_value_is_the_best() {
        let mut standing = Standing::default();
        let seen = [(1, 0.5), (2, 0.75), (3, 0.75), (4, 0.5), (5, 0.8)];
        let mut waits = vec![];
        for (step, value) in seen {
            standing = after(standing, step, BestMetric::Accuracies, value);
            waits.push(standing.num_since);
        }
        assert_eq!(waits, [0, 0, 1, 2, 0]);
        assert_eq!(standing.best, Some(Best { step: 5, value: 0.8 }));
        let worse = after(standing, 6, BestMetric::Loss, 0.9);
        assert_eq!((worse.num_since, worse.best), (1, standing.best));
        // A measurement that is no number is never the better one.
        assert_eq!(after(standing, 6, BestMetric::Margins, f64::NAN).best, standing.best);
    }
}
