//! The matrix of a linear layer, packed once.

use std::ops::Range;
use std::sync::Arc;

use kernels::packed::{Packed, Storage, WIDTH};

use crate::{DType, Tensor};

/// Panels that are read and packed at a time: 4 MB of SmolLM2's embedding table.
const PANELS_AT_ONCE: usize = 32;

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
        Self { packed: Arc::new(Packed::pack(rows, out, input, storage(dtype))) }
    }

    /// Packs a matrix that is read some rows at a time, in order: it is never held whole as f32.
    ///
    /// # Errors
    /// What `read` answers, which is asked for row-major `[rows, in]`.
    ///
    /// # Panics
    /// If `read` answers with another number of values.
    pub fn pack_rows<E>(
        [out, input]: [usize; 2],
        dtype: DType,
        mut read: impl FnMut(Range<usize>) -> Result<Vec<f32>, E>,
    ) -> Result<Self, E> {
        let mut packed = Packed::zeros(out, input, storage(dtype));
        for first in (0..out).step_by(PANELS_AT_ONCE * WIDTH) {
            let rows = first..out.min(first + PANELS_AT_ONCE * WIDTH);
            let values = read(rows.clone())?;
            assert_eq!(values.len(), rows.len() * input, "values of rows {rows:?} of {input}");
            packed.fill_rows(first, &values);
        }
        Ok(Self { packed: Arc::new(packed) })
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

fn storage(dtype: DType) -> Storage {
    match dtype {
        DType::F32 => Storage::F32,
        DType::Bf16 => Storage::Bf16,
        DType::Int8 => Storage::Int8,
        DType::Int4 => Storage::Int4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_read_in_parts_pack_as_the_whole() {
        let (out, input) = (PANELS_AT_ONCE * WIDTH + 3, 32);
        let rows: Vec<f32> = (0..out * input).map(|v| (v as f32 * 0.37).sin()).collect();
        for dtype in [DType::F32, DType::Bf16, DType::Int8, DType::Int4] {
            let mut parts = 0;
            let weight = Weight::pack_rows([out, input], dtype, |part| {
                parts += 1;
                Ok::<_, ()>(rows[part.start * input..part.end * input].to_vec())
            });
            assert_eq!(weight.unwrap().unpack(), Weight::pack(&rows, out, input, dtype).unpack());
            assert_eq!(parts, 2);
        }
        let fails = Weight::pack_rows([out, input], DType::F32, |part| match part.start {
            0 => Ok(rows[..part.end * input].to_vec()),
            row => Err(row),
        });
        assert_eq!(fails.unwrap_err(), PANELS_AT_ONCE * WIDTH);
    }

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
