//! The vector units of the CPU behind one small trait.
//!
//! A kernel is written once, generic over `Simd`, as a `Kernel`; `run` picks the best
//! instruction set of the machine at run time. A value of a `Simd` type is the proof that its
//! instructions exist, so arithmetic on vectors is safe and only pointer access is not.
//!
//! ```text
//!  linear, attention, head, …     one generic body each (impl Kernel)
//!            │ run(kernel)
//!            ▼
//!     Avx512 │ Avx2 │ Portable    (the last is what the compiler vectorises: NEON, SSE2)
//! ```

mod portable;
#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
pub(crate) mod math;

use std::sync::atomic::{AtomicU8, Ordering};

/// Vectors of `LANES` f32 values and what kernels do with them.
pub(crate) trait Simd: Copy + Send + Sync + 'static {
    /// A vector register.
    type V: Copy + Send + Sync;
    /// A register of `LANES` integers of 32 bits, or of four times as many bytes.
    type I: Copy + Send + Sync;
    /// Values in a register.
    const LANES: usize;
    /// Registers across one tile of a matrix product; six rows of them fit the register file.
    const TILE: usize;

    fn splat(self, value: f32) -> Self::V;
    fn add(self, a: Self::V, b: Self::V) -> Self::V;
    fn sub(self, a: Self::V, b: Self::V) -> Self::V;
    fn mul(self, a: Self::V, b: Self::V) -> Self::V;
    fn div(self, a: Self::V, b: Self::V) -> Self::V;
    /// `a·b + c`, rounded once where the machine can.
    fn fma(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    fn sqrt(self, a: Self::V) -> Self::V;
    /// The larger; `b` where either is NaN.
    fn max(self, a: Self::V, b: Self::V) -> Self::V;
    /// The smaller; `b` where either is NaN.
    fn min(self, a: Self::V, b: Self::V) -> Self::V;
    /// To the nearest integer.
    fn round(self, a: Self::V) -> Self::V;
    /// `2ⁿ` for integer-valued `−126 ≤ n ≤ 127`.
    fn pow2(self, n: Self::V) -> Self::V;
    /// `yes` where `ab.0 < ab.1`, else `no`.
    fn select_less(self, ab: (Self::V, Self::V), yes: Self::V, no: Self::V) -> Self::V;
    /// Sum over lanes, always in the same order.
    fn sum(self, a: Self::V) -> f32;
    /// Largest lane.
    fn top(self, a: Self::V) -> f32;

    /// Asks for the cache line at `at`, which may be any address.
    fn prefetch(self, at: *const f32);

    fn splat_int(self, value: i32) -> Self::I;
    /// The lower and the upper four bits of every byte, as bytes.
    fn nibbles(self, bytes: Self::I) -> (Self::I, Self::I);
    /// Every lane of `sum` plus the four products of its bytes, those of `signed` not below −127.
    fn dot4(self, unsigned: Self::I, signed: Self::I, sum: Self::I) -> Self::I;
    /// Integers to the nearest f32.
    fn float(self, a: Self::I) -> Self::V;

    /// Loads `LANES` values.
    ///
    /// # Safety
    /// They must be readable at `at`.
    unsafe fn load(self, at: *const f32) -> Self::V;
    /// Stores `LANES` values.
    ///
    /// # Safety
    /// They must be writable at `at`.
    unsafe fn store(self, at: *mut f32, value: Self::V);
    /// Transposes `LANES × LANES` values; rows lie `from_row` and `to_row` values apart.
    ///
    /// # Safety
    /// All rows must be readable at `from` and writable at `to`, without overlap.
    unsafe fn transpose(self, from: (*const f32, usize), to: (*mut f32, usize));
    /// Loads `LANES` words, each two bf16 values: the f32 of the low and of the high halves.
    ///
    /// # Safety
    /// They must be readable at `at`.
    unsafe fn load_bf16(self, at: *const u32) -> (Self::V, Self::V);
    /// Loads `LANES` values of half precision.
    ///
    /// # Safety
    /// They must be readable at `at`.
    unsafe fn load_f16(self, at: *const u16) -> Self::V;
    /// Loads `LANES` words.
    ///
    /// # Safety
    /// They must be readable at `at`.
    unsafe fn load_int(self, at: *const u32) -> Self::I;

    /// The first `LANES` values of a slice.
    #[inline(always)]
    fn get(self, from: &[f32]) -> Self::V {
        assert!(from.len() >= Self::LANES);
        // SAFETY: the slice is long enough.
        unsafe { self.load(from.as_ptr()) }
    }

    /// Stores into the first `LANES` values of a slice.
    #[inline(always)]
    fn put(self, to: &mut [f32], value: Self::V) {
        assert!(to.len() >= Self::LANES);
        // SAFETY: the slice is long enough.
        unsafe { self.store(to.as_mut_ptr(), value) }
    }

    /// A slice shorter than a register, padded with `fill`.
    #[inline(always)]
    fn get_short(self, from: &[f32], fill: f32) -> Self::V {
        let mut lanes = [fill; 16];
        lanes[..from.len()].copy_from_slice(from);
        self.get(&lanes)
    }

    /// Stores the first values of a register into a shorter slice.
    #[inline(always)]
    fn put_short(self, to: &mut [f32], value: Self::V) {
        let mut lanes = [0.0; 16];
        self.put(&mut lanes, value);
        to.copy_from_slice(&lanes[..to.len()]);
    }
}

