//! Pixels to the rows that enter the first block: patches, class row, positions.

use std::ops::Range;

use tensor::{DType, Gradients, Tensor, Weight, ops};

use super::names::Names;
use super::position::{interpolate, interpolate_backward};
use super::{Grid, PREFIX};
use crate::Error;
use crate::config::VisionConfig;
use crate::parameter::{Part, PartMut};
use crate::projection::Projection;
use crate::weights::Checkpoint;

/// The patch convolution, the class row and the position table.
pub(super) struct Embeddings {
    names: &'static Names,
    /// The convolution as a linear layer over flattened patches, `[c, 3·p·p]`.
    patch: Projection,
    class: Option<Tensor>,
    position: Tensor,
    /// Side of the grid the table was made for.
    table_grid: usize,
    patch_size: usize,
}

impl Embeddings {
    pub(super) fn take(
        checkpoint: &mut Checkpoint,
        config: &VisionConfig,
        names: &'static Names,
        dtype: DType,
    ) -> Result<Self, Error> {
        let (width, patch_size) = (config.hidden_size, config.patch_size);
        let full = |name: &str| format!("{PREFIX}{name}");
        let kernel = checkpoint
            .take(&full(&format!("{}.weight", names.patch)), &[width, 3, patch_size, patch_size])?;
        let bias = checkpoint.take_tensor(&full(&format!("{}.bias", names.patch)), &[width])?;
        let class = match config.class_token {
            true => Some(checkpoint.take_tensor(&full(names.class), &[1, 1, width])?),
            false => None,
        };
        let position =
            checkpoint.take_tensor(&full(names.position), &super::position_shape(config))?;
        let patch = Projection {
            weight: Weight::pack(&kernel, width, config.patch_values(), dtype),
            bias: Some(bias),
            lora: None,
        };
        Ok(Self { names, patch, class, position, table_grid: config.grid(), patch_size })
    }

    /// Pixels `[n, 3, h, w]` to rows `[n · rows, c]` and the flattened patches that the backward
    /// pass needs.
    pub(super) fn forward(&self, pixels: &Tensor, grid: Grid) -> (Tensor, Tensor) {
        let patches = flatten_patches(pixels, self.patch_size, grid);
        let embedded = self.patch.forward(&patches);
        let width = embedded.cols();
        let (num_class, per_tile) = (usize::from(self.class.is_some()), grid.rows * grid.columns);
        let num_tiles = embedded.rows() / per_tile;
        let positions = self.positions(grid);
        let rows = num_class + per_tile;
        let at = |range: Range<usize>| -> Vec<usize> {
            (0..num_tiles)
                .flat_map(|tile| range.clone().map(move |row| tile * rows + row))
                .collect()
        };
        let positions = Tensor::from_vec(positions, &[rows, width]);
        let all: Vec<usize> = (0..num_tiles * rows).map(|row| row % rows).collect();
        let mut x = ops::gather_rows(&positions, &all);
        ops::scatter_add_rows(&mut x, &at(num_class..rows), &embedded);
        if let Some(class) = &self.class {
            let class = ops::gather_rows(&class.clone().reshape(&[1, width]), &vec![0; num_tiles]);
            ops::scatter_add_rows(&mut x, &at(0..1), &class);
        }
        (x, patches)
    }

    /// Adds the gradients of the parameters that `grads` has.
    pub(super) fn backward(
        &self,
        dx: &Tensor,
        patches: &Tensor,
        grid: Grid,
        grads: &mut Gradients,
    ) {
        let width = dx.cols();
        let (num_class, per_tile) = (usize::from(self.class.is_some()), grid.rows * grid.columns);
        let mut sum = vec![0.0; (num_class + per_tile) * width];
        let mut dpatches = Tensor::zeros(&[patches.rows(), width]);
        let tiles = dx.as_slice().chunks_exact(sum.len());
        for (tile, dpatch) in tiles.zip(dpatches.as_mut_slice().chunks_exact_mut(per_tile * width))
        {
            add(&mut sum, tile);
            dpatch.copy_from_slice(&tile[num_class * width..]);
        }
        let full = |name: &str| format!("{PREFIX}{name}");
        if let Some(grad) = grads.get_mut(&full(self.names.class)) {
            let mut all = grad.to_vec();
            add(&mut all, &sum[..num_class * width]);
            grad.set(&all);
        }
        if let Some(grad) = grads.get_mut(&full(self.names.position)) {
            let mut all = grad.to_vec();
            let (first, rest) = all.split_at_mut(num_class * width);
            add(first, &sum[..num_class * width]);
            let shape = [grid.rows, grid.columns];
            interpolate_backward(&sum[num_class * width..], self.table_grid, shape, rest);
            grad.set(&all);
        }
        let name = full(self.names.patch);
        if let Some(grad) = grads.get_mut(&format!("{name}.bias")) {
            ops::bias_gradient(&dpatches, grad);
        }
        if let Some(grad) = grads.get_mut(&format!("{name}.weight")) {
            ops::weight_gradient(&dpatches, patches, grad);
        }
    }

