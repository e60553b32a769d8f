//! The configuration of Qwen2.5-VL (arXiv:2502.13923), in old and new releases' layout.

use serde_json::{Value, json};
use tensor::Heads;

use super::LlmConfig;
use super::keys::Keys;
use crate::Error;
use crate::rope::RopeScaling;

/// Shapes and constants of Qwen2.5-VL's encoder: a transformer over the patches of an image of any
/// size, most of whose blocks see windows alone.
#[derive(Clone, Debug, PartialEq)]
pub struct PatchVisionConfig {
    /// Width of the residual stream.
    pub hidden_size: usize,
    /// Width of the SwiGLU.
    pub intermediate_size: usize,
    /// Number of blocks.
    pub num_layers: usize,
    /// Attention heads; each is `hidden_size / num_heads` wide.
    pub num_heads: usize,
    /// Side of a patch, in pixels.
    pub patch_size: usize,
    /// Frames of a patch; an image is repeated to as many.
    pub temporal_patch_size: usize,
    /// Patches along each side of a token.
    pub merge_size: usize,
    /// Side of an attention window, in pixels.
    pub window_size: usize,
    /// Blocks that see the whole image.
    pub full_attention_blocks: Vec<usize>,
}

/// Shapes and constants of a whole model.
#[derive(Clone, Debug, PartialEq)]
pub struct QwenVlConfig {
    /// The vision encoder.
    pub vision: PatchVisionConfig,
    /// The language model.
    pub llm: LlmConfig,
}

/// Epsilon of every norm of the encoder and of the merger; transformers has it in code.
pub(crate) const NORM_EPS: f32 = 1e-6;

/// What names of new releases begin with, and what the same tensors' names begin with here.
pub(crate) const RELEASES: [(&str, &str); 2] =
    [("model.language_model.", "model."), ("model.visual.", "visual.")];

/// Base of the encoder's rotary embedding; transformers has it in code.
pub(crate) const VISION_THETA: f64 = 10_000.0;

impl PatchVisionConfig {
    /// Values of a patch: three channels, its frames, `patch_size` squared.
    pub fn patch_values(&self) -> usize {
        3 * self.temporal_patch_size * self.patch_size * self.patch_size
    }

    /// Width of what the merger takes: the encoder's width times the patches of a token.
    pub fn feature_size(&self) -> usize {
        self.hidden_size * self.merge_size * self.merge_size
    }

    /// Tokens along the side of a window.
    pub fn window_tokens(&self) -> usize {
        self.window_size / self.patch_size / self.merge_size
    }

    /// Heads as attention takes them.
    pub fn heads(&self) -> Heads {
        let num = self.num_heads;
        Heads { query: num, key_value: num, dim: self.hidden_size / num }
    }
}

impl QwenVlConfig {
    /// Whether the content of a `config.json` is of this family.
    pub fn is_in(config: &Value) -> bool {
        config["model_type"] == "qwen2_5_vl"
    }

    /// Reads the content of a `config.json`: flat, or the language model's part in `text_config`.
    ///
    /// # Errors
    /// When a key is missing, malformed or contradictory.
    pub fn from_json(config: &Value) -> Result<Self, Error> {
        let keys = Keys::new(config, "");
        let vision = keys.get("vision_config").ok_or_else(|| keys.missing("vision_config"))?;
        let inner = keys.get("text_config").filter(|text| text.get("hidden_size").is_some());
        let (text, path) = inner.map_or((config, ""), |text| (text, "text_config."));
        // Its language model is Qwen2 in all but the name and the rotary embedding's axes.
        let mut text = text.clone();
        text["model_type"] = json!("qwen2");
        if inner.is_some() && text.get("tie_word_embeddings").is_none() {
            text["tie_word_embeddings"] = config["tie_word_embeddings"].clone();
        }
        let llm = LlmConfig::from_json_at(&text, path)?;
        if !matches!(llm.rope.scaling, RopeScaling::Axes { .. }) {
            return Err(Error::MissingKey { key: format!("{path}rope_scaling.mrope_section") });
        }
        let vision = vision_config(&Keys::new(vision, "vision_config."), llm.hidden_size)?;
        Ok(Self { vision, llm })
    }
}

/// Keys that a published `config.json` leaves out have transformers' class defaults.
fn vision_config(keys: &Keys, hidden_size: usize) -> Result<PatchVisionConfig, Error> {
    let or = |key: &str, default: usize| Ok::<_, Error>(keys.opt_usize(key)?.unwrap_or(default));
    let activation = keys.opt_str("hidden_act")?.unwrap_or("silu");
    if activation != "silu" {
        return Err(keys.wrong("hidden_act", activation, "silu"));
    }
    let config = PatchVisionConfig {
        hidden_size: or("hidden_size", 1280)?,
        intermediate_size: or("intermediate_size", 3420)?,
        num_layers: or("depth", 32)?,
        num_heads: or("num_heads", 16)?,
        patch_size: or("patch_size", 14)?,
        temporal_patch_size: or("temporal_patch_size", 2)?,
        merge_size: or("spatial_merge_size", 2)?,
        window_size: or("window_size", 112)?,
        full_attention_blocks: blocks(keys)?,
    };
    check(&config, keys)?;
    match or("out_hidden_size", hidden_size)? {
        out if out == hidden_size => Ok(config),
        out => {
            let expected = format!("the language model's width of {hidden_size}");
            Err(keys.wrong("out_hidden_size", out, &expected))
        }
    }
}

fn blocks(keys: &Keys) -> Result<Vec<usize>, Error> {
    const KEY: &str = "fullatt_block_indexes";
    let Some(value) = keys.get(KEY) else { return Ok(vec![7, 15, 23, 31]) };
    let listed = value.as_array().map(|list| list.iter().map(Value::as_u64).collect());
    let listed: Option<Vec<u64>> = listed.flatten();
    let listed = listed.ok_or_else(|| keys.wrong(KEY, value, "a list of block numbers"))?;
    Ok(listed.into_iter().map(|block| block as usize).collect())
}

fn check(config: &PatchVisionConfig, keys: &Keys) -> Result<(), Error> {
    let positive = [
        ("hidden_size", config.hidden_size),
        ("intermediate_size", config.intermediate_size),
        ("depth", config.num_layers),
        ("num_heads", config.num_heads),
        ("patch_size", config.patch_size),
        ("temporal_patch_size", config.temporal_patch_size),
        ("spatial_merge_size", config.merge_size),
    ];
    if let Some((key, _)) = positive.iter().find(|(_, size)| *size == 0) {
        return Err(keys.wrong(key, 0, "a positive number"));
    }
    // Half of a head turns by the row, half by the column, each in pairs of components.
    if !config.hidden_size.is_multiple_of(4 * config.num_heads) {
        let expected = format!("a multiple of 4 times the {} attention heads", config.num_heads);
        return Err(keys.wrong("hidden_size", config.hidden_size, &expected));
    }
    if config.window_tokens() == 0 {
        let least = config.patch_size * config.merge_size;
        let expected = format!("at least one token of {least} pixels");
        return Err(keys.wrong("window_size", config.window_size, &expected));
    }
    Ok(())
}
