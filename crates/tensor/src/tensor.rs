//! The tensor: a shape and its values.

use std::ops::{Deref, Range};
use std::sync::OnceLock;

use kernels::cuda::Card;

use crate::Device;
use crate::pool::Buffer;

/// f32 values of some shape, row-major and contiguous, in main memory or on a card.
#[derive(Debug)]
pub struct Tensor {
    shape: Vec<usize>,
    values: Values,
}

#[derive(Debug)]
enum Values {
    Host(Buffer),
    Card(OnCard),
}

/// Values on a card, and what main memory has read of them since they last changed.
#[derive(Debug)]
struct OnCard {
    values: kernels::cuda::Buffer,
    read: OnceLock<Vec<f32>>,
}

/// A tensor's values on a card: its own, or a copy that was made for one operation.
pub(crate) enum There<'a> {
    Lent(&'a kernels::cuda::Buffer),
    Copy(kernels::cuda::Buffer),
}

impl Deref for There<'_> {
    type Target = kernels::cuda::Buffer;

    fn deref(&self) -> &kernels::cuda::Buffer {
        match self {
            Self::Lent(buffer) => buffer,
            Self::Copy(buffer) => buffer,
        }
    }
}

impl OnCard {
    fn of(values: kernels::cuda::Buffer) -> Self {
        Self { values, read: OnceLock::new() }
    }

    /// The values, to be changed: what was read of them is no more.
    fn change(&mut self) -> &mut kernels::cuda::Buffer {
        self.read = OnceLock::new();
        &mut self.values
    }
}

impl Tensor {
    /// All zeros, in main memory.
    pub fn zeros(shape: &[usize]) -> Self {
        Self::of_host(Buffer::zeros(shape.iter().product()), shape)
    }

    /// Takes over `values`.
    ///
    /// # Panics
    /// If there are not exactly as many values as the shape holds.
    pub fn from_vec(values: Vec<f32>, shape: &[usize]) -> Self {
        let len = values.len();
        assert_eq!(shape.iter().product::<usize>(), len, "{len} values for shape {shape:?}");
        Self::of_host(Buffer::adopt(values), shape)
    }

    /// Values left over from a dropped tensor, for results that are written in full.
    pub(crate) fn scratch(shape: &[usize]) -> Self {
        Self::of_host(Buffer::scratch(shape.iter().product()), shape)
    }

    fn of_host(values: Buffer, shape: &[usize]) -> Self {
        Self { shape: shape.to_vec(), values: Values::Host(values) }
    }

    /// What an operation on a card gave.
    pub(crate) fn of_card(values: kernels::cuda::Buffer, shape: &[usize]) -> Self {
        assert_eq!(values.len(), shape.iter().product::<usize>(), "values for shape {shape:?}");
        Self { shape: shape.to_vec(), values: Values::Card(OnCard::of(values)) }
    }

    /// The shape with another last axis.
    pub(crate) fn shape_with_cols(&self, cols: usize) -> Vec<usize> {
        let mut shape = self.shape.clone();
        match shape.last_mut() {
            Some(last) => *last = cols,
            None => shape.push(cols),
        }
        shape
    }

    /// Of the same shape and in the same place, to be written in full.
    pub(crate) fn scratch_beside(&self) -> Self {
        match &self.values {
            Values::Host(_) => Self::scratch(&self.shape),
            Values::Card(OnCard { values, .. }) => {
                let scratch = kernels::cuda::Buffer::scratch(values.card(), values.len());
                Self::of_card(scratch, &self.shape)
            }
        }
    }

    /// All zeros, in the same place as these values.
    #[must_use]
    pub fn zeros_beside(&self, shape: &[usize]) -> Self {
        match &self.values {
            Values::Host(_) => Self::zeros(shape),
            Values::Card(OnCard { values, .. }) => {
                let zeros = kernels::cuda::Buffer::zeros(values.card(), shape.iter().product());
                Self::of_card(zeros, shape)
            }
        }
    }

    /// `self`'s shape with another last axis, to be written in full.
    pub(crate) fn scratch_with_cols(&self, cols: usize) -> Self {
        Self::scratch(&self.shape_with_cols(cols))
    }

    /// Some of the rows, copied.
    pub(crate) fn copy_rows(&self, rows: Range<usize>) -> Self {
        let (cols, shape) = (self.cols(), [rows.len(), self.cols()]);
        match &self.values {
            Values::Host(values) => {
                let mut copy = Self::scratch(&shape);
                copy.as_mut_slice().copy_from_slice(&values[rows.start * cols..rows.end * cols]);
                copy
            }
            Values::Card(OnCard { values, .. }) => {
                let mut copy = kernels::cuda::Buffer::scratch(values.card(), rows.len() * cols);
                copy.copy_from(0, values, rows.start * cols, rows.len() * cols);
                Self::of_card(copy, &shape)
            }
        }
    }

