//! Everything that runs the model without gradients: sampling groups of completions, scoring them.
//!
//! ```text
//! Prompt { ids, features, stream }
//!    │ generate: one running batch, one key/value cache, the prompt's rows shared by its group
//!    ▼
//! [Completion { text, token_ids, logprobs, finish_reason }; num_samples]
//!    │ score: packed trees, the trainer's own forward pass
//!    ▼
//! log-probs of the same tokens, equal to the sampler's to 1e-4
//!
//! prompt with responses
//!    │ judge: packed trees, the reward model's value at each response's last token
//!    ▼
//! scores
//! ```
//!
//! ```no_run
//! use std::path::Path;
//! use model::feature_cache::FeatureCache;
//! use rollout::{GenerateConfig, ImageEncoder, Prompt, Sampling};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let folder = Path::new("model");
//! let vlm = model::vlm::Vlm::load(folder, tensor::DType::F32)?;
//! let processor = preprocess::Processor::load(folder)?;
//! let sample: schema::Sample = serde_json::from_str(r#"{"messages":[{"role":"user","content":"Hi"}]}"#)?;
//!
//! let prompt = processor.prompt(&sample, Path::new("."))?;
//! let mut encoder = ImageEncoder::new(&vlm, FeatureCache::new(None, 1 << 30));
//! let features = encoder.encode(&vlm, &prompt.images)?;
//! let prompts = [Prompt::new(&prompt, features, 0)];
//!
//! let mut config = GenerateConfig::new(&processor, Sampling::at_temperature(1.0, 7), 128);
//! config.num_samples = 8;
//! let groups = rollout::generate(&vlm, &processor.tokenizer, &prompts, &config, &mut |_| {})?;
//! println!("{}", groups[0][0].text);
//! # Ok(())
//! # }
//! ```
//!
//! This crate does not train, does not verify completions, and does not know what they are for.

pub mod error;
pub mod prompt;
pub mod sampler;
pub mod generate;
mod drawing;
mod batch;
mod rows;
mod sequence;
pub mod score;
pub mod judge;

pub use batch::{Batch, News};
pub use drawing::Drawing;
pub use error::Error;
pub use generate::{
    CACHE_BYTES, GenerateConfig, Heard, Progress, generate, generate_each, generate_heard,
};
pub use judge::{Candidates, Judge, JudgedPass, judge};
pub use prompt::{ImageEncoder, Prompt, TOGETHER};
pub use sampler::Sampling;
pub use score::{Group, score};
