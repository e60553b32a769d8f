//! The log-prob head.

pub use kernels::head::Want;

use crate::weight::CardMatrix;
use crate::{Tensor, Weight};

/// What the head says of one target per row.
#[derive(Clone, Debug)]
pub struct LogProbs {
    /// Log-probability of each target.
    pub log_prob: Vec<f32>,
    /// Entropy of each row's distribution, in nats.
    pub entropy: Vec<f32>,
    /// `∂ log_prob / ∂ hidden`, `[n, c]`, with [`Want::Gradient`]: scaled by row with the loss's
    /// gradient it is the head's backward.
    pub gradient: Option<Tensor>,
}

/// Log-probabilities of `targets` under `softmax(hidden·Wᵀ / temperature)`.
///
/// `hidden` is `[n, c]`. The vocabulary is visited in chunks with a running softmax; `[n,
/// vocabulary]` never exists.
///
/// # Panics
/// If a target is outside the vocabulary.
pub fn log_probs(
    hidden: &Tensor,
    head: &Weight,
    targets: &[u32],
    temperature: f32,
    want: Want,
) -> LogProbs {
    assert_eq!(hidden.cols(), head.in_features(), "width of the head");
    assert_eq!(hidden.rows(), targets.len(), "rows and targets");
    if let Some(CardMatrix { matrix, .. }) = head.card() {
        let hidden_card = hidden.on(matrix.card());
        let all = kernels::cuda::head::log_probs(&hidden_card, matrix, targets, temperature, want);
        let gradient = all.gradient.map(|values| Tensor::of_card(values, hidden.shape()));
        return LogProbs { log_prob: all.log_prob, entropy: all.entropy, gradient };
    }
    let all =
        kernels::head::log_probs(hidden.as_slice(), head.packed(), targets, temperature, want);
    let gradient = all.gradient.map(|values| Tensor::from_vec(values, hidden.shape()));
    LogProbs { log_prob: all.log_prob, entropy: all.entropy, gradient }
}

/// `grad += Σ_n dlogp[n] · ∂logp[n]/∂W` `[vocabulary, c]`: only when the head trains.
pub fn log_probs_weight_gradient(
    hidden: &Tensor,
    head: &Weight,
    targets: &[u32],
    temperature: f32,
    dlogp: &[f32],
    grad: &mut Tensor,
) {
    assert_eq!(hidden.cols(), head.in_features(), "width of the head");
    assert_eq!((hidden.rows(), dlogp.len()), (targets.len(), targets.len()), "rows and targets");
    assert_eq!(grad.len(), head.in_features() * head.out_features(), "shape of a head's gradient");
    if let Some(CardMatrix { matrix, .. }) = head.card() {
        let card = matrix.card();
        let (hidden, grad) = (hidden.on(card), grad.on_mut(card));
        return kernels::cuda::head::weight_gradient(
            (&hidden, matrix),
            targets,
            temperature,
            dlogp,
            grad,
        );
    }
    let inputs = (hidden.as_slice(), head.packed());
    kernels::head::weight_gradient(inputs, targets, temperature, dlogp, grad.as_mut_slice());
}