    /// Replaces the rows from `first` on.
    pub(crate) fn replace_rows(&mut self, first: usize, rows: &Self) {
        let from = first * self.cols();
        match &mut self.values {
            Values::Card(own) => {
                let rows = rows.on(own.values.card());
                own.change().copy_from(from, &rows, 0, rows.len());
            }
            Values::Host(own) => own[from..from + rows.len()].copy_from_slice(rows.as_slice()),
        }
    }

    /// The values on a card, copied there if they are elsewhere.
    pub(crate) fn on(&self, card: &Card) -> There<'_> {
        match &self.values {
            Values::Card(own) => There::Lent(&own.values),
            Values::Host(own) => There::Copy(kernels::cuda::Buffer::upload(card, own)),
        }
    }

    /// The values on a card, moved there if they are elsewhere, to be changed.
    pub(crate) fn on_mut(&mut self, card: &Card) -> &mut kernels::cuda::Buffer {
        if let Values::Host(values) = &self.values {
            self.values = Values::Card(OnCard::of(kernels::cuda::Buffer::upload(card, values)));
        }
        match &mut self.values {
            Values::Card(own) => own.change(),
            Values::Host(_) => unreachable!("moved above"),
        }
    }

    /// The card that has the values, if one has.
    pub(crate) fn card(&self) -> Option<&Card> {
        match &self.values {
            Values::Card(own) => Some(own.values.card()),
            Values::Host(_) => None,
        }
    }

    /// Where the values are.
    pub fn device(&self) -> Device {
        self.card().map_or(Device::Cpu, |card| Device::Cuda(card.clone()))
    }

    /// The same values on another device.
    #[must_use]
    pub fn to(mut self, device: &Device) -> Self {
        match device {
            Device::Cuda(card) => {
                self.on_mut(card);
            }
            Device::Cpu => {
                self.as_mut_slice();
            }
        }
        self
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
        self.shape.iter().product()
    }

    /// Whether there are no values.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All values. Those on a card are read once after each change, which waits for what came before.
    pub fn as_slice(&self) -> &[f32] {
        match &self.values {
            Values::Host(own) => own,
            Values::Card(own) => own.read.get_or_init(|| own.values.download()),
        }
    }

    /// All values, in main memory from here on, to be changed.
    pub fn as_mut_slice(&mut self) -> &mut [f32] {
        if let Values::Card(own) = &mut self.values {
            let values = own.read.take().unwrap_or_else(|| own.values.download());
            self.values = Values::Host(Buffer::adopt(values));
        }
        match &mut self.values {
            Values::Host(own) => own,
            Values::Card(_) => unreachable!("moved above"),
        }
    }

    /// A copy of all values.
    pub fn to_vec(&self) -> Vec<f32> {
        self.as_slice().to_vec()
    }

    /// Replaces all values, which stay where they are.
    ///
    /// # Panics
    /// If there are not as many.
    pub fn set(&mut self, values: &[f32]) {
        assert_eq!(values.len(), self.len(), "values for shape {:?}", self.shape);
        match &mut self.values {
            Values::Host(own) => own.copy_from_slice(values),
            Values::Card(own) => own.change().write(0, values),
        }
    }

    /// Sets all values to zero, where they are.
    pub fn clear(&mut self) {
        match &mut self.values {
            Values::Host(own) => own.fill(0.0),
            Values::Card(own) => own.change().clear(),
        }
    }

    /// Row `i` of the tensor seen as `[rows, cols]`.
    pub fn row(&self, i: usize) -> &[f32] {
        let cols = self.cols();
        &self.as_slice()[i * cols..][..cols]
    }

    /// Row `i`, to be changed.
    pub fn row_mut(&mut self, i: usize) -> &mut [f32] {
        let cols = self.cols();
        &mut self.as_mut_slice()[i * cols..][..cols]
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

/// The card that has one of these, the first that one has.
pub(crate) fn card_of(tensors: &[&Tensor]) -> Option<Card> {
    tensors.iter().find_map(|tensor| tensor.card()).cloned()
}

impl Clone for Tensor {
    fn clone(&self) -> Self {
        match &self.values {
            Values::Host(values) => {
                let mut copy = Self::scratch(&self.shape);
                copy.as_mut_slice().copy_from_slice(values);
                copy
            }
            Values::Card(own) => Self::of_card(own.values.clone(), &self.shape),
        }
    }
}

impl PartialEq for Tensor {
    fn eq(&self, other: &Self) -> bool {
        self.shape == other.shape && self.as_slice() == other.as_slice()
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
