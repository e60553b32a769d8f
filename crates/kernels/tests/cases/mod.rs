//! Every fast kernel against its slow twin. Each instruction set is its own test binary, because
//! the choice is one of the process.

pub(crate) mod linear;
pub(crate) mod attention;
pub(crate) mod head;
pub(crate) mod rows;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Declares all cases as tests on one instruction set.
macro_rules! on {
    ($isa:expr) => {
        cases::on!($isa; linear: forward, backward, weight_gradient, batch_invariant, bytes_at_extremes,
            packing;
            attention: like_the_slow_twin, extreme_scores, any_threads, company_changes_nothing,
            how_keys_are_cut_changes_no_bit, unseen_rows_are_not_read, a_query_that_sees_nothing, bad_spans;
            head: like_the_slow_twin, gradient_of_the_weights, extreme_logits, even_distribution,
            any_threads, company_changes_nothing, not_a_number_stays, target_outside;
            rows: norms, rotations, activations, updates, sums_and_scales, sums_over_rows,
            not_finite);
    };
    ($isa:expr; $($file:ident: $($case:ident),+);+ $(;)?) => {$(
        mod $file {$(
            #[test]
            fn $case() {
                kernels::simd::limit($isa);
                super::cases::$file::$case();
            }
        )+}
    )+};
}
pub(crate) use on;

/// Values in −1..1, the same for the same seed.
pub(crate) fn random(len: usize, seed: u64) -> Vec<f32> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    (0..len).map(|_| (rng.next_u32() >> 8) as f32 / (1 << 23) as f32 - 1.0).collect()
}

/// Asserts that `fast` is within `tolerance` of `slow`, relative to `slow`'s largest value.
pub(crate) fn close(fast: &[f32], slow: &[f32], tolerance: f32, what: &str) {
    assert_eq!(fast.len(), slow.len(), "{what}");
    let size = slow.iter().fold(1e-30_f32, |m, v| m.max(v.abs()));
    for (i, (f, s)) in fast.iter().zip(slow).enumerate() {
        assert!((f - s).abs() <= tolerance * size, "{what}: [{i}] is {f}, not {s}, size {size}");
    }
}

/// Asserts that `compute` gives the same bits on one, two and three threads.
pub(crate) fn same_on_any_threads(what: &str, compute: impl Fn() -> Vec<f32> + Send + Sync) {
    let results = [1, 2, 3].map(|threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool");
        pool.install(&compute).into_iter().map(f32::to_bits).collect::<Vec<_>>()
    });
    assert!(results[0] == results[1] && results[0] == results[2], "{what}");
}
