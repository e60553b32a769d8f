//! The parts of a model that a checkpoint names: read them, replace them.

use tensor::{Tensor, Weight};

/// A named parameter with its values, row-major: what training starts from and what is saved.
#[derive(Clone, Debug, PartialEq)]
pub struct Parameter {
    /// Full name, as in the checkpoint.
    pub name: String,
    /// Shape; a linear layer is `[out, in]`.
    pub shape: Vec<usize>,
    /// Values, row-major.
    pub values: Vec<f32>,
}

/// A look at a stored parameter, whichever way it is stored.
#[derive(Clone)]
pub enum Part<'a> {
    /// A packed matrix.
    Matrix(&'a Weight),
    /// A plain tensor.
    Plain(&'a Tensor),
    /// Parts that checkpoints hold one below the other in one tensor.
    Stack(Vec<Part<'a>>),
}

/// A parameter that can be replaced.
pub enum PartMut<'a> {
    /// A packed matrix.
    Matrix(&'a mut Weight),
    /// A plain tensor.
    Plain(&'a mut Tensor),
}

impl Part<'_> {
    /// Shape; a matrix is `[out, in]`.
    pub fn shape(&self) -> Vec<usize> {
        match self {
            Self::Matrix(weight) => vec![weight.out_features(), weight.in_features()],
            Self::Plain(tensor) => tensor.shape().to_vec(),
            Self::Stack(parts) => {
                let mut shape = parts.first().map_or_else(|| vec![0], Part::shape);
                shape[0] = parts.iter().map(|part| part.shape()[0]).sum();
                shape
            }
        }
    }

    /// Values, row-major.
    pub fn values(&self) -> Vec<f32> {
        match self {
            Self::Matrix(weight) => weight.unpack(),
            Self::Plain(tensor) => tensor.to_vec(),
            Self::Stack(parts) => parts.iter().flat_map(Part::values).collect(),
        }
    }

    /// A copy under a name.
    pub fn named(&self, name: String) -> Parameter {
        Parameter { name, shape: self.shape(), values: self.values() }
    }
}

impl PartMut<'_> {
    /// Replaces the values. A matrix is stored as f32 from here on: what is replaced is what
    /// trains, and small steps would be lost in bf16.
    pub fn set(&mut self, values: &[f32]) {
        match self {
            Self::Matrix(weight) => weight.set(values),
            Self::Plain(tensor) => tensor.set(values),
        }
    }
}
