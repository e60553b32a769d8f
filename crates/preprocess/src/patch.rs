//! An image of its own size as patches: what Qwen2.5-VL's encoder takes in place of square tiles.
//!
//! The same numbers as transformers' Qwen2VLImageProcessor.

use std::path::Path;

use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::error::{Error, Result};
use crate::files::read_json_if_present;
use crate::image::{ImageFile, RgbImage};
use crate::resize::resize;
use crate::settings::{normalised, positive, triple};

/// CLIP's mean, what the processor uses when its file does not say otherwise.
const CLIP_MEAN: [f32; 3] = [0.481_454_66, 0.457_827_5, 0.408_210_73];
/// CLIP's standard deviation.
const CLIP_STD: [f32; 3] = [0.268_629_54, 0.261_302_6, 0.275_777_1];

/// How a model cuts images into patches.
#[derive(Clone, Debug, PartialEq)]
pub struct PatchSettings {
    /// Side of a patch in pixels.
    pub patch_size: usize,
    /// Frames of a patch; an image is repeated to as many.
    pub temporal_patch_size: usize,
    /// Patches along each side of a token.
    pub merge_size: usize,
    /// Least pixels of a resized image.
    pub min_pixels: usize,
    /// Most pixels of a resized image.
    pub max_pixels: usize,
    /// Subtracted from each channel, in units of full scale.
    pub mean: [f32; 3],
    /// Divides each channel.
    pub std: [f32; 3],
}

/// Patches from top to bottom and from left to right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PatchGrid {
    /// Patches from top to bottom.
    pub rows: usize,
    /// Patches from left to right.
    pub columns: usize,
}

impl PatchSettings {
    /// The settings that a parsed `config.json` implies, changed by `preprocessor_config.json` of its
    /// folder where there is one.
    ///
    /// # Errors
    ///
    /// When a file is malformed, or the two disagree about patches.
    pub(crate) fn load(model: &Path, config: &Value) -> Result<Self> {
        let path = model.join("config.json");
        let bad = |path: &Path| {
            let path = path.to_owned();
            move |reason| Error::Config { path: path.clone(), reason }
        };
        let settings = Self::from_config(config).map_err(bad(&path))?;
        let path = model.join("preprocessor_config.json");
        match read_json_if_present(&path)? {
            Some(processor) => settings.changed_by(&processor).map_err(bad(&path)),
            None => Ok(settings),
        }
    }

    /// By `vision_config`; the processor's own defaults for the rest: from 4 to 16384 tokens.
    fn from_config(config: &Value) -> std::result::Result<Self, String> {
        let vision = &config["vision_config"];
        let or = |key: &str, default| match vision.get(key) {
            None | Some(Value::Null) => Ok(default),
            Some(_) => positive(vision, key),
        };
        let (patch_size, merge_size) = (or("patch_size", 14)?, or("spatial_merge_size", 2)?);
        let token = (patch_size * merge_size).pow(2);
        Ok(Self {
            patch_size,
            temporal_patch_size: or("temporal_patch_size", 2)?,
            merge_size,
            min_pixels: 4 * token,
            max_pixels: 16_384 * token,
            mean: CLIP_MEAN,
            std: CLIP_STD,
        })
    }

    /// Takes over what a processor's file says. Newer ones keep the bounds in `size`.
    fn changed_by(mut self, processor: &Value) -> std::result::Result<Self, String> {
        for (key, own) in [
            ("patch_size", self.patch_size),
            ("temporal_patch_size", self.temporal_patch_size),
            ("merge_size", self.merge_size),
        ] {
            let stated = pixels(processor, key)?.unwrap_or(own);
            if stated != own {
                return Err(format!("{key} is {stated}, but config.json implies {own}"));
            }
        }
        let size = processor.get("size").unwrap_or(&Value::Null);
        let bound = |key: &str, inner: &str, own: usize| {
            Ok::<_, String>(pixels(processor, key)?.or(pixels(size, inner)?).unwrap_or(own))
        };
        self.min_pixels = bound("min_pixels", "shortest_edge", self.min_pixels)?;
        self.max_pixels = bound("max_pixels", "longest_edge", self.max_pixels)?;
        if self.min_pixels > self.max_pixels {
            let (min, max) = (self.min_pixels, self.max_pixels);
            return Err(format!("min_pixels is {min}, but max_pixels is {max}"));
        }
        self.mean = triple(processor, "image_mean")?.unwrap_or(self.mean);
        self.std = triple(processor, "image_std")?.unwrap_or(self.std);
        Ok(self)
    }

