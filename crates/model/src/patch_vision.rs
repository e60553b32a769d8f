//! Qwen2.5-VL's vision encoder: images of any size as patches, attention within windows.
//!
//! ```text
//! patches [n, 3·t·p·p] ─ embed ─► into windows ─► block × L ─► out of windows ─► [tokens, m²·c]
//!                                                 window or whole image; 2-D rotary
//! ```
//!
//! A block is a language model's ([`crate::llm`]) with biases and without causality: its windows
//! are spans. The encoder is frozen: it has no backward pass. Paper: arXiv:2502.13923, section 2.1.1.

use tensor::{DType, RotaryTable, Span, Tensor, Weight, ops};

use crate::Error;
use crate::config::PatchVisionConfig;
use crate::config::qwen_vl::{NORM_EPS, VISION_THETA};
use crate::llm::attention::{Attention, Rows};
use crate::llm::block::Block;
use crate::llm::mlp::Mlp;
use crate::parameter::Part;
use crate::projection::Projection;
use crate::rope::{Rope, RopeScaling};
use crate::vision::Grid;
use crate::weights::Checkpoint;

mod windows;

use windows::Windows;

/// What precedes every tensor name of the encoder, and of the merger.
pub const PREFIX: &str = "visual.";

const PATCH: &str = "visual.patch_embed.proj.weight";

/// A vision encoder over patches.
pub struct PatchVision {
    config: PatchVisionConfig,
    /// The convolution as a linear layer over flattened patches, `[c, 3·t·p·p]`.
    patch: Weight,
    blocks: Vec<Block>,
}

impl PatchVision {
    /// Takes the encoder's tensors, named under [`PREFIX`], from a checkpoint.
    ///
    /// # Errors
    /// When a tensor is missing, misshapen or unreadable.
    pub fn take(
        checkpoint: &mut Checkpoint,
        config: &PatchVisionConfig,
        dtype: DType,
    ) -> Result<Self, Error> {
        let kernel = checkpoint.take(PATCH, &patch_shape(config))?;
        let patch = Weight::pack(&kernel, config.hidden_size, config.patch_values(), dtype);
        let blocks =
            (0..config.num_layers).map(|layer| take_block(checkpoint, config, layer, dtype));
        let blocks = blocks.collect::<Result<_, _>>()?;
        Ok(Self { config: config.clone(), patch, blocks })
    }

    /// Shapes and constants.
    pub fn config(&self) -> &PatchVisionConfig {
        &self.config
    }

    /// Patches of one image, `[rows · columns, 3·t·p·p]` in the order of the processor (token by
    /// token, row by row; within a token likewise), to `[tokens, m²·c]`.
    ///
    /// # Errors
    /// When the patches are not those of a grid that tokens fill.
    pub fn forward(&self, patches: &Tensor, grid: Grid) -> Result<Tensor, Error> {
        self.check(patches, grid)?;
        let windows = Windows::new(grid, &self.config);
        let rotary = self.rotary(&windows.places);
        let image = 0..patches.rows();
        let whole = [Span { queries: image.clone(), past: Vec::new(), own: image, causal: false }];
        let x = ops::linear(patches, &self.patch, None);
        let mut x = ops::gather_rows(&x, &windows.order);
        for (layer, block) in self.blocks.iter().enumerate() {
            let spans = match self.config.full_attention_blocks.contains(&layer) {
                true => &whole[..],
                false => &windows.spans,
            };
            let rows = Rows { keys: &rotary, queries: &rotary, spans, picked: None };
            x = block.finish(&block.attend(&x, rows));
        }
        let mut out = x.zeros_beside(x.shape());
        ops::write_rows(&mut out, &windows.order, &x);
        let tokens = out.rows() / self.patches_per_token();
        Ok(out.reshape(&[tokens, self.config.feature_size()]))
    }

    /// The parameters, by full name.
    pub fn parts(&self) -> Vec<(String, Part<'_>)> {
        let mut parts = vec![(PATCH.to_owned(), Part::Matrix(&self.patch))];
        for (layer, block) in self.blocks.iter().enumerate() {
            let [q, k, v, output, gate, up, down] = block.linears().map(|(_, linear)| linear);
            let names = BlockNames::new(layer);
            for (name, norm) in names.norms.iter().zip(block.norms()) {
                parts.push((format!("{name}.weight"), Part::Plain(norm)));
            }
            let weights = [q, k, v].map(|part| Part::Matrix(&part.weight)).to_vec();
            parts.push((format!("{}.weight", names.qkv), Part::Stack(weights)));
            let biases = [q, k, v].iter().flat_map(|part| &part.bias).map(Part::Plain).collect();
            parts.push((format!("{}.bias", names.qkv), Part::Stack(biases)));
            for (name, linear) in names.others.iter().zip([output, gate, up, down]) {
                parts.extend(linear.parts(name));
            }
        }
        parts
    }

