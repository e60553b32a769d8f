//! Log-probability head: the largest product of a model, without its result ever existing.
//!
//! ```text
//!   128 rows of hidden ─► logits of 128 tokens ─► running softmax, entropy, target
//!                              │ wanted: the gradient
//!                              ▼
//!                         Σ e^(z − top)·W        turned panels, while they are in the cache
//! ```
//!
//! The vocabulary is cut into the same parts whatever the number of rows and threads, and the
//! parts of a row are joined in order: a row's result depends on that row alone.

mod pass;
mod softmax;
mod weight;

use rayon::prelude::*;

use crate::packed::Packed;
use pass::Pass;
pub use weight::weight_gradient;

/// What the head says of one target per row.
#[derive(Clone, Debug)]
pub struct LogProbs {
    /// Log-probability of each target.
    pub log_prob: Vec<f32>,
    /// Entropy of each row's distribution, in nats.
    pub entropy: Vec<f32>,
    /// `∂ log_prob / ∂ hidden`, `[rows, inputs]`, when it was asked for.
    pub gradient: Option<Vec<f32>>,
}

/// Whether the head also computes its gradient.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Want {
    /// Log-probabilities and entropies alone.
    LogProbs,
    /// Also the gradient of each log-probability with respect to its hidden row.
    Gradient,
}

/// Rows visited at once: bounds the partial gradients kept.
const WAVE: usize = 512;

/// Log-probabilities of `targets` under `softmax(hidden·Wᵀ / T)`, their entropies and, if wanted,
/// the gradient `(W[target] − E_p[W]) / T` of each with respect to its row of `hidden`
/// `[rows, inputs]`.
///
/// # Panics
/// If a target is outside the vocabulary, or `hidden` is not one row a target.
pub fn log_probs(
    hidden: &[f32],
    head: &Packed,
    targets: &[u32],
    temperature: f32,
    want: Want,
) -> LogProbs {
    let inputs = head.inputs();
    check(hidden, head, targets);
    let mut all = LogProbs { log_prob: vec![], entropy: vec![], gradient: None };
    let mut gradient = match want {
        Want::LogProbs => vec![],
        Want::Gradient => vec![0.0; hidden.len()],
    };
    for (i, targets) in targets.chunks(WAVE).enumerate() {
        let hidden = &hidden[i * WAVE * inputs..][..targets.len() * inputs];
        let (rows, means) = Pass { hidden, head, targets, temperature, want }.run();
        all.log_prob.extend(rows.iter().map(|row| row.log_prob()));
        all.entropy.extend(rows.iter().map(|row| row.entropy()));
        if want == Want::Gradient {
            let to = gradient[i * WAVE * inputs..][..hidden.len()].par_chunks_exact_mut(inputs);
            to.enumerate().for_each(|(r, to)| {
                head.copy_row(targets[r] as usize, to);
                let mean = means.row(r, &rows[r]);
                to.iter_mut().zip(mean).for_each(|(to, mean)| *to = (*to - mean) / temperature);
            });
        }
    }
    all.gradient = (want == Want::Gradient).then_some(gradient);
    all
}

fn check(hidden: &[f32], head: &Packed, targets: &[u32]) {
    assert_eq!(hidden.len(), targets.len() * head.inputs(), "rows and targets");
    for &target in targets {
        assert!((target as usize) < head.outputs(), "target {target} of {}", head.outputs());
    }
}
