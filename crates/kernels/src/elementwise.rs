//! Sums and scales.

use crate::formula::{BLOCK, Formula, Map, map};
use crate::simd::{self, Simd};
use crate::threads::{Shared, for_each};

/// `x += y`.
///
/// # Panics
/// If the lengths differ.
pub fn add(x: &mut [f32], y: &[f32]) {
    #[derive(Clone, Copy)]
    struct Add;
    impl Formula<1, 1> for Add {
        #[inline(always)]
        fn at<S: Simd>(self, s: S, [y]: [S::V; 1], [x]: [S::V; 1]) -> [S::V; 1] {
            [s.add(x, y)]
        }
    }
    map(Add, [y], [x]);
}

/// `x *= factor`.
pub fn scale(x: &mut [f32], factor: f32) {
    map(Scale(factor), [], [x]);
}

#[derive(Clone, Copy)]
struct Scale(f32);

impl Formula<0, 1> for Scale {
    #[inline(always)]
    fn at<S: Simd>(self, s: S, _: [S::V; 0], [x]: [S::V; 1]) -> [S::V; 1] {
        [s.mul(x, s.splat(self.0))]
    }
}

/// `x[r, ·] *= factors[r]`.
///
/// # Panics
/// If `x` is not one row per factor.
pub fn scale_rows(x: &mut [f32], factors: &[f32]) {
    let columns = x.len() / factors.len().max(1);
    assert_eq!(x.len(), columns * factors.len(), "rows and factors");
    for (row, &factor) in x.chunks_exact_mut(columns.max(1)).zip(factors) {
        scale(row, factor);
    }
}

/// `y[·, c] = x[·, c] · factors[c]`.
///
/// # Panics
/// If the lengths are not those of whole rows.
pub fn scale_columns(x: &[f32], factors: &[f32], y: &mut [f32]) {
    #[derive(Clone, Copy)]
    struct Product;
    impl Formula<2, 1> for Product {
        #[inline(always)]
        fn at<S: Simd>(self, s: S, [a, b]: [S::V; 2], _: [S::V; 1]) -> [S::V; 1] {
            [s.mul(a, b)]
        }
    }
    let columns = factors.len();
    assert_eq!((x.len() % columns.max(1), x.len()), (0, y.len()), "rows and factors");
    let y = Shared::new(y);
    let rows = x.len() / columns.max(1);
    let block = (BLOCK / columns.max(1)).max(1);
    for_each(rows.div_ceil(block), x.len() * 4, |task| {
        for row in task * block..rows.min((task + 1) * block) {
            let range = row * columns..(row + 1) * columns;
            // SAFETY: each task has its own rows.
            let outputs = [unsafe { y.slice(range.clone()) }];
            simd::run(Map { formula: Product, inputs: [&x[range], factors], outputs });
        }
    });
}
