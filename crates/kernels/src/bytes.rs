//! Products with weights of 8 and 4 bits: the rows are rounded to bytes too, and sums of products of
//! bytes are exact.
//!
//! ```text
//!   y = Σ_blocks  s_x · (s_w · Σ q_x·q_w  +  minimum_w · Σ q_x)
//! ```
//!
//! A row is rounded by itself, whether it is decoded or trained on, so its result depends neither on
//! the other rows nor on the use. Gradients take the rounding of rows as if it were none.

use std::ops::Range;

use bytemuck::cast_slice;
use rayon::prelude::*;

use crate::packed::blocks::{BLOCK, Bits};
use crate::product::{Out, WIDTH};
use crate::simd::{self, Kernel, Simd};

/// Bytes of a block, four a word.
const WORDS: usize = BLOCK / 4;
/// Rows of a register tile.
const ROWS: usize = 4;
/// Rows rounded by one task.
const ROUNDED: usize = 32;
/// Words between asking memory for codes and their use.
const AHEAD: usize = 2048;

/// What a block of bytes stands for.
#[derive(Clone, Copy, Default)]
struct Scale {
    /// Of one step.
    step: f32,
    /// Sum of the bytes.
    sum: i32,
}

/// Rows rounded to bytes, in blocks of 32.
pub(crate) struct Bytes {
    words: Vec<u32>,
    scales: Vec<Scale>,
    /// Blocks of a row.
    blocks: usize,
}

/// Some of them.
#[derive(Clone, Copy)]
pub(crate) struct ByteRows<'a> {
    words: &'a [u32],
    scales: &'a [Scale],
    blocks: usize,
}

impl Bytes {
    /// Rounds rows of `inputs` values.
    pub(crate) fn of(x: &[f32], inputs: usize) -> Self {
        let (rows, blocks) = (x.len() / inputs, inputs.div_ceil(BLOCK));
        let mut words = vec![0; rows * blocks * WORDS];
        let mut scales = vec![Scale::default(); rows * blocks];
        let some = |i: usize| i * ROUNDED;
        x.par_chunks(some(inputs))
            .zip(words.par_chunks_mut(some(blocks * WORDS)))
            .zip(scales.par_chunks_mut(some(blocks)))
            .for_each(|((x, words), scales)| simd::run(Round { x, inputs, words, scales }));
        Self { words, scales, blocks }
    }

    /// Rows of a range.
    pub(crate) fn rows(&self, rows: Range<usize>) -> ByteRows<'_> {
        let Self { words, scales, blocks } = self;
        ByteRows {
            words: &words[rows.start * blocks * WORDS..rows.end * blocks * WORDS],
            scales: &scales[rows.start * blocks..rows.end * blocks],
            blocks: *blocks,
        }
    }
}

impl ByteRows<'_> {
    /// Number of rows.
    pub(crate) fn len(&self) -> usize {
        self.scales.len() / self.blocks
    }

    /// Bytes of a block of a row, four a word.
    #[inline(always)]
    fn words(&self, row: usize, block: usize) -> &[u32] {
        &self.words[(row * self.blocks + block) * WORDS..][..WORDS]
    }

    /// What they stand for.
    #[inline(always)]
    fn scale(&self, row: usize, block: usize) -> Scale {
        self.scales[row * self.blocks + block]
    }
}

/// The nearest integer to a value of few bits, ties to even; a call of the library costs more than all else.
#[inline(always)]
pub(crate) fn nearest(value: f32) -> i32 {
    // Added to a small value, it leaves the integer in the low bits.
    const HIGH: f32 = 12_582_912.0;
    (value + HIGH).to_bits().wrapping_sub(HIGH.to_bits()) as i32
}

struct Round<'a> {
    x: &'a [f32],
    inputs: usize,
    words: &'a mut [u32],
    scales: &'a mut [Scale],
}

impl Kernel for Round<'_> {
    type Output = ();

    /// Plain Rust, which the compiler vectorises, with the same bits everywhere.
    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        let blocks = self.x.chunks_exact(self.inputs).flat_map(|row| row.chunks(BLOCK));
        let places = self.words.chunks_exact_mut(WORDS).zip(self.scales);
        for (values, (words, scale)) in blocks.zip(places) {
            let mut block = [0.0; BLOCK];
            block[..values.len()].copy_from_slice(values);
            *scale = round(&block, words);
        }
    }
}

#[inline(always)]
fn round(block: &[f32; BLOCK], words: &mut [u32]) -> Scale {
    // As bits, whose order is that of magnitudes, what is no number is larger than all numbers.
    let top = block.iter().fold(0, |top: u32, v| top.max(v.abs().to_bits()));
    let step = f32::from_bits(top) / 127.0;
    if step < f32::MIN_POSITIVE {
        words.fill(0);
        return Scale::default();
    }
    let inverse = step.recip();
    let mut bytes = [0_i8; BLOCK];
    for (byte, value) in bytes.iter_mut().zip(block) {
        *byte = nearest(value * inverse) as i8;
    }
    for (word, bytes) in words.iter_mut().zip(bytes.chunks_exact(4)) {
        *word =
            u32::from_le_bytes([bytes[0] as u8, bytes[1] as u8, bytes[2] as u8, bytes[3] as u8]);
    }
    Scale { step, sum: bytes.iter().map(|&byte| i32::from(byte)).sum() }
}

