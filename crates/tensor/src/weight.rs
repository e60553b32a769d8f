//! The matrix of a linear layer, packed once.

use std::sync::Arc;

use kernels::packed::{Packed, Storage};

use crate::{DType, Tensor};

/// A matrix `[out, in]` in the layout of the kernels. Clones share storage, so tied embeddings
/// and a reference policy cost nothing.
#[derive(Clone, Debug)]
pub struct Weight {
    packed: Arc<Packed>,
}

impl Weight {
    /// Packs row-major `rows` `[out, in]`.
    ///
    /// # Panics
    /// If there are not `out · in` values.
    pub fn pack(rows: &[f32], out: usize, input: usize, dtype: DType) -> Self {
        let storage = match dtype {
            DType::F32 => Storage::F32,
            DType::Bf16 => Storage::Bf16,
            DType::Int8 => Storage::Int8,
            DType::Int4 => Storage::Int4,
        };
        Self { packed: Arc::new(Packed::pack(rows, out, input, storage)) }
    }

    /// Replaces the values by row-major `rows` `[out, in]`, held as f32 from here on; in place where
    /// nobody shares them.
    ///
    /// # Panics
    /// If there are not `out · in` values.
    pub fn set(&mut self, rows: &[f32]) {
        match Arc::get_mut(&mut self.packed) {
            Some(packed) if packed.storage() == Storage::F32 => packed.fill(rows),
            _ => *self = Self::pack(rows, self.out_features(), self.in_features(), DType::F32),
        }
    }

    /// The matrix as row-major f32, as it is stored (weights of fewer bits come back rounded).
    pub fn unpack(&self) -> Vec<f32> {
        self.packed.unpack()
    }

    /// Width of the layer's result.
    pub fn out_features(&self) -> usize {
        self.packed.outputs()
    }

    /// Width of the layer's input.
    pub fn in_features(&self) -> usize {
        self.packed.inputs()
    }

    /// How the values are stored.
    pub fn dtype(&self) -> DType {
        match self.packed.storage() {
            Storage::F32 => DType::F32,
            Storage::Bf16 => DType::Bf16,
            Storage::Int8 => DType::Int8,
            Storage::Int4 => DType::Int4,
        }
    }

    /// Memory the values occupy.
    pub fn bytes(&self) -> usize {
        self.packed.bytes()
    }

    /// Rows `ids` as `[n, in]`: the embedding look-up.
    ///
    /// # Panics
    /// If an id is not below `out`.
    pub fn gather(&self, ids: &[u32]) -> Tensor {
        let mut rows = Tensor::scratch(&[ids.len(), self.in_features()]);
        for (i, &id) in ids.iter().enumerate() {
            self.packed.copy_row(id as usize, rows.row_mut(i));
        }
        rows
    }

    pub(crate) fn packed(&self) -> &Packed {
        &self.packed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packing_keeps_the_values() {
        let rows: Vec<f32> = (0..7 * 5).map(|v| (v as f32 * 0.37).sin()).collect();
        let weight = Weight::pack(&rows, 7, 5, DType::F32);
        assert_eq!(weight.unpack(), rows);
        assert_eq!(weight.gather(&[6, 0]).as_slice(), [&rows[30..], &rows[..5]].concat());
        let half = Weight::pack(&rows, 7, 5, DType::Bf16);
        assert!(half.unpack().iter().zip(&rows).all(|(a, b)| (a - b).abs() <= b.abs() / 256.0));
        assert!(half.bytes() < weight.bytes());
        assert_eq!((half.dtype(), half.in_features(), half.out_features()), (DType::Bf16, 5, 7));
    }
}
