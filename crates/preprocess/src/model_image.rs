//! What a model sees of an image, whichever way it looks: square tiles, or patches of any grid.

use std::path::Path;

use serde_json::Value;

use crate::error::Result;
use crate::files::read_json_if_present;
use crate::image::ImageFile;
use crate::patch::{PatchGrid, PatchSettings, PatchedImage};
use crate::prompt::{IMAGE_CLOSE, IMAGE_OPEN, IMAGE_ROW};
use crate::settings::ImageSettings;
use crate::tile::TiledImage;

/// How a model wants its images.
#[derive(Clone, Debug, PartialEq)]
pub enum VisionSettings {
    /// As square tiles (InternVL).
    Tiles(ImageSettings),
    /// As patches of the image's own size (Qwen2.5-VL).
    Patches(PatchSettings),
}

/// The tokens that stand for an image in the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImageTokens {
    /// Opens an image.
    pub open: &'static str,
    /// One row that a projected visual token overwrites.
    pub row: &'static str,
    /// Closes an image.
    pub close: &'static str,
    /// What stands between an image that comes as a content part and the text after it.
    pub(crate) after_part: &'static str,
}

const INTERN_VL: ImageTokens =
    ImageTokens { open: IMAGE_OPEN, row: IMAGE_ROW, close: IMAGE_CLOSE, after_part: "\n" };
const QWEN: ImageTokens = ImageTokens {
    open: "<|vision_start|>",
    row: "<|image_pad|>",
    close: "<|vision_end|>",
    after_part: "",
};

impl VisionSettings {
    /// Reads the files of a model's folder; `Ok(None)` when the model has no vision part.
    ///
    /// # Errors
    ///
    /// When a file is not JSON, a key is absent or of the wrong type, or values contradict each other.
    pub fn load(model: &Path) -> Result<Option<Self>> {
        let config = read_json_if_present(&model.join("config.json"))?.unwrap_or(Value::Null);
        if config["model_type"] == "qwen2_5_vl" {
            return Ok(Some(Self::Patches(PatchSettings::load(model, &config)?)));
        }
        Ok(ImageSettings::load(model)?.map(Self::Tiles))
    }

    /// The tokens that stand for an image.
    pub fn tokens(&self) -> ImageTokens {
        match self {
            Self::Tiles(_) => INTERN_VL,
            Self::Patches(_) => QWEN,
        }
    }

    /// Whether rows of images have places on three axes.
    pub(crate) fn has_places(&self) -> bool {
        matches!(self, Self::Patches(_))
    }

    /// Settles how an image file is cut; `share` images divide the limit on tiles.
    ///
    /// # Errors
    ///
    /// When the image's shape is out of the processor's range.
    pub fn image(&self, file: ImageFile, share: usize) -> Result<ModelImage> {
        match self {
            Self::Tiles(settings) => {
                let mut settings = settings.clone();
                settings.max_tiles = (settings.max_tiles / share).max(settings.min_tiles);
                TiledImage::new(file, &settings).map(ModelImage::Tiles)
            }
            Self::Patches(settings) => PatchedImage::new(file, settings).map(ModelImage::Patches),
        }
    }
}

impl From<ImageSettings> for VisionSettings {
    fn from(settings: ImageSettings) -> Self {
        Self::Tiles(settings)
    }
}

/// An image as a model takes it. The pixels stay encoded until they are asked for, so a caller with a
/// feature cache never decodes what it has seen.
#[derive(Clone, Debug)]
pub enum ModelImage {
    /// As tiles.
    Tiles(TiledImage),
    /// As patches.
    Patches(PatchedImage),
}

impl ModelImage {
    /// Rows of the language model's input that the image fills.
    pub fn num_tokens(&self) -> usize {
        match self {
            Self::Tiles(image) => image.num_tokens(),
            Self::Patches(image) => image.num_tokens(),
        }
    }

    /// Pieces that go through the encoder together: tiles, or the image as one.
    pub fn num_tiles(&self) -> usize {
        match self {
            Self::Tiles(image) => image.num_tiles(),
            Self::Patches(_) => 1,
        }
    }

    /// Decodes the pixels and forgets them.
    ///
    /// # Errors
    ///
    /// When the image is damaged.
    pub fn check(&self) -> Result<()> {
        match self {
            Self::Tiles(image) => image.file().decode(),
            Self::Patches(image) => image.file().decode(),
        }
        .map(drop)
    }

    /// Equal for equal pixel values: a hash of the image's bytes and of everything that is done to them.
    pub fn key(&self) -> [u8; 32] {
        match self {
            Self::Tiles(image) => image.key(),
            Self::Patches(image) => image.key(),
        }
    }

    /// The same rows over a uniformly grey image, for the blind baseline.
    pub fn grey(&self) -> Self {
        match self {
            Self::Tiles(image) => Self::Tiles(image.grey()),
            Self::Patches(image) => Self::Patches(image.grey()),
        }
    }

    /// Normalised pixels, as [`TiledImage::pixel_values`] or [`PatchedImage::patches`].
    ///
    /// # Errors
    ///
    /// When the image is truncated or damaged.
    pub fn pixel_values(&self) -> Result<Vec<f32>> {
        match self {
            Self::Tiles(image) => image.pixel_values(),
            Self::Patches(image) => image.patches(),
        }
    }

    /// Shape of the pixels: `[tiles, 3, size, size]`, or `[patches, values]`.
    pub fn shape(&self) -> Vec<usize> {
        match self {
            Self::Tiles(image) => {
                let size = image.settings().tile_size;
                vec![image.num_tiles(), 3, size, size]
            }
            Self::Patches(image) => {
                let PatchGrid { rows, columns } = image.grid();
                vec![rows * columns, image.settings().patch_values()]
            }
        }
    }

    /// The encoded image.
    pub fn file(&self) -> &ImageFile {
        match self {
            Self::Tiles(image) => image.file(),
            Self::Patches(image) => image.file(),
        }
    }

    /// The grid of patches, where the image is taken as patches.
    pub fn patch_grid(&self) -> Option<PatchGrid> {
        match self {
            Self::Tiles(_) => None,
            Self::Patches(image) => Some(image.grid()),
        }
    }

    /// The image as tiles, where it is.
    pub fn tiled(&self) -> Option<&TiledImage> {
        match self {
            Self::Tiles(image) => Some(image),
            Self::Patches(_) => None,
        }
    }
}
