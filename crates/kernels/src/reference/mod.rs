//! The slow twins: every operation as a reader would write it on paper.
//!
//! Plain loops over row-major slices, sums in f64, one rounding to f32 at the end. Nothing here is
//! fast; the fast kernels are tested against these functions on random, odd and extreme shapes.

pub mod linear;
pub mod norm;
pub mod rotary;
pub mod activation;
pub mod attention;
pub mod head;
pub mod optimizer;
