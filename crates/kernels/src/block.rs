//! Moving small blocks into the shape the products want.

use std::ops::Range;

use crate::product::WIDTH;
use crate::simd::{self, Kernel, Simd};

/// `to[c·to_row + r] = from[r·from_row + c]` for `r < size.0` and `c < size.1`.
pub(crate) fn transpose(
    (from, from_row): (&[f32], usize),
    size: (usize, usize),
    (to, to_row): (&mut [f32], usize),
) {
    let (rows, columns) = size;
    if rows == 0 || columns == 0 {
        return;
    }
    assert!(columns <= from_row && rows <= to_row, "{rows}×{columns}, {from_row} and {to_row}");
    assert!(from.len() >= (rows - 1) * from_row + columns, "block to transpose");
    assert!(to.len() >= (columns - 1) * to_row + rows, "room to transpose into");
    simd::run(Transpose { from, from_row, size, to, to_row });
}

struct Transpose<'a> {
    from: &'a [f32],
    from_row: usize,
    size: (usize, usize),
    to: &'a mut [f32],
    to_row: usize,
}

impl Kernel for Transpose<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let (rows, columns) = self.size;
        let (whole_rows, whole_columns) =
            (rows / S::LANES * S::LANES, columns / S::LANES * S::LANES);
        for r in (0..whole_rows).step_by(S::LANES) {
            for c in (0..whole_columns).step_by(S::LANES) {
                let from = self.from[r * self.from_row + c..].as_ptr();
                let to = self.to[c * self.to_row + r..].as_mut_ptr();
                // SAFETY: `transpose` checked that rows up to `rows` and columns up to `columns`
                // lie inside both slices, and the square ends before them.
                unsafe { s.transpose((from, self.from_row), (to, self.to_row)) }
            }
        }
        for r in 0..rows {
            let done = if r < whole_rows { whole_columns } else { 0 };
            for c in done..columns {
                self.to[c * self.to_row + r] = self.from[r * self.from_row + c];
            }
        }
    }
}

/// Rows of 32 words, each two bf16, as rows of 64 f32: low halves first, then high halves.
pub(crate) fn widen(words: &[u32], to: &mut [f32]) {
    assert_eq!((words.len() % 32, to.len()), (0, words.len() * 2), "rows to widen");
    simd::run(Widen { words, to });
}

struct Widen<'a> {
    words: &'a [u32],
    to: &'a mut [f32],
}

impl Kernel for Widen<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        for (words, to) in self.words.chunks_exact(32).zip(self.to.chunks_exact_mut(WIDTH)) {
            let (low, high) = to.split_at_mut(32);
            for c in (0..32).step_by(S::LANES) {
                // SAFETY: `c + LANES ≤ 32`, the length of the row.
                let (l, h) = unsafe { s.load_bf16(words[c..].as_ptr()) };
                s.put(&mut low[c..], l);
                s.put(&mut high[c..], h);
            }
        }
    }
}

/// The inverse of [`widen`]: f32 rounded to the nearest bf16, ties to even.
pub(crate) fn narrow(values: &[f32], to: &mut [u32]) {
    assert_eq!((values.len() % WIDTH, values.len()), (0, to.len() * 2), "rows to narrow");
    simd::run(Narrow { values, to });
}

struct Narrow<'a> {
    values: &'a [f32],
    to: &'a mut [u32],
}

impl Kernel for Narrow<'_> {
    type Output = ();

    /// Plain Rust: integer arithmetic the compiler vectorises.
    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        for (values, words) in self.values.chunks_exact(WIDTH).zip(self.to.chunks_exact_mut(32)) {
            let (low, high) = values.split_at(32);
            for ((word, low), high) in words.iter_mut().zip(low).zip(high) {
                *word = round_bf16(*low) | round_bf16(*high) << 16;
            }
        }
    }
}

#[inline(always)]
fn round_bf16(value: f32) -> u32 {
    let bits = value.to_bits();
    // Rounding up could turn a NaN into an infinity; it keeps its sign and becomes quiet.
    let nan = (bits >> 16) | 0x40;
    let rounded = bits.wrapping_add(0x7FFF + ((bits >> 16) & 1)) >> 16;
    if value.is_nan() { nan } else { rounded }
}

/// The first `rows` rows of `columns` of row-major `x` `[_, width]`, as rows of 64.
pub(crate) fn copy_columns(
    x: &[f32],
    width: usize,
    columns: Range<usize>,
    rows: usize,
    to: &mut [f32],
) {
    for (x, to) in x.chunks(width).zip(to.chunks_exact_mut(WIDTH)).take(rows) {
        to[..columns.len()].copy_from_slice(&x[columns.clone()]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_as_half_does() {
        let mut values: Vec<f32> = (0..64 * 400).map(|i| (i as f32).exp2().sin() * 1e3).collect();
        let ties = [1.003_906_3, 1.011_718_8, f32::MAX, f32::MIN_POSITIVE, 1e-45, -0.0];
        values[..6].copy_from_slice(&ties);
        values[6..9].copy_from_slice(&[f32::NAN, f32::INFINITY, f32::from_bits(0x7F80_0001)]);
        let (mut words, mut back) = (vec![0; values.len() / 2], vec![0.0; values.len()]);
        narrow(&values, &mut words);
        widen(&words, &mut back);
        for (value, back) in values.iter().zip(back) {
            let half = half::bf16::from_f32(*value).to_f32();
            assert!(half.to_bits() == back.to_bits(), "{value}: {back}, not {half}");
        }
    }

    #[test]
    fn transposes_any_size() {
        let from: Vec<f32> = (0..64 * 70).map(|i| i as f32).collect();
        for (rows, columns) in [(64, 64), (1, 70), (17, 33), (64, 5), (8, 16), (0, 3)] {
            let mut to = vec![-1.0; 70 * WIDTH];
            transpose((&from, 70), (rows, columns), (&mut to, WIDTH));
            for (i, &value) in to.iter().enumerate() {
                let (c, r) = (i / WIDTH, i % WIDTH);
                let inside = r < rows && c < columns;
                assert_eq!(value, if inside { from[r * 70 + c] } else { -1.0 }, "{r} {c}");
            }
        }
    }
}
