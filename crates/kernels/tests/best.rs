//! All cases on the best instruction set of the machine.

mod cases;

cases::on!(kernels::simd::Isa::Avx512);
