//! AVX2 with FMA and F16C: eight lanes, sixteen registers.

use std::arch::x86_64::*;

use super::{Kernel, Simd};

/// Proof that the CPU has AVX2, FMA and F16C; made only by [`run`].
#[derive(Clone, Copy)]
pub(super) struct Avx2(());

/// Compiles and runs `kernel` with AVX2, FMA and F16C.
///
/// # Safety
/// The CPU must have all three.
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) unsafe fn run<K: Kernel>(kernel: K) -> K::Output {
    kernel.run(Avx2(()))
}

macro_rules! lanewise {
    ($($name:ident($($argument:ident),+) = $intrinsic:ident;)+) => {$(
        #[inline(always)]
        fn $name(self, $($argument: __m256),+) -> __m256 {
            // SAFETY: `self` exists only where AVX2 and FMA do.
            unsafe { $intrinsic($($argument),+) }
        }
    )+};
}

impl Simd for Avx2 {
    type V = __m256;
    type I = __m256i;
    const LANES: usize = 8;
    const TILE: usize = 2;

    lanewise! {
        add(a, b) = _mm256_add_ps;
        sub(a, b) = _mm256_sub_ps;
        mul(a, b) = _mm256_mul_ps;
        div(a, b) = _mm256_div_ps;
        fma(a, b, c) = _mm256_fmadd_ps;
        sqrt(a) = _mm256_sqrt_ps;
        max(a, b) = _mm256_max_ps;
        min(a, b) = _mm256_min_ps;
    }

    #[inline(always)]
    fn splat(self, value: f32) -> __m256 {
        // SAFETY: `self` exists only where AVX2 does.
        unsafe { _mm256_set1_ps(value) }
    }

    #[inline(always)]
    fn round(self, a: __m256) -> __m256 {
        // SAFETY: `self` exists only where AVX2 does.
        unsafe { _mm256_round_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(a) }
    }

