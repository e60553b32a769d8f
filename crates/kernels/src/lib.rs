//! CPU kernels on slices.

pub mod reference;
pub mod simd;
mod threads;
mod buffer;
mod block;
mod product;
pub mod packed;
pub mod linear;
mod formula;
pub mod elementwise;
pub mod columns;
pub mod norm;
pub mod rotary;
pub mod activation;
pub mod attention;
pub mod head;
pub mod optimizer;
