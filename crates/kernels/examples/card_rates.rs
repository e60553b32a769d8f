//! What a card does a second: copies, products, attention over trees and in decoding, few rows by a matrix.
//!
//! ```sh
//! cargo run --release -p kernels --example card_rates                 # JSON, a line a piece of work
//! python3 crates/kernels/examples/card_rates_torch.py                 # the same work in PyTorch, line by line
//! ```
//!
//! Times are medians of rounds that each wait for the card, after one that does not count.

#![expect(clippy::print_stdout, reason = "its result")]

use std::ops::Range;
use std::time::Instant;

use kernels::attention::{Heads, Span};
use kernels::cuda::attention::{self, Cache};
use kernels::cuda::linear::{self, Matrix};
use kernels::cuda::{Arithmetic, Buffer, Card, Error};

/// Qwen2.5-32B's.
const HEADS: Heads = Heads { query: 40, key_value: 8, dim: 128 };
const ROUNDS: usize = 10;

fn main() -> Result<(), Error> {
    let card = Card::open(0)?.with(Arithmetic::Bf16);
    println!("{{\"card\": \"{}\", \"free\": {}}}", card.name(), card.memory().free);
    copy(&card, 1 << 28);
    product(&card, [8192, 5120, 27648]);
    few_rows(&card, 1, [18944, 3584]);
    few_rows(&card, 8, [18944, 3584]);
    train_attention(&card, "sequence", &[span(0..16384, 0..0, 0..16384)], 16384);
    let (tree, rows) = tree(3500, 8, 2048);
    train_attention(&card, "tree", &tree, rows);
    decode_attention(&card, 64, 3500, 1000);
    Ok(())
}

/// Median seconds of a piece of work.
fn seconds(card: &Card, mut work: impl FnMut()) -> f64 {
    let mut times: Vec<f64> = (0..=ROUNDS)
        .map(|_| {
            card.synchronize();
            let start = Instant::now();
            work();
            card.synchronize();
            start.elapsed().as_secs_f64()
        })
        .skip(1)
        .collect();
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

fn report(work: &str, seconds: f64, unit: &str, amount: f64) {
    let (ms, rate) = (1e3 * seconds, amount / seconds);
    println!("{{\"work\": \"{work}\", \"ms\": {ms:.3}, \"{unit}\": {rate:.1}}}");
}

fn copy(card: &Card, len: usize) {
    let (from, mut to) = (Buffer::<f32>::zeros(card, len), Buffer::zeros(card, len));
    let time = seconds(card, || to.copy_from(0, &from, 0, len));
    report("copy", time, "gb_s", 8e-9 * len as f64);
}

fn product(card: &Card, [rows, inputs, outputs]: [usize; 3]) {
    let weight = matrix(card, outputs * inputs);
    let x = Buffer::zeros(card, rows * inputs);
    let time = seconds(card, || drop(linear::forward(&x, &weight, None, inputs)));
    report("product", time, "tflop_s", 2e-12 * (rows * inputs * outputs) as f64);
    let (dy, mut dx) = (Buffer::zeros(card, rows * outputs), Buffer::zeros(card, rows * inputs));
    let time = seconds(card, || linear::backward(&dy, &weight, &mut dx, inputs, false));
    report("product_backward", time, "tflop_s", 2e-12 * (rows * inputs * outputs) as f64);
}

fn few_rows(card: &Card, rows: usize, [outputs, inputs]: [usize; 2]) {
    let weight = matrix(card, outputs * inputs);
    let x = Buffer::zeros(card, rows * inputs);
    let time = seconds(card, || drop(linear::forward(&x, &weight, None, inputs)));
    report(&format!("rows_{rows}"), time, "gb_s", 2e-9 * (outputs * inputs) as f64);
}

fn train_attention(card: &Card, name: &str, spans: &[Span], rows: usize) {
    let of = |heads: usize| Buffer::<f32>::zeros(card, rows * heads * HEADS.dim);
    let (q, k, v) = (of(HEADS.query), of(HEADS.key_value), of(HEADS.key_value));
    let (mut out, mut sums) = (of(HEADS.query), Buffer::zeros(card, rows * HEADS.query));
    let pairs: usize = spans.iter().map(pairs).sum();
    let flop = 4e-12 * (pairs * HEADS.query * HEADS.dim) as f64;
    let forward = seconds(card, || {
        attention::forward((&q, &k, &v), spans, HEADS, (&mut out, &mut sums));
    });
    report(&format!("attention_{name}"), forward, "tflop_s", flop);
    let dout = of(HEADS.query);
    let (mut dq, mut dk, mut dv) = (of(HEADS.query), of(HEADS.key_value), of(HEADS.key_value));
    let backward = seconds(card, || {
        let gradients = (&mut dq, &mut dk, &mut dv);
        attention::backward(&dout, (&q, &k, &v), (&out, &sums), (spans, HEADS), gradients);
    });
    // The gradient has five products to the two of the forward pass.
    report(&format!("attention_{name}_both"), forward + backward, "tflop_s", 3.5 * flop);
}

fn decode_attention(card: &Card, sequences: usize, past: usize, own: usize) {
    let rows = past + sequences * own;
    let of = |rows: usize, heads: usize| Buffer::<f32>::zeros(card, rows * heads * HEADS.dim);
    let (k, v) = (of(rows, HEADS.key_value), of(rows, HEADS.key_value));
    let (k, v) = (linear::to_bf16(&k), linear::to_bf16(&v));
    let spans: Vec<Span> = (0..sequences)
        .map(|i| span(i..i + 1, 0..past, past + i * own..past + (i + 1) * own))
        .collect();
    let (q, mut out) = (of(sequences, HEADS.query), of(sequences, HEADS.query));
    let mut sums = Buffer::zeros(card, sequences * HEADS.query);
    let time = seconds(card, || {
        let results = (&mut out, &mut sums);
        attention::decode(&q, &Cache::Bf16(&k, &v), &spans, HEADS, results);
    });
    let bytes = 4 * rows * HEADS.key_value * HEADS.dim;
    report("attention_decode", time, "gb_s", 1e-9 * bytes as f64);
}

fn matrix(card: &Card, len: usize) -> Matrix {
    let mut matrix = Matrix::scratch(card, len);
    matrix.write(0, &vec![0.01; len]);
    matrix
}

/// Causal queries after a past, which may be empty.
fn span(queries: Range<usize>, past: Range<usize>, own: Range<usize>) -> Span {
    Span { queries, past: vec![past], own, causal: true }
}

/// A prompt with its completions, and how many rows that is.
fn tree(prompt: usize, branches: usize, length: usize) -> (Vec<Span>, usize) {
    let branch = |i: usize| prompt + i * length..prompt + (i + 1) * length;
    let prefix = span(0..prompt, 0..0, 0..prompt);
    let branches = (0..branches).map(branch).map(|rows| span(rows.clone(), 0..prompt, rows));
    let spans: Vec<Span> = std::iter::once(prefix).chain(branches).collect();
    let rows = spans.last().map_or(0, |last| last.queries.end);
    (spans, rows)
}

/// Queries by the keys that each sees.
fn pairs(span: &Span) -> usize {
    let past: usize = span.past.iter().map(ExactSizeIterator::len).sum();
    (0..span.queries.len()).map(|i| past + span.visible(i)).sum()
}
