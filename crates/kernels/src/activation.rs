//! SwiGLU and GELU.
pub use crate::reference::activation::*;
