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
    /// Completions.
    #[arg(long, default_value_t = 1)]
    batch: usize,
    /// Tokens of the prompt.
    #[arg(long, default_value_t = 32)]
    prompt: usize,
    /// Tokens of each completion.
    #[arg(long, default_value_t = 64)]
    tokens: usize,
    /// Hold matrices in bf16.
    #[arg(long)]
    bf16: bool,
}

pub(crate) struct Decode {
    vlm: Vlm,
    processor: Processor,
    prompts: Vec<Prompt>,
    config: GenerateConfig,
}

impl Decode {
    pub(crate) fn new(args: &Args) -> Result<Self> {
        let dtype = if args.bf16 { DType::Bf16 } else { DType::F32 };
        let vlm = Vlm::load(&args.model, dtype)?;
        let processor = Processor::load(&args.model)?;
        let config = GenerateConfig {
            num_samples: args.batch,
            stop_ids: Vec::new(),
            ..GenerateConfig::new(&processor, Sampling::greedy(), args.tokens)
        };
        let prompts = vec![Prompt::text(inputs::tokens(0, args.prompt), 0)];
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
