//! Weights of 8 and 4 bits, rounded in blocks of 32 inputs by one output.
//!
//! ```text
//!   a block of a panel      64 scales (f16)   [4 bits: 64 minima (f16)]   codes, a word an output
//!
//!   8 bits: 8 rows of 64 words    the bytes of row g are inputs 4g … 4g + 3: 128 + w / scale
//!   4 bits: 4 rows of 64 words    low halves as above, high halves inputs 16 + 4g …: (w − minimum) / scale
//! ```
//!
//! What GGUF's Q8_0 and Q4_1 hold is kept without change: their rounding comes to the same codes.

use bytemuck::cast_slice;
use half::f16;

use crate::bytes::nearest;
use crate::product::WIDTH;
use crate::simd::{self, Kernel, Simd};

/// Inputs that share a scale.
pub(crate) const BLOCK: usize = 32;
/// Inputs in a word of codes.
const BYTES: usize = 4;

/// Bits of a code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bits {
    Eight,
    Four,
}

/// One output's 32 inputs.
struct Grid {
    scale: f16,
    minimum: f16,
    codes: [u8; BLOCK],
}

impl Bits {
    /// Words of a block of 64 outputs.
    pub(crate) fn words(self) -> usize {
        self.head() + self.rows() * WIDTH
    }

    /// Words before the codes.
    pub(crate) fn head(self) -> usize {
        match self {
            Self::Eight => WIDTH / 2,
            Self::Four => WIDTH,
        }
    }

    /// Rows of words of codes.
    pub(crate) fn rows(self) -> usize {
        match self {
            Self::Eight => BLOCK / BYTES,
            Self::Four => BLOCK / BYTES / 2,
        }
    }

    /// The code of zero, but for the minimum.
    pub(crate) fn zero(self) -> i32 {
        match self {
            Self::Eight => 128,
            Self::Four => 0,
        }
    }

    fn mask(self) -> u32 {
        match self {
            Self::Eight => 0xFF,
            Self::Four => 0x0F,
        }
    }

    /// Where the code of input `k` of a block is: row of words, and shift.
    fn place(self, k: usize) -> (usize, usize) {
        let group = k / BYTES;
        (group % self.rows(), 8 * (k % BYTES) + 4 * (group / self.rows()))
    }

    /// The nearest values that a block can hold.
    fn grid(self, values: &[f32]) -> Grid {
        let (low, high) = values
            .iter()
            .fold((f32::INFINITY, f32::NEG_INFINITY), |(l, h), &v| (l.min(v), h.max(v)));
        let (scale, minimum) = match self {
            // What is no number must not become one.
            _ if !values.iter().all(|v| v.is_finite()) => (f32::NAN, f32::NAN),
            Self::Eight => (high.max(-low) / 127.0, 0.0),
            Self::Four => ((high - low) / 15.0, low),
        };
        let (scale, minimum) = (f16::from_f32(scale), f16::from_f32(minimum));
        let step = scale.to_f32();
        let inverse = if step > 0.0 { step.recip() } else { 0.0 };
        let (least, most) = match self {
            Self::Eight => (1, 255),
            Self::Four => (0, 15),
        };
        let base = minimum.to_f32();
        let mut codes = [0; BLOCK];
        for (code, value) in codes.iter_mut().zip(values) {
            let steps = nearest((value - base) * inverse);
            *code = (steps + self.zero()).clamp(least, most) as u8;
        }
        Grid { scale, minimum, codes }
    }

    /// Up to 64 row-major `rows` as a panel.
    pub(crate) fn pack(self, rows: &[f32], inputs: usize, panel: &mut [u32]) {
        for (b, block) in panel.chunks_exact_mut(self.words()).enumerate() {
            let (head, words) = block.split_at_mut(self.head());
            let halves: &mut [u16] = bytemuck::cast_slice_mut(head);
            for (c, row) in rows.chunks_exact(inputs).enumerate() {
                let grid = self.grid(&row[b * BLOCK..inputs.min((b + 1) * BLOCK)]);
                halves[c] = grid.scale.to_bits();
                if let Some(minimum) = halves.get_mut(WIDTH + c) {
                    *minimum = grid.minimum.to_bits();
                }
                (0..self.rows()).for_each(|row| words[row * WIDTH + c] = 0);
                for (k, code) in grid.codes.into_iter().enumerate() {
                    let (row, shift) = self.place(k);
                    words[row * WIDTH + c] |= u32::from(code) << shift;
                }
            }
        }
    }

    /// Column `column` of a panel, `[inputs]`.
    pub(crate) fn copy_column(self, panel: &[u32], column: usize, to: &mut [f32]) {
        let blocks = panel.chunks_exact(self.words());
        for (block, to) in blocks.zip(to.chunks_mut(BLOCK)) {
            let (head, words) = block.split_at(self.head());
            let halves: &[u16] = cast_slice(head);
            let value = |at: usize| halves.get(at).map_or(0.0, |&h| f16::from_bits(h).to_f32());
            let (scale, minimum) = (value(column), value(WIDTH + column));
            for (k, to) in to.iter_mut().enumerate() {
                let (row, shift) = self.place(k);
                let code = (words[row * WIDTH + column] >> shift) & self.mask();
                *to = (code as i32 - self.zero()) as f32 * scale + minimum;
            }
        }
    }

    /// Blocks as f32, a row of 64 an input; as many inputs as `to` has rows.
    pub(crate) fn widen(self, blocks: &[u32], to: &mut [f32]) {
        let blocks = blocks.chunks_exact(self.words());
        for (block, to) in blocks.zip(to.chunks_mut(BLOCK * WIDTH)) {
            simd::run(Widen { bits: self, block, to });
        }
    }
}

struct Widen<'a> {
    bits: Bits,
    block: &'a [u32],
    to: &'a mut [f32],
}

impl Kernel for Widen<'_> {
    type Output = ();

    /// A code has at most 8 bits and a scale 11: their product is exact, and the sum rounded once.
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let (head, words) = self.block.split_at(self.bits.head());
        let mut scales = [[0.0; WIDTH]; 2];
        for (scales, halves) in scales.iter_mut().zip(head.chunks_exact(WIDTH / 2)) {
            let halves: &[u16] = cast_slice(halves);
            for c in (0..WIDTH).step_by(S::LANES) {
                // SAFETY: `c + LANES ≤ 64`, the number of halves.
                s.put(&mut scales[c..], unsafe { s.load_f16(halves[c..].as_ptr()) });
            }
        }
        let [scale, minimum] = scales;
        let (mask, zero) = (self.bits.mask(), self.bits.zero());
        for (k, to) in self.to.chunks_exact_mut(WIDTH).enumerate() {
            let (row, shift) = self.bits.place(k);
            let words = &words[row * WIDTH..][..WIDTH];
            for (c, to) in to.iter_mut().enumerate() {
                let code = (words[c] >> shift) & mask;
                *to = (code as i32 - zero) as f32 * scale[c] + minimum[c];
            }
        }
    }
}
