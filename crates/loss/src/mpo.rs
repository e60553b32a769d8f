//! Mixed preference optimisation: preference, quality and generation together.

use crate::dpo::Pair;
use crate::reduction::PairTerm;
use crate::{Reduction, bco, dpo};

/// The weights of the three parts; equation 2 of R1V2 names them and gives no values.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MpoWeights {
    /// `w_1`, of [`dpo()`].
    pub preference: f64,
    /// `w_2`, of [`bco()`].
    pub quality: f64,
    /// `w_3`, of the length-normalised negative log-likelihood of the chosen completion.
    pub generation: f64,
}

impl MpoWeights {
    /// The values of the MPO paper (arXiv:2411.10442, section 3): 0.8, 0.2 and 1.
    pub const PAPER: Self = Self { preference: 0.8, quality: 0.2, generation: 1.0 };
}

/// The loss of one pair and its parts, which are logged.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MpoTerms {
    /// `L_pref`, unweighted.
    pub preference: PairTerm,
    /// `L_qual`, unweighted.
    pub quality: PairTerm,
    /// `L_gen`, unweighted.
    pub generation: PairTerm,
    /// The weighted sum.
    pub total: PairTerm,
}

/// Mixed preference optimisation of one pair.
///
/// ```text
/// L     = w_1 L_pref + w_2 L_qual + w_3 L_gen        equation 2
/// L_gen = −log π_θ(y_c|x) / |y_c|                    equation 5
/// ```
///
/// Paper: R1V2 (arXiv:2504.16656), equations 2 to 5, after MPO (arXiv:2411.10442). Departs from
/// InternVL's trainer at more than one pair per micro-batch: there `L_gen` is one token mean over
/// the micro-batch, here it is equation 5 always. `beta` is 0.1 in the MPO paper; `shift` is `δ`
/// of [`bco()`].
pub fn mpo(pair: &Pair<'_>, beta: f64, shift: f64, weights: MpoWeights) -> MpoTerms {
    let preference = dpo(pair, beta);
    let quality = bco(pair, beta, shift);
    let generation = generation(pair.chosen);
    let total = preference * weights.preference
        + quality * weights.quality
        + generation * weights.generation;
    MpoTerms { preference, quality, generation, total }
}

/// The mean negative log-likelihood of the chosen completion; zero when it has no tokens.
fn generation(chosen: &[f32]) -> PairTerm {
    let weight = Reduction::SequenceMean.token_weight(chosen.len());
    let sum: f64 = chosen.iter().copied().map(f64::from).sum();
    PairTerm { value: -sum * weight, chosen: -weight, rejected: 0.0 }
}
