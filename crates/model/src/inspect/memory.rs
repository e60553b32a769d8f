//! How much memory a model takes, estimated from its configuration alone.

use serde::Serialize;
use tensor::DType;

use super::shapes::{ImageShapes, Shapes, count};
use crate::cache::KvCache;
use crate::config::LlmConfig;
use crate::config::llm::Linear;
use crate::llm::block::ROWS_AT_ONCE;
use crate::llm::{Keep, LlmTraining};
use crate::vlm::Trainable;

const F32: usize = size_of::<f32>();

/// What is to be run.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Workload {
    /// Rows of a pack in training; tokens of all sequences together in inference.
    pub num_tokens: usize,
    /// Image tiles among them, where images are cut into tiles.
    pub num_tiles: usize,
    /// Rows of the largest image, where images are patches of any size; all of `num_tokens` when absent.
    pub image_rows: Option<usize>,
    /// How frozen matrices are held.
    #[serde(skip)]
    pub dtype: DType,
    /// What the language model keeps for its backward pass.
    #[serde(skip)]
    pub keep: Keep,
    /// Rank of the low-rank terms, where they train.
    pub lora_rank: usize,
    /// Whether a value head is to be grown on a model that has none.
    pub grow_head: bool,
}

/// Bytes, by what they are for. An estimate: buffers are reused, and what lives at the same time
/// depends on the kernels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Memory {
    /// Weights as they are held.
    pub weights: u64,
    /// Gradients, f32 values and AdamW's two moments of what trains.
    pub optimizer: u64,
    /// Keys and values of the tokens seen.
    pub cache: u64,
    /// What passes through, at its peak.
    pub activations: u64,
}

impl Memory {
    /// All of it.
    pub fn total(&self) -> u64 {
        self.weights + self.optimizer + self.cache + self.activations
    }

    /// Memory of generating text with so many tokens in the cache, or of scoring as many without one.
    pub fn inference(shapes: &Shapes<'_>, workload: &Workload) -> Self {
        let rows = workload.num_tokens;
        let cache = rows * KvCache::bytes_per_row(shapes.llm);
        let encoder = shapes.images.as_ref().map_or(0, |images| images.frozen_bytes(workload));
        Self {
            weights: weight_bytes(shapes, None, workload),
            optimizer: 0,
            cache: if shapes.judges { 0 } else { cache as u64 },
            activations: encoder.max(working_bytes(shapes.llm, rows, ROWS_AT_ONCE)) as u64,
        }
    }

    /// Memory of a training step on one pack of so many rows.
    pub fn training(shapes: &Shapes<'_>, trainable: Trainable, workload: &Workload) -> Self {
        let parameters = num_trainable(shapes, trainable, workload.lora_rank);
        let hidden = shapes.llm.hidden_size;
        let kept = kept_bytes(shapes.llm, workload);
        // A block's backward pass holds its tape and about as much in gradients.
        let in_parts = trainable.llm() == LlmTraining::Frozen && workload.keep == Keep::Inputs;
        let at_once = if in_parts { ROWS_AT_ONCE } else { workload.num_tokens };
        let language = kept + 2 * working_bytes(shapes.llm, workload.num_tokens, at_once);
        let images = shapes.images.as_ref();
        let adapter = |images: &ImageShapes| {
            images.language_rows(workload) * (2 * images.feature_size + 3 * hidden) * F32
        };
        let adapter = images.map_or(0, adapter);
        let activations = match (images, trainable.vision()) {
            (None, _) => language,
            (Some(images), false) => adapter + language.max(images.frozen_bytes(workload)),
            (Some(images), true) => adapter + language + images.training_bytes(workload),
        };
        Self {
            weights: weight_bytes(shapes, Some(trainable), workload),
            optimizer: (parameters * 4 * F32) as u64,
            cache: 0,
            activations: activations as u64,
        }
    }
}

/// Parameters that train under a setting: of a reward model the value head always, the language model's own head never.
pub fn num_trainable(shapes: &Shapes<'_>, trainable: Trainable, lora_rank: usize) -> usize {
    let images = shapes.images.as_ref();
    let adapter = images.filter(|_| trainable.adapter()).map_or(0, |images| count(&images.adapter));
    let vision = images.filter(|_| trainable.vision()).map_or(0, |images| count(&images.encoder));
    let llm = match trainable.llm() {
        LlmTraining::Frozen => 0,
        LlmTraining::Full => shapes.trained_language(),
        LlmTraining::Lora => {
            let sides = Linear::ALL.iter().map(|l| l.shape(shapes.llm).iter().sum::<usize>());
            shapes.llm.num_layers * lora_rank * sides.sum::<usize>()
        }
    };
    adapter + vision + llm + shapes.value_head()
}

/// Matrices in the chosen format unless they train, everything else in f32.
fn weight_bytes(shapes: &Shapes<'_>, trainable: Option<Trainable>, workload: &Workload) -> u64 {
    let held = |tensors: &[(String, Vec<usize>)], dtype: DType| -> usize {
        let bytes = |name: &str, shape: &[usize]| {
            let is_table = name.contains("embed_tokens") || name.contains("lm_head");
            let dtype = if is_table { dtype.of_tables() } else { dtype };
            let dtype = if shape.len() < 2 { DType::F32 } else { dtype };
            dtype.bytes(shape.iter().product())
        };
        tensors.iter().map(|(name, shape)| bytes(name, shape)).sum()
    };
    let unless = |trains: bool, dtype: DType| if trains { DType::F32 } else { dtype };
    let vision = unless(trainable.is_some_and(Trainable::vision), workload.dtype.of_encoders());
    let llm_trains = trainable.is_some_and(|setting| setting.llm() == LlmTraining::Full);
    let images = shapes.images.as_ref();
    let images = images
        .map_or(0, |images| held(&images.encoder, vision) + held(&images.adapter, DType::F32));
    let language = held(&shapes.language(), unless(llm_trains, workload.dtype));
    (images + language + shapes.value_head() * F32) as u64
}

/// What a block of the language model holds at once: its tape, of the wide layers some rows only, its input and output,
/// a norm's.
fn working_bytes(config: &LlmConfig, rows: usize, at_once: usize) -> usize {
    let wide = config.wide_bytes(rows.min(at_once));
    config.attention_tape_bytes(rows) + wide + 3 * rows * config.hidden_size * F32
}

/// What the language model keeps between its passes.
fn kept_bytes(config: &LlmConfig, workload: &Workload) -> usize {
    let rows = workload.num_tokens;
    let inputs = (config.num_layers + 1) * rows * config.hidden_size * F32;
    let tapes = config.num_layers * config.block_tape_bytes(rows);
    match workload.keep {
        Keep::Inputs => inputs,
        Keep::All => inputs + tapes,
        Keep::Budget(bytes) => inputs.max(bytes.min(inputs + tapes)),
    }
}
