//! The tensor: a shape and its values.

use std::ops::Range;

use crate::Device;
use crate::pool::Buffer;

/// f32 values of some shape, row-major and contiguous.
#[derive(Debug)]
pub struct Tensor {
    shape: Vec<usize>,
    values: Buffer,
}

impl Tensor {
    /// All zeros.
    pub fn zeros(shape: &[usize]) -> Self {
        Self { shape: shape.to_vec(), values: Buffer::zeros(shape.iter().product()) }
    }

    /// Takes over `values`.
    ///
    /// # Panics
    /// If there are not exactly as many values as the shape holds.
    pub fn from_vec(values: Vec<f32>, shape: &[usize]) -> Self {
        let len = values.len();
        assert_eq!(shape.iter().product::<usize>(), len, "{len} values for shape {shape:?}");
        Self { shape: shape.to_vec(), values: Buffer::adopt(values) }
    }

    /// Values left over from a dropped tensor, for results that are written in full.
    pub(crate) fn scratch(shape: &[usize]) -> Self {
        Self { shape: shape.to_vec(), values: Buffer::scratch(shape.iter().product()) }
    }

    /// `self`'s shape with another last axis, to be written in full.
    pub(crate) fn scratch_with_cols(&self, cols: usize) -> Self {
        let mut shape = self.shape.clone();
        match shape.last_mut() {
            Some(last) => *last = cols,
            None => shape.push(cols),
        }
        Self::scratch(&shape)
    }

    /// Some of the rows, copied.
    pub(crate) fn copy_rows(&self, rows: Range<usize>) -> Self {
        let cols = self.cols();
        let mut copy = Self::scratch(&[rows.len(), cols]);
        copy.values.copy_from_slice(&self.values[rows.start * cols..rows.end * cols]);
        copy
    }

    /// Where the values are.
    pub fn device(&self) -> Device {
        Device::Cpu
    }

    /// Extent of each axis.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Product of all axes but the last.
    pub fn rows(&self) -> usize {
        self.shape.split_last().map_or(1, |(_, rest)| rest.iter().product())
    }

    /// Extent of the last axis.
    pub fn cols(&self) -> usize {
        self.shape.last().copied().unwrap_or(1)
    }

    /// Number of values.
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// Whether there are no values.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// All values.
    pub fn as_slice(&self) -> &[f32] {
        &self.values
    }

    /// All values, to be changed.
    pub fn as_mut_slice(&mut self) -> &mut [f32] {
        &mut self.values
    }

    /// A copy of all values.
    pub fn to_vec(&self) -> Vec<f32> {
        self.values.to_vec()
    }

    /// Row `i` of the tensor seen as `[rows, cols]`.
    pub fn row(&self, i: usize) -> &[f32] {
        let cols = self.cols();
        &self.values[i * cols..][..cols]
    }

    /// Row `i`, to be changed.
    pub fn row_mut(&mut self, i: usize) -> &mut [f32] {
        let cols = self.cols();
        &mut self.values[i * cols..][..cols]
    }

    /// The same values under another shape.
    ///
    /// # Panics
    /// If the shapes hold different numbers of values.
    #[must_use]
    pub fn reshape(mut self, shape: &[usize]) -> Self {
        let len = self.len();
        assert_eq!(shape.iter().product::<usize>(), len, "{:?} as {shape:?}", self.shape);
        self.shape = shape.to_vec();
        self
    }
}

impl Clone for Tensor {
    fn clone(&self) -> Self {
        let mut copy = Self::scratch(&self.shape);
        copy.values.copy_from_slice(&self.values);
        copy
    }
}

impl PartialEq for Tensor {
    fn eq(&self, other: &Self) -> bool {
        self.shape == other.shape && *self.values == *other.values
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shape_and_rows() {
        let x = Tensor::from_vec((0..12).map(|v| v as f32).collect(), &[2, 3, 2]);
        assert_eq!((x.rows(), x.cols(), x.len()), (6, 2, 12));
        assert_eq!(x.row(4), [8.0, 9.0]);
        let flat = x.clone().reshape(&[12]);
        assert_eq!((flat.rows(), flat.cols()), (1, 12));
        assert_eq!(flat.as_slice(), x.as_slice());
        assert_ne!(flat, x);
        assert!(Tensor::zeros(&[0, 5]).is_empty());
    }

    #[test]
    #[should_panic(expected = "5 values for shape [2, 3]")]
    fn wrong_length() {
        Tensor::from_vec(vec![0.0; 5], &[2, 3]);
    }
}
