//! What a model folder holds, what of it trains under each setting, and the memory that takes.
//!
//! Nothing but headers is read, so that a plan can be printed before weights load.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::Value;

use crate::Error;
use crate::adapter;
use crate::config::gguf::from_gguf;
use crate::config::vlm::read_json;
use crate::config::{LlmConfig, VisionConfig, VlmConfig};
use crate::vision;
use crate::vlm::{LLM_PREFIX, Trainable};
use crate::weights::{Checkpoint, StoredTensor};

mod memory;

pub use memory::{Memory, Workload, num_trainable};

/// A model folder, summarised.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Inspection {
    /// The folder or file.
    pub path: PathBuf,
    /// The class that other programs load it with.
    pub architecture: String,
    /// The parts, in the order of the flow.
    pub parts: Vec<PartSummary>,
    /// Parameters in all.
    pub num_parameters: usize,
    /// Bytes of all tensors on disk.
    pub bytes: u64,
    /// How images enter; `None` for a part alone.
    pub images: Option<ImageSummary>,
    /// Longest context in tokens; `None` for an encoder alone.
    pub context_length: Option<usize>,
    /// Tokens outside the plain vocabulary, with their ids.
    pub special_tokens: Vec<(String, u32)>,
    /// Memory of generating text; `None` for a part alone.
    pub inference: Option<Memory>,
    /// What trains under each setting; empty for a part alone.
    pub trains: Vec<TrainSummary>,
}

/// One part of a model.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PartSummary {
    /// `vision`, `adapter` or `llm`.
    pub part: &'static str,
    /// Its kind: `dinov2`, `mlp1`, `llama`.
    pub kind: String,
    /// Sizes that describe it, by name.
    pub sizes: BTreeMap<&'static str, usize>,
    /// Parameters.
    pub num_parameters: usize,
    /// Bytes on disk.
    pub bytes: u64,
    /// Bytes on disk by number format.
    pub dtypes: BTreeMap<String, u64>,
}

/// How images enter a model.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ImageSummary {
    /// Side of a tile in pixels.
    pub tile_size: usize,
    /// Patches along each side of a token.
    pub unshuffle: usize,
    /// Tokens that a tile becomes.
    pub tokens_per_tile: usize,
    /// Width of a feature: what the adapter takes.
    pub feature_size: usize,
}

/// What trains under a setting.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TrainSummary {
    /// The setting's name.
    pub setting: String,
    /// Parameters that train.
    pub num_parameters: usize,
    /// Memory of a training step.
    pub memory: Memory,
}

/// The configurations of what a folder holds.
enum Kind {
    Whole(Box<VlmConfig>),
    Encoder(VisionConfig),
    Language(LlmConfig),
}

/// Summarises a model folder, the folder of an encoder or a language model alone, or a GGUF file.
/// `workload` is what memory is estimated for.
///
/// # Errors
/// When a configuration cannot be read or the tensors are not exactly those it implies.
pub fn inspect(path: &Path, workload: &Workload) -> Result<Inspection, Error> {
    let checkpoint = Checkpoint::open(path)?;
    let config = match checkpoint.gguf() {
        Some(file) => from_gguf(file)?.to_json(),
        None => read_json(&path.join("config.json"))?,
    };
    let (kind, checkpoint) = sort(&config, checkpoint)?;
    let stored = checkpoint.tensors();
    let parts = summaries(&kind);
    let parts: Vec<PartSummary> = parts.into_iter().map(|part| part.finish(&stored)).collect();
    checkpoint.check(&kind.tensors())?;
    Ok(Inspection {
        path: path.to_owned(),
        architecture: architecture(&config),
        num_parameters: parts.iter().map(|part| part.num_parameters).sum(),
        bytes: parts.iter().map(|part| part.bytes).sum(),
        images: kind.whole().map(images),
        context_length: kind.llm().map(|llm| llm.max_positions),
        special_tokens: special_tokens(path)?,
        inference: kind.whole().map(|config| Memory::inference(config, workload)),
        trains: kind.whole().map(|config| trains(config, workload)).unwrap_or_default(),
        parts,
    })
}

impl Kind {
    fn whole(&self) -> Option<&VlmConfig> {
        match self {
            Self::Whole(config) => Some(config),
            Self::Encoder(_) | Self::Language(_) => None,
        }
    }

    fn llm(&self) -> Option<&LlmConfig> {
        match self {
            Self::Whole(config) => Some(&config.llm),
            Self::Language(config) => Some(config),
            Self::Encoder(_) => None,
        }
    }

    fn tensors(&self) -> Vec<(String, Vec<usize>)> {
        match self {
            Self::Encoder(config) => vision::tensors(config),
            Self::Language(config) => config.tensors(LLM_PREFIX),
            Self::Whole(config) => {
                let mut tensors = vision::tensors(&config.vision);
                tensors.extend(adapter::tensors(config.feature_size(), config.llm.hidden_size));
                tensors.extend(config.llm.tensors(LLM_PREFIX));
                tensors
            }
        }
    }
}

