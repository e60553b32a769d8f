//! Several rewards of the same completions become one.

use serde::{Deserialize, Serialize};

/// One kind of reward for all completions of a batch.
#[derive(Clone, Copy, Debug)]
pub struct Component<'a> {
    /// What it is called in the logs: `rule`, `format`.
    pub name: &'a str,
    /// Its weight in the sum.
    pub weight: f64,
    /// One reward for each completion.
    pub rewards: &'a [f64],
}

/// Mean and spread of one component over a batch.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ComponentStatistics {
    /// The mean; zero of an empty batch.
    pub mean: f64,
    /// The sample standard deviation; zero of fewer than two.
    pub std: f64,
}

impl Component<'_> {
    /// Mean and spread of the rewards, unweighted.
    pub fn statistics(&self) -> ComponentStatistics {
        let count = self.rewards.len() as f64;
        let mean = self.rewards.iter().sum::<f64>() / count.max(1.0);
        let squares: f64 = self.rewards.iter().map(|reward| (reward - mean).powi(2)).sum();
        ComponentStatistics { mean, std: (squares / (count - 1.0).max(1.0)).sqrt() }
    }
}

/// The weighted sum of all components, completion by completion: one reward for each.
///
/// Equation 7 of R1V2 (arXiv:2504.16656) with weights, which it does not print; R1V3
/// (arXiv:2507.06167) uses 0.8 for the rule and 0.2 for the format.
///
/// # Panics
/// When the components differ in length.
pub fn combine(components: &[Component<'_>]) -> Vec<f64> {
    let num_completions = components.first().map_or(0, |component| component.rewards.len());
    let mut sums = vec![0.0; num_completions];
    for Component { name, weight, rewards } in components {
        assert_eq!(rewards.len(), num_completions, "rewards of component {name}");
        for (sum, reward) in sums.iter_mut().zip(*rewards) {
            *sum += weight * reward;
        }
    }
    sums
}

#[cfg(test)]
mod tests {
    use super::*;

    // R1V3, equation 3: R = ε R_acc + (1 − ε) R_format with ε = 0.8
    #[test]
    fn rewards_add_up_by_weight() {
        let rule = Component { name: "rule", weight: 0.8, rewards: &[1.0, 0.0, 0.0, 1.0] };
        let format = Component { name: "format", weight: 0.2, rewards: &[1.0, 1.0, 0.0, 0.0] };
        assert_eq!(combine(&[rule, format]), [1.0, 0.2, 0.0, 0.8]);
        let statistics = format.statistics();
        assert_eq!(statistics.mean, 0.5);
        assert!((statistics.std - (1.0f64 / 3.0).sqrt()).abs() < 1e-12);
    }

    #[test]
    fn little_is_enough() {
        assert_eq!(combine(&[]), [0.0; 0]);
        let of = |rewards| Component { name: "rule", weight: 1.0, rewards }.statistics();
        assert_eq!(of(&[2.0]), ComponentStatistics { mean: 2.0, std: 0.0 });
        assert_eq!(of(&[]), ComponentStatistics { mean: 0.0, std: 0.0 });
    }

    #[test]
    #[should_panic(expected = "rewards of component format")]
    fn every_completion_has_every_reward() {
        let rule = Component { name: "rule", weight: 1.0, rewards: &[1.0] };
        combine(&[rule, Component { name: "format", weight: 1.0, rewards: &[] }]);
    }
}
