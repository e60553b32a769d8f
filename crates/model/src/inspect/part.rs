//! The parts of a model: their kinds, sizes, parameters and bytes.

use std::collections::BTreeMap;

use serde::Serialize;

use super::kind::{Found, Kind};
use crate::adapter::{MERGER_PREFIX, PREFIX};
use crate::config::{LlmConfig, PatchVisionConfig, VisionConfig};
use crate::patch_vision;
use crate::vision;
use crate::weights::StoredTensor;

/// Sizes by name.
type Sizes = BTreeMap<&'static str, usize>;

/// One part of a model.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PartSummary {
    /// `vision`, `adapter`, `llm` or `value head`.
    pub part: &'static str,
    /// Its kind: `dinov2`, `qwen2_5_vl`, `mlp1`, `merger`, `llama`, `v_head.summary`, `score`.
    pub kind: String,
    /// Sizes that describe it, by name.
    pub sizes: Sizes,
    /// Parameters.
    pub num_parameters: usize,
    /// Bytes on disk.
    pub bytes: u64,
    /// Bytes on disk by number format.
    pub dtypes: BTreeMap<String, u64>,
}

/// A part's description, and what its tensors' names begin with.
struct Described {
    prefix: String,
    part: &'static str,
    kind: String,
    sizes: Sizes,
}

/// The parts in the order of the flow. A tensor belongs to the part with the longest prefix that its name has.
pub(super) fn parts(found: &Found, stored: &[StoredTensor]) -> Vec<PartSummary> {
    let described = describe(found);
    let owner = |tensor: &StoredTensor| {
        let own = described.iter().filter(|part| tensor.name.starts_with(&part.prefix));
        own.map(|part| part.prefix.as_str()).max_by_key(|prefix| prefix.len())
    };
    let summary = |part: &Described| {
        let own = stored.iter().filter(|tensor| owner(tensor) == Some(part.prefix.as_str()));
        let (mut num_parameters, mut dtypes) = (0, BTreeMap::new());
        for tensor in own {
            num_parameters += tensor.shape.iter().product::<usize>();
            *dtypes.entry(tensor.dtype.clone()).or_default() += tensor.bytes;
        }
        let (bytes, sizes) = (dtypes.values().sum(), part.sizes.clone());
        let (part, kind) = (part.part, part.kind.clone());
        PartSummary { part, kind, sizes, num_parameters, bytes, dtypes }
    };
    described.iter().map(summary).collect()
}

fn describe(found: &Found) -> Vec<Described> {
    let language = |llm| describe_language(llm, found.kind.llm_prefix());
    let mut parts = match &found.kind {
        Kind::Encoder(config) => vec![describe_encoder(config)],
        Kind::Language(config) => vec![language(config)],
        Kind::Tiles(config) => {
            let adapter = (PREFIX, "mlp1", config.feature_size());
            let encoder = describe_encoder(&config.vision);
            vec![encoder, describe_adapter(adapter, &config.llm), language(&config.llm)]
        }
        Kind::Patches(config) => {
            let adapter = (MERGER_PREFIX, "merger", config.vision.feature_size());
            let encoder = describe_patches(&config.vision);
            vec![encoder, describe_adapter(adapter, &config.llm), language(&config.llm)]
        }
    };
    if let (Some(head), Some(llm)) = (&found.head, found.kind.llm()) {
        let (kind, sizes) = (head.layout.name().to_owned(), [("hidden", llm.hidden_size)].into());
        parts.push(Described { prefix: head.prefix.clone(), part: "value head", kind, sizes });
    }
    parts
}

fn describe_encoder(config: &VisionConfig) -> Described {
    Described {
        prefix: vision::PREFIX.to_owned(),
        part: "vision",
        kind: config.family.name().to_owned(),
        sizes: [
            ("hidden", config.hidden_size),
            ("intermediate", config.intermediate_size),
            ("layers", config.num_layers),
            ("heads", config.num_heads),
            ("image", config.image_size),
            ("patch", config.patch_size),
        ]
        .into(),
    }
}

fn describe_patches(config: &PatchVisionConfig) -> Described {
    Described {
        prefix: patch_vision::PREFIX.to_owned(),
        part: "vision",
        kind: "qwen2_5_vl".to_owned(),
        sizes: [
            ("hidden", config.hidden_size),
            ("intermediate", config.intermediate_size),
            ("layers", config.num_layers),
            ("heads", config.num_heads),
            ("patch", config.patch_size),
            ("window", config.window_size),
            ("whole_image_layers", config.full_attention_blocks.len()),
        ]
        .into(),
    }
}

fn describe_adapter((prefix, kind, features): (&str, &str, usize), llm: &LlmConfig) -> Described {
    let sizes = [("features", features), ("hidden", llm.hidden_size)].into();
    Described { prefix: prefix.to_owned(), part: "adapter", kind: kind.to_owned(), sizes }
}

fn describe_language(config: &LlmConfig, prefix: &str) -> Described {
    Described {
        prefix: prefix.to_owned(),
        part: "llm",
        kind: config.family.name().to_owned(),
        sizes: [
            ("hidden", config.hidden_size),
            ("intermediate", config.intermediate_size),
            ("layers", config.num_layers),
            ("heads", config.heads.query),
            ("key_value_heads", config.heads.key_value),
            ("head", config.heads.dim),
            ("vocabulary", config.vocab_size),
        ]
        .into(),
    }
}
