//! The configuration of an assembled model, in InternVL-chat's layout.

use std::path::Path;

use serde_json::Value;

use super::keys::Keys;
use super::{LlmConfig, VisionConfig};
use crate::Error;

/// The order in which pixel unshuffle emits its tokens (`ps_version`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnshuffleOrder {
    /// `v1`: column by column.
    Columns,
    /// `v2`: row by row.
    Rows,
}

/// Which layer of the encoder feeds the adapter (`select_layer`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SelectLayer {
    /// `-1`: the encoder's output, its final norm included.
    Last,
    /// The output of this many blocks (0: the embeddings), without the final norm.
    After(usize),
}

/// Shapes and constants of a vision-language model.
#[derive(Clone, Debug, PartialEq)]
pub struct VlmConfig {
    /// The vision encoder.
    pub vision: VisionConfig,
    /// The language model.
    pub llm: LlmConfig,
    /// How many patches along each side become one token: `1 / downsample_ratio`.
    pub unshuffle: usize,
    /// Order of the tokens.
    pub order: UnshuffleOrder,
    /// Layer of the encoder that is used.
    pub select_layer: SelectLayer,
    /// Side of a tile, in pixels.
    pub tile_size: usize,
    /// The whole `config.json`, so that keys of no concern here survive a save.
    pub json: Value,
}

impl VlmConfig {
    /// Reads `config.json` of a model folder.
    ///
    /// # Errors
    /// When it cannot be read or parsed, or as [`VlmConfig::from_json`].
    pub fn read(folder: &Path) -> Result<Self, Error> {
        Self::from_json(read_json(&folder.join("config.json"))?)
    }

    /// Reads the content of a `config.json` of an InternVL-chat or Skywork-chat model.
    ///
    /// # Errors
    /// When the architecture is another one, or a key is missing, malformed or contradictory.
    pub fn from_json(json: Value) -> Result<Self, Error> {
        let keys = Keys::new(&json, "");
        check_architecture(&keys)?;
        let part = |key: &str| keys.get(key).ok_or_else(|| keys.missing(key));
        let vision = VisionConfig::from_json_at(part("vision_config")?, "vision_config.")?;
        let llm = LlmConfig::from_json_at(part("llm_config")?, "llm_config.")?;
        let config = Self {
            unshuffle: unshuffle(&keys)?,
            order: match keys.opt_str("ps_version")?.ok_or_else(|| keys.missing("ps_version"))? {
                "v1" => UnshuffleOrder::Columns,
                "v2" => UnshuffleOrder::Rows,
                other => return Err(keys.wrong("ps_version", other, "v1 or v2")),
            },
            select_layer: select_layer(&keys, vision.num_layers)?,
            tile_size: keys.opt_usize("force_image_size")?.unwrap_or(vision.image_size),
            vision,
            llm,
            json: Value::Null,
        };
        config.check_tiles(&keys)?;
        Ok(Self { json, ..config })
    }

    /// Tokens that one tile becomes.
    pub fn tokens_per_tile(&self) -> usize {
        (self.tile_size / self.vision.patch_size / self.unshuffle).pow(2)
    }

    /// Width of the adapter's input: the encoder's width times the patches of a token.
    pub fn feature_size(&self) -> usize {
        self.vision.hidden_size * self.unshuffle * self.unshuffle
    }

    fn check_tiles(&self, keys: &Keys) -> Result<(), Error> {
        let step = self.vision.patch_size * self.unshuffle;
        if self.tile_size == 0 || !self.tile_size.is_multiple_of(step) {
            let expected = format!(
                "a multiple of {step} (patches of {}, {} of them along a token's side)",
                self.vision.patch_size, self.unshuffle
            );
            return Err(keys.wrong("force_image_size", self.tile_size, &expected));
        }
        Ok(())
    }
}

/// Reads a JSON file.
///
/// # Errors
/// When it cannot be read or parsed.
pub fn read_json(path: &Path) -> Result<Value, Error> {
    let text = std::fs::read(path).map_err(Error::io(path))?;
    serde_json::from_slice(&text).map_err(|source| Error::Json { path: path.to_owned(), source })
}

/// All published names of the one architecture.
fn check_architecture(keys: &Keys) -> Result<(), Error> {
    const KNOWN: [&str; 3] = ["InternVLChatModel", "SkyworkChatModel", "SkyworkR1VChatModel"];
    let listed = keys.get("architectures").and_then(Value::as_array);
    let named = listed.is_some_and(|names| {
        names.iter().any(|name| name.as_str().is_some_and(|name| KNOWN.contains(&name)))
    });
    let kind = keys.opt_str("model_type")?.unwrap_or_default();
    if named || matches!(kind, "internvl_chat" | "skywork_chat") {
        return Ok(());
    }
    Err(keys.wrong("model_type", kind, "internvl_chat or skywork_chat"))
}

/// The whole number whose reciprocal `downsample_ratio` is.
fn unshuffle(keys: &Keys) -> Result<usize, Error> {
    let ratio = keys.f64("downsample_ratio")?;
    let factor = (1.0 / ratio).round();
    if ratio > 0.0 && (1.0..=64.0).contains(&factor) && (factor * ratio - 1.0).abs() < 1e-6 {
        return Ok(factor as usize);
    }
    Err(keys.wrong("downsample_ratio", ratio, "1, 0.5, 0.25 or another 1/n"))
}

/// Python indexing into the states before and after each block.
fn select_layer(keys: &Keys, num_layers: usize) -> Result<SelectLayer, Error> {
    let Some(value) = keys.get("select_layer") else { return Ok(SelectLayer::Last) };
    let states = num_layers as i64 + 1;
    match value.as_i64() {
        Some(-1) => Ok(SelectLayer::Last),
        Some(index) if (-states..states).contains(&index) => {
            Ok(SelectLayer::After(index.rem_euclid(states) as usize))
        }
        _ => {
            let expected = format!("-1, or an index into the {states} hidden states");
            Err(keys.wrong("select_layer", value, &expected))
        }
    }
}
