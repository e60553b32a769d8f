//! Shapes and constants of a vision encoder: InternViT, DINOv2, SigLIP.
//!
//! All three are pre-norm vision transformers; they differ by the flags of [`VisionConfig`] and by
//! the names of their tensors. Flags, not model names, decide what is computed.

use serde_json::Value;
use tensor::ops::Gelu;

use super::keys::Keys;
use crate::Error;

/// The families of vision encoders, which fixes the names of their tensors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VisionFamily {
    /// InternViT, either variant.
    InternVit,
    /// DINOv2 without registers.
    Dinov2,
    /// The vision half of SigLIP.
    Siglip,
}

/// Which normalisation stands before attention and MLP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NormKind {
    /// Root mean square, weight only.
    Rms,
    /// Mean and variance, weight and bias.
    Layer,
}

/// Shapes and constants of a vision transformer.
#[derive(Clone, Debug, PartialEq)]
pub struct VisionConfig {
    /// Which family's tensor names the checkpoint follows.
    pub family: VisionFamily,
    /// Width of the residual stream.
    pub hidden_size: usize,
    /// Width of the MLP.
    pub intermediate_size: usize,
    /// Number of blocks.
    pub num_layers: usize,
    /// Attention heads; each is `hidden_size / num_heads` wide.
    pub num_heads: usize,
    /// Side of the square images that the position table was made for, in pixels.
    pub image_size: usize,
    /// Side of a patch, in pixels.
    pub patch_size: usize,
    /// Whether query, key and value projections have a bias.
    pub qkv_bias: bool,
    /// Whether queries and keys pass an RMSNorm over the full width, before they are split into heads.
    pub qk_norm: bool,
    /// The norm before attention and MLP.
    pub norm: NormKind,
    /// Epsilon of every norm.
    pub norm_eps: f32,
    /// Activation of the MLP.
    pub activation: Gelu,
    /// Whether a learned row precedes the patches.
    pub class_token: bool,
    /// Whether each branch is multiplied by a learned vector before it is added.
    pub layer_scale: bool,
    /// Whether a norm follows the last block.
    pub final_norm: bool,
}

impl VisionFamily {
    /// `model_type` in `config.json`.
    pub fn name(self) -> &'static str {
        match self {
            Self::InternVit => "intern_vit_6b",
            Self::Dinov2 => "dinov2",
            Self::Siglip => "siglip_vision_model",
        }
    }
}

impl VisionConfig {
    /// Reads the content of an encoder's `config.json`. The two-tower `config.json` of SigLIP is
    /// read through its `vision_config`.
    ///
    /// # Errors
    /// When a key is missing or malformed, or the encoder needs something this program does not
    /// compute (registers, SwiGLU).
    pub fn from_json(config: &Value) -> Result<Self, Error> {
        Self::from_json_at(config, "")
    }

    /// As [`from_json`](Self::from_json), for an object nested under `path` (`vision_config.`),
    /// which error messages then name.
    ///
    /// # Errors
    /// As [`from_json`](Self::from_json).
    pub fn from_json_at(config: &Value, path: &str) -> Result<Self, Error> {
        let keys = Keys::new(config, path);
        let kind = keys.opt_str("model_type")?.unwrap_or_default();
        let config = match kind {
            "siglip" => {
                let inner =
                    keys.get("vision_config").ok_or_else(|| keys.missing("vision_config"))?;
                let path = format!("{path}vision_config.");
                siglip(&Keys::new(inner, &path))?
            }
            "siglip_vision_model" => siglip(&keys)?,
            "dinov2" => dinov2(&keys)?,
            // InternViT goes by several model types; its two variants are told apart by flags.
            _ if keys.get("qk_normalization").is_some() => intern_vit(&keys)?,
            other => {
                let expected = "intern_vit_6b, dinov2 or siglip_vision_model";
                return Err(keys.wrong("model_type", other, expected));
            }
        };
        config.check(&keys)?;
        Ok(config)
    }

    /// Patches along one side of an image of `image_size`.
    pub fn grid(&self) -> usize {
        self.image_size / self.patch_size
    }

    /// Rows of the position table.
    pub fn num_positions(&self) -> usize {
        self.grid() * self.grid() + usize::from(self.class_token)
    }

    /// Values of a patch: three channels, `patch_size` squared.
    pub fn patch_values(&self) -> usize {
        3 * self.patch_size * self.patch_size
    }

