//! Cross-entropy of the supervised tokens.

use crate::reduction::{Term, Terms};

/// Supervised fine-tuning, unreduced: `ℓ_t = −log π(y_t | x, y_<t)`.
///
/// Paper: the SFT stages of R1V (arXiv:2504.05599), which states no reduction; InternVL's training
/// code, from which it descends, uses [`SquareRootMean`](crate::Reduction::SquareRootMean).
///
/// Shapes: `log_probs` holds the supervised tokens of one sequence; the result has its length.
pub fn sft(log_probs: &[f32]) -> Terms {
    let mut terms = Terms::default();
    for &log_prob in log_probs {
        terms.push(Term { value: -f64::from(log_prob), slope: -1.0 });
    }
    terms
}
