//! Alarms: metrics that have gone where no good run goes.
//!
//! A metric's mean over the last steps is compared with its mean over the first ones, so that the limits need not know
//! the model. An alarm changes nothing about the run; it is said once when it begins, and logged while it lasts.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde::{Deserialize, Serialize};

use super::config::AlarmConfig;

/// Metrics that are watched beside the means and spreads of rewards.
const WATCHED: [&str; 4] =
    ["entropy", "kl", "completions/mean_length", "completions/clipped_ratio"];

/// Mean of the rule's rewards.
const RULE: &str = "rewards/rule/mean";

/// An alarm that has begun.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Alarm {
    pub what: String,
    pub value: f64,
    pub limit: f64,
}

/// What the first and the last steps were like.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Alarms {
    first: BTreeMap<String, Vec<f64>>,
    last: BTreeMap<String, VecDeque<f64>>,
    raised: BTreeSet<String>,
    /// Means of the rewards over the steps at which the rule's was highest.
    #[serde(default)]
    at_best: BTreeMap<String, f64>,
}

impl Alarms {
    /// Takes the metrics of a step, adds `alarms/…` for each alarm that is on, and returns those that have just begun.
    pub(super) fn observe(
        &mut self,
        config: &AlarmConfig,
        metrics: &mut BTreeMap<String, f64>,
    ) -> Vec<Alarm> {
        for (name, &value) in metrics.iter().filter(|(name, _)| is_watched(name)) {
            if !value.is_finite() {
                continue;
            }
            let first = self.first.entry(name.clone()).or_default();
            if first.len() < config.window {
                first.push(value);
            }
            let last = self.last.entry(name.clone()).or_default();
            last.push_back(value);
            if last.len() > config.window {
                last.pop_front();
            }
        }
        self.note_best(config.window);
        let on = self.on(config);
        let begun = on.iter().filter(|alarm| !self.raised.contains(&alarm.what)).cloned().collect();
        self.raised = on.into_iter().map(|alarm| alarm.what).collect();
        metrics.extend(self.raised.iter().map(|what| (format!("alarms/{what}"), 1.0)));
        begun
    }

    /// Mean of a watched metric over the last steps, once there are enough of them.
    pub(super) fn recent(&self, name: &str, window: usize) -> Option<f64> {
        let last = self.last.get(name).filter(|last| last.len() >= window)?;
        Some(last.iter().sum::<f64>() / last.len() as f64)
    }

    /// Keeps the means of the rewards while the rule's is higher than ever.
    fn note_best(&mut self, window: usize) {
        let Some(rule) = self.recent(RULE, window) else { return };
        if self.at_best.get(RULE).is_some_and(|&best| rule <= best) {
            return;
        }
        let rewards = self.last.keys().filter(|name| name.starts_with("rewards/"));
        let means = rewards.filter_map(|name| Some((name.clone(), self.recent(name, window)?)));
        self.at_best = means.collect();
    }

    fn begin(&self, name: &str, window: usize) -> Option<f64> {
        let first = self.first.get(name).filter(|first| first.len() >= window)?;
        Some(first.iter().sum::<f64>() / first.len() as f64)
    }

    fn on(&self, config: &AlarmConfig) -> Vec<Alarm> {
        let AlarmConfig { window, .. } = *config;
        let mut on = Vec::new();
        let mut check = |what: &str, value: Option<f64>, limit: Option<f64>, is_ceiling: bool| {
            let (Some(value), Some(limit)) = (value, limit) else { return };
            if (is_ceiling && value > limit) || (!is_ceiling && value < limit) {
                on.push(Alarm { what: what.to_owned(), value, limit });
            }
        };
        let recent = |name| self.recent(name, window);
        let times = |name, factor: f64| self.begin(name, window).map(|value| value * factor);
        let length = "completions/mean_length";
        check("entropy_low", recent("entropy"), times("entropy", config.entropy_low), false);
        check("entropy_high", recent("entropy"), times("entropy", config.entropy_high), true);
        check("length_low", recent(length), times(length, config.length_low), false);
        check("length_high", recent(length), times(length, config.length_high), true);
        check("clipped", recent("completions/clipped_ratio"), Some(config.clipped), true);
        check("kl", recent("kl"), Some(config.max_kl()), true);
        on.extend(self.drifts(config));
        on
    }

