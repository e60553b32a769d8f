//! Attention on an emulated card against its plain twin: trees, windows, groups of heads, both arithmetics.
#![expect(clippy::single_range_in_vec_init, reason = "a past is a list of ranges")]

use std::ops::Range;

use kernels::attention::{Heads, Span};
use kernels::cuda::attention::Cache;
use kernels::cuda::linear::to_bf16;
use kernels::cuda::{Arithmetic, Buffer, Card, attention};
use kernels::reference;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use testkit::assert_close_by_norm;

fn span(queries: Range<usize>, past: &[Range<usize>], own: Range<usize>, causal: bool) -> Span {
    Span { queries, past: past.to_vec(), own, causal }
}

/// Two trees with a branch of one row, a row of no span, and keys that nobody sees.
fn trees() -> (Vec<Span>, usize) {
    let spans = vec![
        span(0..70, &[], 0..70, true),
        span(70..75, &[0..70], 70..75, true),
        span(75..76, &[0..70], 75..76, true),
        span(80..90, &[], 80..90, true),
        span(90..95, &[80..84, 86..90], 90..95, true),
    ];
    (spans, 100)
}

fn windows() -> (Vec<Span>, usize) {
    let windows = (0..3).map(|i| span(i * 9..i * 9 + 9, &[], i * 9..i * 9 + 9, false)).collect();
    (windows, 27)
}

struct Case {
    spans: Vec<Span>,
    rows: usize,
    heads: Heads,
    spread: f32,
}

impl Case {
    fn check(&self, arithmetic: Arithmetic, limit: f64) {
        let card = Card::emulated(8 << 30).expect("a C++ compiler").with(arithmetic);
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        let Self { spans, rows, heads, spread } = self;
        let mut values = |width: usize, spread: f32| -> Vec<f32> {
            let value = |_| half::bf16::from_f32(rng.random_range(-spread..spread)).to_f32();
            (0..rows * width).map(value).collect()
        };
        let (wide, narrow) = (heads.query * heads.dim, heads.key_value * heads.dim);
        let (q, k, v) = (values(wide, *spread), values(narrow, 1.0), values(narrow, 1.0));
        let dout = values(wide, 1.0);
        let mut want = [vec![0.0; rows * wide], vec![0.0; rows * heads.query]];
        let [out, sums] = &mut want;
        reference::attention::forward((&q, &k, &v), spans, *heads, out, sums);
        let [a, b, c, d] = [&q, &k, &v, &dout].map(|values| Buffer::upload(&card, values));
        let [mut out, mut sums] =
            [wide, heads.query].map(|width| Buffer::zeros(&card, rows * width));
        attention::forward((&a, &b, &c), spans, *heads, (&mut out, &mut sums));
        assert_close_by_norm("attended", &out.download(), &want[0], limit);
        assert_close_by_norm("log of sums", &sums.download(), &want[1], limit);
        let mut want = [wide, narrow, narrow].map(|width| vec![0.0; rows * width]);
        let [dq, dk, dv] = &mut want;
        reference::attention::backward(&dout, (&q, &k, &v), spans, *heads, (dq, dk, dv));
        let [mut dq, mut dk, mut dv] =
            [wide, narrow, narrow].map(|width| Buffer::zeros(&card, rows * width));
        let gradients = (&mut dq, &mut dk, &mut dv);
        attention::backward(&d, (&a, &b, &c), (&out, &sums), (spans, *heads), gradients);
        for (name, got, want) in [("q", dq, &want[0]), ("k", dk, &want[1]), ("v", dv, &want[2])] {
            assert_close_by_norm(name, &got.download(), want, limit);
        }
    }
}

/// Six sequences of which four share a past, one of two queries and one without a past.
fn generation() -> (Vec<Span>, usize) {
    let mut spans: Vec<Span> =
        (0..4).map(|i| span(i..i + 1, &[0..300], 600 + i * 9..606 + i * 9, true)).collect();
    spans.push(span(4..6, &[300..310, 320..590], 640..660, true));
    spans.push(span(6..7, &[], 670..690, true));
    (spans, 700)
}

#[test]
fn few_queries_over_long_caches() {
    let (spans, rows) = generation();
    let card = Card::emulated(8 << 30).expect("a C++ compiler");
    let mut rng = ChaCha8Rng::seed_from_u64(5);
    for (query, key_value, dim) in [(4, 2, 64), (7, 1, 20), (1, 1, 128)] {
        let heads = Heads { query, key_value, dim };
        let mut values = |rows: usize, width: usize| -> Vec<f32> {
            let value = |_| half::bf16::from_f32(rng.random_range(-1.0..1.0)).to_f32();
            (0..rows * width).map(value).collect()
        };
        let (q, k) = (values(8, query * dim), values(rows, key_value * dim));
        let v = values(rows, key_value * dim);
        let mut want = (vec![0.0; q.len()], vec![0.0; 8 * query]);
        let (out, sums) = (&mut want.0, &mut want.1);
        reference::attention::forward((&q, &k, &v), &spans, heads, out, sums);
        let [a, b, c] = [&q, &k, &v].map(|values| Buffer::upload(&card, values));
        let (b_half, c_half) = (to_bf16(&b), to_bf16(&c));
        for cache in [Cache::F32(&b, &c), Cache::Bf16(&b_half, &c_half)] {
            let mut out = Buffer::zeros(&card, q.len());
            let mut sums = Buffer::zeros(&card, 8 * query);
            attention::decode(&a, &cache, &spans, heads, (&mut out, &mut sums));
            assert_close_by_norm("attended", &out.download(), &want.0, 2e-5);
            assert_close_by_norm("log of sums", &sums.download(), &want.1, 2e-5);
        }
    }
}

#[test]
fn trees_in_f32() {
    let (spans, rows) = trees();
    for (query, key_value, dim, spread) in [(3, 1, 8, 1.0), (2, 2, 64, 30.0), (5, 1, 20, 1.0)] {
        let heads = Heads { query, key_value, dim };
        Case { spans: spans.clone(), rows, heads, spread }.check(Arithmetic::F32, 2e-5);
    }
}

#[test]
fn trees_on_tensor_cores() {
    let (spans, rows) = trees();
    for (query, key_value, dim, spread) in
        [(3, 1, 16, 1.0), (2, 1, 64, 4.0), (1, 1, 72, 1.0), (1, 1, 20, 1.0)]
    {
        let heads = Heads { query, key_value, dim };
        Case { spans: spans.clone(), rows, heads, spread }.check(Arithmetic::Bf16, 1e-2);
    }
}

#[test]
fn windows_that_see_themselves_whole() {
    let (spans, rows) = windows();
    let heads = Heads { query: 2, key_value: 1, dim: 128 };
    Case { spans: spans.clone(), rows, heads, spread: 1.0 }.check(Arithmetic::F32, 2e-5);
    Case { spans, rows, heads, spread: 1.0 }.check(Arithmetic::Bf16, 1e-2);
}
