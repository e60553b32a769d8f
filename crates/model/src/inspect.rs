//! What a model folder holds, what of it trains under each setting, and the memory that takes.
//!
//! Nothing but headers is read, so that a plan can be printed before weights load.

use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::Value;

use crate::Error;
use crate::config::gguf::from_gguf;
use crate::config::vlm::read_json;
use crate::config::{PatchVisionConfig, VlmConfig};
use crate::vlm::Trainable;
use crate::weights::Checkpoint;

mod kind;
mod part;
mod shapes;
mod memory;

use kind::{Found, Kind};
pub use memory::{Memory, Workload, num_trainable};
pub use part::PartSummary;
pub use shapes::{ImageShapes, Shapes};

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
    /// Whether it is a reward model, or is to become one.
    pub judges: bool,
    /// Memory of generating text, or of scoring it; `None` for a part alone.
    pub inference: Option<Memory>,
    /// What trains under each setting; empty for a part alone.
    pub trains: Vec<TrainSummary>,
}

/// How images enter a model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum ImageSummary {
    /// Cut into square tiles.
    Tiles {
        /// Side of a tile in pixels.
        tile_size: usize,
        /// Patches along each side of a token.
        unshuffle: usize,
        /// Tokens that a tile becomes.
        tokens_per_tile: usize,
        /// Width of a feature: what the adapter takes.
        feature_size: usize,
    },
    /// As patches of the image's own size.
    Patches {
        /// Side of a patch in pixels.
        patch_size: usize,
        /// Patches along each side of a token.
        merge_size: usize,
        /// Side of an attention window in pixels.
        window_size: usize,
        /// Width of a feature: what the adapter takes.
        feature_size: usize,
    },
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

/// Summarises a model folder of either layout, with or without a value head, the folder of an encoder or a language
/// model alone, or a GGUF file. `workload` is what memory is estimated for.
///
/// # Errors
/// When a configuration cannot be read or the tensors are not exactly those it implies.
pub fn inspect(path: &Path, workload: &Workload) -> Result<Inspection, Error> {
    let checkpoint = Checkpoint::open(path)?;
    let config = match checkpoint.gguf() {
        Some(file) => from_gguf(file)?.to_json(),
        None => read_json(&path.join("config.json"))?,
    };
    let found = Found::sort(path, &config, checkpoint)?;
    let parts = part::parts(&found, &found.tensors());
    let judges = found.head.is_some() || workload.grow_head;
    let shapes = found.kind.shapes().map(|shapes| Shapes { judges, ..shapes });
    // A language model alone is a whole model only where it judges.
    let whole = shapes.filter(|shapes| shapes.images.is_some() || judges);
    Ok(Inspection {
        path: path.to_owned(),
        architecture: architecture(&config),
        num_parameters: parts.iter().map(|part| part.num_parameters).sum(),
        bytes: parts.iter().map(|part| part.bytes).sum(),
        images: images(&found.kind),
        context_length: found.kind.llm().map(|llm| llm.max_positions),
        special_tokens: special_tokens(path)?,
        judges,
        inference: whole.as_ref().map(|shapes| Memory::inference(shapes, workload)),
        trains: whole.map(|shapes| trains(&shapes, workload)).unwrap_or_default(),
        parts,
    })
}

fn images(kind: &Kind) -> Option<ImageSummary> {
    match kind {
        Kind::Tiles(config) => Some(tiles(config)),
        Kind::Patches(config) => Some(patches(&config.vision)),
        Kind::Encoder(_) | Kind::Language(_) => None,
    }
}

fn tiles(config: &VlmConfig) -> ImageSummary {
    ImageSummary::Tiles {
        tile_size: config.tile_size,
        unshuffle: config.unshuffle,
        tokens_per_tile: config.tokens_per_tile(),
        feature_size: config.feature_size(),
    }
}

fn patches(config: &PatchVisionConfig) -> ImageSummary {
    ImageSummary::Patches {
        patch_size: config.patch_size,
        merge_size: config.merge_size,
        window_size: config.window_size,
        feature_size: config.feature_size(),
    }
}

/// The settings that the model allows: an encoder of patches and that of a reward model are always frozen.
fn trains(shapes: &Shapes<'_>, workload: &Workload) -> Vec<TrainSummary> {
    let can_see = shapes.images.as_ref().is_some_and(ImageShapes::can_train) && !shapes.judges;
    let summary = |setting: Trainable| TrainSummary {
        setting: setting.to_string(),
        num_parameters: num_trainable(shapes, setting, workload.lora_rank),
        memory: Memory::training(shapes, setting, workload),
    };
    let allowed = Trainable::ALL.into_iter().filter(|setting| can_see || !setting.vision());
    allowed.map(summary).collect()
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
