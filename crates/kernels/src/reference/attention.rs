//! Attention over spans, one query and one head at a time.

use crate::attention::{Heads, Span};
use crate::reference::linear::dot;

/// Softmax attention (arXiv:1706.03762, equation 1) of every query over the keys its span shows.
///
/// `q` and `out` are `[queries, query heads·dim]`, `k` and `v` `[keys, key-value heads·dim]`,
/// `log_sum_exp` `[queries, query heads]`. Rows of no span are left as they are.
pub fn forward(
    (q, k, v): (&[f32], &[f32], &[f32]),
    spans: &[Span],
    heads: Heads,
    out: &mut [f32],
    log_sum_exp: &mut [f32],
) {
    for (query, keys) in pairs(spans) {
        for head in 0..heads.query {
            let of = Rows::new(heads, head);
            let scores = of.scores(q, k, query, &keys);
            let total = log_sum(&scores);
            log_sum_exp[query * heads.query + head] = total as f32;
            let mut sum = vec![0.0; heads.dim];
            for (&key, score) in keys.iter().zip(&scores) {
                let p = (score - total).exp();
                for (sum, &v) in sum.iter_mut().zip(of.key(v, key)) {
                    *sum += p * f64::from(v);
                }
            }
            for (d, sum) in sum.iter().enumerate() {
                out[of.query_at(query) + d] = *sum as f32;
            }
        }
    }
}

/// Gradient of [`forward`]: adds to `(dq, dk, dv)`.
pub fn backward(
    dout: &[f32],
    (q, k, v): (&[f32], &[f32], &[f32]),
    spans: &[Span],
    heads: Heads,
    (dq, dk, dv): (&mut [f32], &mut [f32], &mut [f32]),
) {
    let scale = 1.0 / (heads.dim as f64).sqrt();
    for (query, keys) in pairs(spans) {
        for head in 0..heads.query {
            let of = Rows::new(heads, head);
            let scores = of.scores(q, k, query, &keys);
            let total = log_sum(&scores);
            let p: Vec<f64> = scores.iter().map(|s| (s - total).exp()).collect();
            let dout = &dout[of.query_at(query)..][..heads.dim];
            let dp: Vec<f64> = keys.iter().map(|&key| dot(dout, of.key(v, key))).collect();
            let mean: f64 = p.iter().zip(&dp).map(|(p, dp)| p * dp).sum();
            for (i, &key) in keys.iter().enumerate() {
                let ds = p[i] * (dp[i] - mean) * scale;
                for (d, &dout) in dout.iter().enumerate() {
                    let (at_q, at_k) = (of.query_at(query) + d, of.key_at(key) + d);
                    dq[at_q] += (ds * f64::from(k[at_k])) as f32;
                    dk[at_k] += (ds * f64::from(q[at_q])) as f32;
                    dv[at_k] += (p[i] * f64::from(dout)) as f32;
                }
            }
        }
    }
}

/// Every query with the list of keys it sees.
fn pairs(spans: &[Span]) -> impl Iterator<Item = (usize, Vec<usize>)> + '_ {
    spans.iter().flat_map(|span| {
        span.queries.clone().enumerate().map(|(i, query)| {
            let own = span.own.start..span.own.start + span.visible(i);
            (query, span.past.iter().cloned().flatten().chain(own).collect())
        })
    })
}

/// Where one query head and the key-value head it shares lie in the rows.
struct Rows {
    heads: Heads,
    head: usize,
}

impl Rows {
    fn new(heads: Heads, head: usize) -> Self {
        Self { heads, head }
    }

    fn query_at(&self, row: usize) -> usize {
        (row * self.heads.query + self.head) * self.heads.dim
    }

    fn key_at(&self, row: usize) -> usize {
        let shared = self.head * self.heads.key_value / self.heads.query;
        (row * self.heads.key_value + shared) * self.heads.dim
    }

    fn key<'a>(&self, rows: &'a [f32], row: usize) -> &'a [f32] {
        &rows[self.key_at(row)..][..self.heads.dim]
    }

    fn scores(&self, q: &[f32], k: &[f32], query: usize, keys: &[usize]) -> Vec<f64> {
        let scale = 1.0 / (self.heads.dim as f64).sqrt();
        let q = &q[self.query_at(query)..][..self.heads.dim];
        keys.iter().map(|&key| dot(q, self.key(k, key)) * scale).collect()
    }
}

fn log_sum(scores: &[f64]) -> f64 {
    let top = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    top + scores.iter().map(|s| (s - top).exp()).sum::<f64>().ln()
}
