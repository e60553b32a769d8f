//! What each family of encoders calls its tensors.

use crate::config::vision::VisionFamily;

/// Names relative to `vision_model.`; those of a block relative to the block.
pub(super) struct Names {
    /// The row before the patches; unused without a class token.
    pub(super) class: &'static str,
    /// The convolution that embeds patches.
    pub(super) patch: &'static str,
    /// The position table.
    pub(super) position: &'static str,
    /// What precedes a block's number.
    pub(super) blocks: &'static str,
    /// The norms before attention and MLP.
    pub(super) norms: [&'static str; 2],
    /// Query, key and value.
    pub(super) qkv: QkvNames,
    /// The attention output.
    pub(super) output: &'static str,
    /// The layer scales after attention and MLP; unused without them.
    pub(super) scales: [&'static str; 2],
    /// The norm after the last block; unused without one.
    pub(super) final_norm: &'static str,
}

/// One matrix for queries, keys and values, or three.
#[derive(Clone, Copy)]
pub(super) enum QkvNames {
    Fused(&'static str),
    Split([&'static str; 3]),
}

impl QkvNames {
    /// The matrices with their numbers of outputs.
    pub(super) fn outputs(self, width: usize) -> Vec<(&'static str, usize)> {
        match self {
            Self::Fused(name) => vec![(name, 3 * width)],
            Self::Split(names) => names.map(|name| (name, width)).to_vec(),
        }
    }
}

const INTERN_VIT: Names = Names {
    class: "embeddings.class_embedding",
    patch: "embeddings.patch_embedding",
    position: "embeddings.position_embedding",
    blocks: "encoder.layers",
    norms: ["norm1", "norm2"],
    qkv: QkvNames::Fused("attn.qkv"),
    output: "attn.proj",
    scales: ["ls1", "ls2"],
    final_norm: "",
};

const DINOV2: Names = Names {
    class: "embeddings.cls_token",
    patch: "embeddings.patch_embeddings.projection",
    position: "embeddings.position_embeddings",
    blocks: "encoder.layer",
    norms: ["norm1", "norm2"],
    qkv: QkvNames::Split([
        "attention.attention.query",
        "attention.attention.key",
        "attention.attention.value",
    ]),
    output: "attention.output.dense",
    scales: ["layer_scale1.lambda1", "layer_scale2.lambda1"],
    final_norm: "layernorm",
};

const SIGLIP: Names = Names {
    class: "",
    patch: "embeddings.patch_embedding",
    position: "embeddings.position_embedding.weight",
    blocks: "encoder.layers",
    norms: ["layer_norm1", "layer_norm2"],
    qkv: QkvNames::Split(["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"]),
    output: "self_attn.out_proj",
    scales: ["", ""],
    final_norm: "post_layernorm",
};

/// The names of a family.
pub(super) fn names(family: VisionFamily) -> &'static Names {
    match family {
        VisionFamily::InternVit => &INTERN_VIT,
        VisionFamily::Dinov2 => &DINOV2,
        VisionFamily::Siglip => &SIGLIP,
    }
}
