//! The vision encoder on a batch of square images.

use std::path::PathBuf;

use anyhow::Result;
use model::config::VlmConfig;
use model::image_side::ImageSide;
use model::weights::Checkpoint;
use tensor::{DType, Tensor};

use crate::{Work, inputs};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Folder of the model.
    #[arg(long)]
    model: PathBuf,
    /// Images.
    #[arg(long, default_value_t = 16)]
    batch: usize,
    /// Width and height in pixels.
    #[arg(long, default_value_t = 224)]
    side: usize,
}

pub(crate) struct Features {
    images: ImageSide,
    pixels: Tensor,
}

impl Features {
    pub(crate) fn new(args: &Args) -> Result<Self> {
        let config = VlmConfig::read(&args.model)?;
        let mut checkpoint = Checkpoint::open(&args.model)?;
        let images = ImageSide::take_tiles(&mut checkpoint, &config, DType::F32)?;
        Ok(Self { images, pixels: inputs::pixels(args.batch, args.side) })
    }
}

impl Work for Features {
    fn round(&mut self) -> Result<Vec<f64>> {
        let features = self.images.encoder.features(&self.pixels)?;
        let sum: f64 = features.as_slice().iter().map(|&value| f64::from(value)).sum();
        let squares: f64 = features.as_slice().iter().map(|&v| f64::from(v).powi(2)).sum();
        Ok(vec![sum / features.len() as f64, squares.sqrt()])
    }
}
