//! Shapes and constants of a model, read from `config.json` or GGUF metadata.

pub(crate) mod keys;
pub mod llm;
pub mod gguf;
pub mod vision;
pub mod vlm;
pub mod qwen_vl;

pub use llm::LlmConfig;
pub use qwen_vl::{PatchVisionConfig, QwenVlConfig};
pub use vision::VisionConfig;
pub use vlm::VlmConfig;
