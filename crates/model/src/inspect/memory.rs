//! How much memory a model takes, estimated from its configuration alone.

use serde::Serialize;
use tensor::DType;

use crate::adapter;
use crate::cache::KvCache;
use crate::config::llm::Linear;
use crate::config::{LlmConfig, VisionConfig, VlmConfig};
use crate::image_side::ENCODER_ROWS;
use crate::llm::{Keep, LlmTraining};
use crate::vision;
use crate::vlm::{LLM_PREFIX, Trainable};

const F32: usize = size_of::<f32>();

/// What is to be run.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Workload {
    /// Rows of a pack in training; tokens of all sequences together in inference.
    pub num_tokens: usize,
    /// Image tiles among them.
    pub num_tiles: usize,
    /// How frozen matrices are held.
    #[serde(skip)]
    pub dtype: DType,
    /// What the language model keeps for its backward pass.
    #[serde(skip)]
    pub keep: Keep,
    /// Rank of the low-rank terms, where they train.
    pub lora_rank: usize,
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

    /// Memory of generating text with so many tokens in the cache.
    pub fn inference(config: &VlmConfig, workload: &Workload) -> Self {
        let rows = workload.num_tokens;
        let language = working_bytes(&config.llm, rows);
        Self {
            weights: weight_bytes(config, None, workload),
            optimizer: 0,
            cache: (rows * KvCache::bytes_per_row(&config.llm)) as u64,
            activations: encoder_bytes(config, workload.num_tiles).max(language) as u64,
        }
    }

    /// Memory of a training step on one pack of so many rows.
    pub fn training(config: &VlmConfig, trainable: Trainable, workload: &Workload) -> Self {
        let parameters = num_trainable(config, trainable, workload.lora_rank);
        let image_rows = workload.num_tiles * config.tokens_per_tile();
        let (features, hidden) = (config.feature_size(), config.llm.hidden_size);
        let adapter = image_rows * (2 * features + 3 * hidden) * F32;
        let encoder = match trainable.vision() {
            false => encoder_bytes(config, workload.num_tiles),
            true => encoder_training_bytes(config, workload.num_tiles),
        };
        let kept = kept_bytes(&config.llm, workload);
        // A block's backward pass holds its tape and about as much in gradients.
        let language = kept + 2 * working_bytes(&config.llm, workload.num_tokens);
        let activations = match trainable.vision() {
            false => adapter + language.max(encoder),
            true => adapter + language + encoder,
        };
        Self {
            weights: weight_bytes(config, Some(trainable), workload),
            optimizer: (parameters * 4 * F32) as u64,
            cache: 0,
            activations: activations as u64,
        }
    }
}

/// Parameters that train under a setting.
pub fn num_trainable(config: &VlmConfig, trainable: Trainable, lora_rank: usize) -> usize {
    let tensors = adapter::tensors(config.feature_size(), config.llm.hidden_size);
    let adapter = if trainable.adapter() { count(&tensors) } else { 0 };
    let vision = if trainable.vision() { count(&vision::tensors(&config.vision)) } else { 0 };
    let llm = match trainable.llm() {
        LlmTraining::Frozen => 0,
        LlmTraining::Full => config.llm.num_parameters(),
        LlmTraining::Lora => {
            let sides = Linear::ALL.iter().map(|l| l.shape(&config.llm).iter().sum::<usize>());
            config.llm.num_layers * lora_rank * sides.sum::<usize>()
        }
    };
    adapter + vision + llm
}

fn count(tensors: &[(String, Vec<usize>)]) -> usize {
    tensors.iter().map(|(_, shape)| shape.iter().product::<usize>()).sum()
}

/// Matrices in the chosen format unless they train, everything else in f32.
fn weight_bytes(config: &VlmConfig, trainable: Option<Trainable>, workload: &Workload) -> u64 {
    let held = |tensors: Vec<(String, Vec<usize>)>, dtype: DType| -> usize {
        let bytes = |name: &str, shape: &[usize]| {
            let is_table = name.contains("embed_tokens") || name.contains("lm_head");
            let dtype = if is_table { dtype.of_tables() } else { dtype };
            let dtype = if shape.len() < 2 { DType::F32 } else { dtype };
            dtype.bytes(shape.iter().product())
        };
        tensors.iter().map(|(name, shape)| bytes(name, shape)).sum()
    };
    let unless = |trains: bool, dtype: DType| if trains { DType::F32 } else { dtype };
    let vision_trains = trainable.is_some_and(Trainable::vision);
    let llm_trains = trainable.is_some_and(|setting| setting.llm() == LlmTraining::Full);
    let adapter = adapter::tensors(config.feature_size(), config.llm.hidden_size);
    let bytes =
        held(vision::tensors(&config.vision), unless(vision_trains, workload.dtype.of_encoders()))
            + held(adapter, DType::F32)
            + held(config.llm.tensors(LLM_PREFIX), unless(llm_trains, workload.dtype));
    bytes as u64
}

/// What a block of the language model holds at once: its tape, its input and output, a norm's.
fn working_bytes(config: &LlmConfig, rows: usize) -> usize {
    config.block_tape_bytes(rows) + 3 * rows * config.hidden_size * F32
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

fn rows_per_tile(config: &VlmConfig) -> usize {
    (config.tile_size / config.vision.patch_size).pow(2) + usize::from(config.vision.class_token)
}

/// Floats that a row of an encoder's block holds at once.
fn block_floats(config: &VisionConfig) -> usize {
    10 * config.hidden_size + 2 * config.intermediate_size
}

/// The frozen encoder works on a few tiles at a time.
fn encoder_bytes(config: &VlmConfig, num_tiles: usize) -> usize {
    let together = (ENCODER_ROWS / rows_per_tile(config)).max(1).min(num_tiles);
    let features = num_tiles * config.tokens_per_tile() * config.feature_size();
    (together * rows_per_tile(config) * block_floats(&config.vision) + features) * F32
}

/// The trained one holds the inputs of all blocks, and one block's tape and gradients.
fn encoder_training_bytes(config: &VlmConfig, num_tiles: usize) -> usize {
    let rows = num_tiles * rows_per_tile(config);
    let states = (config.vision.num_layers + 1) * config.vision.hidden_size;
    rows * (states + 2 * block_floats(&config.vision)) * F32
}
