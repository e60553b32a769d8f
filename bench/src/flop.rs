//! Operations that a training step cannot do without: those of its matrix products, a product and a sum counted as two.
//!
//! Counted as if every layer answered for every row; what a backward pass computes again is not counted.

use model::config::LlmConfig;
use model::config::llm::Linear;

/// A batch as the language model sees it.
pub(crate) struct Batch {
    /// Sequences.
    pub(crate) num: usize,
    /// Tokens of each.
    pub(crate) tokens: usize,
    /// Rows of each that the head answers for.
    pub(crate) supervised: usize,
}

/// Forward, and backward to the input: with gradients of the weights too if all of them train.
pub(crate) fn step(config: &LlmConfig, batch: &Batch, all_weights: bool) -> usize {
    let rows = batch.num * batch.tokens;
    let linear: usize = Linear::ALL.iter().map(|l| l.shape(config).iter().product::<usize>()).sum();
    let head = config.hidden_size * config.vocab_size * batch.num * batch.supervised;
    let layers = config.num_layers * rows * linear;
    // Forward, gradient of the input, and of the weights.
    let passes = if all_weights { 3 } else { 2 };
    // A row sees itself and what precedes it.
    let pairs = batch.num * batch.tokens * (batch.tokens + 1) / 2;
    let attention = config.num_layers * config.heads.query * config.heads.dim * pairs;
    // Forward: scores, values. Backward: gradients of values, scores, queries and keys.
    2 * (passes * (layers + head) + 6 * attention)
}
