//! Block formats and their dequantisation, equal bit for bit to gguf-py's.
//!
//! A row is a run of blocks. A block of `len` weights holds one or more half-precision scales and `len` small integers;
//! nibbles come as "low halves first": byte `j` holds weight `j` and weight `j + half`.

use half::f16;

/// How the weights of a tensor are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BlockType {
    /// 32-bit floats.
    F32,
    /// 16-bit floats.
    F16,
    /// bfloat16.
    Bf16,
    /// 4 bits and a scale for 32 weights.
    Q4_0,
    /// 4 bits, a scale and a minimum for 32 weights.
    Q4_1,
    /// 5 bits and a scale for 32 weights.
    Q5_0,
    /// 5 bits, a scale and a minimum for 32 weights.
    Q5_1,
    /// 8 bits and a scale for 32 weights.
    Q8_0,
    /// 4 bits for 256 weights, with 6-bit scales and minima for each 32.
    Q4K,
    /// 5 bits for 256 weights, with 6-bit scales and minima for each 32.
    Q5K,
    /// 6 bits for 256 weights, with 8-bit scales for each 16.
    Q6K,
}

impl BlockType {
    /// The type with GGML's number `id`, if this crate reads it.
    pub(crate) fn from_id(id: u32) -> Option<Self> {
        Some(match id {
            0 => Self::F32,
            1 => Self::F16,
            2 => Self::Q4_0,
            3 => Self::Q4_1,
            6 => Self::Q5_0,
            7 => Self::Q5_1,
            8 => Self::Q8_0,
            12 => Self::Q4K,
            13 => Self::Q5K,
            14 => Self::Q6K,
            30 => Self::Bf16,
            _ => return None,
        })
    }

    /// The type as llama.cpp spells it.
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "F32",
            Self::F16 => "F16",
            Self::Bf16 => "BF16",
            Self::Q4_0 => "Q4_0",
            Self::Q4_1 => "Q4_1",
            Self::Q5_0 => "Q5_0",
            Self::Q5_1 => "Q5_1",
            Self::Q8_0 => "Q8_0",
            Self::Q4K => "Q4_K",
            Self::Q5K => "Q5_K",
            Self::Q6K => "Q6_K",
        }
    }

    /// Weights in one block.
    pub fn block_len(self) -> usize {
        match self {
            Self::F32 | Self::F16 | Self::Bf16 => 1,
            Self::Q4_0 | Self::Q4_1 | Self::Q5_0 | Self::Q5_1 | Self::Q8_0 => 32,
            Self::Q4K | Self::Q5K | Self::Q6K => 256,
        }
    }

    /// Bytes of one block.
    pub fn block_bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 | Self::Bf16 => 2,
            Self::Q4_0 => 18,
            Self::Q4_1 => 20,
            Self::Q5_0 => 22,
            Self::Q5_1 => 24,
            Self::Q8_0 => 34,
            Self::Q4K => 144,
            Self::Q5K => 176,
            Self::Q6K => 210,
        }
    }

    /// The weights in `bytes`, which must be whole blocks (a shorter rest is left out).
    pub fn dequantize(self, bytes: &[u8]) -> Vec<f32> {
        let (len, size) = (self.block_len(), self.block_bytes());
        let mut weights = vec![0.0; bytes.len() / size * len];
        let decode = self.decoder();
        for (block, out) in bytes.chunks_exact(size).zip(weights.chunks_exact_mut(len)) {
            decode(block, out);
        }
        weights
    }

    fn decoder(self) -> fn(&[u8], &mut [f32]) {
        match self {
            Self::F32 => |b, out| out[0] = f32::from_le_bytes([b[0], b[1], b[2], b[3]]),
            Self::F16 => |b, out| out[0] = half_at(b, 0),
            // A shift, not a conversion: signalling NaNs keep their bits, as in gguf-py.
            Self::Bf16 => {
                |b, out| out[0] = f32::from_bits(u32::from(u16::from_le_bytes([b[0], b[1]])) << 16)
            }
            Self::Q4_0 => q4_0,
            Self::Q4_1 => q4_1,
            Self::Q5_0 => q5_0,
            Self::Q5_1 => q5_1,
            Self::Q8_0 => q8_0,
            Self::Q4K => q4_k,
            Self::Q5K => q5_k,
            Self::Q6K => q6_k,
        }
    }
}

fn half_at(block: &[u8], at: usize) -> f32 {
    f16::from_le_bytes([block[at], block[at + 1]]).to_f32()
}

/// `d · (q − 8)`.
fn q4_0(block: &[u8], out: &mut [f32]) {
    let d = half_at(block, 0);
    let (low, high) = out.split_at_mut(16);
    for ((&q, low), high) in block[2..].iter().zip(low).zip(high) {
        *low = d * (f32::from(q & 15) - 8.0);
        *high = d * (f32::from(q >> 4) - 8.0);
    }
}