    fn check(&self, keys: &Keys) -> Result<(), Error> {
        let sizes = [
            ("hidden_size", self.hidden_size),
            ("intermediate_size", self.intermediate_size),
            ("num_hidden_layers", self.num_layers),
            ("num_attention_heads", self.num_heads),
            ("patch_size", self.patch_size),
        ];
        if let Some((key, _)) = sizes.iter().find(|(_, size)| *size == 0) {
            return Err(keys.wrong(key, 0, "a positive number"));
        }
        if !self.hidden_size.is_multiple_of(self.num_heads) {
            let expected = format!("a multiple of the {} attention heads", self.num_heads);
            return Err(keys.wrong("hidden_size", self.hidden_size, &expected));
        }
        if self.grid() == 0 {
            let expected = format!("at least one patch of {}", self.patch_size);
            return Err(keys.wrong("image_size", self.image_size, &expected));
        }
        Ok(())
    }
}

/// InternViT's class defaults differ from its checkpoints, so every key must be there.
fn intern_vit(keys: &Keys) -> Result<VisionConfig, Error> {
    let required = |key: &str| keys.opt_bool(key)?.ok_or_else(|| keys.missing(key));
    let norm = match keys.opt_str("norm_type")?.ok_or_else(|| keys.missing("norm_type"))? {
        "rms_norm" => NormKind::Rms,
        "layer_norm" => NormKind::Layer,
        other => return Err(keys.wrong("norm_type", other, "rms_norm or layer_norm")),
    };
    Ok(VisionConfig {
        family: VisionFamily::InternVit,
        hidden_size: keys.usize("hidden_size")?,
        intermediate_size: keys.usize("intermediate_size")?,
        num_layers: keys.usize("num_hidden_layers")?,
        num_heads: keys.usize("num_attention_heads")?,
        image_size: keys.usize("image_size")?,
        patch_size: keys.usize("patch_size")?,
        qkv_bias: required("qkv_bias")?,
        qk_norm: required("qk_normalization")?,
        norm,
        norm_eps: keys.f64("layer_norm_eps")? as f32,
        activation: activation(keys, "gelu")?,
        class_token: true,
        layer_scale: true,
        final_norm: false,
    })
}

/// Keys that a DINOv2 `config.json` leaves out have transformers' class defaults.
fn dinov2(keys: &Keys) -> Result<VisionConfig, Error> {
    if keys.opt_bool("use_swiglu_ffn")?.unwrap_or(false) {
        let expected =
            "false (of DINOv2, the giant size alone has a SwiGLU; small, base and large work)";
        return Err(keys.wrong("use_swiglu_ffn", true, expected));
    }
    let hidden_size = keys.opt_usize("hidden_size")?.unwrap_or(768);
    Ok(VisionConfig {
        family: VisionFamily::Dinov2,
        hidden_size,
        intermediate_size: hidden_size.saturating_mul(keys.opt_usize("mlp_ratio")?.unwrap_or(4)),
        num_layers: keys.opt_usize("num_hidden_layers")?.unwrap_or(12),
        num_heads: keys.opt_usize("num_attention_heads")?.unwrap_or(12),
        image_size: keys.opt_usize("image_size")?.unwrap_or(224),
        patch_size: keys.opt_usize("patch_size")?.unwrap_or(14),
        qkv_bias: keys.opt_bool("qkv_bias")?.unwrap_or(true),
        qk_norm: false,
        norm: NormKind::Layer,
        norm_eps: keys.opt_f64("layer_norm_eps")?.unwrap_or(1e-6) as f32,
        activation: activation(keys, "gelu")?,
        class_token: true,
        layer_scale: true,
        final_norm: true,
    })
}

/// Keys that a SigLIP `config.json` leaves out have transformers' class defaults.
fn siglip(keys: &Keys) -> Result<VisionConfig, Error> {
    Ok(VisionConfig {
        family: VisionFamily::Siglip,
        hidden_size: keys.opt_usize("hidden_size")?.unwrap_or(768),
        intermediate_size: keys.opt_usize("intermediate_size")?.unwrap_or(3072),
        num_layers: keys.opt_usize("num_hidden_layers")?.unwrap_or(12),
        num_heads: keys.opt_usize("num_attention_heads")?.unwrap_or(12),
        image_size: keys.opt_usize("image_size")?.unwrap_or(224),
        patch_size: keys.opt_usize("patch_size")?.unwrap_or(16),
        qkv_bias: true,
        qk_norm: false,
        norm: NormKind::Layer,
        norm_eps: keys.opt_f64("layer_norm_eps")?.unwrap_or(1e-6) as f32,
        activation: activation(keys, "gelu_pytorch_tanh")?,
        class_token: false,
        layer_scale: false,
        final_norm: true,
    })
}

fn activation(keys: &Keys, default: &str) -> Result<Gelu, Error> {
    match keys.opt_str("hidden_act")?.unwrap_or(default) {
        "gelu" => Ok(Gelu::Erf),
        "gelu_pytorch_tanh" | "gelu_new" => Ok(Gelu::Tanh),
        other => Err(keys.wrong("hidden_act", other, "gelu or gelu_pytorch_tanh")),
    }
}
