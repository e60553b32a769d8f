//! Dynamic Reasoning Length Control: from scores to the repetition penalty of the generator.

use serde::{Deserialize, Serialize};

/// The settings of equation 1, none of them published.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Drlc {
    /// How steeply the penalty rises as the scores fall.
    pub alpha: f64,
    /// Weight of the text score.
    pub beta: f64,
    /// Weight of the integration score.
    pub gamma: f64,
}

/// The scores of an item, before or after scaling.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Scores {
    /// `S_v`: image clarity and necessity.
    pub vision: f64,
    /// `S_t`: question quality, difficulty, reasoning demand.
    pub text: f64,
    /// `S_I`: how much image and text have to be read together.
    pub integration: f64,
}

/// The repetition penalty of an item whose scores lie between 0 and 1.
///
/// ```text
/// P = min[2, exp(α·(1 − (Ŝ_v + β·Ŝ_t + γ·Ŝ_I) / (1 + β + γ)))]
/// ```
///
/// Paper: Skywork R1V, arXiv:2504.05599, equation 1. Departs from the paper: nothing; α, β, γ are ours to choose.
pub fn repetition_penalty(scores: &Scores, drlc: &Drlc) -> f64 {
    let Drlc { alpha, beta, gamma } = drlc;
    let sum = scores.vision + beta * scores.text + gamma * scores.integration;
    (alpha * (1.0 - sum / (1.0 + beta + gamma))).exp().min(2.0)
}

/// Scores scaled to lie between 0 and 1 over the data set. Where all are equal there is nothing to tell apart, and each
/// becomes one half.
pub fn min_max(scores: &[Scores]) -> Vec<Scores> {
    let scale = |of: fn(&Scores) -> f64| {
        let values = || scores.iter().map(of);
        let (low, high) = (values().fold(f64::MAX, f64::min), values().fold(f64::MIN, f64::max));
        move |score: &Scores| if high > low { (of(score) - low) / (high - low) } else { 0.5 }
    };
    let (vision, text, integration) =
        (scale(|s| s.vision), scale(|s| s.text), scale(|s| s.integration));
    let scaled =
        |s: &Scores| Scores { vision: vision(s), text: text(s), integration: integration(s) };
    scores.iter().map(scaled).collect()
}

/// The nearest multiple of `step`, at least 1.
pub(crate) fn rounded(penalty: f64, step: f64) -> f64 {
    let rounded = (penalty / step).round() * step;
    // Multiples of 0.01 have a short decimal form; their products do not.
    ((rounded * 1e6).round() / 1e6).max(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn penalty(scores: [f64; 3], alpha: f64) -> f64 {
        let [vision, text, integration] = scores;
        let drlc = Drlc { alpha, beta: 1.0, gamma: 1.0 };
        repetition_penalty(&Scores { vision, text, integration }, &drlc)
    }

    /// Worked by hand from equation 1 of R1V.
    #[test]
    fn equation_1() {
        let half = std::f64::consts::LN_2;
        for (scores, at_one, at_half) in [
            ([0.0, 0.0, 0.0], 2.0, 2.0),
            ([0.5, 0.5, 0.5], 1.648_721, std::f64::consts::SQRT_2),
            ([0.8, 0.6, 0.4], 1.491_825, 1.319_508),
            ([0.2, 0.9, 0.1], 1.822_119, 1.515_717),
            ([1.0, 1.0, 1.0], 1.0, 1.0),
        ] {
            assert!((penalty(scores, 1.0) - at_one).abs() < 1e-6, "{scores:?}");
            assert!((penalty(scores, half) - at_half).abs() < 1e-6, "{scores:?}");
        }
        assert_eq!(penalty([0.0; 3], 0.0), 1.0);
    }

    #[test]
    fn weights_move_the_mean() {
        let scores = Scores { vision: 1.0, text: 0.0, integration: 0.5 };
        let of = |beta, gamma| repetition_penalty(&scores, &Drlc { alpha: 0.3, beta, gamma }).ln();
        assert!((of(0.0, 0.0) - 0.0).abs() < 1e-12);
        assert!((of(3.0, 0.0) - 0.3 * 0.75).abs() < 1e-12);
        assert!((of(0.0, 1.0) - 0.3 * 0.25).abs() < 1e-12);
    }

    #[test]
    fn scaling_is_over_the_data_set() {
        let score = |vision, text| Scores { vision, text, integration: 3.0 };
        let scaled = min_max(&[score(1.0, 2.0), score(3.0, 1.0), score(5.0, 1.5)]);
        let want = [(0.0, 1.0), (0.5, 0.0), (1.0, 0.5)];
        for (scaled, (vision, text)) in scaled.iter().zip(want) {
            assert_eq!(*scaled, Scores { vision, text, integration: 0.5 });
        }
        assert!(min_max(&[]).is_empty());
    }

    #[test]
    fn penalties_are_rounded() {
        assert_eq!(
            [rounded(1.2345, 0.01), rounded(1.004, 0.01), rounded(1.3, 0.25)],
            [1.23, 1.0, 1.25]
        );
        assert_eq!(rounded(1.4, 1.0), 1.0);
    }
}
