//! Rotary position embedding.
pub use crate::reference::rotary::*;
