//! Attention and log-probability head in the shapes of SmolLM2-135M: GFLOP/s and GB/s.
//!
//! `cargo run --release -p kernels --example attention_head`

#![expect(clippy::print_stdout, reason = "its result")]

use std::hint::black_box;
use std::time::Instant;

use kernels::attention::{self, Heads, Span};
use kernels::head::{Want, log_probs, weight_gradient};
use kernels::packed::{Packed, Storage};

const LANGUAGE: Heads = Heads { query: 9, key_value: 3, dim: 64 };
const VISION: Heads = Heads { query: 6, key_value: 6, dim: 64 };

fn main() {
    println!("{:?}, {} threads", kernels::simd::chosen(), rayon::current_num_threads());
    // The thread that calls is one of the pool's, as in the program.
    rayon::scope(|_| {
        training("16 trees of 30 + 8 × 20", &trees(16, 30, 8, 20), LANGUAGE);
        training("1 sequence of 512", &sequences(1, 512, true), LANGUAGE);
        training("4 sequences of 512", &sequences(4, 512, true), LANGUAGE);
        training("13 images of 257", &sequences(13, 257, false), VISION);
        training("64 images of 17", &sequences(64, 17, false), VISION);
        decode(8, 8, 300, 200);
        decode(1, 8, 300, 200);
        decode(1, 1, 300, 200);
        decode(64, 1, 0, 500);
        for rows in [1, 4, 8, 64, 300, 2000] {
            head(rows, 576, 49152, Storage::F32);
            head(rows, 576, 49152, Storage::Bf16);
        }
    });
}

fn sequences(count: usize, length: usize, causal: bool) -> Vec<Span> {
    let ranges = (0..count).map(|i| i * length..(i + 1) * length);
    ranges.map(|r| Span { queries: r.clone(), past: vec![], own: r, causal }).collect()
}

fn trees(count: usize, prefix: usize, branches: usize, length: usize) -> Vec<Span> {
    let (mut spans, mut at) = (Vec::new(), 0);
    for _ in 0..count {
        let root = at..at + prefix;
        spans.push(Span { queries: root.clone(), past: vec![], own: root.clone(), causal: true });
        at = root.end;
        for _ in 0..branches {
            let own = at..at + length;
            at = own.end;
            let past = vec![root.clone()];
            spans.push(Span { queries: own.clone(), past, own, causal: true });
        }
    }
    spans
}

fn training(what: &str, spans: &[Span], heads: Heads) {
    let rows = spans.iter().map(|span| span.own.end).max().unwrap_or(0);
    let pairs: usize = spans.iter().map(visible).sum();
    let flop = 4.0 * (pairs * heads.query * heads.dim) as f64 / 1e9;
    let (q, dout) =
        (values(rows * heads.query * heads.dim), values(rows * heads.query * heads.dim));
    let k = values(rows * heads.key_value * heads.dim);
    let (mut out, mut logs) = (q.clone(), vec![0.0; rows * heads.query]);
    let inputs = (&q[..], &k[..], &k[..]);
    let forward = seconds(|| attention::forward(inputs, spans, heads, &mut out, &mut logs));
    let (mut dq, mut dk, mut dv) = (q.clone(), k.clone(), k.clone());
    let backward = seconds(|| {
        let gradients = (&mut dq[..], &mut dk[..], &mut dv[..]);
        attention::backward(&dout, inputs, (&out, &logs), spans, heads, gradients);
    });
    println!(
        "{what:24} forward {:6.2} ms {:4.0} GFLOP/s   backward {:6.2} ms {:4.0} GFLOP/s",
        forward * 1e3,
        flop / forward,
        backward * 1e3,
        2.5 * flop / backward
    );
}

/// Pairs of a query and a key it sees.
fn visible(span: &Span) -> usize {
    let past: usize = span.past.iter().map(|past| past.len()).sum();
    (0..span.queries.len()).map(|i| past + span.visible(i)).sum()
}

fn decode(groups: usize, completions: usize, prompt: usize, length: usize) {
    let (mut spans, mut key) = (Vec::new(), 0);
    for _ in 0..groups {
        let past = key..key + prompt;
        key = past.end;
        for _ in 0..completions {
            let (queries, own) = (spans.len()..spans.len() + 1, key..key + length);
            key = own.end;
            spans.push(Span { queries, past: vec![past.clone()], own, causal: true });
        }
    }
    let heads = LANGUAGE;
    let q = values(spans.len() * heads.query * heads.dim);
    let (k, v) =
        (values(key * heads.key_value * heads.dim), values(key * heads.key_value * heads.dim));
    let (mut out, mut logs) = (q.clone(), vec![0.0; spans.len() * heads.query]);
    let time = seconds(|| attention::forward((&q, &k, &v), &spans, heads, &mut out, &mut logs));
    println!(
        "decode {groups:2} × {completions}, {prompt} + {length} keys: {:7.1} µs, {:5.1} GB/s of distinct keys and values",
        time * 1e6,
        (k.len() + v.len()) as f64 * 4e-9 / time
    );
}

fn head(rows: usize, inputs: usize, vocabulary: usize, storage: Storage) {
    let hidden = values(rows * inputs);
    let head = Packed::pack(&values(vocabulary * inputs), vocabulary, inputs, storage);
    let targets: Vec<u32> = (0..rows).map(|r| (r * 997 % vocabulary) as u32).collect();
    let flop = 2.0 * (rows * inputs * vocabulary) as f64 / 1e9;
    let plain = seconds(|| drop(log_probs(&hidden, &head, &targets, 1.0, Want::LogProbs)));
    let full = seconds(|| drop(log_probs(&hidden, &head, &targets, 1.0, Want::Gradient)));
    print!(
        "head {rows:4} rows {storage:?}: {:7.1} ms {:4.0} GFLOP/s {:4.1} GB/s   with gradient {:7.1} ms {:4.0} GFLOP/s",
        plain * 1e3,
        flop / plain,
        head.bytes() as f64 / 1e9 / plain,
        full * 1e3,
        2.0 * flop / full
    );
    if rows >= 64 {
        let mut gradient = vec![0.0; vocabulary * inputs];
        let dlogp = vec![1.0; rows];
        let time =
            seconds(|| weight_gradient((&hidden, &head), &targets, 1.0, &dlogp, &mut gradient));
        print!("   weights {:7.1} ms {:4.0} GFLOP/s", time * 1e3, 3.0 * flop / time);
    }
    println!();
}

fn values(len: usize) -> Vec<f32> {
    (0..len).map(|i| ((i * 7919 % 1009) as f32 / 504.5 - 1.0) * 0.3).collect()
}

/// The best of some runs.
fn seconds(mut work: impl FnMut()) -> f64 {
    let (start, mut best) = (Instant::now(), f64::INFINITY);
    let mut runs = 0;
    while runs < 2 || (start.elapsed().as_secs_f64() < 0.4 && runs < 200) {
        let start = Instant::now();
        work();
        black_box(&mut work);
        best = best.min(start.elapsed().as_secs_f64());
        runs += 1;
    }
    best
}
