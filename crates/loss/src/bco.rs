//! The quality part of MPO: each response is good or bad by itself.

use crate::dpo::Pair;
use crate::reduction::PairTerm;
use crate::{log_sigmoid, sigmoid};

/// Binary classifier optimisation, the quality part of MPO.
///
/// ```text
/// ℓ = −log σ(h_c − δ) − log σ(−(h_r − δ)),    h = β (log π_θ(y|x) − log π_0(y|x))
/// ```
///
/// Paper: BCO (arXiv:2404.04656); equation 4 of R1V2 (arXiv:2504.16656). `shift` is `δ`, a constant
/// here: no gradient flows into it. [`RewardShift`] is how it moves.
pub fn bco(pair: &Pair<'_>, beta: f64, shift: f64) -> PairTerm {
    let (chosen, rejected) = pair.rewards(beta);
    let (chosen, rejected) = (chosen - shift, rejected - shift);
    PairTerm {
        value: -log_sigmoid(chosen) - log_sigmoid(-rejected),
        chosen: -beta * sigmoid(-chosen),
        rejected: beta * sigmoid(rejected),
    }
}

/// `δ` of [`bco()`]: the plain mean of all past batch means, which never forgets.
///
/// ```text
/// δ_t = δ_{t−1} + (m_t − δ_{t−1}) / t,    m_t = mean of the batch's rewards, chosen and rejected
/// ```
///
/// R1V2 says "the moving average of past rewards" and no more; this is what InternVL's trainer
/// does (TRL 0.10.1). It is updated *before* the loss that uses it, and the recipe keeps it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct RewardShift {
    /// How many batches it has seen, `t`.
    pub num_updates: u64,
    /// `δ_t`; zero before the first batch.
    pub mean: f64,
}

impl RewardShift {
    /// The shift after a batch with these implicit rewards ([`Pair::rewards`], chosen and
    /// rejected). A batch without rewards changes nothing.
    #[must_use]
    pub fn updated(self, rewards: &[f64]) -> Self {
        if rewards.is_empty() {
            return self;
        }
        let batch_mean = rewards.iter().sum::<f64>() / rewards.len() as f64;
        let num_updates = self.num_updates + 1;
        Self { num_updates, mean: self.mean + (batch_mean - self.mean) / num_updates as f64 }
    }
}
