//! Queries, keys and values: one fused matrix (InternViT) or three (DINOv2, SigLIP).

use tensor::{DType, Gradients, Tensor, ops};

use super::names::QkvNames;
use crate::Error;
use crate::config::VisionConfig;
use crate::parameter::{Part, PartMut};
use crate::projection::Projection;
use crate::weights::Checkpoint;

/// The projections, stored as the checkpoint stores them.
pub(super) struct Qkv {
    names: QkvNames,
    /// One of `[3c, c]` or three of `[c, c]`.
    projections: Vec<Projection>,
}

impl Qkv {
    pub(super) fn take(
        checkpoint: &mut Checkpoint,
        config: &VisionConfig,
        names: QkvNames,
        block: &str,
        dtype: DType,
    ) -> Result<Self, Error> {
        let width = config.hidden_size;
        let mut take = |name: &str, outputs| {
            let name = format!("{block}.{name}");
            Projection::take(checkpoint, &name, [outputs, width], config.qkv_bias, dtype)
        };
        let matrices = names.outputs(width).into_iter();
        let projections = matrices.map(|(name, outputs)| take(name, outputs));
        Ok(Self { names, projections: projections.collect::<Result<_, _>>()? })
    }

    /// `[rows, c]` to queries, keys and values, `[rows, c]` each.
    pub(super) fn forward(&self, x: &Tensor) -> [Tensor; 3] {
        match self.projections.as_slice() {
            [fused] => split_columns(fused.forward(x)),
            split => std::array::from_fn(|i| split[i].forward(x)),
        }
    }

    /// The gradient with respect to `x`; adds those of the parameters that `grads` has.
    pub(super) fn backward(
        &self,
        dqkv: [&Tensor; 3],
        x: &Tensor,
        grads: &mut Gradients,
        block: &str,
    ) -> Tensor {
        let names = self.full_names(block);
        if let [fused] = self.projections.as_slice() {
            return fused.backward(&join_columns(dqkv), x, grads, &names[0]);
        }
        let mut dx = self.projections[0].backward(dqkv[0], x, grads, &names[0]);
        for i in 1..3 {
            self.projections[i].backward_add(dqkv[i], Some(x), &mut dx, grads, &names[i]);
        }
        dx
    }

    pub(super) fn parts(&self, block: &str) -> Vec<(String, Part<'_>)> {
        let names = self.full_names(block);
        self.projections.iter().zip(names).flat_map(|(part, name)| part.parts(&name)).collect()
    }

    pub(super) fn parts_mut(&mut self, block: &str) -> Vec<(String, PartMut<'_>)> {
        let names = self.full_names(block);
        let projections = self.projections.iter_mut();
        projections.zip(names).flat_map(|(part, name)| part.parts_mut(&name)).collect()
    }

    fn full_names(&self, block: &str) -> Vec<String> {
        self.names.outputs(0).iter().map(|(name, _)| format!("{block}.{name}")).collect()
    }
}

/// `[rows, 3c]` to three of `[rows, c]`.
fn split_columns(x: Tensor) -> [Tensor; 3] {
    let (rows, width) = (x.rows(), x.cols() / 3);
    let thirds = x.reshape(&[3 * rows, width]);
    std::array::from_fn(|part| {
        let of_part: Vec<usize> = (0..rows).map(|row| 3 * row + part).collect();
        ops::gather_rows(&thirds, &of_part)
    })
}

/// Three of `[rows, c]` to `[rows, 3c]`.
fn join_columns(parts: [&Tensor; 3]) -> Tensor {
    let (rows, width) = (parts[0].rows(), parts[0].cols());
    let places: Vec<usize> = (0..3 * rows).map(|at| at % 3 * rows + at / 3).collect();
    ops::gather_rows(&ops::stack_rows(&parts), &places).reshape(&[rows, 3 * width])
}