    fn patches_per_token(&self) -> usize {
        self.config.merge_size * self.config.merge_size
    }

    fn check(&self, patches: &Tensor, grid: Grid) -> Result<(), Error> {
        let merge = self.config.merge_size;
        let want = [grid.rows * grid.columns, self.config.patch_values()];
        let whole = grid.rows.is_multiple_of(merge) && grid.columns.is_multiple_of(merge);
        if patches.shape() == want && whole && want[0] > 0 {
            return Ok(());
        }
        let reason = format!(
            "shape {:?} for {} x {} patches of {} values, {merge} x {merge} to a token",
            patches.shape(),
            grid.rows,
            grid.columns,
            want[1]
        );
        Err(Error::input("patches", reason))
    }

    /// Half of each head turns by the patch's row, half by its column, at the same frequencies.
    fn rotary(&self, places: &[[u32; 2]]) -> RotaryTable {
        let rope = Rope { theta: VISION_THETA, scaling: RopeScaling::None };
        let frequencies = rope.inverse_frequencies(self.config.heads().dim / 2);
        let axes: Vec<usize> =
            (0..2).flat_map(|axis| std::iter::repeat_n(axis, frequencies.len())).collect();
        RotaryTable::of_axes(places, &[frequencies.clone(), frequencies].concat(), &axes)
    }
}

/// Name and shape of every tensor of the encoder.
pub fn tensors(config: &PatchVisionConfig) -> Vec<(String, Vec<usize>)> {
    let (width, wide) = (config.hidden_size, config.intermediate_size);
    let mut tensors = vec![(PATCH.to_owned(), patch_shape(config).to_vec())];
    for layer in 0..config.num_layers {
        let names = BlockNames::new(layer);
        let norms = names.norms.iter().map(|name| (format!("{name}.weight"), vec![width]));
        tensors.extend(norms);
        let shapes = [[width, width], [wide, width], [wide, width], [width, wide]];
        let linears = std::iter::once((&names.qkv, [3 * width, width]));
        for (name, [outputs, inputs]) in linears.chain(names.others.iter().zip(shapes)) {
            tensors.push((format!("{name}.weight"), vec![outputs, inputs]));
            tensors.push((format!("{name}.bias"), vec![outputs]));
        }
    }
    tensors
}

fn patch_shape(config: &PatchVisionConfig) -> [usize; 5] {
    let side = config.patch_size;
    [config.hidden_size, 3, config.temporal_patch_size, side, side]
}

/// Full names within a block.
struct BlockNames {
    block: String,
    norms: [String; 2],
    qkv: String,
    /// Attention output, gate, up, down.
    others: [String; 4],
}

impl BlockNames {
    fn new(layer: usize) -> Self {
        let block = format!("{PREFIX}blocks.{layer}");
        Self {
            norms: ["norm1", "norm2"].map(|name| format!("{block}.{name}")),
            qkv: format!("{block}.attn.qkv"),
            others: ["attn.proj", "mlp.gate_proj", "mlp.up_proj", "mlp.down_proj"]
                .map(|name| format!("{block}.{name}")),
            block,
        }
    }
}

/// A block, its fused projection cut into queries, keys and values.
fn take_block(
    checkpoint: &mut Checkpoint,
    config: &PatchVisionConfig,
    layer: usize,
    dtype: DType,
) -> Result<Block, Error> {
    let (width, wide) = (config.hidden_size, config.intermediate_size);
    let BlockNames { block, norms, qkv, others } = BlockNames::new(layer);
    let weight = checkpoint.take(&format!("{qkv}.weight"), &[3 * width, width])?;
    let bias = checkpoint.take(&format!("{qkv}.bias"), &[3 * width])?;
    let third = |part: usize| Projection {
        weight: Weight::pack(&weight[part * width * width..][..width * width], width, width, dtype),
        bias: Some(Tensor::from_vec(bias[part * width..][..width].to_vec(), &[width])),
        lora: None,
    };
    let [query, key, value] = [0, 1, 2].map(third);
    let mut linear =
        |name: &String, shape: [usize; 2]| Projection::take(checkpoint, name, shape, true, dtype);
    let output = linear(&others[0], [width, width])?;
    let mlp = Mlp {
        name: format!("{block}.mlp"),
        gate: linear(&others[1], [wide, width])?,
        up: linear(&others[2], [wide, width])?,
        down: linear(&others[3], [width, wide])?,
    };
    let (name, heads, eps) = (format!("{block}.attn"), config.heads(), NORM_EPS);
    let attention = Attention { name, query, key, value, output, norms: None, heads, eps };
    let mut norm = |name: &String| checkpoint.take_tensor(&format!("{name}.weight"), &[width]);
    let norms = [norm(&norms[0])?, norm(&norms[1])?];
    Ok(Block::new(block, norms, attention, mlp))
}
