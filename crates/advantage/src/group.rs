//! A completion is as good as its reward is above its group's.

/// What the distance from the group's mean is divided by.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Scale {
    /// Nothing: `Â = r − r̄` (VL-Rethinker, Dr. GRPO).
    None,
    /// The sample standard deviation (`G − 1`) plus a small number.
    Std {
        /// `1e-4` in TRL, `1e-6` in verl.
        epsilon: f64,
    },
}

/// Group-relative advantages of the completions of one prompt.
///
/// ```text
/// Â_i = (r_i − mean r) / (std r + ε)
/// ```
///
/// Paper: equation 6 of R1V2 (arXiv:2504.16656), after DeepSeekMath (arXiv:2402.03300). Departs
/// from the paper: `std` is undefined there. Equal rewards give exactly zero, and so does a single
/// completion (verl would return its reward: a group of one has no baseline).
///
/// One reward per completion of the group; the result has the same order.
pub fn group_relative(rewards: &[f64], scale: Scale) -> Vec<f64> {
    if rewards.iter().all(|reward| reward == &rewards[0]) {
        return vec![0.0; rewards.len()];
    }
    let mean = rewards.iter().sum::<f64>() / rewards.len() as f64;
    let divisor = match scale {
        Scale::None => 1.0,
        Scale::Std { epsilon } => sample_std(rewards, mean) + epsilon,
    };
    rewards.iter().map(|reward| (reward - mean) / divisor).collect()
}

/// Whether a group teaches anything: some completions are correct by the rule, and some are not.
///
/// The rule's outcome decides and not the advantage: with a continuous learned reward in the sum
/// no advantage is ever exactly zero.
pub fn is_effective(correct: &[bool]) -> bool {
    correct.contains(&true) && correct.contains(&false)
}

fn sample_std(values: &[f64], mean: f64) -> f64 {
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    (squares / (values.len() - 1) as f64).sqrt()
}
