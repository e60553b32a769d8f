//! AVX-512F: sixteen lanes, thirty-two registers.

use std::arch::x86_64::*;

use super::{Kernel, Simd};

/// Proof that the CPU has AVX-512F, and VNNI if so marked; made only by [`run`] and [`run_vnni`].
#[derive(Clone, Copy)]
pub(super) struct Avx512<const VNNI: bool>(());

/// Compiles and runs `kernel` with AVX-512F.
///
/// # Safety
/// The CPU must have AVX-512F.
#[target_feature(enable = "avx512f,avx2,fma")]
pub(super) unsafe fn run<K: Kernel>(kernel: K) -> K::Output {
    kernel.run(Avx512::<false>(()))
}

/// Compiles and runs `kernel` with AVX-512F and VNNI.
///
/// # Safety
/// The CPU must have both.
#[target_feature(enable = "avx512f,avx512vnni,avx2,fma")]
pub(super) unsafe fn run_vnni<K: Kernel>(kernel: K) -> K::Output {
    kernel.run(Avx512::<true>(()))
}

macro_rules! lanewise {
    ($($name:ident($($argument:ident),+) = $intrinsic:ident;)+) => {$(
        #[inline(always)]
        fn $name(self, $($argument: __m512),+) -> __m512 {
            // SAFETY: `self` exists only where AVX-512F does.
            unsafe { $intrinsic($($argument),+) }
        }
    )+};
}

impl<const VNNI: bool> Simd for Avx512<VNNI> {
    type V = __m512;
    type I = __m512i;
    const LANES: usize = 16;
    const TILE: usize = 4;

    lanewise! {
        add(a, b) = _mm512_add_ps;
        sub(a, b) = _mm512_sub_ps;
        mul(a, b) = _mm512_mul_ps;
        div(a, b) = _mm512_div_ps;
        fma(a, b, c) = _mm512_fmadd_ps;
        sqrt(a) = _mm512_sqrt_ps;
        max(a, b) = _mm512_max_ps;
        min(a, b) = _mm512_min_ps;
    }

    #[inline(always)]
    fn splat(self, value: f32) -> __m512 {
        // SAFETY: `self` exists only where AVX-512F does.
        unsafe { _mm512_set1_ps(value) }
    }

    #[inline(always)]
    fn round(self, a: __m512) -> __m512 {
        // SAFETY: `self` exists only where AVX-512F does.
        unsafe { _mm512_roundscale_ps::<{ _MM_FROUND_TO_NEAREST_INT }>(a) }
    }

    #[inline(always)]
    fn pow2(self, n: __m512) -> __m512 {
        // SAFETY: `self` exists only where AVX-512F does.
        unsafe { _mm512_scalef_ps(_mm512_set1_ps(1.0), n) }
    }

    #[inline(always)]
    fn select_less(self, (a, b): (__m512, __m512), yes: __m512, no: __m512) -> __m512 {
        // SAFETY: `self` exists only where AVX-512F does.
        unsafe { _mm512_mask_blend_ps(_mm512_cmp_ps_mask::<_CMP_LT_OQ>(a, b), no, yes) }
    }

    #[inline(always)]
    fn sum(self, a: __m512) -> f32 {
        // SAFETY: `self` exists only where AVX-512F does.
        unsafe { _mm512_reduce_add_ps(a) }
    }

    #[inline(always)]
    fn top(self, a: __m512) -> f32 {
        // SAFETY: `self` exists only where AVX-512F does.
        unsafe { _mm512_reduce_max_ps(a) }
    }

    #[inline(always)]
    fn prefetch(self, at: *const f32) {
        // SAFETY: a prefetch never faults.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(at.cast()) }
    }

    #[inline(always)]
    fn splat_int(self, value: i32) -> __m512i {
        // SAFETY: `self` exists only where AVX-512F does.
        unsafe { _mm512_set1_epi32(value) }
    }

    #[inline(always)]
    fn nibbles(self, bytes: __m512i) -> (__m512i, __m512i) {
        // SAFETY: `self` exists only where AVX-512F does.
        unsafe {
            let mask = _mm512_set1_epi32(0x0F0F_0F0F);
            (_mm512_and_si512(bytes, mask), _mm512_and_si512(_mm512_srli_epi32::<4>(bytes), mask))
        }
    }

