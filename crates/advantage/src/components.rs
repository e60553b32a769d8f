//! Several rewards of one group, each brought to its own scale before they are added.

use crate::group::{Scale, group_relative};

/// Each component normalised within the group, then the weighted sum.
///
/// ```text
/// a_i = Σ_k w_k (r_i^(k) − mean_k) / (std_k + ε)
/// ```
///
/// GDPO (arXiv:2601.05242); TRL's `normalize_then_sum`. Normalising after the sum, as equation 7 of R1V2
/// (arXiv:2504.16656) reads, lets the component of the widest scale order the group alone. A component without
/// spread adds exactly zero.
///
/// Pairs of a weight and one reward per completion; the result has the order of the completions.
///
/// # Panics
/// When the components differ in length.
pub fn normalized_sum(components: &[(f64, &[f64])], epsilon: f64) -> Vec<f64> {
    let num_completions = components.first().map_or(0, |(_, rewards)| rewards.len());
    let mut sums = vec![0.0; num_completions];
    for (weight, rewards) in components {
        assert_eq!(rewards.len(), num_completions, "rewards of one group");
        let normalized = group_relative(rewards, Scale::Std { epsilon });
        sums.iter_mut().zip(normalized).for_each(|(sum, value)| *sum += weight * value);
    }
    sums
}

/// Divides the sums of all groups of a batch by their common standard deviation.
///
/// ```text
/// Â = a / (std(a) + ε)
/// ```
///
/// The mean is zero already, because every component is centred within its group; subtracting what rounding left of
/// it would move groups that teach nothing off zero.
pub fn scale_by_batch(groups: &mut [Vec<f64>], epsilon: f64) {
    let (count, squares) = groups
        .iter()
        .flatten()
        .fold((0.0, 0.0), |(count, squares), value| (count + 1.0, squares + value * value));
    let std = (squares / f64::max(count - 1.0, 1.0)).sqrt();
    groups.iter_mut().flatten().for_each(|value| *value /= std + epsilon);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wide_component_no_longer_decides() {
        // A tidy wrong answer at +6 and a verbose right one at −10.
        let (rule, model) = ([1.0, 0.0, 1.0, 0.0], [-10.0, 6.0, -9.0, 5.0]);
        let sums = normalized_sum(&[(1.0, &rule), (0.5, &model)], 1e-4);
        assert!(sums[0] > sums[1] && sums[2] > sums[3], "{sums:?}");
        let literal: Vec<f64> = rule.iter().zip(model).map(|(rule, model)| rule + model).collect();
        assert!(literal[0] < literal[1]);
        assert!(sums.iter().sum::<f64>().abs() < 1e-12);
    }

    #[test]
    fn no_spread_adds_exactly_nothing() {
        let sums = normalized_sum(&[(1.0, &[0.1; 3]), (2.0, &[-15.5; 3])], 1e-4);
        assert_eq!(sums, [0.0; 3]);
        let mut groups = vec![sums, vec![1.0, -1.0]];
        scale_by_batch(&mut groups, 1e-4);
        assert_eq!(groups[0], [0.0; 3]);
        // Of five values 0, 0, 0, 1 and −1 the sample variance is 2 / 4.
        assert!((groups[1][0] - 1.0 / (0.5f64.sqrt() + 1e-4)).abs() < 1e-12);
        scale_by_batch(&mut [], 1e-4);
    }
}