    /// Components that moved while the rule did not rise: the policy is learning to please, not to be right.
    fn drifts(&self, config: &AlarmConfig) -> Vec<Alarm> {
        let AlarmConfig { window, drift, .. } = *config;
        let alarm = |name: &String| {
            let component = name.strip_prefix("rewards/")?.strip_suffix("/mean")?;
            let moved = (self.recent(name, window)? - self.at_best.get(name)?).abs();
            let spread = self.at_best.get(&format!("rewards/{component}/std"))?;
            let limit = drift * spread;
            let is_over = component != "rule" && moved > limit && moved > 0.0;
            is_over.then(|| Alarm { what: format!("drift_{component}"), value: moved, limit })
        };
        self.last.keys().filter_map(alarm).collect()
    }
}

fn is_watched(name: &str) -> bool {
    let is_reward = name.starts_with("rewards/") && !name.starts_with("rewards/correlation/");
    WATCHED.contains(&name) || is_reward
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIG: AlarmConfig = AlarmConfig {
        window: 2,
        entropy_low: 0.2,
        entropy_high: 3.0,
        length_low: 0.4,
        length_high: 2.5,
        clipped: 0.5,
        kl: Some(0.5),
        drift: 1.0,
    };

    /// What begins at each of these steps.
    fn begun(steps: &[&[(&str, f64)]]) -> Vec<Vec<String>> {
        let mut alarms = Alarms::default();
        let of = |step: &&[(&str, f64)]| {
            let mut metrics = step.iter().map(|&(name, value)| (name.to_owned(), value)).collect();
            let begun = alarms.observe(&CONFIG, &mut metrics);
            assert!(begun.iter().all(|alarm| metrics[&format!("alarms/{}", alarm.what)] == 1.0));
            begun.into_iter().map(|alarm| alarm.what).collect()
        };
        steps.iter().map(of).collect()
    }

    #[test]
    fn alarms_are_about_means_and_said_once() {
        let entropy = |value| [("entropy", value)];
        let steps: Vec<_> = [1.0, 1.0, 0.1, 0.1, 0.1, 1.0, 0.1, 0.1, 9.0].map(entropy).into();
        let steps: Vec<&[(&str, f64)]> = steps.iter().map(|step| step.as_slice()).collect();
        let low = "entropy_low".to_owned();
        let want = [
            vec![],
            vec![],
            vec![],
            vec![low.clone()],
            vec![],
            vec![],
            vec![],
            vec![low],
            vec!["entropy_high".to_owned()],
        ];
        assert_eq!(begun(&steps), want);
        let nothing = [("entropy", f64::NAN), ("kl", 0.1)];
        assert_eq!(begun(&[&nothing, &nothing, &nothing]), vec![Vec::<String>::new(); 3]);
    }

    #[test]
    fn lengths_cuts_and_divergence() {
        let step = |length, clipped, kl| {
            [
                ("completions/mean_length", length),
                ("completions/clipped_ratio", clipped),
                ("kl", kl),
            ]
        };
        let calm = step(10.0, 0.0, 0.01);
        let wild = step(30.0, 0.9, 2.0);
        let all = begun(&[&calm, &calm, &wild, &wild]);
        assert_eq!(all[3], ["length_high", "clipped"], "{all:?}");
        assert_eq!(all[2], ["kl"], "{all:?}");
        let short = step(1.0, 0.0, 0.01);
        assert_eq!(begun(&[&calm, &calm, &short, &short])[3], ["length_low"]);
    }

    #[test]
    fn a_reward_that_rises_without_the_rule_drifts() {
        let step = |rule, model| {
            [("rewards/rule/mean", rule), ("rewards/model/mean", model), ("rewards/model/std", 1.0)]
        };
        let (before, hacked, earned) = (step(0.5, 0.0), step(0.4, 3.0), step(0.7, 3.0));
        let last = |after: &[(&str, f64)]| begun(&[&before, &before, after, after]).pop().unwrap();
        assert_eq!(last(&hacked), Vec::<String>::new(), "it began a step before");
        assert_eq!(begun(&[&before, &before, &hacked])[2], ["drift_model"]);
        assert!(begun(&[&before, &before, &earned, &earned]).concat().is_empty());
        // First it learns, then it pleases: the rule is still above where it began.
        let pleasing = step(0.6, 9.0);
        let all = begun(&[&before, &before, &earned, &earned, &pleasing, &pleasing]);
        assert_eq!(all[4], ["drift_model"]);
    }

    #[test]
    fn a_saved_state_goes_on() {
        let mut alarms = Alarms::default();
        let mut metrics = BTreeMap::from([("entropy".to_owned(), 1.0 / 3.0)]);
        alarms.observe(&CONFIG, &mut metrics);
        let text = serde_json::to_string(&alarms).unwrap();
        assert_eq!(serde_json::from_str::<Alarms>(&text).unwrap(), alarms);
    }
}
