//! The one place that divides: unreduced terms become a loss.

use std::iter::Sum;
use std::ops::{Add, AddAssign, Mul};

/// How the terms of single tokens are averaged over sequences `k` of `n_k` tokens.
///
/// ```text
/// L = Σ_k Σ_t w(n_k) ℓ_kt / D
///
///                    w(n)      D                  elsewhere
/// TokenMean          1         Σ_k n_k            InternVL `token`, TRL `dapo`, verl `token-mean`
/// SequenceMean       1/n       number of k        InternVL `sample`, TRL `grpo`, verl `seq-mean-token-mean`
/// SquareRootMean     1/√n      Σ_k √n_k           InternVL `square`
/// FixedLength(L)     1/L       number of k        TRL `dr_grpo` (arXiv:2503.20783)
/// ```
///
/// A sequence without tokens adds nothing, to the loss or to `D`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reduction {
    /// Every token counts the same.
    TokenMean,
    /// Every sequence counts the same; equation 8 of R1V2 (arXiv:2504.16656).
    SequenceMean,
    /// Between the two: a sequence counts by the root of its length.
    SquareRootMean,
    /// Every token counts the same whatever the batch holds: the divisor is a constant length.
    FixedLength(usize),
}

impl Reduction {
    /// Divides the terms of one sequence; losses of all sequences add up to the loss of the batch.
    ///
    /// `totals` are the [`Counts::sequence`] of all sequences under the same reduction, this one
    /// included. Totals without any weight give a loss of zero.
    pub fn reduce(self, terms: &Terms, totals: &Counts) -> Loss {
        let scale = over(self.token_weight(terms.values.len()), totals.weight);
        Loss {
            value: terms.values.iter().sum::<f64>() * scale,
            gradient: terms.slopes.iter().map(|slope| (slope * scale) as f32).collect(),
        }
    }

    /// `w(n)` for a sequence of `num_tokens` tokens.
    pub(crate) fn token_weight(self, num_tokens: usize) -> f64 {
        match self {
            Self::TokenMean => 1.0,
            Self::SequenceMean => over(1.0, num_tokens as f64),
            Self::SquareRootMean => over(1.0, (num_tokens as f64).sqrt()),
            Self::FixedLength(length) => over(1.0, length as f64),
        }
    }

    /// What a sequence of `num_tokens` tokens adds to `D`.
    fn denominator(self, num_tokens: usize) -> f64 {
        match self {
            Self::TokenMean => num_tokens as f64,
            Self::SequenceMean | Self::FixedLength(_) => f64::from(u8::from(num_tokens > 0)),
            Self::SquareRootMean => (num_tokens as f64).sqrt(),
        }
    }
}

/// What a loss is divided by, added up over all micro-batches and ranks before the first backward pass.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Counts {
    /// Supervised tokens.
    pub tokens: u64,
    /// Sequences with at least one supervised token.
    pub sequences: u64,
    /// Preference pairs.
    pub pairs: u64,
    /// The denominator `D` of the [`Reduction`] in use.
    pub weight: f64,
}

impl Counts {
    /// The counts of one sequence of `num_tokens` supervised tokens.
    pub fn sequence(num_tokens: usize, reduction: Reduction) -> Self {
        Self {
            tokens: num_tokens as u64,
            sequences: u64::from(num_tokens > 0),
            pairs: 0,
            weight: reduction.denominator(num_tokens),
        }
    }

    /// The counts of one preference pair.
    pub fn pair() -> Self {
        Self { pairs: 1, ..Self::default() }
    }

    /// This pair's share of the mean over all pairs; the shares add up to the loss of the batch.
    pub fn mean(&self, term: PairTerm) -> PairTerm {
        term * over(1.0, self.pairs as f64)
    }
}

impl Add for Counts {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            tokens: self.tokens + other.tokens,
            sequences: self.sequences + other.sequences,
            pairs: self.pairs + other.pairs,
            weight: self.weight + other.weight,
        }
    }
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl Sum for Counts {
    fn sum<I: Iterator<Item = Self>>(counts: I) -> Self {
        counts.fold(Self::default(), Add::add)
    }
}

/// The unreduced loss of one sequence.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Terms {
    /// The loss of each token.
    pub values: Vec<f64>,
    /// The derivative of each token's loss with respect to its own log-prob.
    pub slopes: Vec<f64>,
}

impl Terms {
    pub(crate) fn push(&mut self, term: Term) {
        self.values.push(term.value);
        self.slopes.push(term.slope);
    }
}

/// A number and its derivative with respect to one log-prob.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Term {
    pub(crate) value: f64,
    pub(crate) slope: f64,
}

/// One sequence's share of the loss of the batch.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Loss {
    /// The share.
    pub value: f64,
    /// Its derivative with respect to each log-prob, in the order of the log-probs.
    pub gradient: Vec<f32>,
}

/// The loss of one preference pair. A sum over tokens has the same derivative at each of them, so
/// two numbers are the whole gradient.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct PairTerm {
    /// The loss.
    pub value: f64,
    /// Its derivative with respect to every log-prob (or the score) of the chosen completion.
    pub chosen: f64,
    /// Its derivative with respect to every log-prob (or the score) of the rejected completion.
    pub rejected: f64,
}

impl Add for PairTerm {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            value: self.value + other.value,
            chosen: self.chosen + other.chosen,
            rejected: self.rejected + other.rejected,
        }
    }
}

impl Mul<f64> for PairTerm {
    type Output = Self;

    fn mul(self, scale: f64) -> Self {
        Self {
            value: self.value * scale,
            chosen: self.chosen * scale,
            rejected: self.rejected * scale,
        }
    }
}

/// Division in which nothing over nothing is nothing: an empty batch has no loss, not a NaN.
fn over(numerator: f64, denominator: f64) -> f64 {
    if denominator == 0.0 { 0.0 } else { numerator / denominator }
}
