//! How well a reward model ranks pairs: from the margins of its scores.

use serde::Serialize;

/// Bins of the calibration error, of equal width between the least confidence, ½, and 1.
const NUM_BINS: usize = 10;

/// What a reward model's margins on labelled pairs amount to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct PairwiseSummary {
    /// Pairs.
    pub num_pairs: usize,
    /// Share of the pairs whose preferred response scores strictly higher; 0 of no pairs.
    pub accuracy: f64,
    /// Mean margin.
    pub margin: f64,
    /// Mean of `−ln σ(margin)`, the loss of training.
    pub loss: f64,
    /// Expected calibration error of `σ(|margin|)` as the probability of ranking right.
    pub calibration_error: f64,
}

/// Sums up margins, each the preferred response's score less the other's.
///
/// ```text
/// ECE = Σ_b |b|/n · |accuracy(b) − mean confidence(b)|       confidence = σ(|margin|)
/// ```
///
/// Naeini et al. 2015, "Obtaining well calibrated probabilities using Bayesian binning", with ten bins
/// from ½ to 1. A tie is a pair ranked wrong. A margin that is NaN makes the sums NaN.
pub fn pairwise(margins: &[f64]) -> PairwiseSummary {
    if margins.is_empty() {
        return PairwiseSummary::default();
    }
    let num = margins.len() as f64;
    let num_right = margins.iter().filter(|&&margin| margin > 0.0).count();
    PairwiseSummary {
        num_pairs: margins.len(),
        accuracy: num_right as f64 / num,
        margin: margins.iter().sum::<f64>() / num,
        loss: margins.iter().map(|&margin| softplus(-margin)).sum::<f64>() / num,
        calibration_error: calibration_error(margins),
    }
}

fn calibration_error(margins: &[f64]) -> f64 {
    // Right rankings less confidence, bin by bin.
    let mut excess = [0.0; NUM_BINS];
    for &margin in margins {
        let confidence = 1.0 / (1.0 + (-margin.abs()).exp());
        let bin = ((confidence - 0.5) * 2.0 * NUM_BINS as f64) as usize;
        excess[bin.min(NUM_BINS - 1)] += f64::from(u8::from(margin > 0.0)) - confidence;
    }
    excess.iter().map(|excess| excess.abs()).sum::<f64>() / margins.len() as f64
}

/// `ln(1 + eˣ)` without overflow.
fn softplus(x: f64) -> f64 {
    x.max(0.0) + (-x.abs()).exp().ln_1p()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_near(got: f64, want: f64) -> bool {
        (got - want).abs() < 1e-12
    }

    #[test]
    fn by_hand() {
        let ln3 = 3.0_f64.ln();
        // σ(ln 3) = ¾ three times, once of them wrong; a tie.
        let summary = pairwise(&[ln3, ln3, -ln3, 0.0]);
        assert_eq!((summary.num_pairs, summary.accuracy), (4, 0.5));
        assert!(is_near(summary.margin, ln3 / 4.0));
        let loss = 2.0 * (4.0_f64 / 3.0).ln() + 4.0_f64.ln() + 2.0_f64.ln();
        assert!(is_near(summary.loss, loss / 4.0));
        // The bin of ¾ has 2 right of 3 where 2.25 were claimed, that of ½ none where ½ was.
        assert!(is_near(summary.calibration_error, (0.25 + 0.5) / 4.0));
    }

    #[test]
    fn extremes() {
        assert_eq!(pairwise(&[]), PairwiseSummary::default());
        let sure = pairwise(&[1e6, 1e6]);
        assert_eq!((sure.accuracy, sure.loss, sure.calibration_error), (1.0, 0.0, 0.0));
        let wrong = pairwise(&[-1e6]);
        assert_eq!((wrong.accuracy, wrong.loss, wrong.calibration_error), (0.0, 1e6, 1.0));
        assert!(pairwise(&[f64::NAN]).loss.is_nan());
    }
}
