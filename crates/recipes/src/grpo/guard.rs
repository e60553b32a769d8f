//! What watches a run: alarms at every step, held-out questions now and then, and the rule that ends it.
//!
//! ```text
//! stop when      nothing better was measured early_stopping_patience times,
//!       or       mean rule reward of the last steps − held-out accuracy  > max_reward_gap,
//!       or       share of absent things said to be there                 > max_hallucination_rate
//! ```
//!
//! This is how "calibrated reward thresholds" (R1V2, arXiv:2504.16656, abstract; not defined there) are read here: the
//! reward counts as long as questions that nothing was learned from bear it out.

use std::path::Path;

use serde::{Deserialize, Serialize};

use engine::StepReport;

use super::GrpoConfig;
use super::alarms::{Alarm, Alarms};
use super::config::GrpoMetric;
use super::held_out::{ACCURACY, CRITICAL, HALLUCINATION, HeldOut, PROBE_ACCURACY};
use crate::Error;
use crate::best::{Standing, keep_best};
use crate::policy::Policy;
use crate::run::Notice;

/// What watches a run.
pub(super) struct Guard<'a> {
    config: &'a GrpoConfig,
    held_out: HeldOut<'a>,
    state: State,
}

/// What a checkpoint keeps of it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct State {
    alarms: Alarms,
    standing: Standing,
    /// What sets the best checkpoint apart from an equal one.
    #[serde(alias = "critical")]
    tie: Option<f64>,
    is_over: bool,
}

impl<'a> Guard<'a> {
    pub(super) fn new(config: &'a GrpoConfig, policy: &Policy) -> Result<Self, Error> {
        let held_out = HeldOut::read(config, policy)?;
        Ok(Self { config, held_out, state: State::default() })
    }

    /// Looks at a step and, where they are due, at held-out questions; adds what it finds to the report.
    pub(super) fn watch(
        &mut self,
        report: &mut StepReport,
        policy: &mut Policy,
        notices: &mut dyn FnMut(&Notice),
    ) -> Result<(), Error> {
        let step = report.step;
        let begun = self.state.alarms.observe(&self.config.guard.alarms(), &mut report.metrics);
        for Alarm { what, value, limit } in begun {
            notices(&Notice::Alarm { step, what, value, limit });
        }
        if self.config.is_measured(step, report.max_steps) {
            report.metrics.extend(self.held_out.measure(policy)?);
            self.judge(report, notices);
        }
        Ok(())
    }

    /// Whether a rule has ended the run.
    pub(super) fn is_over(&self) -> bool {
        self.state.is_over
    }

    /// What a checkpoint keeps.
    pub(super) fn save(&self) -> serde_json::Value {
        serde_json::to_value(&self.state).expect("plain numbers")
    }

    pub(super) fn restore(&mut self, saved: &serde_json::Value) -> Result<(), Error> {
        let state = serde_json::from_value(saved.clone());
        self.state =
            state.map_err(|error| Error::State { what: "guard", reason: error.to_string() })?;
        Ok(())
    }

    /// Sees to it that `best` is the best checkpoint so far.
    pub(super) fn keep_best(&self, notices: &mut dyn FnMut(&Notice)) -> Result<(), Error> {
        let Standing { best: Some(best), num_since: 0 } = self.state.standing else {
            return Ok(());
        };
        let folder: &Path = &self.config.run.output_dir;
        if let Some(path) = keep_best(folder, best.step)? {
            let metric = self.metric();
            notices(&Notice::Best { step: best.step, metric, value: best.value, path });
        }
        Ok(())
    }

    fn metric(&self) -> &'static str {
        match self.config.guard.metric() {
            GrpoMetric::Accuracy => ACCURACY,
            GrpoMetric::HallucinationRate => HALLUCINATION,
        }
    }

    /// Of two equals the one with more of this is better: a policy that says nothing hallucinates nothing.
    fn tie(&self) -> &'static str {
        match self.config.guard.metric() {
            GrpoMetric::Accuracy => CRITICAL,
            GrpoMetric::HallucinationRate => PROBE_ACCURACY,
        }
    }

    /// Whether this measurement is the best, and whether it ends the run.
    fn judge(&mut self, report: &StepReport, notices: &mut dyn FnMut(&Notice)) {
        let step = report.step;
        if let Some(&value) = report.metrics.get(self.metric()) {
            let tie = report.metrics.get(self.tie()).copied();
            self.state.compare(self.config.guard.metric(), step, (value, tie));
        }
        let guard = &self.config.guard;
        let best = self.state.standing.best.map_or(step, |best| best.step);
        if guard.early_stopping_patience.is_some_and(|most| self.state.standing.num_since >= most) {
            self.state.is_over = true;
            notices(&Notice::EarlyStop { step, best });
        }
        let gap = report.metrics.get(ACCURACY).and_then(|accuracy| {
            let window = guard.alarms().window;
            Some(self.state.alarms.recent("rewards/rule/mean", window)? - accuracy)
        });
        let hallucination = report.metrics.get(HALLUCINATION).copied();
        for (what, value, limit) in [
            ("reward above held-out accuracy", gap, guard.max_reward_gap),
            (HALLUCINATION, hallucination, guard.max_hallucination_rate),
        ] {
            if let (Some(value), Some(limit)) = (value, limit)
                && value > limit
            {
                self.state.is_over = true;
                notices(&Notice::Stopped { step, what, value, limit });
            }
        }
    }
}

impl State {
    /// Whether a measurement, with what sets it apart from an equal one, is the best so far.
    fn compare(&mut self, metric: GrpoMetric, step: u64, (value, tie): (f64, Option<f64>)) {
        let wins_tie = tie > self.tie;
        let is_better = |best: f64| match metric {
            GrpoMetric::Accuracy => value > best || (value == best && wins_tie),
            GrpoMetric::HallucinationRate => value < best || (value == best && wins_tie),
        };
        self.standing = self.standing.after(step, value, is_better);
        if self.standing.num_since == 0 {
            self.tie = tie;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Steps of the best checkpoint after each measurement.
    fn best(metric: GrpoMetric, measured: &[(f64, Option<f64>)]) -> Vec<u64> {
        let mut state = State::default();
        let of = |(step, &measured): (u64, &(f64, Option<f64>))| {
            state.compare(metric, step, measured);
            state.standing.best.map_or(0, |best| best.step)
        };
        (1..).zip(measured).map(of).collect()
    }

    // R1V3 (arXiv:2507.06167), section 5.1: of equal rewards the higher entropy where reflection begins.
    #[test]
    fn of_equally_right_checkpoints_the_more_open_one_is_better() {
        let measured =
            [(0.5, Some(0.2)), (0.5, Some(0.4)), (0.5, Some(0.3)), (0.6, None), (0.6, Some(0.1))];
        assert_eq!(best(GrpoMetric::Accuracy, &measured), [1, 2, 2, 4, 5]);
    }

    #[test]
    fn of_equally_rare_hallucinations_the_more_often_right_checkpoint_is_better() {
        let falling = [(0.3, None), (0.1, None), (0.1, Some(0.7)), (0.1, Some(0.5)), (0.0, None)];
        assert_eq!(best(GrpoMetric::HallucinationRate, &falling), [1, 2, 3, 3, 5]);
    }
}
