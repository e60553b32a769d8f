//! The operations of this crate on an NVIDIA card.
//!
//! ```text
//!  Card ─► Buffer (values on the card) ─► an operation ─► kernel source ─ NVRTC ─► disk cache ─► launch
//!    │                                        └────────► cuBLASLt: products of matrices
//!    └─ one stream: what is launched first is done first
//! ```
//!
//! The driver, cuBLASLt and NVRTC are opened when the first card is: nothing of CUDA is there when this
//! is built, and where nothing is there when it runs, [`Card::open`] says so. Values are f32. Products
//! and attention round their inputs to bf16 where a card's [`Arithmetic`] says so, and add up in f32.
//!
//! Kernels are CUDA C in `cuda/`, compiled for the card at first use. With the feature `emulator` the
//! same sources run on the CPU, thread by thread, so that they are tested where there is no card.
//!
//! A wrong length is a bug of the caller and panics, and so does a card that fails while it works: there
//! is nothing to go on with.

mod card;
mod driver;
mod compile;
mod memory;
mod launch;
#[cfg(feature = "emulator")]
mod emulator;
pub mod activation;
pub mod attention;
pub mod elementwise;
pub mod head;
pub mod linear;
pub mod norm;
pub mod optimizer;
pub mod rotary;
pub mod rows;

pub use card::{Arithmetic, Card, Error, Memory};
pub use compile::{Architecture, SOURCES, compile};
pub use memory::Buffer;
