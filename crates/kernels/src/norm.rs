//! RMSNorm and LayerNorm.
pub use crate::reference::norm::*;
