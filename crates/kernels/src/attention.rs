//! Attention over spans: scores are never materialised beyond a block of 64 keys
//! (arXiv:2205.14135), and rows of a past that many spans share are read once for several of them.
//!
//! ```text
//!   spans ─► plan: tasks of ~96 rows (queries × heads of a group) and the keys they see
//!                                   │ per task and key-value head
//!        64 keys, turned over ─►  scores = Q·Kᵀ ─► running softmax ─► sum += P·V
//! ```
//!
//! A row of a result depends on its own span alone, never on the other spans or the threads.

mod plan;
mod pack;
mod softmax;
mod forward;
mod backward;

use std::ops::Range;

pub use backward::backward;
pub use forward::forward;
pub(crate) use plan::SHORT;

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

impl Heads {
    /// Query heads that share one key-value head.
    fn group(&self) -> usize {
        self.query / self.key_value
    }

    /// `dim` in whole blocks of columns.
    fn padded(&self) -> usize {
        self.dim.next_multiple_of(crate::product::WIDTH)
    }

    fn scale(&self) -> f32 {
        (1.0 / (self.dim as f64).sqrt()) as f32
    }

    /// Checks the shapes; returns the numbers of query and key rows.
    fn check(&self, q: &[f32], k: &[f32], v: &[f32]) -> (usize, usize) {
        assert!(self.dim > 0 && self.key_value > 0, "{self:?}");
        assert_eq!(self.query % self.key_value, 0, "query heads per key-value head");
        let (query, key) = (self.query * self.dim, self.key_value * self.dim);
        assert_eq!((q.len() % query, k.len() % key), (0, 0), "rows of {self:?}");
        assert_eq!(k.len(), v.len(), "keys and values");
        (q.len() / query, k.len() / key)
    }
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
