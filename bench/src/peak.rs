//! What the processor can do at most: products and sums of f32 in registers, on all threads.

use std::hint::black_box;
use std::time::Instant;

use anyhow::Result;
use pulp::{Arch, Simd, WithSimd};

use crate::Work;

/// Sums under way in one thread: more than latency times throughput of any processor we know.
const CHAINS: usize = 12;
const STEPS: usize = 20_000_000;

/// Multiplies and adds that wait for nothing but each other; the result is the number of operations.
struct Chains;

impl WithSimd for Chains {
    type Output = usize;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> usize {
        let factor = simd.splat_f32s(black_box(0.999));
        let term = simd.splat_f32s(black_box(0.001));
        let mut chains = [simd.splat_f32s(1.0); CHAINS];
        for _ in 0..STEPS {
            for chain in &mut chains {
                *chain = simd.mul_add_f32s(*chain, factor, term);
            }
        }
        black_box(chains.map(|chain| simd.reduce_sum_f32s(chain)));
        2 * STEPS * CHAINS * S::F32_LANES
    }
}

pub(crate) struct Peak;

impl Work for Peak {
    /// Operations a second.
    fn round(&mut self) -> Result<Vec<f64>> {
        let start = Instant::now();
        let flop = rayon::broadcast(|_| Arch::new().dispatch(Chains)).iter().sum::<usize>();
        Ok(vec![flop as f64 / start.elapsed().as_secs_f64()])
    }
}