    #[inline(always)]
    fn dot4(self, unsigned: __m512i, signed: __m512i, sum: __m512i) -> __m512i {
        // SAFETY: `self` exists only where AVX-512F does, and with `VNNI` only where that does.
        unsafe {
            if VNNI {
                return _mm512_dpbusd_epi32(sum, unsigned, signed);
            }
            // Byte by byte, moved to the top of its lane and back.
            let mut sum = sum;
            for byte in 0..4 {
                let up = _mm_cvtsi32_si128(24 - 8 * byte);
                let a = _mm512_srli_epi32::<24>(_mm512_sll_epi32(unsigned, up));
                let b = _mm512_srai_epi32::<24>(_mm512_sll_epi32(signed, up));
                sum = _mm512_add_epi32(sum, _mm512_mullo_epi32(a, b));
            }
            sum
        }
    }

    #[inline(always)]
    fn float(self, a: __m512i) -> __m512 {
        // SAFETY: `self` exists only where AVX-512F does.
        unsafe { _mm512_cvtepi32_ps(a) }
    }

    #[inline(always)]
    unsafe fn load_f16(self, at: *const u16) -> __m512 {
        // SAFETY: the caller vouches for `at`; `self` exists only where AVX-512F does.
        unsafe { _mm512_cvtph_ps(_mm256_loadu_si256(at.cast())) }
    }

    #[inline(always)]
    unsafe fn load_int(self, at: *const u32) -> __m512i {
        // SAFETY: the caller vouches for `at`; `self` exists only where AVX-512F does.
        unsafe { _mm512_loadu_si512(at.cast()) }
    }

    #[inline(always)]
    unsafe fn load(self, at: *const f32) -> __m512 {
        // SAFETY: the caller vouches for `at`; `self` exists only where AVX-512F does.
        unsafe { _mm512_loadu_ps(at) }
    }

    #[inline(always)]
    unsafe fn store(self, at: *mut f32, value: __m512) {
        // SAFETY: the caller vouches for `at`; `self` exists only where AVX-512F does.
        unsafe { _mm512_storeu_ps(at, value) }
    }

    #[inline(always)]
    unsafe fn transpose(self, from: (*const f32, usize), to: (*mut f32, usize)) {
        // SAFETY: the caller vouches for sixteen rows of sixteen on both sides; `self` exists only
        // where AVX-512F does.
        unsafe {
            let mut rows = [_mm512_setzero_ps(); 16];
            for (r, row) in rows.iter_mut().enumerate() {
                *row = self.load(from.0.add(r * from.1));
            }
            for (c, column) in transposed(rows).into_iter().enumerate() {
                self.store(to.0.add(c * to.1), column);
            }
        }
    }

    #[inline(always)]
    unsafe fn load_bf16(self, at: *const u32) -> (__m512, __m512) {
        // SAFETY: the caller vouches for `at`; `self` exists only where AVX-512F does.
        unsafe {
            let words = _mm512_loadu_si512(at.cast());
            let low = _mm512_slli_epi32::<16>(words);
            let high = _mm512_and_si512(words, _mm512_set1_epi32(0xFFFF_0000_u32 as i32));
            (_mm512_castsi512_ps(low), _mm512_castsi512_ps(high))
        }
    }
}

/// Sixteen rows as sixteen columns: pairs, then quads within 128-bit lanes, then the lanes.
#[inline]
#[target_feature(enable = "avx512f")]
fn transposed(r: [__m512; 16]) -> [__m512; 16] {
    let mut quads = r;
    for i in [0, 4, 8, 12] {
        let low = _mm512_unpacklo_ps(r[i], r[i + 1]);
        let high = _mm512_unpackhi_ps(r[i], r[i + 1]);
        let low2 = _mm512_unpacklo_ps(r[i + 2], r[i + 3]);
        let high2 = _mm512_unpackhi_ps(r[i + 2], r[i + 3]);
        quads[i] = _mm512_shuffle_ps::<0x44>(low, low2);
        quads[i + 1] = _mm512_shuffle_ps::<0xEE>(low, low2);
        quads[i + 2] = _mm512_shuffle_ps::<0x44>(high, high2);
        quads[i + 3] = _mm512_shuffle_ps::<0xEE>(high, high2);
    }
    let mut columns = r;
    for j in 0..4 {
        let even = _mm512_shuffle_f32x4::<0x88>(quads[j], quads[j + 4]);
        let odd = _mm512_shuffle_f32x4::<0xDD>(quads[j], quads[j + 4]);
        let even2 = _mm512_shuffle_f32x4::<0x88>(quads[j + 8], quads[j + 12]);
        let odd2 = _mm512_shuffle_f32x4::<0xDD>(quads[j + 8], quads[j + 12]);
        columns[j] = _mm512_shuffle_f32x4::<0x88>(even, even2);
        columns[j + 4] = _mm512_shuffle_f32x4::<0x88>(odd, odd2);
        columns[j + 8] = _mm512_shuffle_f32x4::<0xDD>(even, even2);
        columns[j + 12] = _mm512_shuffle_f32x4::<0xDD>(odd, odd2);
    }
    columns
}
