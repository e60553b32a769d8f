//! Vision encoders: one pre-norm vision transformer covers InternViT, DINOv2 and SigLIP.
//!
//! ```text
//! pixels [n, 3, h, w] ─ patches + class row + positions ─► block × L (─► final norm) ─► [n, tokens, c]
//! ```
//!
//! Papers: ViT, arXiv:2010.11929; InternViT, arXiv:2312.14238; DINOv2, arXiv:2304.07193; SigLIP,
//! arXiv:2303.15343. Which of their departures from ViT apply is said by [`VisionConfig`]'s flags.

use tensor::{DType, Gradients, Span, Tensor, ops};

use crate::Error;
use crate::config::VisionConfig;
use crate::config::vision::{NormKind, VisionFamily};
use crate::config::vlm::SelectLayer;
use crate::norm::Norm;
use crate::parameter::{Part, PartMut};
use crate::weights::Checkpoint;

mod names;
mod position;
mod embed;
mod qkv;
mod block;

use block::Block;
use embed::Embeddings;

/// What precedes every tensor name of the encoder in an assembled checkpoint.
pub const PREFIX: &str = "vision_model.";

/// Patches of an image: rows and columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grid {
    /// Patches from top to bottom.
    pub rows: usize,
    /// Patches from left to right.
    pub columns: usize,
}

/// A vision encoder.
pub struct Vision {
    config: VisionConfig,
    embeddings: Embeddings,
    blocks: Vec<Block>,
    final_norm: Option<Norm>,
    select_layer: SelectLayer,
}

/// What the backward pass needs of a forward pass: the input of every block, which is rerun.
pub struct VisionTape {
    grid: Grid,
    patches: Tensor,
    /// The input of each block, then the output of the last.
    states: Vec<Tensor>,
}

impl Vision {
    /// Takes the encoder's tensors, named under [`PREFIX`], from a checkpoint.
    ///
    /// # Errors
    /// When a tensor is missing, misshapen or unreadable.
    pub fn take(
        checkpoint: &mut Checkpoint,
        config: &VisionConfig,
        select_layer: SelectLayer,
        dtype: DType,
    ) -> Result<Self, Error> {
        let names = names::names(config.family);
        let blocks = (0..config.num_layers).map(|layer| {
            let name = format!("{PREFIX}{}.{layer}", names.blocks);
            Block::take(checkpoint, config, names, name, dtype)
        });
        let blocks = blocks.collect::<Result<_, _>>()?;
        let final_norm = match config.final_norm {
            true => Some(take_final_norm(checkpoint, config)?),
            false => None,
        };
        let embeddings = Embeddings::take(checkpoint, config, names, dtype)?;
        Ok(Self { config: config.clone(), embeddings, blocks, final_norm, select_layer })
    }

    /// Shapes and constants.
    pub fn config(&self) -> &VisionConfig {
        &self.config
    }

    /// The patches of images `[n, 3, h, w]`.
    ///
    /// # Errors
    /// When the shape is another one or the sides are no multiples of the patch size.
    pub fn grid(&self, pixels: &Tensor) -> Result<Grid, Error> {
        let p = self.config.patch_size;
        match *pixels.shape() {
            [_, 3, h, w] if h > 0 && w > 0 && h.is_multiple_of(p) && w.is_multiple_of(p) => {
                Ok(Grid { rows: h / p, columns: w / p })
            }
            ref shape => {
                let reason =
                    format!("shape {shape:?}, expected [n, 3, h, w], sides multiples of {p}");
                Err(Error::input("pixels", reason))
            }
        }
    }

    /// Pixels `[n, 3, h, w]` to features `[n, tokens, c]` of the selected layer, class row dropped.
    ///
    /// # Errors
    /// As [`Vision::grid`].
    pub fn forward(&self, pixels: &Tensor) -> Result<Tensor, Error> {
        let states = self.hidden_states(pixels)?;
        Ok(if self.config.class_token { drop_first_rows(&states) } else { states })
    }