/// Tells what the folder holds, and names its tensors as in an assembled model.
fn sort(config: &Value, mut checkpoint: Checkpoint) -> Result<(Kind, Checkpoint), Error> {
    if config.get("llm_config").is_some() {
        let mut config = VlmConfig::from_json(config.clone())?;
        set_vocabulary(&mut config.llm, &mut checkpoint)?;
        return Ok((Kind::Whole(Box::new(config)), checkpoint));
    }
    if let Ok(config) = VisionConfig::from_json(config) {
        for other in ["text_model.", "logit_"] {
            checkpoint.skip_prefix(other);
        }
        if !checkpoint.has_prefix(vision::PREFIX) {
            checkpoint = checkpoint.under(vision::PREFIX);
        }
        return Ok((Kind::Encoder(config), checkpoint));
    }
    let mut config = LlmConfig::from_json(config)?;
    checkpoint = checkpoint.under(LLM_PREFIX);
    set_vocabulary(&mut config, &mut checkpoint)?;
    Ok((Kind::Language(config), checkpoint))
}

/// The embedding table, not the configuration, says how large the vocabulary is.
fn set_vocabulary(config: &mut LlmConfig, checkpoint: &mut Checkpoint) -> Result<(), Error> {
    let shape = checkpoint.shape(&format!("{LLM_PREFIX}model.embed_tokens.weight"))?;
    config.vocab_size = shape.first().copied().unwrap_or_default();
    if config.tied_head {
        checkpoint.skip(&format!("{LLM_PREFIX}lm_head.weight"));
    }
    Ok(())
}

/// A part's description, and what its tensors' names begin with.
struct Described {
    prefix: &'static str,
    part: &'static str,
    kind: String,
    sizes: BTreeMap<&'static str, usize>,
}

impl Described {
    fn finish(self, stored: &[StoredTensor]) -> PartSummary {
        let Self { prefix, part, kind, sizes } = self;
        let own = stored.iter().filter(|tensor| tensor.name.starts_with(prefix));
        let (mut num_parameters, mut dtypes) = (0, BTreeMap::new());
        for tensor in own {
            num_parameters += tensor.shape.iter().product::<usize>();
            *dtypes.entry(tensor.dtype.clone()).or_default() += tensor.bytes;
        }
        let bytes = dtypes.values().sum();
        PartSummary { part, kind, sizes, num_parameters, bytes, dtypes }
    }
}

fn summaries(kind: &Kind) -> Vec<Described> {
    match kind {
        Kind::Encoder(config) => vec![describe_encoder(config)],
        Kind::Language(config) => vec![describe_language(config)],
        Kind::Whole(config) => {
            let sizes =
                [("features", config.feature_size()), ("hidden", config.llm.hidden_size)].into();
            let (prefix, kind) = (adapter::PREFIX, "mlp1".to_owned());
            let adapter = Described { prefix, part: "adapter", kind, sizes };
            vec![describe_encoder(&config.vision), adapter, describe_language(&config.llm)]
        }
    }
}

fn describe_encoder(config: &VisionConfig) -> Described {
    Described {
        prefix: vision::PREFIX,
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

fn describe_language(config: &LlmConfig) -> Described {
    Described {
        prefix: LLM_PREFIX,
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

fn images(config: &VlmConfig) -> ImageSummary {
    ImageSummary {
        tile_size: config.tile_size,
        unshuffle: config.unshuffle,
        tokens_per_tile: config.tokens_per_tile(),
        feature_size: config.feature_size(),
    }
}

fn trains(config: &VlmConfig, workload: &Workload) -> Vec<TrainSummary> {
    let summary = |setting: Trainable| TrainSummary {
        setting: setting.to_string(),
        num_parameters: num_trainable(config, setting, workload.lora_rank),
        memory: Memory::training(config, setting, workload),
    };
    Trainable::ALL.into_iter().map(summary).collect()
}

fn architecture(config: &Value) -> String {
    let named = config["architectures"][0].as_str().or_else(|| config["model_type"].as_str());
    named.unwrap_or("unknown").to_owned()
}

/// The added tokens of a folder's `tokenizer.json`, by id.
fn special_tokens(folder: &Path) -> Result<Vec<(String, u32)>, Error> {
    let path = folder.join("tokenizer.json");
    if !path.is_file() {
        return Ok(Vec::new());
    }
    let tokenizer = read_json(&path)?;
    let added = tokenizer["added_tokens"].as_array().into_iter().flatten();
    let named = added.filter_map(|entry| {
        let id = entry["id"].as_u64().and_then(|id| u32::try_from(id).ok())?;
        Some((entry["content"].as_str()?.to_owned(), id))
    });
    let mut tokens: Vec<(String, u32)> = named.collect();
    tokens.sort_by_key(|(_, id)| *id);
    Ok(tokens)
}
