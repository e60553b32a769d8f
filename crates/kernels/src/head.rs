// NOTE: the fast version of this file is being written by helper K2 (lead's order); helper K1 keeps to linear, norm, rotary, activation, optimizer, pool.
//! Log-probability head.

use crate::packed::Packed;

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

/// Log-probabilities of `targets` under `softmax(hidden·Wᵀ / T)`.
pub fn log_probs(
    hidden: &[f32],
    head: &Packed,
    targets: &[u32],
    temperature: f32,
    want: Want,
) -> LogProbs {
    let rows = head.unpack();
    let all = crate::reference::head::log_probs(hidden, &rows, head.inputs(), targets, temperature);
    LogProbs { gradient: all.gradient.filter(|_| want == Want::Gradient), ..all }
}

/// Adds `Σ_rows dlogp·∂logp/∂W` to `gradient` `[vocabulary, inputs]`.
pub fn weight_gradient(
    (hidden, head): (&[f32], &Packed),
    targets: &[u32],
    temperature: f32,
    dlogp: &[f32],
    gradient: &mut [f32],
) {
    let rows = head.unpack();
    crate::reference::head::weight_gradient((hidden, &rows), targets, temperature, dlogp, gradient);
}
