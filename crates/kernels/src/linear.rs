//! Linear layers over weights packed once.

use half::bf16;

/// How a packed matrix is kept in memory. Arithmetic is f32 either way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Storage {
    /// Four bytes a weight.
    F32,
    /// Two bytes a weight, rounded to nearest even.
    Bf16,
}

/// A matrix `[outputs, inputs]` laid out for the kernels.
#[derive(Debug)]
pub struct Packed {
    outputs: usize,
    inputs: usize,
    storage: Storage,
    rows: Vec<f32>,
}

impl Packed {
    /// Packs row-major `rows` `[outputs, inputs]`.
    pub fn pack(rows: &[f32], outputs: usize, inputs: usize, storage: Storage) -> Self {
        assert_eq!(rows.len(), outputs * inputs, "weight is not [{outputs}, {inputs}]");
        let rows = match storage {
            Storage::F32 => rows.to_vec(),
            Storage::Bf16 => rows.iter().map(|&w| bf16::from_f32(w).to_f32()).collect(),
        };
        Self { outputs, inputs, storage, rows }
    }

    /// The matrix as row-major f32.
    pub fn unpack(&self) -> Vec<f32> {
        self.rows.clone()
    }

    /// Copies row `output` into `row` `[inputs]`.
    pub fn copy_row(&self, output: usize, row: &mut [f32]) {
        row.copy_from_slice(&self.rows[output * self.inputs..][..self.inputs]);
    }

    /// Number of rows.
    pub fn outputs(&self) -> usize {
        self.outputs
    }

    /// Number of columns.
    pub fn inputs(&self) -> usize {
        self.inputs
    }

    /// How the weights are kept.
    pub fn storage(&self) -> Storage {
        self.storage
    }

    /// Bytes the weights occupy.
    pub fn bytes(&self) -> usize {
        match self.storage {
            Storage::F32 => self.rows.len() * 4,
            Storage::Bf16 => self.rows.len() * 2,
        }
    }
}

/// `y = x·Wᵀ + b`; `x` `[rows, inputs]`, `y` `[rows, outputs]`.
pub fn forward(x: &[f32], weight: &Packed, bias: Option<&[f32]>, y: &mut [f32]) {
    crate::reference::linear::forward(x, &weight.rows, bias, weight.inputs, y);
}

/// `dx += dy·W`.
pub fn backward_add(dy: &[f32], weight: &Packed, dx: &mut [f32]) {
    crate::reference::linear::backward(dy, &weight.rows, weight.inputs, dx);
}

/// `dx = dy·W`.
pub fn backward(dy: &[f32], weight: &Packed, dx: &mut [f32]) {
    dx.fill(0.0);
    backward_add(dy, weight, dx);
}

pub use crate::reference::linear::{bias_gradient, weight_gradient};
