//! The loss of a reward model.

use crate::reduction::PairTerm;
use crate::{log_sigmoid, sigmoid};

/// Bradley–Terry: the chosen response should score higher.
///
/// ```text
/// ℓ = −log σ(r_c − r_r)
/// ```
///
/// Paper: Skywork-VL Reward (arXiv:2505.07263), equation 1. No margin and no centring term.
///
/// The arguments are the raw scores of the two responses; the gradient is with respect to them.
pub fn bradley_terry(chosen: f64, rejected: f64) -> PairTerm {
    let slope = -sigmoid(rejected - chosen);
    PairTerm { value: -log_sigmoid(chosen - rejected), chosen: slope, rejected: -slope }
}