    /// As [`forward`](Self::forward), with the class row, where there is one, kept as the first.
    ///
    /// # Errors
    /// As [`Vision::grid`].
    pub fn hidden_states(&self, pixels: &Tensor) -> Result<Tensor, Error> {
        let grid = self.grid(pixels)?;
        let (mut x, _) = self.embeddings.forward(pixels, grid);
        let spans = self.spans(pixels.shape()[0], grid);
        for block in &self.blocks[..self.num_blocks_used()] {
            x = block.forward(&x, &spans);
        }
        if let Some(norm) = self.used_final_norm() {
            x = norm.forward(&x);
        }
        Ok(self.by_tile(x, grid))
    }

    /// As [`forward`](Self::forward), keeping what [`Vision::backward`] needs.
    ///
    /// # Errors
    /// As [`Vision::grid`].
    pub fn forward_train(&self, pixels: &Tensor) -> Result<(Tensor, VisionTape), Error> {
        let grid = self.grid(pixels)?;
        let (x, patches) = self.embeddings.forward(pixels, grid);
        let spans = self.spans(pixels.shape()[0], grid);
        let mut states = vec![x];
        for block in &self.blocks[..self.num_blocks_used()] {
            let x = states.last().expect("holds the embeddings at least");
            states.push(block.forward(x, &spans));
        }
        let last = states.last().expect("holds the embeddings at least");
        let out = self.used_final_norm().map_or_else(|| last.clone(), |norm| norm.forward(last));
        let out = self.by_tile(out, grid);
        let out = if self.config.class_token { drop_first_rows(&out) } else { out };
        Ok((out, VisionTape { grid, patches, states }))
    }

    /// Adds the gradients of the parameters that `grads` has, given that of the loss with respect
    /// to the features, `[n, tokens, c]` in any shape of that many values. Stops at the lowest
    /// block that trains.
    pub fn backward(&self, tape: VisionTape, dout: &Tensor, grads: &mut Gradients) {
        let VisionTape { grid, patches, mut states } = tape;
        let width = self.config.hidden_size;
        let num_tiles = patches.rows() / (grid.rows * grid.columns);
        let mut dx = match self.config.class_token {
            true => prepend_zero_rows(dout, num_tiles, width),
            false => dout.clone().reshape(&[dout.len() / width, width]),
        };
        if let Some(norm) = self.used_final_norm() {
            let x = states.last().expect("holds the embeddings at least");
            let name = format!("{PREFIX}{}", names::names(self.config.family).final_norm);
            dx = norm.backward(&dx, x, grads, &name);
        }
        let spans = self.spans(num_tiles, grid);
        let embeddings_train = grads.wants(&format!("{PREFIX}embeddings."));
        let trains = |block: &Block| grads.wants(&format!("{}.", block.name()));
        let lowest = if embeddings_train {
            0
        } else {
            self.blocks.iter().position(trains).unwrap_or(self.blocks.len())
        };
        states.pop();
        for (layer, block) in self.blocks[..self.num_blocks_used()].iter().enumerate().rev() {
            let Some(x) = states.pop().filter(|_| layer >= lowest) else { return };
            dx = block.backward(&dx, &x, &spans, grads);
        }
        if embeddings_train {
            self.embeddings.backward(&dx, &patches, grid, grads);
        }
    }

    /// The parameters, by full name. The patch kernel is a matrix `[c, 3·p·p]` here and
    /// `[c, 3, p, p]` in checkpoints.
    pub fn parts(&self) -> Vec<(String, Part<'_>)> {
        let mut parts = self.embeddings.parts();
        parts.extend(self.blocks.iter().flat_map(Block::parts));
        let name = format!("{PREFIX}{}", names::names(self.config.family).final_norm);
        parts.extend(self.final_norm.iter().flat_map(|norm| norm.parts(&name)));
        parts
    }

    /// As [`parts`](Self::parts), to be replaced.
    pub fn parts_mut(&mut self) -> Vec<(String, PartMut<'_>)> {
        let mut parts = self.embeddings.parts_mut();
        parts.extend(self.blocks.iter_mut().flat_map(Block::parts_mut));
        let name = format!("{PREFIX}{}", names::names(self.config.family).final_norm);
        parts.extend(self.final_norm.iter_mut().flat_map(|norm| norm.parts_mut(&name)));
        parts
    }

