//! Kernels: the arithmetic of a vision-language model on slices of f32, and in [`cuda`] on an NVIDIA card.
//!
//! ```text
//!   rows [t, inputs] ─► norm ─► linear ─► rotary ─► attention ─► linear ─► activation ─► linear …
//!                                 ▲                                                        │
//!                        packed weights (f32, bf16, int8, int4)  head: log-probs ◄─────────┘
//!                                                                optimizer: AdamW
//!   ───────────────────────────────────────────────────────────────────────────────────────────
//!   product, bytes: the inner loops of matrix products   formula: one loop for all else
//!   simd: AVX-512, AVX2 or portable, chosen at run time   threads: tasks cut by the shapes alone
//! ```
//!
//! On the CPU every function is safe, checks its slices' lengths, and has a slow twin in [`mod@reference`] that a
//! reader can check by eye and that it is tested against, on every instruction set. Results have
//! the same bits for any number of threads, and a row's result does not depend on the other rows.
//!
//! ```
//! use kernels::linear;
//! use kernels::packed::{Packed, Storage};
//!
//! let weight = Packed::pack(&[1.0, 2.0, 3.0, 4.0], 2, 2, Storage::F32);
//! let mut y = [0.0; 2];
//! linear::forward(&[1.0, -1.0], &weight, Some(&[0.5, 0.5]), &mut y);
//! assert_eq!(y, [-0.5, -0.5]);
//! ```
//!
//! This crate does not know shapes beyond its arguments, tensors or models; on the CPU it owns no
//! threads and keeps no state but packed weights and per-thread working memory. It is the only
//! crate with `unsafe`.

pub mod reference;
pub mod simd;
mod threads;
mod buffer;
mod resident;
mod block;
mod product;
mod bytes;
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
pub mod cuda;
