//! Plain Rust on four lanes, which the compiler turns into the target's own vectors.

use half::f16;

use super::Simd;

/// Needs nothing of the CPU.
#[derive(Clone, Copy)]
pub(super) struct Portable;

/// One 128-bit register where the target has them.
#[derive(Clone, Copy)]
#[repr(align(16))]
pub(super) struct Quad([f32; 4]);

/// As many integers.
#[derive(Clone, Copy)]
#[repr(align(16))]
pub(super) struct QuadInt([i32; 4]);

#[inline(always)]
fn zip(a: Quad, b: Quad, f: impl Fn(f32, f32) -> f32) -> Quad {
    Quad(std::array::from_fn(|i| f(a.0[i], b.0[i])))
}

#[inline(always)]
fn map(a: Quad, f: impl Fn(f32) -> f32) -> Quad {
    Quad(std::array::from_fn(|i| f(a.0[i])))
}

impl Simd for Portable {
    type V = Quad;
    type I = QuadInt;
    const LANES: usize = 4;
    /// ARM has thirty-two vector registers, SSE2 sixteen.
    const TILE: usize = if cfg!(target_arch = "aarch64") { 4 } else { 2 };

    #[inline(always)]
    fn splat(self, value: f32) -> Quad {
        Quad([value; 4])
    }

    #[inline(always)]
    fn add(self, a: Quad, b: Quad) -> Quad {
        zip(a, b, |a, b| a + b)
    }

    #[inline(always)]
    fn sub(self, a: Quad, b: Quad) -> Quad {
        zip(a, b, |a, b| a - b)
    }

    #[inline(always)]
    fn mul(self, a: Quad, b: Quad) -> Quad {
        zip(a, b, |a, b| a * b)
    }

    #[inline(always)]
    fn div(self, a: Quad, b: Quad) -> Quad {
        zip(a, b, |a, b| a / b)
    }

    #[inline(always)]
    fn fma(self, a: Quad, b: Quad, c: Quad) -> Quad {
        // Without the instruction `mul_add` is a library call, a hundred times slower.
        if cfg!(any(target_feature = "fma", target_arch = "aarch64")) {
            Quad(std::array::from_fn(|i| a.0[i].mul_add(b.0[i], c.0[i])))
        } else {
            Quad(std::array::from_fn(|i| a.0[i] * b.0[i] + c.0[i]))
        }
    }

    #[inline(always)]
    fn sqrt(self, a: Quad) -> Quad {
        map(a, f32::sqrt)
    }

    #[inline(always)]
    fn max(self, a: Quad, b: Quad) -> Quad {
        zip(a, b, |a, b| if a > b { a } else { b })
    }

    #[inline(always)]
    fn min(self, a: Quad, b: Quad) -> Quad {
        zip(a, b, |a, b| if a < b { a } else { b })
    }

    #[inline(always)]
    fn round(self, a: Quad) -> Quad {
        // Adding 1.5·2²³ leaves no bits for the fraction; exact for the |a| < 2²² kernels use.
        map(a, |a| (a + 12_582_912.0) - 12_582_912.0)
    }

    #[inline(always)]
    fn pow2(self, n: Quad) -> Quad {
        map(n, |n| f32::from_bits(((n as i32 + 127) << 23) as u32))
    }

    #[inline(always)]
    fn select_less(self, (a, b): (Quad, Quad), yes: Quad, no: Quad) -> Quad {
        Quad(std::array::from_fn(|i| if a.0[i] < b.0[i] { yes.0[i] } else { no.0[i] }))
    }

    #[inline(always)]
    fn sum(self, a: Quad) -> f32 {
        (a.0[0] + a.0[2]) + (a.0[1] + a.0[3])
    }

    #[inline(always)]
    fn top(self, a: Quad) -> f32 {
        a.0.into_iter().fold(f32::NEG_INFINITY, f32::max)
    }

    #[inline(always)]
    fn prefetch(self, _: *const f32) {}

    #[inline(always)]
    fn splat_int(self, value: i32) -> QuadInt {
        QuadInt([value; 4])
    }

    #[inline(always)]
    fn nibbles(self, bytes: QuadInt) -> (QuadInt, QuadInt) {
        (
            QuadInt(bytes.0.map(|b| b & 0x0F0F_0F0F)),
            QuadInt(bytes.0.map(|b| (b >> 4) & 0x0F0F_0F0F)),
        )
    }

    #[inline(always)]
    fn dot4(self, unsigned: QuadInt, signed: QuadInt, sum: QuadInt) -> QuadInt {
        QuadInt(std::array::from_fn(|i| {
            let (a, b) = (unsigned.0[i], signed.0[i]);
            let product = |byte: i32| ((a >> (8 * byte)) & 0xFF) * (b << (24 - 8 * byte) >> 24);
            sum.0[i] + ((product(0) + product(1)) + (product(2) + product(3)))
        }))
    }

    #[inline(always)]
    fn float(self, a: QuadInt) -> Quad {
        Quad(a.0.map(|a| a as f32))
    }

    #[inline(always)]
    unsafe fn load_f16(self, at: *const u16) -> Quad {
        // SAFETY: the caller vouches for `at`.
        let halves = unsafe { at.cast::<[u16; 4]>().read_unaligned() };
        Quad(halves.map(|half| f16::from_bits(half).to_f32()))
    }

    #[inline(always)]
    unsafe fn load_int(self, at: *const u32) -> QuadInt {
        // SAFETY: the caller vouches for `at`.
        QuadInt(unsafe { at.cast::<[i32; 4]>().read_unaligned() })
    }

    #[inline(always)]
    unsafe fn load(self, at: *const f32) -> Quad {
        // SAFETY: the caller vouches for `at`.
        Quad(unsafe { at.cast::<[f32; 4]>().read() })
    }

    #[inline(always)]
    unsafe fn store(self, at: *mut f32, value: Quad) {
        // SAFETY: the caller vouches for `at`; f32 and its arrays are aligned alike.
        unsafe { at.cast::<[f32; 4]>().write(value.0) }
    }

    #[inline(always)]
    unsafe fn transpose(self, from: (*const f32, usize), to: (*mut f32, usize)) {
        for r in 0..4 {
            for c in 0..4 {
                // SAFETY: the caller vouches for four rows of four on both sides.
                unsafe { *to.0.add(c * to.1 + r) = *from.0.add(r * from.1 + c) }
            }
        }
    }

    #[inline(always)]
    unsafe fn load_bf16(self, at: *const u32) -> (Quad, Quad) {
        // SAFETY: the caller vouches for `at`.
        let words = unsafe { at.cast::<[u32; 4]>().read() };
        let low = words.map(|w| f32::from_bits(w << 16));
        let high = words.map(|w| f32::from_bits(w & 0xFFFF_0000));
        (Quad(low), Quad(high))
    }
}