/// A computation written for any instruction set.
pub(crate) trait Kernel {
    type Output;
    /// Must be `#[inline(always)]`, as must all it calls with `simd`: only then is the body
    /// compiled with the instructions of `S`.
    fn run<S: Simd>(self, simd: S) -> Self::Output;
}

/// An instruction set the kernels are written for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Isa {
    /// Plain Rust, as the compiler vectorises it for the target (NEON on ARM).
    Portable,
    /// AVX2 with FMA and F16C.
    Avx2,
    /// AVX-512F, and VNNI for bytes where there is one.
    Avx512,
}

/// The sets this machine has, worst first.
pub fn available() -> Vec<Isa> {
    let all = [Isa::Portable, Isa::Avx2, Isa::Avx512];
    all.into_iter().filter(|&set| is_available(set)).collect()
}

#[cfg(target_arch = "x86_64")]
fn is_available(set: Isa) -> bool {
    match set {
        Isa::Portable => true,
        Isa::Avx2 => {
            is_x86_feature_detected!("avx2")
                && is_x86_feature_detected!("fma")
                && is_x86_feature_detected!("f16c")
        }
        Isa::Avx512 => is_available(Isa::Avx2) && is_x86_feature_detected!("avx512f"),
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn is_available(set: Isa) -> bool {
    set == Isa::Portable
}

/// Above every [`Isa`]: not looked yet.
const UNKNOWN: u8 = u8::MAX;
static CHOSEN: AtomicU8 = AtomicU8::new(UNKNOWN);

/// The set in use.
pub fn chosen() -> Isa {
    match CHOSEN.load(Ordering::Relaxed) {
        0 => Isa::Portable,
        1 => Isa::Avx2,
        2 => Isa::Avx512,
        _ => limit(Isa::Avx512),
    }
}

/// Uses the best available set that is not above `most`, from now on, in the whole process; for
/// tests, comparisons, and repeating another machine's rounding. Returns the set.
pub fn limit(most: Isa) -> Isa {
    let best = available().into_iter().filter(|&set| set <= most).max();
    let best = best.unwrap_or(Isa::Portable);
    CHOSEN.store(best as u8, Ordering::Relaxed);
    best
}

/// Runs a kernel on the instruction set in use.
pub(crate) fn run<K: Kernel>(kernel: K) -> K::Output {
    match chosen() {
        // SAFETY: `limit` stores this set only where AVX-512F was detected.
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512 => unsafe { avx512::run(kernel) },
        // SAFETY: `limit` stores this set only where AVX2, FMA and F16C were detected.
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 => unsafe { avx2::run(kernel) },
        _ => kernel.run(portable::Portable),
    }
}

/// As [`run`], for kernels whose work is in [`Simd::dot4`].
pub(crate) fn run_bytes<K: Kernel>(kernel: K) -> K::Output {
    #[cfg(target_arch = "x86_64")]
    if chosen() == Isa::Avx512 && is_x86_feature_detected!("avx512vnni") {
        // SAFETY: `limit` stores this set only where AVX-512F was detected, and so was VNNI.
        return unsafe { avx512::run_vnni(kernel) };
    }
    run(kernel)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Products of bytes of every lane, low and high halves of the first operand too.
    struct Bytes<'a> {
        unsigned: &'a [u32; 16],
        signed: &'a [u32; 16],
    }

    impl Kernel for Bytes<'_> {
        type Output = [Vec<f32>; 3];

        #[inline(always)]
        fn run<S: Simd>(self, s: S) -> Self::Output {
            let mut found = [(); 3].map(|()| vec![0.0; 16]);
            for lane in (0..16).step_by(S::LANES) {
                // SAFETY: `lane + LANES ≤ 16`, the number of words.
                let (unsigned, signed) = unsafe {
                    let at = self.unsigned[lane..].as_ptr();
                    (s.load_int(at), s.load_int(self.signed[lane..].as_ptr()))
                };
                let (low, high) = s.nibbles(unsigned);
                for (found, unsigned) in found.iter_mut().zip([unsigned, low, high]) {
                    let dot = s.dot4(unsigned, signed, s.splat_int(-7));
                    s.put(&mut found[lane..], s.float(dot));
                }
            }
            found
        }
    }

    #[test]
    fn products_of_bytes_are_exact_everywhere() {
        let random = |i: u32| (i + 1).wrapping_mul(0x9E37_79B9);
        let mut unsigned: [u32; 16] = std::array::from_fn(|i| random(i as u32));
        // −128 is no byte of a row.
        let mut signed = unsigned.map(|word| word.rotate_left(9) | 0x0101_0101);
        (unsigned[0], signed[0]) = (u32::MAX, 0x8181_8181);
        (unsigned[1], signed[1]) = (u32::MAX, 0x7F7F_7F7F);
        let dot = |mask: u32, shift: u32| -> Vec<f32> {
            let product = |(a, b): (&u32, &u32)| {
                let bytes = a.to_le_bytes().into_iter().zip(b.to_le_bytes());
                let code = |a: u8| (u32::from(a) >> shift & mask) as i32;
                bytes.map(|(a, b)| code(a) * i32::from(b as i8)).sum::<i32>() - 7
            };
            unsigned.iter().zip(&signed).map(|pair| product(pair) as f32).collect()
        };
        let want = [dot(0xFF, 0), dot(0x0F, 0), dot(0x0F, 4)];
        let kernel = || Bytes { unsigned: &unsigned, signed: &signed };
        assert_eq!(kernel().run(portable::Portable), want);
        #[cfg(target_arch = "x86_64")]
        {
            let has = available();
            if has.contains(&Isa::Avx2) {
                // SAFETY: the set is there.
                assert_eq!(unsafe { avx2::run(kernel()) }, want, "AVX2");
            }
            if has.contains(&Isa::Avx512) {
                // SAFETY: the set is there.
                assert_eq!(unsafe { avx512::run(kernel()) }, want, "AVX-512F");
            }
            if has.contains(&Isa::Avx512) && is_x86_feature_detected!("avx512vnni") {
                // SAFETY: both are there.
                assert_eq!(unsafe { avx512::run_vnni(kernel()) }, want, "VNNI");
            }
        }
    }

    #[test]
    fn limits() {
        assert!(available().contains(&chosen()));
        assert!(available().is_sorted());
    }
}
