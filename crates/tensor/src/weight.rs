//! The matrix of a linear layer, packed once.

use std::convert::Infallible;
use std::ops::Range;
use std::sync::Arc;

use kernels::cuda::linear::Matrix;
use kernels::cuda::{Arithmetic, Card};
use kernels::packed::{Packed, Storage, WIDTH};

use crate::{DType, Device, Tensor};

/// Panels that are read and packed at a time: 4 MB of SmolLM2's embedding table.
const PANELS_AT_ONCE: usize = 32;

/// A matrix `[out, in]` in the layout of the kernels of the [current device](Device::current). Clones share storage,
/// so tied embeddings and a reference policy cost nothing.
#[derive(Clone, Debug)]
pub struct Weight {
    stored: Stored,
}

#[derive(Clone, Debug)]
enum Stored {
    Host(Arc<Packed>),
    Card(Arc<CardMatrix>),
}

/// A matrix on a card, row by row.
#[derive(Clone, Debug)]
pub(crate) struct CardMatrix {
    pub(crate) matrix: Matrix,
    pub(crate) inputs: usize,
}

impl CardMatrix {
    pub(crate) fn outputs(&self) -> usize {
        self.matrix.len() / self.inputs.max(1)
    }
}

impl Weight {
    /// Packs row-major `rows` `[out, in]`.
    ///
    /// # Panics
    /// If there are not `out · in` values.
    pub fn pack(rows: &[f32], out: usize, input: usize, dtype: DType) -> Self {
        assert_eq!(rows.len(), out * input, "values of a matrix {out} × {input}");
        let read = |part: Range<usize>| {
            Ok::<_, Infallible>(rows[part.start * input..part.end * input].to_vec())
        };
        match Device::current() {
            Device::Cpu => {
                let packed = Packed::pack(rows, out, input, storage(dtype));
                Self { stored: Stored::Host(Arc::new(packed)) }
            }
            Device::Cuda(card) => match Self::on_card(&card, [out, input], dtype, read) {
                Ok(weight) => weight,
                Err(never) => match never {},
            },
        }
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
        if let Device::Cuda(card) = Device::current() {
            return Self::on_card(&card, [out, input], dtype, read);
        }
        let mut packed = Packed::zeros(out, input, storage(dtype));
        by_parts(out, |rows| {
            let values = read(rows.clone())?;
            assert_eq!(values.len(), rows.len() * input, "values of rows {rows:?} of {input}");
            packed.fill_rows(rows.start, &values);
            Ok(())
        })?;
        Ok(Self { stored: Stored::Host(Arc::new(packed)) })
    }

    /// A card holds f32 or bf16: fewer bits become the latter.
    fn on_card<E>(
        card: &Card,
        [out, input]: [usize; 2],
        dtype: DType,
        mut read: impl FnMut(Range<usize>) -> Result<Vec<f32>, E>,
    ) -> Result<Self, E> {
        let arithmetic = match dtype {
            DType::F32 => Arithmetic::F32,
            DType::Bf16 | DType::Int8 | DType::Int4 => Arithmetic::Bf16,
        };
        let mut matrix = Matrix::scratch(&card.with(arithmetic), out * input);
        by_parts(out, |rows| {
            let values = read(rows.clone())?;
            assert_eq!(values.len(), rows.len() * input, "values of rows {rows:?} of {input}");
            matrix.write(rows.start * input, &values);
            Ok(())
        })?;
        Ok(Self { stored: Stored::Card(Arc::new(CardMatrix { matrix, inputs: input })) })
    }

    /// Replaces the values by row-major `rows` `[out, in]`; in place where nobody shares them. In main memory they are
    /// held as f32 from here on.
    ///
    /// # Panics
    /// If there are not `out · in` values.
    pub fn set(&mut self, rows: &[f32]) {
        let (out, input) = (self.out_features(), self.in_features());
        assert_eq!(rows.len(), out * input, "values of a matrix {out} × {input}");
        match &mut self.stored {
            Stored::Host(packed) => match Arc::get_mut(packed) {
                Some(packed) if packed.storage() == Storage::F32 => packed.fill(rows),
                _ => *packed = Arc::new(Packed::pack(rows, out, input, Storage::F32)),
            },
            Stored::Card(card) => Arc::make_mut(card).matrix.write(0, rows),
        }
    }

    /// The matrix as row-major f32, as it is stored (weights of fewer bits come back rounded).
    pub fn unpack(&self) -> Vec<f32> {
        match &self.stored {
            Stored::Host(packed) => packed.unpack(),
            Stored::Card(card) => card.matrix.download(),
        }
    }

    /// Width of the layer's result.
    pub fn out_features(&self) -> usize {
        match &self.stored {
            Stored::Host(packed) => packed.outputs(),
            Stored::Card(card) => card.outputs(),
        }
    }

    /// Width of the layer's input.
    pub fn in_features(&self) -> usize {
        match &self.stored {
            Stored::Host(packed) => packed.inputs(),
            Stored::Card(card) => card.inputs,
        }
    }

    /// How the values are stored.
    pub fn dtype(&self) -> DType {
        match &self.stored {
            Stored::Host(packed) => match packed.storage() {
                Storage::F32 => DType::F32,
                Storage::Bf16 => DType::Bf16,
                Storage::Int8 => DType::Int8,
                Storage::Int4 => DType::Int4,
            },
            Stored::Card(card) => match card.matrix {
                Matrix::F32(_) => DType::F32,
                Matrix::Bf16(_) => DType::Bf16,
            },
        }
    }

    /// Memory the values occupy.
    pub fn bytes(&self) -> usize {
        match &self.stored {
            Stored::Host(packed) => packed.bytes(),
            Stored::Card(card) => self.dtype().bytes(card.matrix.len()),
        }
    }

    /// Rows `ids` as `[n, in]`: the embedding look-up.
    ///
    /// # Panics
    /// If an id is not below `out`.
    pub fn gather(&self, ids: &[u32]) -> Tensor {
        let shape = [ids.len(), self.in_features()];
        match &self.stored {
            Stored::Host(packed) => {
                let mut rows = Tensor::scratch(&shape);
                for (i, &id) in ids.iter().enumerate() {
                    packed.copy_row(id as usize, rows.row_mut(i));
                }
                rows
            }
            Stored::Card(card) => {
                let ids = ids.iter().map(|&id| id as usize);
                let ids =
                    kernels::cuda::rows::indices(card.matrix.card(), ids, self.out_features());
                let rows = kernels::cuda::rows::gather_matrix(&card.matrix, &ids, card.inputs);
                Tensor::of_card(rows, &shape)
            }
        }
    }

    /// The matrix in main memory.
    ///
    /// # Panics
    /// If a card has it: then the operation runs there.
    pub(crate) fn packed(&self) -> &Packed {
        match &self.stored {
            Stored::Host(packed) => packed,
            Stored::Card(_) => unreachable!("operations run where the weights are"),
        }
    }

    /// The matrix on a card, if one has it.
    pub(crate) fn card(&self) -> Option<&CardMatrix> {
        match &self.stored {
            Stored::Host(_) => None,
            Stored::Card(card) => Some(card),
        }
    }
}

/// Visits the rows of a matrix, some at a time.
fn by_parts<E>(out: usize, mut visit: impl FnMut(Range<usize>) -> Result<(), E>) -> Result<(), E> {
    let step = PANELS_AT_ONCE * WIDTH;
    (0..out).step_by(step).try_for_each(|first| visit(first..out.min(first + step)))
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