/// `out = rows · panel`, or `out += rows · panel`.
///
/// # Safety
/// `out` must be writable for these rows and nobody else's meanwhile.
pub(crate) unsafe fn product(rows: ByteRows<'_>, bits: Bits, panel: &[u32], out: Out) {
    assert_eq!(panel.len(), rows.blocks * bits.words(), "blocks of rows and panel");
    match bits {
        Bits::Eight => simd::run_bytes(Product::<false> { rows, panel, out }),
        Bits::Four => simd::run_bytes(Product::<true> { rows, panel, out }),
    }
}

/// Built only by [`product`], whose caller vouches for `out`.
#[derive(Clone, Copy)]
struct Product<'a, const FOUR: bool> {
    rows: ByteRows<'a>,
    panel: &'a [u32],
    out: Out,
}

impl<const FOUR: bool> Kernel for Product<'_, FOUR> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let mut row = 0;
        while row < self.rows.len() {
            let height = ROWS.min(self.rows.len() - row);
            match height {
                1 => strip::<S, FOUR, 1>(s, self, row),
                2 => strip::<S, FOUR, 2>(s, self, row),
                3 => strip::<S, FOUR, 3>(s, self, row),
                _ => strip::<S, FOUR, ROWS>(s, self, row),
            }
            row += height;
        }
    }
}

/// `H` rows, all columns, one register tile after the other.
#[inline(always)]
fn strip<S: Simd, const FOUR: bool, const H: usize>(s: S, of: Product<'_, FOUR>, row: usize) {
    let mut aside = [[0.0; WIDTH]; H];
    let width = S::LANES * S::TILE;
    for column in (0..of.out.columns).step_by(width) {
        match S::TILE {
            4 => tile::<S, FOUR, H, 4>(s, of, (row, column), &mut aside),
            _ => tile::<S, FOUR, H, 2>(s, of, (row, column), &mut aside),
        }
    }
    for (r, values) in aside.iter().enumerate() {
        // SAFETY: the row is one of those `product`'s caller vouches for, as are its columns.
        let out = unsafe {
            std::slice::from_raw_parts_mut(of.out.at.add((row + r) * of.out.row), of.out.columns)
        };
        match of.out.add {
            true => out.iter_mut().zip(values).for_each(|(out, value)| *out += value),
            false => out.copy_from_slice(&values[..of.out.columns]),
        }
    }
}

/// `H` rows by `N` registers from `column` on, over all blocks, added to `to`.
#[expect(clippy::needless_range_loop, reason = "several arrays of registers in step")]
#[inline(always)]
fn tile<S: Simd, const FOUR: bool, const H: usize, const N: usize>(
    s: S,
    of: Product<'_, FOUR>,
    (row, column): (usize, usize),
    to: &mut [[f32; WIDTH]; H],
) {
    let bits = if FOUR { Bits::Four } else { Bits::Eight };
    for (b, block) in of.panel.chunks_exact(bits.words()).enumerate() {
        let (head, codes) = block.split_at(bits.head());
        let codes = &codes[column..];
        let dots = dots::<S, FOUR, H, N>(s, codes, of.rows, (row, b));
        let halves: &[u16] = cast_slice(head);
        for n in 0..N {
            let at = column + n * S::LANES;
            assert!(at + S::LANES <= WIDTH);
            // SAFETY: `at + LANES ≤ 64`, the number of scales, which as many minima may follow.
            let (scale, minimum) = unsafe {
                let scale = halves.as_ptr().add(at);
                let minimum = if FOUR { scale.add(WIDTH) } else { scale };
                (s.load_f16(scale), s.load_f16(minimum))
            };
            for r in 0..H {
                let Scale { step, sum } = of.rows.scale(row + r, b);
                let to = &mut to[r][at..at + S::LANES];
                let mut total = s.fma(s.float(dots[r][n]), s.mul(scale, s.splat(step)), s.get(to));
                if FOUR {
                    total = s.fma(minimum, s.splat(step * sum as f32), total);
                }
                s.put(to, total);
            }
        }
    }
}

/// The exact sums over one block.
#[inline(always)]
fn dots<S: Simd, const FOUR: bool, const H: usize, const N: usize>(
    s: S,
    codes: &[u32],
    rows: ByteRows<'_>,
    (row, block): (usize, usize),
) -> [[S::I; N]; H] {
    let groups = if FOUR { WORDS / 2 } else { WORDS };
    assert!(codes.len() >= (groups - 1) * WIDTH + N * S::LANES);
    let mut dots = [[s.splat_int(0); N]; H];
    let mut words = [std::ptr::null(); H];
    for r in 0..H {
        words[r] = rows.words(row + r, block).as_ptr();
        // Codes of 8 bits stand 128 too high.
        let start = if FOUR { 0 } else { -128 * rows.scale(row + r, block).sum };
        dots[r] = [s.splat_int(start); N];
    }
    for g in 0..groups {
        let mut below = [s.splat_int(0); N];
        let mut above = below;
        for n in 0..N {
            // SAFETY: the last register of the last row of codes ends inside them, as asserted.
            let codes = unsafe {
                let at = codes.as_ptr().add(g * WIDTH + n * S::LANES);
                s.prefetch(at.wrapping_add(AHEAD).cast());
                s.load_int(at)
            };
            (below[n], above[n]) = if FOUR { s.nibbles(codes) } else { (codes, codes) };
        }
        for r in 0..H {
            // SAFETY: a block of a row has `WORDS` words.
            let (low, high) = unsafe { (*words[r].add(g), *words[r].add(g + WORDS - groups)) };
            for n in 0..N {
                dots[r][n] = s.dot4(below[n], s.splat_int(low as i32), dots[r][n]);
                if FOUR {
                    dots[r][n] = s.dot4(above[n], s.splat_int(high as i32), dots[r][n]);
                }
            }
        }
    }
    dots
}
