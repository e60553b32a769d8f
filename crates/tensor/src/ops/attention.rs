//! Attention over spans.

use kernels::attention::{Heads, Span};
use kernels::cuda::Buffer;

use crate::Tensor;
use crate::tensor::card_of;

/// The result of [`attention`] and what its gradient needs of it.
#[derive(Clone, Debug)]
pub struct Attended {
    /// Weighted values, `[queries, query heads·dim]`; zero for rows of no span.
    pub out: Tensor,
    /// Log of each query's softmax denominator, `[queries, query heads]`.
    pub log_sum_exp: Tensor,
}

/// Softmax attention with scale `1/√dim` of every query over the keys its span shows.
///
/// `q` is `[tq, query heads·dim]`, `k` and `v` `[tk, key-value heads·dim]`. Scores are never
/// materialised whole (arXiv:2205.14135). A row belongs to at most one span.
pub fn attention(q: &Tensor, k: &Tensor, v: &Tensor, spans: &[Span], heads: Heads) -> Attended {
    check((q, k, v), heads);
    if let Some(card) = card_of(&[q, k, v]) {
        let mut out = Buffer::zeros(&card, q.len());
        let mut log_sum_exp = Buffer::zeros(&card, q.rows() * heads.query);
        let rows = (&*q.on(&card), &*k.on(&card), &*v.on(&card));
        let results = (&mut out, &mut log_sum_exp);
        kernels::cuda::attention::forward(rows, spans, heads, results);
        let log_sum_exp = Tensor::of_card(log_sum_exp, &[q.rows(), heads.query]);
        return Attended { out: Tensor::of_card(out, q.shape()), log_sum_exp };
    }
    let mut out = Tensor::zeros(q.shape());
    let mut log_sum_exp = Tensor::zeros(&[q.rows(), heads.query]);
    kernels::attention::forward(
        (q.as_slice(), k.as_slice(), v.as_slice()),
        spans,
        heads,
        out.as_mut_slice(),
        log_sum_exp.as_mut_slice(),
    );
    Attended { out, log_sum_exp }
}

/// Gradient of [`attention`]: `(dq, dk, dv)`.
pub fn attention_backward(
    dout: &Tensor,
    (q, k, v): (&Tensor, &Tensor, &Tensor),
    attended: &Attended,
    spans: &[Span],
    heads: Heads,
) -> (Tensor, Tensor, Tensor) {
    check((q, k, v), heads);
    assert_eq!(dout.len(), attended.out.len(), "shape of attention's gradient");
    if let Some(card) = card_of(&[q, k, v, dout]) {
        let [mut dq, mut dk, mut dv] = [q, k, v].map(|like| Buffer::zeros(&card, like.len()));
        let rows = (&*q.on(&card), &*k.on(&card), &*v.on(&card));
        let forward = (&*attended.out.on(&card), &*attended.log_sum_exp.on(&card));
        let gradients = (&mut dq, &mut dk, &mut dv);
        kernels::cuda::attention::backward(
            &dout.on(&card),
            rows,
            forward,
            (spans, heads),
            gradients,
        );
        let [dq, dk, dv] =
            [(dq, q), (dk, k), (dv, v)].map(|(values, like)| Tensor::of_card(values, like.shape()));
        return (dq, dk, dv);
    }
    let zeros = |like: &Tensor| Tensor::zeros(like.shape());
    let (mut dq, mut dk, mut dv) = (zeros(q), zeros(k), zeros(v));
    kernels::attention::backward(
        dout.as_slice(),
        (q.as_slice(), k.as_slice(), v.as_slice()),
        (attended.out.as_slice(), attended.log_sum_exp.as_slice()),
        spans,
        heads,
        (dq.as_mut_slice(), dk.as_mut_slice(), dv.as_mut_slice()),
    );
    (dq, dk, dv)
}

fn check((q, k, v): (&Tensor, &Tensor, &Tensor), heads: Heads) {
    let width = (heads.query * heads.dim, heads.key_value * heads.dim, heads.key_value * heads.dim);
    assert_eq!((q.cols(), k.cols(), v.cols()), width, "widths of queries, keys and values");
    assert_eq!(k.rows(), v.rows(), "rows of keys and values");
    assert_eq!(heads.query % heads.key_value, 0, "query heads per key-value head");
}
