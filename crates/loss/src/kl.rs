//! How far the policy has moved from the reference, estimated on the tokens it drew.

use crate::reduction::Term;

/// Log-ratios beyond this are held there, as in verl: `e^20` still fits any gradient.
pub(crate) const LOG_RATIO_LIMIT: f64 = 20.0;

/// `k3` beyond this is held there, as in verl (`low_var_kl`).
const K3_LIMIT: f64 = 10.0;

/// The penalty for leaving the reference policy: `β · k`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Kl {
    /// `β`. Zero measures the divergence without acting on it.
    pub beta: f64,
    /// The estimator `k`.
    pub estimator: KlEstimator,
}

/// An estimator of `KL(π_θ ‖ π_ref)` from one sampled token, with `d = log π_ref − log π_θ`
/// (J. Schulman, "Approximating KL divergence", 2020).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KlEstimator {
    /// `k1 = −d`: unbiased, of either sign. Held to ±20, and what is held has no gradient.
    K1,
    /// `k3 = e^d − d − 1`: unbiased and never negative. `d` is held to ±20 and the result to 10,
    /// and what is held has no gradient.
    K3,
}

impl KlEstimator {
    /// The estimate and its derivative with respect to `log_prob`.
    pub(crate) fn term(self, log_prob: f64, reference: f64) -> Term {
        let difference = reference - log_prob;
        match self {
            Self::K1 => k1(difference),
            Self::K3 => k3(difference),
        }
    }
}

fn k1(difference: f64) -> Term {
    let held = difference.clamp(-LOG_RATIO_LIMIT, LOG_RATIO_LIMIT);
    Term { value: -held, slope: if held == difference { 1.0 } else { 0.0 } }
}

fn k3(difference: f64) -> Term {
    let held = difference.clamp(-LOG_RATIO_LIMIT, LOG_RATIO_LIMIT);
    let value = held.exp_m1() - held;
    let slope = if held == difference && value <= K3_LIMIT { -held.exp_m1() } else { 0.0 };
    Term { value: value.min(K3_LIMIT), slope }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `(log π_ref − log π_θ, k1, k3, derivative of k3)`.
    const CASES: &[(f64, f64, f64, f64)] = &[
        (0.0, 0.0, 0.0, 0.0),
        (0.1, -0.1, 0.005_170_92, -0.105_170_92),
        (-0.1, 0.1, 0.004_837_42, 0.095_162_58),
        (1.0, -1.0, 0.718_281_83, -1.718_281_83),
        (-1.0, 1.0, 0.367_879_44, 0.632_120_56),
        // held at 10 from d = 2.6 on, and at d = -20 below
        (3.0, -3.0, 10.0, 0.0),
        (100.0, -20.0, 10.0, 0.0),
        (-9.0, 9.0, 8.000_123_41, 0.999_876_59),
        (-100.0, 20.0, 10.0, 0.0),
    ];

    #[test]
    fn estimates_and_derivatives() {
        for &(difference, k1, k3, slope) in CASES {
            let (log_prob, reference) = (-0.5, -0.5 + difference);
            let got = KlEstimator::K1.term(log_prob, reference);
            let free = f64::from(u8::from(difference.abs() <= LOG_RATIO_LIMIT));
            assert!(
                (got.value - k1).abs() < 1e-12 && got.slope == free,
                "k1 at {difference}: {got:?}"
            );
            let got = KlEstimator::K3.term(log_prob, reference);
            assert!((got.value - k3).abs() < 5e-9, "k3 at {difference}: {got:?}");
            assert!((got.slope - slope).abs() < 5e-9, "slope at {difference}: {got:?}");
        }
    }
}
