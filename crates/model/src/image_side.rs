//! From pixels to embeddings of the language model: an encoder and the adapter behind it.
//!
//! ```text
//! tiles   ─ vision ─ unshuffle ───► features ─ adapter ─► rows of the language model
//! patches ─ patch_vision ─────────►
//!           (frozen: cached)                   (trained)
//! ```

use tensor::{DType, Gradients, Tensor};

use crate::Error;
use crate::adapter::{Adapter, AdapterConfig, AdapterTape};
use crate::config::{QwenVlConfig, VlmConfig};
use crate::parameter::{Part, PartMut};
use crate::patch_vision::{self, PatchVision};
use crate::unshuffle::{unshuffle, unshuffle_backward};
use crate::vision::{self, Grid, Vision, VisionTape};
use crate::vlm::{Images, stack};
use crate::weights::Checkpoint;

/// Rows of the encoder that are computed together: enough to keep the kernels busy, few enough
/// that a picture of many tiles does not hold them all at once.
pub(crate) const ENCODER_ROWS: usize = 4096;

/// Encoder and adapter.
pub struct ImageSide {
    /// Pixels to features.
    pub encoder: Encoder,
    /// Features to embeddings of the language model.
    pub adapter: Adapter,
}

/// How a model looks at an image.
pub enum Encoder {
    /// As square tiles of one size.
    Tiles(Box<TileEncoder>),
    /// As patches of its own size; always frozen.
    Patches(PatchVision),
}

/// A vision transformer and what is done to its output.
pub struct TileEncoder {
    vision: Vision,
    config: VlmConfig,
}

/// Forward passes of the image side, kept for the backward pass.
pub(crate) struct ImageTape {
    adapter: AdapterTape,
    vision: Option<VisionTape>,
}

impl ImageSide {
    /// Takes encoder and adapter of an InternVL-layout model from a checkpoint.
    ///
    /// # Errors
    /// When a tensor is missing, misshapen or unreadable.
    pub fn take_tiles(
        checkpoint: &mut Checkpoint,
        config: &VlmConfig,
        dtype: DType,
    ) -> Result<Self, Error> {
        let vision = Vision::take(checkpoint, &config.vision, config.select_layer, dtype)?;
        let widths = AdapterConfig::mlp1(config.feature_size(), config.llm.hidden_size);
        let adapter = Adapter::take(checkpoint, widths)?;
        let encoder = Encoder::Tiles(Box::new(TileEncoder { vision, config: config.clone() }));
        Ok(Self { encoder, adapter })
    }

    /// Takes encoder and merger of Qwen2.5-VL from a checkpoint.
    ///
    /// # Errors
    /// When a tensor is missing, misshapen or unreadable.
    pub(crate) fn take_patches(
        checkpoint: &mut Checkpoint,
        config: &QwenVlConfig,
        dtype: DType,
    ) -> Result<Self, Error> {
        let encoder = PatchVision::take(checkpoint, &config.vision, dtype)?;
        let merger = AdapterConfig::merger(&config.vision, config.llm.hidden_size);
        let adapter = Adapter::take(checkpoint, merger)?;
        Ok(Self { encoder: Encoder::Patches(encoder), adapter })
    }

    /// Projected features, with a tape if anything on the image side trains.
    pub(crate) fn project_train(
        &self,
        images: Images,
        grads: &Gradients,
    ) -> Result<(Option<Tensor>, Option<ImageTape>), Error> {
        let vision_trains = self.encoder.trains(grads);
        let (features, vision) = match images {
            Images::None => return Ok((None, None)),
            Images::Features(_) if vision_trains => {
                let reason = "the encoder trains, so pixels are needed in place of cached features";
                return Err(Error::input("images", reason));
            }
            Images::Features(features) => (features.clone(), None),
            Images::Pixels(pixels) => match &self.encoder {
                Encoder::Tiles(encoder) if vision_trains => {
                    let (features, tape) = encoder.forward_train(pixels)?;
                    (features, Some(tape))
                }
                encoder => (encoder.features(pixels)?, None),
            },
        };
        if !vision_trains && !grads.wants(self.adapter.config().prefix()) {
            return Ok((Some(self.adapter.forward(&features)), None));
        }
        let (projected, adapter) = self.adapter.forward_train(&features);
        Ok((Some(projected), Some(ImageTape { adapter, vision })))
    }

