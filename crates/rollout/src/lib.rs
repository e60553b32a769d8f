//! rollout

pub mod error;
pub mod sampler;

pub use error::Error;