    fn num_blocks_used(&self) -> usize {
        match self.select_layer {
            SelectLayer::Last => self.blocks.len(),
            SelectLayer::After(blocks) => blocks,
        }
    }

    fn used_final_norm(&self) -> Option<&Norm> {
        self.final_norm.as_ref().filter(|_| self.select_layer == SelectLayer::Last)
    }

    /// Rows of one tile, the class row included.
    fn rows_per_tile(&self, grid: Grid) -> usize {
        grid.rows * grid.columns + usize::from(self.config.class_token)
    }

    /// Every tile attends to all of itself and to nothing else.
    fn spans(&self, num_tiles: usize, grid: Grid) -> Vec<Span> {
        let rows = self.rows_per_tile(grid);
        let tile = |i: usize| i * rows..(i + 1) * rows;
        (0..num_tiles)
            .map(|i| Span { queries: tile(i), past: Vec::new(), own: tile(i), causal: false })
            .collect()
    }

    fn by_tile(&self, x: Tensor, grid: Grid) -> Tensor {
        let rows = self.rows_per_tile(grid);
        let (num_tiles, width) = (x.rows() / rows, x.cols());
        x.reshape(&[num_tiles, rows, width])
    }
}

impl VisionTape {
    /// Patches of the images.
    pub fn grid(&self) -> Grid {
        self.grid
    }

    /// The state before each block, then after the last, `[n · rows, c]` each.
    pub fn states(&self) -> &[Tensor] {
        &self.states
    }
}

/// Name and shape of every tensor of an encoder's checkpoint, under [`PREFIX`].
pub fn tensors(config: &VisionConfig) -> Vec<(String, Vec<usize>)> {
    let names = names::names(config.family);
    let mut tensors = embed::tensors(config, names);
    for layer in 0..config.num_layers {
        let name = format!("{PREFIX}{}.{layer}", names.blocks);
        tensors.extend(block::tensors(config, names, &name));
    }
    if config.final_norm {
        let name = format!("{PREFIX}{}", names.final_norm);
        tensors
            .extend(["weight", "bias"].map(|k| (format!("{name}.{k}"), vec![config.hidden_size])));
    }
    tensors
}

/// The shape of the position table in checkpoints.
fn position_shape(config: &VisionConfig) -> Vec<usize> {
    let table = [config.num_positions(), config.hidden_size];
    match config.family {
        VisionFamily::InternVit | VisionFamily::Dinov2 => vec![1, table[0], table[1]],
        VisionFamily::Siglip => table.to_vec(),
    }
}

fn take_final_norm(checkpoint: &mut Checkpoint, config: &VisionConfig) -> Result<Norm, Error> {
    let name = format!("{PREFIX}{}", names::names(config.family).final_norm);
    Norm::take(checkpoint, &name, config.hidden_size, NormKind::Layer, config.norm_eps)
}

/// `[n, 1 + tokens, c]` to `[n, tokens, c]`.
fn drop_first_rows(x: &Tensor) -> Tensor {
    let [num_tiles, rows, width] = *x.shape() else { unreachable!("by_tile gives three sizes") };
    ops::gather_rows(x, &later_rows(num_tiles, rows)).reshape(&[num_tiles, rows - 1, width])
}

/// The transpose of [`drop_first_rows`], as `[n · (1 + tokens), c]`.
fn prepend_zero_rows(dout: &Tensor, num_tiles: usize, width: usize) -> Tensor {
    let rows = dout.len() / width + num_tiles;
    let mut out = dout.zeros_beside(&[rows, width]);
    ops::write_rows(&mut out, &later_rows(num_tiles, rows / num_tiles), dout);
    out
}

/// The rows of so many tiles but the first of each.
fn later_rows(num_tiles: usize, rows: usize) -> Vec<usize> {
    (0..num_tiles).flat_map(|tile| tile * rows + 1..(tile + 1) * rows).collect()
}