    /// From the gradient of the projected features to those of adapter and encoder.
    pub(crate) fn backward(&self, dprojected: &Tensor, tape: ImageTape, grads: &mut Gradients) {
        let dfeatures = self.adapter.backward(dprojected, &tape.adapter, grads);
        if let (Some(tape), Encoder::Tiles(encoder)) = (tape.vision, &self.encoder) {
            encoder.backward(tape, &dfeatures, grads);
        }
    }
}

impl Encoder {
    /// Tiles `[tiles, 3, h, w]` to features `[tiles · tokens, k²·c]`.
    ///
    /// # Errors
    /// When the shape does not fit, or the encoder takes patches.
    pub fn features(&self, pixels: &Tensor) -> Result<Tensor, Error> {
        match self {
            Self::Tiles(encoder) => encoder.features(pixels),
            Self::Patches(_) => Err(wrong_kind("patches of a known grid")),
        }
    }

    /// Patches of one image, of `grid` rows and columns, to features `[tokens, k²·c]`.
    ///
    /// # Errors
    /// When the shape does not fit, or the encoder takes tiles.
    pub fn patch_features(&self, patches: &Tensor, grid: Grid) -> Result<Tensor, Error> {
        match self {
            Self::Patches(encoder) => encoder.forward(patches, grid),
            Self::Tiles(_) => Err(wrong_kind("tiles")),
        }
    }

    /// Whether the encoder trains.
    pub(crate) fn trains(&self, grads: &Gradients) -> bool {
        matches!(self, Self::Tiles(_)) && grads.wants(vision::PREFIX)
    }

    /// All that features depend on besides pixels and weights.
    pub(crate) fn settings(&self) -> String {
        match self {
            Self::Tiles(encoder) => {
                let VlmConfig { vision, unshuffle, order, select_layer, .. } = &encoder.config;
                format!("{vision:?} {unshuffle} {order:?} {select_layer:?}")
            }
            Self::Patches(encoder) => format!("{:?}", encoder.config()),
        }
    }

    /// The encoder's parameters, by full name.
    pub fn parts(&self) -> Vec<(String, Part<'_>)> {
        match self {
            Self::Tiles(encoder) => encoder.vision.parts(),
            Self::Patches(encoder) => encoder.parts(),
        }
    }

    /// Those that can be replaced: none where the encoder is always frozen.
    pub(crate) fn parts_mut(&mut self) -> Vec<(String, PartMut<'_>)> {
        match self {
            Self::Tiles(encoder) => encoder.vision.parts_mut(),
            Self::Patches(_) => Vec::new(),
        }
    }

    /// Name and shape of every tensor of the encoder in a checkpoint.
    pub(crate) fn tensors(&self) -> Vec<(String, Vec<usize>)> {
        match self {
            Self::Tiles(encoder) => vision::tensors(&encoder.config.vision),
            Self::Patches(encoder) => patch_vision::tensors(encoder.config()),
        }
    }
}

fn wrong_kind(expected: &str) -> Error {
    Error::input("pixels", format!("the model's encoder takes {expected}"))
}

impl TileEncoder {
    fn features(&self, pixels: &Tensor) -> Result<Tensor, Error> {
        let grid = self.vision.grid(pixels)?;
        let [num_tiles, channels, height, width] = *pixels.shape() else {
            unreachable!("the grid has checked the shape")
        };
        let together = (ENCODER_ROWS / (grid.rows * grid.columns)).max(1);
        let tile = channels * height * width;
        let mut parts = Vec::new();
        for tiles in pixels.as_slice().chunks(together * tile) {
            let shape = [tiles.len() / tile, channels, height, width];
            let states = self.vision.forward(&Tensor::from_vec(tiles.to_vec(), &shape))?;
            parts.push(unshuffle(&states, grid, self.config.unshuffle, self.config.order)?);
        }
        match parts.len() {
            1 => Ok(parts.remove(0)),
            _ if num_tiles == 0 => Err(Error::input("pixels", "no tiles")),
            _ => Ok(stack(&parts.iter().collect::<Vec<_>>())),
        }
    }

    fn forward_train(&self, pixels: &Tensor) -> Result<(Tensor, VisionTape), Error> {
        let grid = self.vision.grid(pixels)?;
        let (states, tape) = self.vision.forward_train(pixels)?;
        Ok((unshuffle(&states, grid, self.config.unshuffle, self.config.order)?, tape))
    }

    fn backward(&self, tape: VisionTape, dfeatures: &Tensor, grads: &mut Gradients) {
        let (factor, order) = (self.config.unshuffle, self.config.order);
        let dstates = unshuffle_backward(dfeatures, tape.grid(), factor, order);
        self.vision.backward(tape, &dstates, grads);
    }
}
