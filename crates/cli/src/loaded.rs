//! A model ready to run, and the features of the images it is shown.

use std::sync::Arc;

use anyhow::Result;
use model::cache::KvCache;
use model::feature_cache::FeatureCache;
use model::vlm::Vlm;
use preprocess::ModelImage;
use recipes::policy::load_trained;
use rollout::ImageEncoder;
use tensor::Tensor;

use crate::args::ModelArgs;
use crate::inputs::check_adapter;
use crate::progress::Progress;

/// Features held in memory, for lines that share an image.
const FEATURE_BYTES: u64 = 1 << 30;

/// A model and its encoder's memory.
pub(crate) struct Loaded {
    /// The model.
    pub(crate) vlm: Vlm,
    encoder: ImageEncoder,
}

impl Loaded {
    /// Loads weights and, if there are any, the trained values in place of some.
    pub(crate) fn open(args: &ModelArgs, progress: &Progress) -> Result<Self> {
        args.adapter.as_deref().map_or(Ok(()), check_adapter)?;
        progress.note(&format!("loading {}", args.model.display()));
        let mut vlm = Vlm::load(&args.model, args.dtype)?;
        if let Some(adapter) = &args.adapter {
            load_trained(&mut vlm, adapter)?;
        }
        let encoder = ImageEncoder::new(&vlm, FeatureCache::new(None, FEATURE_BYTES));
        Ok(Self { vlm, encoder })
    }

    /// The features of a prompt's images.
    pub(crate) fn features(&mut self, images: &[ModelImage]) -> Result<Option<Arc<Tensor>>> {
        Ok(self.encoder.encode(&self.vlm, images)?)
    }

    /// Bytes of keys and values of one sequence of so many tokens.
    pub(crate) fn cache_bytes(&self, num_tokens: usize) -> usize {
        num_tokens * KvCache::bytes_per_row(self.vlm.llm.config())
    }
}
