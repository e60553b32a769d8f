//! Keys and values of tokens already seen, for generation.

use tensor::Tensor;

use crate::config::LlmConfig;

/// Keys (after rotary) and values of every layer, one row a token.
///
/// Which row belongs to whom is the caller's affair: it names the rows that are written
/// ([`Layout::slots`](crate::layout::Layout::slots)) and those that are seen
/// ([`Span`](tensor::Span)). The completions of a group name their prompt's rows as `past` and so
/// share them; a completion's own rows must be consecutive.
pub struct KvCache {
    layers: Vec<KeysValues>,
    rows: usize,
}

/// One layer's cache, each `[rows, kv_heads * head_dim]`.
pub(crate) struct KeysValues {
    pub(crate) keys: Tensor,
    pub(crate) values: Tensor,
}

impl KvCache {
    /// A cache of `rows` tokens.
    pub fn new(config: &LlmConfig, rows: usize) -> Self {
        let shape = [rows, config.heads.key_value * config.heads.dim];
        let empty = || KeysValues { keys: Tensor::zeros(&shape), values: Tensor::zeros(&shape) };
        Self { layers: (0..config.num_layers).map(|_| empty()).collect(), rows }
    }

    /// Number of tokens it has room for.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Bytes that a token takes in a cache of this model.
    pub fn bytes_per_row(config: &LlmConfig) -> usize {
        let width = config.heads.key_value * config.heads.dim;
        config.num_layers * 2 * width * size_of::<f32>()
    }

    pub(crate) fn layer(&mut self, layer: usize) -> &mut KeysValues {
        &mut self.layers[layer]
    }
}
