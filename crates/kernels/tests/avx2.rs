//! All cases on AVX2, or the best the machine has below it.

mod cases;

cases::on!(kernels::simd::Isa::Avx2);
