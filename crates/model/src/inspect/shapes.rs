//! The shapes that memory depends on, whatever a model's layout.

use super::Workload;
use crate::adapter::AdapterConfig;
use crate::config::{LlmConfig, QwenVlConfig, VlmConfig};
use crate::image_side::ENCODER_ROWS;
use crate::patch_vision;
use crate::vision;
use crate::vlm::LLM_PREFIX;

const F32: usize = size_of::<f32>();

/// Tensors by name and shape.
type Tensors = Vec<(String, Vec<usize>)>;

/// A model's shapes.
#[derive(Clone, Debug)]
pub struct Shapes<'a> {
    /// The language model.
    pub llm: &'a LlmConfig,
    /// What precedes the names of its tensors.
    pub(crate) llm_prefix: &'static str,
    /// The image side; `None` of a model that reads text alone.
    pub images: Option<ImageShapes>,
    /// Whether a value head judges.
    pub judges: bool,
}

/// Encoder and adapter.
#[derive(Clone, Debug)]
pub struct ImageShapes {
    pub(crate) encoder: Tensors,
    pub(crate) adapter: Tensors,
    /// Width of a feature.
    pub(crate) feature_size: usize,
    hidden_size: usize,
    num_layers: usize,
    /// Floats that a row of the encoder's block holds at once.
    block_floats: usize,
    grid: Grid,
}

/// How many rows an image has.
#[derive(Clone, Copy, Debug)]
enum Grid {
    /// In the encoder and in the language model, of a tile.
    Tiles { rows: usize, tokens: usize },
    /// Rows of the encoder to a row of the language model; as many as the image needs.
    Patches { rows_per_token: usize },
}

impl<'a> From<&'a VlmConfig> for Shapes<'a> {
    fn from(config: &'a VlmConfig) -> Self {
        let vision = &config.vision;
        let side = config.tile_size / vision.patch_size;
        let rows = side * side + usize::from(vision.class_token);
        let images = ImageShapes {
            encoder: vision::tensors(vision),
            adapter: AdapterConfig::mlp1(config.feature_size(), config.llm.hidden_size).tensors(),
            feature_size: config.feature_size(),
            hidden_size: vision.hidden_size,
            num_layers: vision.num_layers,
            block_floats: 10 * vision.hidden_size + 2 * vision.intermediate_size,
            grid: Grid::Tiles { rows, tokens: config.tokens_per_tile() },
        };
        Self { llm: &config.llm, llm_prefix: LLM_PREFIX, images: Some(images), judges: false }
    }
}

impl<'a> From<&'a QwenVlConfig> for Shapes<'a> {
    fn from(config: &'a QwenVlConfig) -> Self {
        let vision = &config.vision;
        let images = ImageShapes {
            encoder: patch_vision::tensors(vision),
            adapter: AdapterConfig::merger(vision, config.llm.hidden_size).tensors(),
            feature_size: vision.feature_size(),
            hidden_size: vision.hidden_size,
            num_layers: vision.num_layers,
            block_floats: 10 * vision.hidden_size + 3 * vision.intermediate_size,
            grid: Grid::Patches { rows_per_token: vision.merge_size * vision.merge_size },
        };
        Self { llm: &config.llm, llm_prefix: "", images: Some(images), judges: false }
    }
}

impl<'a> From<&'a LlmConfig> for Shapes<'a> {
    fn from(llm: &'a LlmConfig) -> Self {
        Self { llm, llm_prefix: LLM_PREFIX, images: None, judges: false }
    }
}

impl Shapes<'_> {
    /// Tensors of the language model.
    pub(crate) fn language(&self) -> Tensors {
        self.llm.tensors(self.llm_prefix)
    }

    /// Parameters of the language model that can train: its own head does not where a value head judges.
    pub(crate) fn trained_language(&self) -> usize {
        let head = format!("{}lm_head.weight", self.llm_prefix);
        let mut tensors = self.language();
        tensors.retain(|(name, _)| !(self.judges && *name == head));
        count(&tensors)
    }

    /// Parameters of the value head.
    pub(crate) fn value_head(&self) -> usize {
        if self.judges { self.llm.hidden_size + 1 } else { 0 }
    }

    /// All tensors but those of a value head.
    pub(crate) fn tensors(&self) -> Tensors {
        let images = self.images.iter();
        let images = images.flat_map(|images| [images.encoder.clone(), images.adapter.clone()]);
        images.flatten().chain(self.language()).collect()
    }
}

impl ImageShapes {
    /// Rows of the language model that images fill.
    pub(crate) fn language_rows(&self, workload: &Workload) -> usize {
        match self.grid {
            Grid::Tiles { tokens, .. } => workload.num_tiles * tokens,
            Grid::Patches { .. } => workload.num_tokens,
        }
    }

    /// Rows that the frozen encoder works on at once: a few tiles, or an image.
    fn rows_at_once(&self, workload: &Workload) -> usize {
        match self.grid {
            Grid::Tiles { rows, .. } => (ENCODER_ROWS / rows).max(1).min(workload.num_tiles) * rows,
            Grid::Patches { rows_per_token } => {
                workload.image_rows.unwrap_or(workload.num_tokens) * rows_per_token
            }
        }
    }

    /// What the frozen encoder holds, and the features that it leaves.
    pub(crate) fn frozen_bytes(&self, workload: &Workload) -> usize {
        let features = self.language_rows(workload) * self.feature_size;
        (self.rows_at_once(workload) * self.block_floats + features) * F32
    }

    /// The trained one holds the inputs of all blocks, and one block's tape and gradients. Only an encoder of tiles
    /// trains.
    pub(crate) fn training_bytes(&self, workload: &Workload) -> usize {
        let rows = match self.grid {
            Grid::Tiles { rows, .. } => workload.num_tiles * rows,
            Grid::Patches { .. } => 0,
        };
        let states = (self.num_layers + 1) * self.hidden_size;
        rows * (states + 2 * self.block_floats) * F32
    }

    /// Whether the encoder can train.
    pub(crate) fn can_train(&self) -> bool {
        matches!(self.grid, Grid::Tiles { .. })
    }
}

/// Parameters of some tensors.
pub(crate) fn count(tensors: &[(String, Vec<usize>)]) -> usize {
    tensors.iter().map(|(_, shape)| shape.iter().product::<usize>()).sum()
}
