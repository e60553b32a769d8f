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

/// The weighted sum, and each part of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Combined {
    /// One reward for each completion.
    pub rewards: Vec<f64>,
    /// In the order of the components.
    pub statistics: Vec<ComponentStatistics>,
}

/// Mean and spread of one component over a batch, unweighted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ComponentStatistics {
    /// The component's name.
    pub name: String,
    /// The mean; zero of an empty batch.
    pub mean: f64,
    /// The sample standard deviation; zero of fewer than two.
    pub std: f64,
}

/// The weighted sum of all components, completion by completion.
///
/// Equation 7 of R1V2 (arXiv:2504.16656) with weights, which it does not print; R1V3
/// (arXiv:2507.06167) uses 0.8 for the rule and 0.2 for the format.
///
/// # Panics
/// When the components differ in length.
pub fn combine(components: &[Component<'_>]) -> Combined {
    let num_completions = components.first().map_or(0, |component| component.rewards.len());
    let mut rewards = vec![0.0; num_completions];
    for component in components {
        assert_eq!(
            component.rewards.len(),
            num_completions,
            "rewards of component {}",
            component.name
        );
        for (sum, reward) in rewards.iter_mut().zip(component.rewards) {
            *sum += component.weight * reward;
        }
    }
    Combined { rewards, statistics: components.iter().map(statistics).collect() }
}

fn statistics(component: &Component<'_>) -> ComponentStatistics {
    let count = component.rewards.len() as f64;
    let mean = component.rewards.iter().sum::<f64>() / count.max(1.0);
    let squares: f64 = component.rewards.iter().map(|reward| (reward - mean).powi(2)).sum();
    let std = (squares / (count - 1.0).max(1.0)).sqrt();
    ComponentStatistics { name: component.name.to_owned(), mean, std }
}

#[cfg(test)]
mod tests {
    use super::*;

    // R1V3, equation 3: R = ε R_acc + (1 − ε) R_format with ε = 0.8
    #[test]
    fn rewards_add_up_by_weight() {
        let rule = Component { name: "rule", weight: 0.8, rewards: &[1.0, 0.0, 0.0, 1.0] };
        let format = Component { name: "format", weight: 0.2, rewards: &[1.0, 1.0, 0.0, 0.0] };
        let combined = combine(&[rule, format]);
        assert_eq!(combined.rewards, [1.0, 0.2, 0.0, 0.8]);
        assert_eq!(combined.statistics[0].name, "rule");
        assert_eq!(combined.statistics[1].mean, 0.5);
        assert!((combined.statistics[1].std - (1.0f64 / 3.0).sqrt()).abs() < 1e-12);
    }

    #[test]
    fn little_is_enough() {
        assert_eq!(combine(&[]), Combined { rewards: vec![], statistics: vec![] });
        let statistics =
            combine(&[Component { name: "rule", weight: 1.0, rewards: &[2.0] }]).statistics;
        assert_eq!((statistics[0].mean, statistics[0].std), (2.0, 0.0));
        assert_eq!(
            combine(&[Component { name: "rule", weight: 1.0, rewards: &[] }]).statistics[0].mean,
            0.0
        );
    }

    #[test]
    #[should_panic(expected = "rewards of component format")]
    fn every_completion_has_every_reward() {
        let rule = Component { name: "rule", weight: 1.0, rewards: &[1.0] };
        combine(&[rule, Component { name: "format", weight: 1.0, rewards: &[] }]);
    }
}
