//! Rewards of form that no verifier gives: how long, how repetitive, how much better than its siblings.

use crate::statistics::repetition_rate;

/// The soft punishment of completions that come near the limit, from 0 down to −1.
///
/// ```text
///  0                              len ≤ L_max − L_cache
///  ((L_max − L_cache) − len) / L_cache        up to L_max
/// −1                              beyond
/// ```
///
/// Equation 13 of DAPO (arXiv:2503.14476); TRL's `get_soft_overlong_punishment`. A cache of 0 punishes nothing but
/// what is longer than `max`.
pub fn soft_overlong(length: usize, max: usize, cache: usize) -> f64 {
    let free = max.saturating_sub(cache);
    match length {
        length if length <= free => 0.0,
        length if length <= max => -((length - free) as f64) / cache as f64,
        _ => -1.0,
    }
}

/// Minus the share of n-grams that occurred before: 0 without repetition, near −1 in a loop.
///
/// The repetition penalty of open-r1, on tokens.
pub fn repetition_reward(token_ids: &[u32], n: usize) -> f64 {
    // Not the negation, which would make −0.
    0.0 - repetition_rate(token_ids, n)
}

/// Scores of one group's completions, each brought between 0 and 1 by what it has over their mean.
///
/// ```text
/// r̃ = σ((r − mean r) / T)
/// ```
///
/// PAR (arXiv:2502.18770): bounded, so that the learned reward's weight is the most it can ever decide, and centred,
/// so that a model that likes every answer to a question moves none of them.
pub fn bounded(scores: &[f64], temperature: f64) -> Vec<f64> {
    let mean = scores.iter().sum::<f64>() / scores.len().max(1) as f64;
    scores.iter().map(|score| 1.0 / (1.0 + (-(score - mean) / temperature).exp())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    // DAPO, equation 13
    #[test]
    fn the_punishment_grows_over_the_cache() {
        for (length, max, cache, want) in [
            (0, 100, 20, 0.0),
            (80, 100, 20, 0.0),
            (85, 100, 20, -0.25),
            (100, 100, 20, -1.0),
            (101, 100, 20, -1.0),
            (100, 100, 0, 0.0),
            (101, 100, 0, -1.0),
            (5, 10, 50, -0.1),
        ] {
            assert_eq!(soft_overlong(length, max, cache), want, "{length} of {max}, {cache}");
        }
    }

    #[test]
    fn loops_are_punished() {
        assert!((repetition_reward(&[7; 5], 3) + 2.0 / 3.0).abs() < 1e-12);
        assert!(repetition_reward(&[1, 2, 3, 4], 3).is_sign_positive());
    }

    // PAR: at equal form a right answer beats a wrong one whenever the weight is below the rule's.
    #[test]
    fn a_bounded_score_never_decides_alone() {
        let scores = bounded(&[-16.0, 8.0, -4.0], 1.0);
        assert!(scores.iter().all(|score| (0.0..=1.0).contains(score)), "{scores:?}");
        assert!(scores[0] < scores[2] && scores[2] < scores[1] + 1e-12);
        assert_eq!(bounded(&[5.0; 3], 0.5), [0.5; 3]);
        assert!((bounded(&[1.0, -1.0], 2.0)[0] - 0.622_459_331).abs() < 1e-9);
        assert!(bounded(&[1e300, -1e300], 1.0).iter().all(|score| score.is_finite()));
        assert_eq!(bounded(&[], 1.0), [0.0; 0]);
        let (right, wrong) = (0.8 + 0.5 * scores[0], 0.5 * scores[1]);
        assert!(right > wrong);
    }
}
