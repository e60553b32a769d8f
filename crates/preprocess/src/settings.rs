//! How a model wants its images: tile size, number of tiles, rows per tile, normalisation.

use std::path::Path;

use serde_json::Value;

use crate::error::{Error, Result};
use crate::files::read_json_if_present;

/// ImageNet's mean, what InternVL uses when no `preprocessor_config.json` says otherwise.
const IMAGENET_MEAN: [f32; 3] = [0.485, 0.456, 0.406];
/// ImageNet's standard deviation.
const IMAGENET_STD: [f32; 3] = [0.229, 0.224, 0.225];

/// How a model wants its images.
#[derive(Clone, Debug, PartialEq)]
pub struct ImageSettings {
    /// Side of a square tile in pixels (`force_image_size`).
    pub tile_size: usize,
    /// Rows of the language model's input that one tile fills.
    pub tokens_per_tile: usize,
    /// Least tiles of the grid (`min_dynamic_patch`).
    pub min_tiles: usize,
    /// Most tiles of the grid (`max_dynamic_patch`), the thumbnail not counted.
    pub max_tiles: usize,
    /// Whether the whole image follows as one more tile when the grid has several (`use_thumbnail`).
    pub thumbnail: bool,
    /// Subtracted from each channel, in units of full scale.
    pub mean: [f32; 3],
    /// Divides each channel.
    pub std: [f32; 3],
}

impl ImageSettings {
    /// Reads `config.json` of the InternVL-chat layout and, when present, mean and standard deviation from
    /// `preprocessor_config.json`. `Ok(None)` when the model has no vision part.
    ///
    /// # Errors
    ///
    /// When a file is not JSON, a key is absent or of the wrong type, or values contradict each other.
    pub fn load(model: &Path) -> Result<Option<Self>> {
        let path = model.join("config.json");
        let Some(config) = read_json_if_present(&path)? else { return Ok(None) };
        let settings =
            Self::from_config(&config).map_err(|reason| Error::Config { path, reason })?;
        let Some(mut settings) = settings else { return Ok(None) };
        let path = model.join("preprocessor_config.json");
        if let Some(config) = read_json_if_present(&path)? {
            let bad = |reason| Error::Config { path: path.clone(), reason };
            settings.mean = triple(&config, "image_mean").map_err(bad)?.unwrap_or(settings.mean);
            settings.std = triple(&config, "image_std").map_err(bad)?.unwrap_or(settings.std);
        }
        Ok(Some(settings))
    }

    /// The settings in a parsed `config.json`, with ImageNet's mean and standard deviation. `Ok(None)` when it has no
    /// `vision_config`. Nothing that changes the result has a default: the reference's classes and its published
    /// checkpoints disagree about them.
    ///
    /// # Errors
    ///
    /// A sentence that names the key and the value.
    pub fn from_config(config: &Value) -> std::result::Result<Option<Self>, String> {
        let Some(vision) = config.get("vision_config") else { return Ok(None) };
        let tile_size = match config.get("force_image_size") {
            Some(Value::Null) | None => side(vision, "image_size")?,
            Some(_) => side(config, "force_image_size")?,
        };
        if flag(config, "pad2square").unwrap_or(false) {
            return Err("pad2square is true, which is not supported".to_owned());
        }
        let dynamic = flag(config, "dynamic_image_size")?;
        let tiles = |key| if dynamic { positive(config, key) } else { Ok(1) };
        let (min_tiles, max_tiles) = (tiles("min_dynamic_patch")?, tiles("max_dynamic_patch")?);
        if min_tiles > max_tiles {
            return Err(format!(
                "min_dynamic_patch is {min_tiles}, but max_dynamic_patch is {max_tiles}"
            ));
        }
        Ok(Some(Self {
            tile_size,
            tokens_per_tile: tokens_per_tile(config, vision, tile_size)?,
            min_tiles,
            max_tiles,
            thumbnail: dynamic && flag(config, "use_thumbnail")?,
            mean: IMAGENET_MEAN,
            std: IMAGENET_STD,
        }))
    }
}

/// Patches of a tile, `1 / downsample_ratio` of them in each direction folded into one row.
fn tokens_per_tile(
    config: &Value,
    vision: &Value,
    tile_size: usize,
) -> std::result::Result<usize, String> {
    let patch = side(vision, "patch_size")?;
    let ratio = config.get("downsample_ratio").and_then(Value::as_f64);
    let ratio = ratio.filter(|&ratio| ratio > 0.0 && ratio <= 1.0);
    let ratio = ratio.ok_or("downsample_ratio must be a number above 0, at most 1")?;
    let factor = (1.0 / ratio).round() as usize;
    if !tile_size.is_multiple_of(patch * factor) {
        return Err(format!(
            "tiles of {tile_size} pixels do not divide into patches of {patch} pixels, {factor} by {factor} to a token"
        ));
    }
    Ok((tile_size / (patch * factor)).pow(2))
}

fn flag(config: &Value, key: &str) -> std::result::Result<bool, String> {
    let value = config.get(key).and_then(Value::as_bool);
    value.ok_or_else(|| format!("{key} must be true or false, it is {}", shown(config, key)))
}

pub(crate) fn positive(config: &Value, key: &str) -> std::result::Result<usize, String> {
    let value = config.get(key).and_then(Value::as_u64).filter(|&n| n > 0 && n <= 1 << 16);
    let value = value.map(|n| n as usize);
    value.ok_or_else(|| format!("{key} must be a positive integer, it is {}", shown(config, key)))
}

/// A side of a square, which newer configs write as a pair.
fn side(config: &Value, key: &str) -> std::result::Result<usize, String> {
    let Some([height, width]) = config.get(key).and_then(Value::as_array).map(Vec::as_slice) else {
        return positive(config, key);
    };
    match (height.as_u64(), width.as_u64()) {
        (Some(height), Some(width)) if height == width && height > 0 => Ok(height as usize),
        _ => Err(format!("{key} must be square, it is {}", shown(config, key))),
    }
}

pub(crate) fn triple(config: &Value, key: &str) -> std::result::Result<Option<[f32; 3]>, String> {
    let Some(value) = config.get(key) else { return Ok(None) };
    let numbers: Option<Vec<f32>> =
        value.as_array().and_then(|a| a.iter().map(|x| x.as_f64().map(|x| x as f32)).collect());
    let triple = numbers.and_then(|numbers| numbers.try_into().ok());
    triple.map(Some).ok_or_else(|| format!("{key} must be three numbers, it is {value}"))
}

fn shown(config: &Value, key: &str) -> String {
    config.get(key).map_or_else(|| "absent".to_owned(), Value::to_string)
}

/// What each byte of each channel becomes: `(value / 255 - mean) / std`.
pub(crate) fn normalised(mean: [f32; 3], std: [f32; 3]) -> [[f32; 256]; 3] {
    std::array::from_fn(|channel| {
        let one = |byte: usize| (byte as f32 / 255.0 - mean[channel]) / std[channel];
        std::array::from_fn(one)
    })
}