    /// Class row and grid of the position table, resampled if the grid is another one.
    fn positions(&self, grid: Grid) -> Vec<f32> {
        let (table, width) = (self.position.as_slice(), self.position.cols());
        let shape = [grid.rows, grid.columns];
        if shape == [self.table_grid; 2] {
            return table.to_vec();
        }
        let (first, rest) = table.split_at(usize::from(self.class.is_some()) * width);
        let mut positions = first.to_vec();
        positions.extend(interpolate(rest, self.table_grid, shape, width));
        positions
    }

    pub(super) fn parts(&self) -> Vec<(String, Part<'_>)> {
        let full = |name: &str| format!("{PREFIX}{name}");
        let mut parts = self.patch.parts(&full(self.names.patch));
        parts.extend(self.class.iter().map(|class| (full(self.names.class), Part::Plain(class))));
        parts.push((full(self.names.position), Part::Plain(&self.position)));
        parts
    }

    pub(super) fn parts_mut(&mut self) -> Vec<(String, PartMut<'_>)> {
        let full = |name: &str| format!("{PREFIX}{name}");
        let mut parts = self.patch.parts_mut(&full(self.names.patch));
        let class = self.class.iter_mut();
        parts.extend(class.map(|class| (full(self.names.class), PartMut::Plain(class))));
        parts.push((full(self.names.position), PartMut::Plain(&mut self.position)));
        parts
    }
}

/// Name and shape of the tensors that [`Embeddings::take`] takes.
pub(super) fn tensors(config: &VisionConfig, names: &Names) -> Vec<(String, Vec<usize>)> {
    let (width, p) = (config.hidden_size, config.patch_size);
    let mut tensors = vec![
        (format!("{PREFIX}{}.weight", names.patch), vec![width, 3, p, p]),
        (format!("{PREFIX}{}.bias", names.patch), vec![width]),
        (format!("{PREFIX}{}", names.position), super::position_shape(config)),
    ];
    if config.class_token {
        tensors.push((format!("{PREFIX}{}", names.class), vec![1, 1, width]));
    }
    tensors
}

/// `[n, 3, h, w]` to `[n · rows · columns, 3·p·p]`: the values a convolution of stride p sees, in
/// the order of its kernel (channel, row, column).
fn flatten_patches(pixels: &Tensor, p: usize, grid: Grid) -> Tensor {
    let (height, width) = (grid.rows * p, grid.columns * p);
    let num_tiles = pixels.len() / (3 * height * width);
    let mut out = Tensor::zeros(&[num_tiles * grid.rows * grid.columns, 3 * p * p]);
    let source = pixels.as_slice();
    for (index, patch) in out.as_mut_slice().chunks_exact_mut(3 * p * p).enumerate() {
        let (tile, cell) = (index / (grid.rows * grid.columns), index % (grid.rows * grid.columns));
        let (row, column) = (cell / grid.columns, cell % grid.columns);
        for (line, values) in patch.chunks_exact_mut(p).enumerate() {
            let (channel, y) = (line / p, row * p + line % p);
            let begin = ((tile * 3 + channel) * height + y) * width + column * p;
            values.copy_from_slice(&source[begin..begin + p]);
        }
    }
    out
}

fn add(to: &mut [f32], from: &[f32]) {
    for (to, from) in to.iter_mut().zip(from) {
        *to += from;
    }
}
