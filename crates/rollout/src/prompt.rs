//! What generation and scoring start from: token ids, image features, and a name for the draws.

use std::collections::HashMap;
use std::sync::Arc;

use model::feature_cache::{CacheCounts, FeatureCache, FeatureKey};
use model::pack::{ImageSlot, image_slots};
use model::vision::Grid;
use model::vlm::{Vlm, stack};
use preprocess::{ModelImage, PatchGrid};
use tensor::Tensor;
use tensor::ops::gather_rows;

use crate::Error;

/// A prompt as the model takes it.
#[derive(Clone, Debug)]
pub struct Prompt {
    /// Token ids, image rows included.
    pub ids: Vec<u32>,
    /// Encoder output for the image rows in their order, `[image rows, k²·c]`: from
    /// [`Vlm::features`] or a cache of it. The current adapter projects it.
    pub features: Option<Arc<Tensor>>,
    /// Time, row and column of each row, where the model places rows so; then those of a completion
    /// go on after the largest.
    pub places: Option<Vec<[u32; 3]>>,
    /// Names the prompt's random draws. Prompts of one run need different numbers; the same number
    /// and seed draw the same, whatever else is in the batch.
    pub stream: u64,
    /// Samples, from 0, that are not drawn because they are known: what is left of an interrupted group. The others
    /// are the same as in the whole group.
    pub known: Vec<usize>,
}

impl Prompt {
    /// A prompt from what `preprocess` made, its features, and the name of its draws.
    pub fn new(prompt: &preprocess::Prompt, features: Option<Arc<Tensor>>, stream: u64) -> Self {
        let (ids, places) = (prompt.ids.clone(), prompt.places.clone());
        Self { ids, features, places, stream, known: Vec::new() }
    }

    /// A prompt without images.
    pub fn text(ids: Vec<u32>, stream: u64) -> Self {
        Self { ids, features: None, places: None, stream, known: Vec::new() }
    }

