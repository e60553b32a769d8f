//! A preference pair, and the loss that asks only for the difference.

use crate::bradley_terry;
use crate::reduction::PairTerm;

/// The log-probs of one preference pair under the policy, and their sums under the frozen reference.
#[derive(Clone, Copy, Debug)]
pub struct Pair<'a> {
    /// `log π_θ` of each token of the chosen completion.
    pub chosen: &'a [f32],
    /// `log π_θ` of each token of the rejected completion.
    pub rejected: &'a [f32],
    /// `log π_0(y_c|x)`: the sum over the chosen completion's tokens.
    pub reference_chosen: f64,
    /// `log π_0(y_r|x)`: the sum over the rejected completion's tokens.
    pub reference_rejected: f64,
}

impl Pair<'_> {
    /// The implicit rewards `h = β (log π_θ(y|x) − log π_0(y|x))` of chosen and rejected.
    pub fn rewards(&self, beta: f64) -> (f64, f64) {
        let sum = |log_probs: &[f32]| log_probs.iter().copied().map(f64::from).sum::<f64>();
        let chosen = beta * (sum(self.chosen) - self.reference_chosen);
        let rejected = beta * (sum(self.rejected) - self.reference_rejected);
        (chosen, rejected)
    }
}

/// Direct preference optimisation, the preference part of MPO.
///
/// ```text
/// ℓ = −log σ(h_c − h_r),    h = β (log π_θ(y|x) − log π_0(y|x))
/// ```
///
/// Paper: DPO (arXiv:2305.18290); equation 3 of R1V2 (arXiv:2504.16656).
pub fn dpo(pair: &Pair<'_>, beta: f64) -> PairTerm {
    let (chosen, rejected) = pair.rewards(beta);
    let term = bradley_terry(chosen, rejected);
    PairTerm { chosen: beta * term.chosen, rejected: beta * term.rejected, ..term }
}
