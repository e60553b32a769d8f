//! Completions of a forced length after one prompt that all of them share.

use std::path::PathBuf;

use anyhow::Result;
use model::vlm::Vlm;
use preprocess::Processor;
use rollout::{GenerateConfig, Prompt, Sampling};
use tensor::DType;

use crate::{Work, inputs};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Folder of the model.
    #[arg(long)]
    model: PathBuf,
    /// The language model alone, from this GGUF file, asked a question; of the folder only the tokenizer is used.
    #[arg(long)]
    gguf: Option<PathBuf>,
    /// Completions.
    #[arg(long, default_value_t = 1)]
    batch: usize,
    /// Tokens of the prompt.
    #[arg(long, default_value_t = 32)]
    prompt: usize,
    /// Tokens of each completion.
    #[arg(long, default_value_t = 64)]
    tokens: usize,
    /// How matrices are held: `float32`, `bfloat16`, `int8` or `int4`.
    #[arg(long, default_value = "float32")]
    dtype: DType,
}

pub(crate) struct Decode {
    vlm: Vlm,
    processor: Processor,
    prompts: Vec<Prompt>,
    config: GenerateConfig,
}

impl Decode {
    pub(crate) fn new(args: &Args) -> Result<Self> {
        let vlm = match &args.gguf {
            Some(file) => Vlm::load_language_model(file, args.dtype)?,
            None => Vlm::load(&args.model, args.dtype)?,
        };
        let processor = Processor::load(&args.model)?;
        let config = GenerateConfig {
            num_samples: args.batch,
            stop_ids: Vec::new(),
            ..GenerateConfig::new(&processor, Sampling::greedy(), args.tokens)
        };
        let prompt = match &args.gguf {
            Some(_) => inputs::QUESTION.to_vec(),
            None => inputs::tokens(0, args.prompt),
        };
        let prompts = vec![Prompt::text(prompt, 0)];
        Ok(Self { vlm, processor, prompts, config })
    }
}

impl Work for Decode {
    /// The first completion's tokens.
    fn round(&mut self) -> Result<Vec<f64>> {
        let tokenizer = &self.processor.tokenizer;
        let generate = rollout::generate;
        let all = generate(&self.vlm, tokenizer, &self.prompts, &self.config, &mut |_| {})?;
        Ok(all[0][0].token_ids.iter().map(|&id| f64::from(id)).collect())
    }
}