    /// Where row `index` stands on each axis, rows of a completion included.
    pub(crate) fn place(&self, index: usize) -> Option<[u32; 3]> {
        let places = self.places.as_ref()?;
        let after = || {
            let last = places.iter().flatten().max().map_or(0, |&last| last as usize + 1);
            let place = last + index - places.len();
            [u32::try_from(place).expect("no context has 2^32 positions"); 3]
        };
        Some(places.get(index).copied().unwrap_or_else(after))
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

/// Samples whose images are worth encoding together.
pub const TOGETHER: usize = 16;

/// Encodes images, each once: the encoder is frozen, so features come from the cache if they can.
pub struct ImageEncoder {
    cache: FeatureCache,
    /// What features depend on beside the image.
    encoder: [u8; 32],
}

impl ImageEncoder {
    /// For this model's encoder as it is now.
    pub fn new(vlm: &Vlm, cache: FeatureCache) -> Self {
        Self { cache, encoder: vlm.encoder_hash() }
    }

    /// The features of a prompt's images, one after the other; none for a prompt without images.
    ///
    /// # Errors
    ///
    /// When an image is damaged or does not fit the encoder.
    pub fn encode(
        &mut self,
        vlm: &Vlm,
        images: &[ModelImage],
    ) -> Result<Option<Arc<Tensor>>, Error> {
        self.take(vlm, images, &mut HashMap::new())
    }

    /// Whether an image's features are known, so that it need not be looked at again.
    pub fn holds(&self, image: &ModelImage) -> bool {
        self.cache.holds(FeatureKey::new(&image.key(), &self.encoder))
    }

    /// As [`encode`](Self::encode), with the pixels of each image as [`ModelImage::pixel_values`] gives them: made before,
    /// where that keeps nobody waiting.
    ///
    /// # Errors
    ///
    /// When an image does not fit the encoder.
    pub fn encode_pixels(
        &mut self,
        vlm: &Vlm,
        images: &[ModelImage],
        pixels: Vec<Vec<f32>>,
    ) -> Result<Option<Arc<Tensor>>, Error> {
        let mut parts = Vec::with_capacity(images.len());
        for (image, pixels) in images.iter().zip(pixels) {
            let key = FeatureKey::new(&image.key(), &self.encoder);
            parts.push(self.cache.get_or_compute(key, || features(vlm, image, pixels))?);
        }
        Ok(in_a_row(parts))
    }

    /// As [`encode`](Self::encode) for every sample of a few ([`TOGETHER`] keep the kernels busy): what
    /// the cache lacks passes through the encoder at once. A damaged image is its own sample's error.
    pub fn encode_together(
        &mut self,
        vlm: &Vlm,
        samples: &[&[ModelImage]],
    ) -> Vec<Result<Option<Arc<Tensor>>, Error>> {
        let images = samples.iter().copied().flatten();
        let tiled: Vec<_> = images.filter(|image| image.tiled().is_some()).collect();
        let mut ahead = HashMap::new();
        for images in tiled.chunk_by(|a, b| a.shape()[1..] == b.shape()[1..]) {
            self.encode_ahead(vlm, images, &mut ahead);
        }
        samples.iter().map(|images| self.take(vlm, images, &mut ahead)).collect()
    }

    /// From the cache, from what has been encoded ahead, or by the encoder.
    fn take(
        &mut self,
        vlm: &Vlm,
        images: &[ModelImage],
        ahead: &mut HashMap<FeatureKey, Tensor>,
    ) -> Result<Option<Arc<Tensor>>, Error> {
        let mut parts = Vec::with_capacity(images.len());
        for image in images {
            let key = FeatureKey::new(&image.key(), &self.encoder);
            let compute = || match ahead.remove(&key) {
                Some(features) => Ok(features),
                None => features(vlm, image, image.pixel_values()?),
            };
            parts.push(self.cache.get_or_compute(key, compute)?);
        }
        Ok(in_a_row(parts))
    }

    /// Encodes what the cache lacks of images with tiles of one size. What fails here fails again when
    /// the image is asked for, and is reported there.
    fn encode_ahead(
        &self,
        vlm: &Vlm,
        images: &[&ModelImage],
        ahead: &mut HashMap<FeatureKey, Tensor>,
    ) {
        let (mut missing, mut pixels) = (Vec::new(), Vec::new());
        for image in images {
            let key = FeatureKey::new(&image.key(), &self.encoder);
            if missing.iter().any(|&(other, _)| other == key) || self.cache.holds(key) {
                continue;
            }
            if let Ok(values) = image.pixel_values() {
                missing.push((key, image.shape()[0]));
                pixels.extend(values);
            }
        }
        let Some(image) = images.first().filter(|_| missing.len() > 1) else { return };
        let num_tiles = missing.iter().map(|&(_, num_tiles)| num_tiles).sum();
        let pixels = Tensor::from_vec(pixels, &[&[num_tiles], &image.shape()[1..]].concat());
        let Ok(features) = vlm.features(&pixels) else { return };
        let mut rows = 0..0;
        for (key, tiles) in missing {
            rows = rows.end..rows.end + tiles * features.rows() / num_tiles;
            ahead.insert(key, gather_rows(&features, &rows.clone().collect::<Vec<_>>()));
        }
    }

    /// What the cache did so far.
    pub fn counts(&self) -> &CacheCounts {
        self.cache.counts()
    }
}

/// The features of several images, one after the other.
fn in_a_row(mut parts: Vec<Arc<Tensor>>) -> Option<Arc<Tensor>> {
    match parts.len() {
        0 | 1 => parts.pop(),
        _ => Some(Arc::new(stack(&parts.iter().map(Arc::as_ref).collect::<Vec<_>>()))),
    }
}

/// The features of one image, encoded here and now.
fn features(vlm: &Vlm, image: &ModelImage, pixels: Vec<f32>) -> Result<Tensor, Error> {
    let pixels = Tensor::from_vec(pixels, &image.shape());
    Ok(match image.patch_grid() {
        Some(PatchGrid { rows, columns }) => vlm.patch_features(&pixels, Grid { rows, columns })?,
        None => vlm.features(&pixels)?,
    })
}
