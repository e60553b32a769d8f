//! What generation and scoring start from: token ids, image features, and a name for the draws.

use std::sync::Arc;

use model::pack::{ImageSlot, image_slots};
use model::vlm::{Vlm, stack};
use preprocess::TiledImage;
use tensor::Tensor;

use crate::Error;

/// A prompt as the model takes it.
#[derive(Clone, Debug)]
pub struct Prompt {
    /// Token ids, image rows included.
    pub ids: Vec<u32>,
    /// Encoder output for the image rows in their order, `[image rows, k²·c]`: from
    /// [`Vlm::features`] or a cache of it. The current adapter projects it.
    pub features: Option<Arc<Tensor>>,
    /// Names the prompt's random draws. Prompts of one run need different numbers; the same number
    /// and seed draw the same, whatever else is in the batch.
    pub stream: u64,
}

impl Prompt {
    /// A prompt from what `preprocess` made, its features, and the name of its draws.
    pub fn new(prompt: &preprocess::Prompt, features: Option<Arc<Tensor>>, stream: u64) -> Self {
        Self { ids: prompt.ids.clone(), features, stream }
    }

    /// A prompt without images.
    pub fn text(ids: Vec<u32>, stream: u64) -> Self {
        Self { ids, features: None, stream }
    }

    /// Which rows take which feature, counted from 0.
    ///
    /// Refuses features that do not match the image rows in number; `index` names the prompt.
    pub(crate) fn slots(&self, vlm: &Vlm, index: usize) -> Result<Vec<ImageSlot>, Error> {
        let slots = match vlm.image_token {
            Some(token) => image_slots(&self.ids, token, 0),
            None => Vec::new(),
        };
        let num_features = self.features.as_ref().map_or(0, |features| features.rows());
        if num_features != slots.len() {
            return Err(Error::Features { prompt: index, rows: slots.len(), num_features });
        }
        Ok(slots)
    }
}

/// The features of a prompt's images, encoded here and now; none for a prompt without images.
pub fn encode(vlm: &Vlm, images: &[TiledImage]) -> Result<Option<Tensor>, Error> {
    let mut parts = Vec::with_capacity(images.len());
    for image in images {
        let size = image.settings().tile_size;
        let shape = [image.num_tiles(), 3, size, size];
        parts.push(vlm.features(&Tensor::from_vec(image.pixel_values()?, &shape))?);
    }
    Ok((!parts.is_empty()).then(|| stack(&parts.iter().collect::<Vec<_>>())))
}
