//! Counter-based draws: a generator per (seed, stream), so that no draw depends on how many came before it elsewhere.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// The generator of `stream`.
pub(crate) fn stream(seed: u64, stream: u64) -> ChaCha8Rng {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(stream);
    rng
}

/// An integer below `bound` (at least 1). Written out, because libraries change how they draw between versions.
pub(crate) fn below(rng: &mut ChaCha8Rng, bound: usize) -> usize {
    let wide = u128::from(rng.next_u64()) * bound as u128;
    usize::try_from(wide >> 64).expect("the product is below bound · 2^64")
}

/// A float in `-1.0..1.0`.
pub(crate) fn signed_unit(rng: &mut ChaCha8Rng) -> f32 {
    // 24 bits fill the mantissa of an f32 exactly.
    (rng.next_u32() >> 8) as f32 / (1u32 << 23) as f32 - 1.0
}

/// Fisher–Yates.
pub(crate) fn shuffle<T>(rng: &mut ChaCha8Rng, items: &mut [T]) {
    for last in (1..items.len()).rev() {
        items.swap(last, below(rng, last + 1));
    }
}
