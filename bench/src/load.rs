//! A model folder to the point where its first forward pass may begin.

use std::path::PathBuf;

use anyhow::Result;
use model::vlm::Vlm;
use tensor::DType;

use crate::Work;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Folder of the model.
    #[arg(long)]
    model: PathBuf,
    /// How matrices are held: `float32`, `bfloat16`, `int8` or `int4`.
    #[arg(long, default_value = "float32")]
    dtype: DType,
}

pub(crate) struct Load {
    folder: PathBuf,
    dtype: DType,
    vlm: Option<Vlm>,
}

impl Load {
    pub(crate) fn new(args: &Args) -> Self {
        Self { folder: args.model.clone(), dtype: args.dtype, vlm: None }
    }
}

impl Work for Load {
    /// Layers and rows of the embedding table. The model before is let go first.
    fn round(&mut self) -> Result<Vec<f64>> {
        self.vlm = None;
        let vlm = self.vlm.insert(Vlm::load(&self.folder, self.dtype)?);
        let config = vlm.llm.config();
        Ok(vec![config.num_layers as f64, config.vocab_size as f64])
    }
}
