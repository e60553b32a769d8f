//! Functions of single values, applied to whole slices.

use crate::simd::{Kernel, Simd, run};
use crate::threads::{Shared, for_each, part};

/// Values of one task: a multiple of every vector width, so that cutting changes no result.
const CHUNK: usize = 1 << 14;

/// Floating-point operations that one exponential is worth.
const COST: usize = 16;

/// `M` results from `N` arguments, value by value.
pub(crate) trait Pointwise<const N: usize, const M: usize>: Copy + Send + Sync {
    /// Must be `#[inline(always)]`.
    fn apply<S: Simd>(self, s: S, arguments: [S::V; N]) -> [S::V; M];
}

/// Applies a function to slices of one length.
pub(crate) fn apply<const N: usize, const M: usize>(
    function: impl Pointwise<N, M>,
    arguments: [&[f32]; N],
    results: [&mut [f32]; M],
) {
    let len = results[0].len();
    assert!(arguments.iter().all(|a| a.len() == len) && results.iter().all(|r| r.len() == len));
    let results = results.map(Shared::new);
    let chunks = len.div_ceil(CHUNK);
    for_each(chunks, len * COST, |i| {
        let range = i * CHUNK..len.min((i + 1) * CHUNK);
        run(Chunk {
            function,
            arguments: arguments.map(|a| &a[range.clone()]),
            // SAFETY: the ranges of different tasks are disjoint.
            results: results.map(|r| unsafe { r.slice(range.clone()) }),
        });
    });
}

/// The part of one task.
struct Chunk<'a, F, const N: usize, const M: usize> {
    function: F,
    arguments: [&'a [f32]; N],
    results: [&'a mut [f32]; M],
}

impl<F: Pointwise<N, M>, const N: usize, const M: usize> Kernel for Chunk<'_, F, N, M> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { function, arguments, mut results } = self;
        let len = results[0].len();
        let whole = len - len % S::LANES;
        let mut at = 0;
        while at < whole {
            let mut values = [s.splat(0.0); N];
            for n in 0..N {
                values[n] = s.get(&arguments[n][at..]);
            }
            let values = function.apply(s, values);
            for m in 0..M {
                s.put(&mut results[m][at..], values[m]);
            }
            at += S::LANES;
        }
        if whole < len {
            let mut values = [s.splat(0.0); N];
            for n in 0..N {
                values[n] = s.get_short(&arguments[n][whole..], 0.0);
            }
            let values = function.apply(s, values);
            for m in 0..M {
                s.put_short(&mut results[m][whole..], values[m]);
            }
        }
    }
}

/// Runs `task` on blocks of whole rows, all together about `cost` floating-point operations.
pub(crate) fn row_blocks(
    rows: usize,
    most: usize,
    cost: usize,
    task: impl Fn(std::ops::Range<usize>) + Send + Sync,
) {
    let blocks = rows.div_ceil(most);
    for_each(blocks, cost, |i| task(part(rows, most, i)));
}
