//! Matrix products of SmolLM2-135M's shapes against the `gemm` crate: GFLOP/s, GB/s and ratios.
//!
//! `cargo run --release -p kernels --example products`

#![expect(clippy::print_stdout, reason = "its result")]

use std::hint::black_box;
use std::time::Instant;

use kernels::linear;
use kernels::packed::{Packed, Storage};

fn main() {
    println!("{:?}, {} threads", kernels::simd::chosen(), rayon::current_num_threads());
    // The thread that calls is one of the pool's, as in the program.
    rayon::scope(|_| {
        for (rows, inputs, outputs) in [
            (512, 1536, 576),
            (512, 576, 1536),
            (512, 576, 576),
            (512, 576, 192),
            (2048, 576, 1536),
            (2048, 1536, 576),
            (64, 576, 1536),
        ] {
            training(rows, inputs, outputs);
        }
        for rows in [1, 4, 8, 16] {
            for (inputs, outputs) in [(576, 1536), (1536, 576), (4096, 4096), (576, 49152)] {
                decode(rows, inputs, outputs);
            }
        }
    });
}

fn training(rows: usize, inputs: usize, outputs: usize) {
    let (x, w) = (values(rows * inputs), values(inputs * outputs));
    let weight = Packed::pack(&w, outputs, inputs, Storage::F32);
    let [half, int8, int4] = [Storage::Bf16, Storage::Int8, Storage::Int4]
        .map(|storage| Packed::pack(&w, outputs, inputs, storage));
    let mut y = vec![0.0; rows * outputs];
    let mut dx = vec![0.0; rows * inputs];
    let mut dw = vec![0.0; outputs * inputs];
    let flop = 2.0 * (rows * inputs * outputs) as f64 / 1e9;
    let theirs = flop / seconds(|| gemm_forward(&x, &w, inputs, &mut y));
    let ours = flop / seconds(|| linear::forward(&x, &weight, None, &mut y));
    let bf16 = flop / seconds(|| linear::forward(&x, &half, None, &mut y));
    let int8 = flop / seconds(|| linear::forward(&x, &int8, None, &mut y));
    let int4 = flop / seconds(|| linear::forward(&x, &int4, None, &mut y));
    let back = flop / seconds(|| linear::backward(&y, &weight, &mut dx));
    let grad = flop / seconds(|| linear::weight_gradient(&y, &x, inputs, &mut dw));
    println!(
        "{rows:5}×{inputs:4}×{outputs:5}  gemm {theirs:4.0}  forward {ours:4.0} ({:.2}×)  bf16 {bf16:4.0}  \
         int8 {int8:4.0}  int4 {int4:4.0}  \
         backward {back:4.0} ({:.2}×)  weights {grad:4.0} ({:.2}×)  GFLOP/s",
        ours / theirs,
        back / theirs,
        grad / theirs
    );
}

fn decode(rows: usize, inputs: usize, outputs: usize) {
    // Enough copies that none is still in cache when its turn comes.
    let copies = (400_000_000 / (inputs * outputs * 4)).clamp(2, 400);
    let w = values(inputs * outputs);
    let x = values(rows * inputs);
    let mut y = vec![0.0; rows * outputs];
    let mut rates = vec![];
    for storage in [Storage::F32, Storage::Bf16, Storage::Int8, Storage::Int4] {
        let weights: Vec<Packed> =
            (0..copies).map(|_| Packed::pack(&w, outputs, inputs, storage)).collect();
        let bytes: usize = weights.iter().map(Packed::bytes).sum();
        let share = bytes as f64 / (copies * w.len() * 4) as f64;
        let all = || weights.iter().for_each(|weight| linear::forward(&x, weight, None, &mut y));
        rates.push((bytes as f64 / 1e9 / seconds(all), share));
    }
    let weights: Vec<Vec<f32>> = (0..copies).map(|_| w.clone()).collect();
    let bytes = copies * w.len() * 4;
    let all = || weights.iter().for_each(|w| gemm_forward(&x, w, inputs, &mut y));
    let theirs = bytes as f64 / 1e9 / seconds(all);
    print!("{rows:5}×{inputs:4}×{outputs:5}  gemm {theirs:5.1}");
    for (name, (rate, share)) in ["f32", "bf16", "int8", "int4"].into_iter().zip(rates) {
        print!("  {name} {rate:5.1} ({:.2}×)", rate / share / theirs);
    }
    println!("  GB/s (and how much faster)");
}

/// `y = x·Wᵀ` by one single-threaded `gemm` call per chunk of rows: faster than its own threading.
fn gemm_forward(x: &[f32], w: &[f32], inputs: usize, y: &mut [f32]) {
    use rayon::prelude::*;
    let outputs = w.len() / inputs;
    let rows = (x.len() / inputs).div_ceil(rayon::current_num_threads()).min(128);
    y.par_chunks_mut(rows * outputs).zip(x.par_chunks(rows * inputs)).for_each(|(y, x)| {
        let (i, o) = (inputs as isize, outputs as isize);
        // SAFETY: the strides describe exactly these slices.
        unsafe {
            gemm::gemm(
                x.len() / inputs,
                outputs,
                inputs,
                y.as_mut_ptr(),
                1,
                o,
                false,
                x.as_ptr(),
                1,
                i,
                w.as_ptr(),
                i,
                1,
                0.0,
                1.0,
                false,
                false,
                false,
                gemm::Parallelism::None,
            );
        }
    });
}

fn values(len: usize) -> Vec<f32> {
    (0..len).map(|i| ((i * 7919) % 1000) as f32 / 1000.0 - 0.5).collect()
}

/// Best time of a call over about half a second.
fn seconds(mut work: impl FnMut()) -> f64 {
    let (start, mut best) = (Instant::now(), f64::INFINITY);
    while start.elapsed().as_secs_f64() < 0.5 {
        let begin = Instant::now();
        work();
        black_box(&mut work);
        best = best.min(begin.elapsed().as_secs_f64());
    }
    best
}