    #[inline(always)]
    fn pow2(self, n: __m256) -> __m256 {
        // SAFETY: `self` exists only where AVX2 does.
        unsafe {
            let biased = _mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127));
            _mm256_castsi256_ps(_mm256_slli_epi32::<23>(biased))
        }
    }

    #[inline(always)]
    fn select_less(self, (a, b): (__m256, __m256), yes: __m256, no: __m256) -> __m256 {
        // SAFETY: `self` exists only where AVX2 does.
        unsafe { _mm256_blendv_ps(no, yes, _mm256_cmp_ps::<_CMP_LT_OQ>(a, b)) }
    }

    #[inline(always)]
    fn sum(self, a: __m256) -> f32 {
        let mut lanes = [0.0; 8];
        self.put(&mut lanes, a);
        let halves: [f32; 4] = std::array::from_fn(|i| lanes[i] + lanes[i + 4]);
        (halves[0] + halves[2]) + (halves[1] + halves[3])
    }

    #[inline(always)]
    fn top(self, a: __m256) -> f32 {
        let mut lanes = [0.0; 8];
        self.put(&mut lanes, a);
        lanes.into_iter().fold(f32::NEG_INFINITY, f32::max)
    }

    #[inline(always)]
    fn prefetch(self, at: *const f32) {
        // SAFETY: a prefetch never faults.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(at.cast()) }
    }

    #[inline(always)]
    fn splat_int(self, value: i32) -> __m256i {
        // SAFETY: `self` exists only where AVX2 does.
        unsafe { _mm256_set1_epi32(value) }
    }

    #[inline(always)]
    fn nibbles(self, bytes: __m256i) -> (__m256i, __m256i) {
        // SAFETY: `self` exists only where AVX2 does.
        unsafe {
            let mask = _mm256_set1_epi8(0x0F);
            (_mm256_and_si256(bytes, mask), _mm256_and_si256(_mm256_srli_epi16::<4>(bytes), mask))
        }
    }

    #[inline(always)]
    fn dot4(self, unsigned: __m256i, signed: __m256i, sum: __m256i) -> __m256i {
        // SAFETY: `self` exists only where AVX2 does.
        unsafe {
            // Sums of two products fit sixteen bits only without the top bit, which goes alone.
            let low = _mm256_and_si256(unsigned, _mm256_set1_epi8(0x7F));
            let top = _mm256_and_si256(_mm256_srli_epi16::<7>(unsigned), _mm256_set1_epi8(1));
            let ones = _mm256_set1_epi16(1);
            let low = _mm256_madd_epi16(_mm256_maddubs_epi16(low, signed), ones);
            let top = _mm256_madd_epi16(_mm256_maddubs_epi16(top, signed), ones);
            _mm256_add_epi32(sum, _mm256_add_epi32(low, _mm256_slli_epi32::<7>(top)))
        }
    }

    #[inline(always)]
    fn float(self, a: __m256i) -> __m256 {
        // SAFETY: `self` exists only where AVX2 does.
        unsafe { _mm256_cvtepi32_ps(a) }
    }

    #[inline(always)]
    unsafe fn load_f16(self, at: *const u16) -> __m256 {
        // SAFETY: the caller vouches for `at`; `self` exists only where F16C does.
        unsafe { _mm256_cvtph_ps(_mm_loadu_si128(at.cast())) }
    }

    #[inline(always)]
    unsafe fn load_int(self, at: *const u32) -> __m256i {
        // SAFETY: the caller vouches for `at`; `self` exists only where AVX2 does.
        unsafe { _mm256_loadu_si256(at.cast()) }
    }

    #[inline(always)]
    unsafe fn load(self, at: *const f32) -> __m256 {
        // SAFETY: the caller vouches for `at`; `self` exists only where AVX2 does.
        unsafe { _mm256_loadu_ps(at) }
    }

    #[inline(always)]
    unsafe fn store(self, at: *mut f32, value: __m256) {
        // SAFETY: the caller vouches for `at`; `self` exists only where AVX2 does.
        unsafe { _mm256_storeu_ps(at, value) }
    }

    #[inline(always)]
    unsafe fn transpose(self, from: (*const f32, usize), to: (*mut f32, usize)) {
        // SAFETY: the caller vouches for eight rows of eight on both sides; `self` exists only
        // where AVX2 does.
        unsafe {
            let mut rows = [_mm256_setzero_ps(); 8];
            for (r, row) in rows.iter_mut().enumerate() {
                *row = self.load(from.0.add(r * from.1));
            }
            for (c, column) in transposed(rows).into_iter().enumerate() {
                self.store(to.0.add(c * to.1), column);
            }
        }
    }

    #[inline(always)]
    unsafe fn load_bf16(self, at: *const u32) -> (__m256, __m256) {
        // SAFETY: the caller vouches for `at`; `self` exists only where AVX2 does.
        unsafe {
            let words = _mm256_loadu_si256(at.cast());
            let low = _mm256_slli_epi32::<16>(words);
            let high = _mm256_and_si256(words, _mm256_set1_epi32(0xFFFF_0000_u32 as i32));
            (_mm256_castsi256_ps(low), _mm256_castsi256_ps(high))
        }
    }
}

/// Eight rows as eight columns: pairs, then quads within halves, then the halves.
#[inline]
#[target_feature(enable = "avx2")]
fn transposed(r: [__m256; 8]) -> [__m256; 8] {
    let mut columns = r;
    for half in [0, 4] {
        let low = _mm256_unpacklo_ps(r[half], r[half + 1]);
        let high = _mm256_unpackhi_ps(r[half], r[half + 1]);
        let low2 = _mm256_unpacklo_ps(r[half + 2], r[half + 3]);
        let high2 = _mm256_unpackhi_ps(r[half + 2], r[half + 3]);
        columns[half] = _mm256_shuffle_ps::<0x44>(low, low2);
        columns[half + 1] = _mm256_shuffle_ps::<0xEE>(low, low2);
        columns[half + 2] = _mm256_shuffle_ps::<0x44>(high, high2);
        columns[half + 3] = _mm256_shuffle_ps::<0xEE>(high, high2);
    }
    let quads = columns;
    for j in 0..4 {
        columns[j] = _mm256_permute2f128_ps::<0x20>(quads[j], quads[j + 4]);
        columns[j + 4] = _mm256_permute2f128_ps::<0x31>(quads[j], quads[j + 4]);
    }
    columns
}
