//! Tensors, and the operations a vision-language model is made of.
//!
//! A [`Tensor`] is a shape and f32 values on a [`Device`]; a [`Weight`] is a matrix packed once for
//! the kernels; [`ops`] has one function forward and one backward for each step of a transformer.
//! There is no tape: a block of the model is a forward function and a backward function that calls
//! these, and [`Gradients`] says by name which parameters are wanted.
//!
//! ```text
//!  Weight ──┐                                   ┌──► Gradients (name -> accumulator)
//!           ▼                                   │
//!  Tensor ─► ops::linear, attention, norm … ─► Tensor ─► ops::*_backward ─► Tensor
//!                       │
//!                    kernels (slices, CPU)
//! ```
//!
//! Buffers of dropped tensors are kept and handed out again ([`pool`]), because allocating and
//! zeroing them costs as much as a small matrix product.
//!
//! ```
//! use tensor::{DType, Tensor, Weight, ops};
//!
//! let weight = Weight::pack(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], 2, 3, DType::F32);
//! let x = Tensor::from_vec(vec![1.0, 0.0, -1.0], &[1, 3]);
//! let y = ops::linear(&x, &weight, None);
//! assert_eq!(y.as_slice(), [-2.0, -2.0]);
//! assert_eq!(ops::linear_backward(&y, &weight).as_slice(), [-10.0, -14.0, -18.0]);
//! ```
//!
//! This crate does not know what a model, a layer or a parameter file is, does not track
//! operations, and has no `unsafe`. A wrong shape is a bug of the caller and panics with both
//! shapes; nothing a user types reaches it unchecked.

mod device;
pub mod pool;
mod tensor;
mod weight;
mod gradients;
pub mod ops;

pub use device::{DType, Device, Error};
pub use gradients::Gradients;
pub use kernels::attention::{Heads, Span};
pub use ops::RotaryTable;
pub use tensor::Tensor;
pub use weight::Weight;
