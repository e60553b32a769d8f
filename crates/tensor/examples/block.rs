//! A language model in SmolLM2-135M's shape made of these operations alone: seconds a training
//! step (gradient to the input embeddings through frozen weights), tokens a second decoding, and
//! where the time goes.
//!
//! `cargo run --release -p tensor --example block`

#![expect(clippy::print_stdout, reason = "its result")]

use std::collections::BTreeMap;
use std::time::Instant;

use tensor::ops::{self, Want};
use tensor::{DType, Heads, RotaryTable, Span, Tensor, Weight};

const WIDTH: usize = 576;
const INNER: usize = 1536;
const LAYERS: usize = 30;
const VOCABULARY: usize = 49152;
const HEADS: Heads = Heads { query: 9, key_value: 3, dim: 64 };

struct Layer {
    norms: [Tensor; 2],
    /// Query, key, value, output, gate, up, down.
    weights: [Weight; 7],
}

/// What a layer's backward needs of its forward.
struct Tape {
    x: Tensor,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    attended: ops::Attended,
    middle: Tensor,
    gate: Tensor,
    up: Tensor,
}

/// Seconds by operation.
#[derive(Default)]
struct Clock(BTreeMap<&'static str, f64>);

impl Clock {
    fn time<T>(&mut self, what: &'static str, work: impl FnOnce() -> T) -> T {
        let start = Instant::now();
        let result = work();
        *self.0.entry(what).or_default() += start.elapsed().as_secs_f64();
        result
    }
}

impl Layer {
    fn new(seed: usize, dtype: DType) -> Self {
        let kv = HEADS.key_value * HEADS.dim;
        let sizes = [
            (WIDTH, WIDTH),
            (kv, WIDTH),
            (kv, WIDTH),
            (WIDTH, WIDTH),
            (INNER, WIDTH),
            (INNER, WIDTH),
            (WIDTH, INNER),
        ];
        Self {
            norms: [(); 2].map(|()| Tensor::from_vec(vec![1.0; WIDTH], &[WIDTH])),
            weights: sizes.map(|(o, i)| Weight::pack(&values(o * i, seed, 0.05), o, i, dtype)),
        }
    }

    fn forward(
        &self,
        x: Tensor,
        table: &RotaryTable,
        spans: &[Span],
        c: &mut Clock,
    ) -> (Tensor, Tape) {
        let [wq, wk, wv, wo, wg, wu, wd] = &self.weights;
        let h = c.time("norm", || ops::rms_norm(&x, &self.norms[0], 1e-5));
        let mut q = c.time("linear", || ops::linear(&h, wq, None));
        let mut k = c.time("linear", || ops::linear(&h, wk, None));
        let v = c.time("linear", || ops::linear(&h, wv, None));
        c.time("rotary", || ops::rotary(&mut q, HEADS.dim, table));
        c.time("rotary", || ops::rotary(&mut k, HEADS.dim, table));
        let attended = c.time("attention", || ops::attention(&q, &k, &v, spans, HEADS));
        let mut middle = c.time("linear", || ops::linear(&attended.out, wo, None));
        c.time("add", || ops::add(&mut middle, &x));
        let h = c.time("norm", || ops::rms_norm(&middle, &self.norms[1], 1e-5));
        let gate = c.time("linear", || ops::linear(&h, wg, None));
        let up = c.time("linear", || ops::linear(&h, wu, None));
        let inner = c.time("swiglu", || ops::swiglu(&gate, &up));
        let mut y = c.time("linear", || ops::linear(&inner, wd, None));
        c.time("add", || ops::add(&mut y, &middle));
        (y, Tape { x, q, k, v, attended, middle, gate, up })
    }

    fn backward(
        &self,
        t: &Tape,
        dy: &Tensor,
        table: &RotaryTable,
        spans: &[Span],
        c: &mut Clock,
    ) -> Tensor {
        let [wq, wk, wv, wo, wg, wu, wd] = &self.weights;
        let dinner = c.time("linear", || ops::linear_backward(dy, wd));
        let (dgate, dup) = c.time("swiglu", || ops::swiglu_backward(&dinner, &t.gate, &t.up));
        let mut dh = c.time("linear", || ops::linear_backward(&dgate, wg));
        c.time("linear", || ops::linear_backward_add(&dup, wu, &mut dh));
        let mut dmiddle =
            c.time("norm", || ops::rms_norm_backward(&dh, &t.middle, &self.norms[1], 1e-5, None));
        c.time("add", || ops::add(&mut dmiddle, dy));
        let dout = c.time("linear", || ops::linear_backward(&dmiddle, wo));
        let inputs = (&t.q, &t.k, &t.v);
        let (mut dq, mut dk, dv) = c.time("attention", || {
            ops::attention_backward(&dout, inputs, &t.attended, spans, HEADS)
        });
        c.time("rotary", || ops::rotary_backward(&mut dq, HEADS.dim, table));
        c.time("rotary", || ops::rotary_backward(&mut dk, HEADS.dim, table));
        let mut dh = c.time("linear", || ops::linear_backward(&dq, wq));
        c.time("linear", || ops::linear_backward_add(&dk, wk, &mut dh));
        c.time("linear", || ops::linear_backward_add(&dv, wv, &mut dh));
        let mut dx =
            c.time("norm", || ops::rms_norm_backward(&dh, &t.x, &self.norms[0], 1e-5, None));
        c.time("add", || ops::add(&mut dx, &dmiddle));
        dx
    }
}

struct Model {
    layers: Vec<Layer>,
    head: Weight,
}

impl Model {
    fn new(dtype: DType) -> Self {
        let head = Weight::pack(&values(VOCABULARY * WIDTH, 7, 0.05), VOCABULARY, WIDTH, dtype);
        Self { layers: (0..LAYERS).map(|i| Layer::new(i, dtype)).collect(), head }
    }

    /// A step on `batch` sequences of `length`, every token a target.
    fn step(&self, batch: usize, length: usize, c: &mut Clock) -> f32 {
        let rows = batch * length;
        let positions: Vec<u32> = (0..rows).map(|i| (i % length) as u32).collect();
        let table = RotaryTable::new(&positions, &inverse_frequencies(), 1.0);
        let spans: Vec<Span> = (0..batch).map(|b| causal(b * length..(b + 1) * length)).collect();
        let mut x = Tensor::from_vec(values(rows * WIDTH, 3, 1.0), &[rows, WIDTH]);
        let mut tapes = vec![];
        for layer in &self.layers {
            let (y, tape) = layer.forward(x, &table, &spans, c);
            tapes.push(tape);
            x = y;
        }
        let targets: Vec<u32> = (0..rows as u32).map(|i| i * 31 % VOCABULARY as u32).collect();
        let head = &self.head;
        let out = c.time("head", || ops::log_probs(&x, head, &targets, 1.0, Want::Gradient));
        let mut dx = out.gradient.expect("it was asked for");
        for (layer, tape) in self.layers.iter().zip(tapes).rev() {
            dx = layer.backward(&tape, &dx, &table, &spans, c);
        }
        out.log_prob.iter().sum::<f32>() + dx.as_slice()[0]
    }

    /// One token for each of `batch` sequences that have `past` tokens.
    fn decode(&self, batch: usize, past: usize, caches: &[(Tensor, Tensor)], c: &mut Clock) -> f32 {
        let table = RotaryTable::new(&vec![past as u32; batch], &inverse_frequencies(), 1.0);
        let spans: Vec<Span> = (0..batch)
            .map(|b| Span { queries: b..b + 1, own: b * past..(b + 1) * past, ..causal(0..0) })
            .collect();
        let mut x = Tensor::from_vec(values(batch * WIDTH, 3, 1.0), &[batch, WIDTH]);
        for (layer, (keys, values)) in self.layers.iter().zip(caches) {
            x = layer.decode(&x, &table, (keys, values), &spans, c);
        }
        let logits = c.time("head", || ops::linear(&x, &self.head, None));
        logits.as_slice()[0]
    }
}

impl Layer {
    fn decode(
        &self,
        x: &Tensor,
        table: &RotaryTable,
        (keys, values): (&Tensor, &Tensor),
        spans: &[Span],
        c: &mut Clock,
    ) -> Tensor {
        let [wq, wk, wv, wo, wg, wu, wd] = &self.weights;
        let h = c.time("norm", || ops::rms_norm(x, &self.norms[0], 1e-5));
        let mut q = c.time("linear", || ops::linear(&h, wq, None));
        let mut k = c.time("linear", || ops::linear(&h, wk, None));
        c.time("linear", || ops::linear(&h, wv, None));
        c.time("rotary", || ops::rotary(&mut q, HEADS.dim, table));
        c.time("rotary", || ops::rotary(&mut k, HEADS.dim, table));
        let out = c.time("attention", || ops::attention(&q, keys, values, spans, HEADS).out);
        let mut middle = c.time("linear", || ops::linear(&out, wo, None));
        c.time("add", || ops::add(&mut middle, x));
        let h = c.time("norm", || ops::rms_norm(&middle, &self.norms[1], 1e-5));
        let gate = c.time("linear", || ops::linear(&h, wg, None));
        let up = c.time("linear", || ops::linear(&h, wu, None));
        let inner = c.time("swiglu", || ops::swiglu(&gate, &up));
        let mut y = c.time("linear", || ops::linear(&inner, wd, None));
        c.time("add", || ops::add(&mut y, &middle));
        y
    }
}

fn main() {
    // The thread that calls is one of the pool's, as in the program.
    rayon::scope(|_| {
        let model = Model::new(DType::F32);
        for batch in [1, 4] {
            report(&format!("step, {batch} × 512"), 4, |c| model.step(batch, 512, c));
        }
        println!("pool: {:?}", tensor::pool::usage());
        decoding(&model, "f32");
        drop(model);
        decoding(&Model::new(DType::Bf16), "bf16");
    });
}

fn decoding(model: &Model, what: &str) {
    for batch in [1, 8, 64] {
        let past = 300;
        let kv = HEADS.key_value * HEADS.dim;
        let cache = || Tensor::from_vec(values(batch * past * kv, 5, 1.0), &[batch * past, kv]);
        let caches: Vec<_> = (0..LAYERS).map(|_| (cache(), cache())).collect();
        let what = format!("decode {what}, batch {batch}");
        let seconds = report(&what, 12, |c| model.decode(batch, past, &caches, c));
        println!("    {:.0} tokens a second", batch as f64 / seconds);
    }
}

/// Runs some times; prints the best with its parts.
fn report(what: &str, runs: usize, mut work: impl FnMut(&mut Clock) -> f32) -> f64 {
    let mut best = (f64::INFINITY, Clock::default());
    for _ in 0..runs {
        let mut clock = Clock::default();
        let start = Instant::now();
        std::hint::black_box(work(&mut clock));
        let seconds = start.elapsed().as_secs_f64();
        if seconds < best.0 {
            best = (seconds, clock);
        }
    }
    let parts: Vec<String> = best.1.0.iter().map(|(k, s)| format!("{k} {:.1}", s * 1e3)).collect();
    println!("{what}: {:.1} ms = {}", best.0 * 1e3, parts.join(" + "));
    best.0
}

fn causal(own: std::ops::Range<usize>) -> Span {
    Span { queries: own.clone(), past: vec![], own, causal: true }
}

fn inverse_frequencies() -> Vec<f64> {
    (0..HEADS.dim / 2).map(|i| 100_000_f64.powf(-2.0 * i as f64 / HEADS.dim as f64)).collect()
}

fn values(len: usize, seed: usize, size: f32) -> Vec<f32> {
    (0..len).map(|i| size * (((i + seed) * 7919 % 2003) as f32 / 1001.0 - 1.0)).collect()
}
