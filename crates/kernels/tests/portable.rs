//! All cases on the portable path, whatever the machine has.

mod cases;

cases::on!(kernels::simd::Isa::Portable);