/// `d · q + m`.
fn q4_1(block: &[u8], out: &mut [f32]) {
    let (d, m) = (half_at(block, 0), half_at(block, 2));
    let (low, high) = out.split_at_mut(16);
    for ((&q, low), high) in block[4..].iter().zip(low).zip(high) {
        *low = d * f32::from(q & 15) + m;
        *high = d * f32::from(q >> 4) + m;
    }
}

/// `d · (q − 16)`.
fn q5_0(block: &[u8], out: &mut [f32]) {
    let d = half_at(block, 0);
    five_bits(&block[2..6], &block[6..], out);
    for weight in out {
        *weight = d * (*weight - 16.0);
    }
}

/// `d · q + m`.
fn q5_1(block: &[u8], out: &mut [f32]) {
    let (d, m) = (half_at(block, 0), half_at(block, 2));
    five_bits(&block[4..8], &block[8..], out);
    for weight in out {
        *weight = d * *weight + m;
    }
}

/// Writes the 5-bit integers themselves: nibbles from `low`, the fifth bit of weight `i` from bit `i` of `high`.
fn five_bits(high: &[u8], low: &[u8], out: &mut [f32]) {
    let high = u32::from_le_bytes([high[0], high[1], high[2], high[3]]);
    for (i, weight) in out.iter_mut().enumerate() {
        let nibble = (low[i % 16] >> (i / 16 * 4)) & 15;
        *weight = f32::from(nibble | (u8::from(high >> i & 1 == 1) << 4));
    }
}

/// `d · q`.
fn q8_0(block: &[u8], out: &mut [f32]) {
    let d = half_at(block, 0);
    for (&q, weight) in block[2..].iter().zip(out) {
        *weight = f32::from(q.cast_signed()) * d;
    }
}

/// `d·s · q − dmin·m` with a 6-bit scale `s` and minimum `m` for each 32 weights.
fn q4_k(block: &[u8], out: &mut [f32]) {
    let (d, d_min) = (half_at(block, 0), half_at(block, 2));
    for (i, out) in out.chunks_exact_mut(32).enumerate() {
        let (scale, min) = scale_and_min(&block[4..16], i);
        let (scale, min) = (d * scale, d_min * min);
        let nibbles = &block[16 + i / 2 * 32..][..32];
        for (&q, weight) in nibbles.iter().zip(out) {
            *weight = scale * f32::from((q >> (i % 2 * 4)) & 15) - min;
        }
    }
}

/// As [`q4_k`], with a fifth bit: bit `i` of byte `j` belongs to weight `j` of run `i`.
fn q5_k(block: &[u8], out: &mut [f32]) {
    let (d, d_min) = (half_at(block, 0), half_at(block, 2));
    let high = &block[16..48];
    for (i, out) in out.chunks_exact_mut(32).enumerate() {
        let (scale, min) = scale_and_min(&block[4..16], i);
        let (scale, min) = (d * scale, d_min * min);
        let nibbles = &block[48 + i / 2 * 32..][..32];
        for ((&q, &high), weight) in nibbles.iter().zip(high).zip(out) {
            let q = (q >> (i % 2 * 4)) & 15 | (high >> i & 1) << 4;
            *weight = scale * f32::from(q) - min;
        }
    }
}

/// Scale and minimum of run `i` of 8 from 12 packed bytes: the first four of each lie in the low 6 bits of bytes 0–7,
/// the last four are split between a nibble of bytes 8–11 and the two top bits of bytes 0–7.
fn scale_and_min(packed: &[u8], i: usize) -> (f32, f32) {
    let (scale, min) = if i < 4 {
        (packed[i] & 63, packed[i + 4] & 63)
    } else {
        (packed[i + 4] & 15 | (packed[i - 4] >> 2 & 48), packed[i + 4] >> 4 | (packed[i] >> 2 & 48))
    };
    (f32::from(scale), f32::from(min))
}

/// `d·s · (q − 32)` with an 8-bit scale `s` for each 16 weights.
///
/// Each half of 128 weights has 64 bytes of nibbles and 32 bytes of top bits; run `r` of 4 in it takes nibble `r / 2`
/// of bytes `32·(r % 2)…` and bits `2r…` of the top bits.
fn q6_k(block: &[u8], out: &mut [f32]) {
    let (low, rest) = block.split_at(128);
    let (high, rest) = rest.split_at(64);
    let (scales, d) = rest.split_at(16);
    let d = half_at(d, 0);
    for (i, weight) in out.iter_mut().enumerate() {
        let (part, run, j) = (i / 128, i / 32 % 4, i % 32);
        let nibble = low[part * 64 + run % 2 * 32 + j] >> (run / 2 * 4) & 15;
        let top = high[part * 32 + j] >> (run * 2) & 3;
        let scale = d * f32::from(scales[i / 16].cast_signed());
        *weight = scale * (f32::from(nibble | top << 4) - 32.0);
    }
}