    /// Values of a patch.
    pub fn patch_values(&self) -> usize {
        3 * self.temporal_patch_size * self.patch_size * self.patch_size
    }

    /// The grid of an image of this size: sides to the nearest whole token; where the area is then out
    /// of its bounds, both sides are scaled to the bound, down to whole tokens or up.
    fn grid(&self, width: usize, height: usize) -> PatchGrid {
        let token = self.patch_size * self.merge_size;
        let side = token as f64;
        let area = height as f64 * width as f64;
        let near = |length: usize| (length as f64 / side).round_ties_even() as usize * token;
        let near = [height, width].map(near);
        let [rows, columns] = if near[0] * near[1] > self.max_pixels {
            let scale = (area / self.max_pixels as f64).sqrt();
            let shrink = |length: usize| (length as f64 / scale / side).floor() as usize * token;
            [height, width].map(shrink).map(|length| length.max(token))
        } else if near[0] * near[1] < self.min_pixels {
            let scale = (self.min_pixels as f64 / area).sqrt();
            let grow = |length: usize| (length as f64 * scale / side).ceil() as usize * token;
            [height, width].map(grow)
        } else {
            near
        };
        PatchGrid { rows: rows / self.patch_size, columns: columns / self.patch_size }
    }
}

/// A positive number that may be absent.
fn pixels(config: &Value, key: &str) -> std::result::Result<Option<usize>, String> {
    let value = config.get(key).filter(|value| !value.is_null());
    let whole = |value: &Value| value.as_u64().filter(|&n| n > 0).map(|n| n as usize);
    let read = |value: &Value| {
        whole(value).ok_or_else(|| format!("{key} must be a positive integer, it is {value}"))
    };
    value.map(read).transpose()
}

/// An image with its grid of patches settled; its pixels stay encoded until they are asked for.
#[derive(Clone, Debug)]
pub struct PatchedImage {
    file: ImageFile,
    settings: PatchSettings,
    grid: PatchGrid,
}

impl PatchedImage {
    /// Lays a grid over `file`.
    ///
    /// # Errors
    ///
    /// When one side is more than 200 times the other, or more than 65,535 pixels long.
    pub fn new(file: ImageFile, settings: &PatchSettings) -> Result<Self> {
        file.check_shape()?;
        let grid = settings.grid(file.width(), file.height());
        Ok(Self { file, settings: settings.clone(), grid })
    }

    /// The grid of patches.
    pub fn grid(&self) -> PatchGrid {
        self.grid
    }

    /// Rows and columns of tokens.
    pub fn token_grid(&self) -> [usize; 2] {
        [self.grid.rows, self.grid.columns].map(|patches| patches / self.settings.merge_size)
    }

    /// Rows of the language model's input that the image fills.
    pub fn num_tokens(&self) -> usize {
        self.token_grid().iter().product()
    }

    /// The encoded image.
    pub fn file(&self) -> &ImageFile {
        &self.file
    }

    /// How the image is cut and normalised.
    pub fn settings(&self) -> &PatchSettings {
        &self.settings
    }

    /// Equal for equal values: a hash of the image's bytes and of everything that is done to them.
    pub fn key(&self) -> [u8; 32] {
        let mut hash = Sha256::new();
        hash.update(self.file.sha256());
        hash.update(format!("{:?} {:?}", self.grid, self.settings));
        hash.finalize().into()
    }

    /// The same grid over a uniformly grey image.
    pub fn grey(&self) -> Self {
        let file = ImageFile::grey(self.file.width(), self.file.height());
        Self { file, ..self.clone() }
    }

    /// Normalised patches `[rows · columns, 3·t·p·p]`, token by token, row by row, and within a token
    /// likewise; a patch's values by channel, frame, row and column. `(value / 255 - mean) / std`.
    ///
    /// # Errors
    ///
    /// When the image is truncated or damaged.
    pub fn patches(&self) -> Result<Vec<f32>> {
        let PatchSettings { patch_size: side, merge_size: merge, .. } = self.settings;
        let PatchGrid { rows, columns } = self.grid;
        let image = resize(&self.file.decode()?, columns * side, rows * side);
        let scales = normalised(self.settings.mean, self.settings.std);
        let mut values = Vec::with_capacity(rows * columns * self.settings.patch_values());
        for (token_row, token_column) in tokens(rows / merge, columns / merge) {
            for (down, across) in tokens(merge, merge) {
                let top = (token_row * merge + down) * side;
                let left = (token_column * merge + across) * side;
                self.push_patch(&image, [top, left], &scales, &mut values);
            }
        }
        Ok(values)
    }

    fn push_patch(
        &self,
        image: &RgbImage,
        [top, left]: [usize; 2],
        scales: &[[f32; 256]; 3],
        values: &mut Vec<f32>,
    ) {
        let PatchSettings { patch_size: side, temporal_patch_size, .. } = self.settings;
        for (channel, scale) in scales.iter().enumerate() {
            let first = values.len();
            for row in top..top + side {
                let line = &image.pixels[(row * image.width + left) * 3..][..side * 3];
                let pixels = line.chunks_exact(3);
                values.extend(pixels.map(|pixel| scale[usize::from(pixel[channel])]));
            }
            let frame = first..values.len();
            (1..temporal_patch_size).for_each(|_| values.extend_from_within(frame.clone()));
        }
    }
}

/// Cells of a grid, row by row.
fn tokens(rows: usize, columns: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..rows).flat_map(move |row| (0..columns).map(move |column| (row, column)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> PatchSettings {
        let config = serde_json::json!({"vision_config": {"patch_size": 14}});
        PatchSettings::from_config(&config).unwrap()
    }

    /// transformers 5.23: `smart_resize(height, width, 28, min_pixels, max_pixels)`, in patches.
    #[test]
    fn grids_are_those_of_the_processor() {
        let wide = settings();
        let narrow = PatchSettings { min_pixels: 256 * 784, max_pixels: 1280 * 784, ..settings() };
        for (settings, [width, height], [rows, columns]) in [
            (&wide, [640, 480], [34, 46]),
            (&wide, [42, 70], [4, 4]),
            (&wide, [14, 14], [4, 4]),
            (&wide, [1, 150], [50, 2]),
            (&narrow, [640, 480], [34, 46]),
            (&narrow, [4000, 3000], [60, 82]),
            (&wide, [5, 1000], [58, 2]),
            (&narrow, [100, 100], [32, 32]),
        ] {
            let grid = settings.grid(width, height);
            assert_eq!([grid.rows, grid.columns], [rows, columns], "{width}x{height}");
        }
        let file = ImageFile::grey(1, 201);
        assert!(PatchedImage::new(file, &wide).unwrap_err().to_string().contains("1x201"));
    }

    #[test]
    fn the_processors_file_may_change_bounds_but_not_patches() {
        let say = |json: Value| settings().changed_by(&json);
        let old = say(serde_json::json!({"min_pixels": 3136, "max_pixels": 31360})).unwrap();
        let size = serde_json::json!({"size": {"shortest_edge": 3136, "longest_edge": 31360}});
        assert_eq!((old.min_pixels, old.max_pixels), (3136, 31360));
        assert_eq!(say(size).unwrap(), old);
        let error = say(serde_json::json!({"patch_size": 16})).unwrap_err();
        assert_eq!(error, "patch_size is 16, but config.json implies 14");
        assert!(say(serde_json::json!({"max_pixels": 1})).is_err());
        assert!(say(serde_json::json!({"max_pixels": "many"})).is_err());
    }
}
