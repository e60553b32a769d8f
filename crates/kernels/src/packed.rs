//! A weight matrix in the layout of the kernels.
//!
//! Panels of 64 outputs, each a contiguous run of `inputs` rows of 64, the last padded with zeros:
//!
//! ```text
//!   W [outputs, inputs]      panel 0: W[0..64, 0]ᵀ W[0..64, 1]ᵀ …  W[0..64, inputs−1]ᵀ
//!                            panel 1: W[64..128, 0]ᵀ …
//! ```
//!
//! Of 8 and 4 bits, a panel is a run of blocks of 32 inputs with their scales (`packed/blocks.rs`).

pub(crate) mod blocks;

use blocks::{BLOCK, Bits};
use rayon::prelude::*;

use crate::block::{narrow, transpose, widen};
use crate::buffer::scratch;
pub use crate::product::WIDTH;
use crate::resident::Resident;

/// How a packed matrix is kept in memory. Rows meet weights of 8 and 4 bits as bytes themselves, with
/// a scale for each 32 values; all other arithmetic is f32.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Storage {
    /// Four bytes a weight.
    F32,
    /// Two bytes a weight, rounded to nearest even.
    Bf16,
    /// 8 bits a weight and a scale for each 32 inputs, as GGUF's Q8_0.
    Int8,
    /// 4 bits a weight, a scale and a minimum for each 32 inputs, as GGUF's Q4_1.
    Int4,
}

impl Storage {
    /// Inputs that are kept together, and the 32-bit words of their 64 outputs.
    fn unit(self) -> (usize, usize) {
        match self {
            Self::F32 => (1, WIDTH),
            Self::Bf16 => (1, WIDTH / 2),
            Self::Int8 => (BLOCK, Bits::Eight.words()),
            Self::Int4 => (BLOCK, Bits::Four.words()),
        }
    }

    /// Whether rows meet these weights as bytes.
    pub(crate) fn is_bytes(self) -> bool {
        matches!(self, Self::Int8 | Self::Int4)
    }

    /// Words of so many inputs' 64 outputs.
    fn words(self, inputs: usize) -> usize {
        let (together, words) = self.unit();
        inputs.div_ceil(together) * words
    }
}

/// Rows of a panel as they lie in memory.
pub(crate) enum Stored<'a> {
    /// 64 values a row.
    F32(&'a [f32]),
    /// 32 words a row.
    Bf16(&'a [u32]),
    /// Blocks of 32 rows.
    Blocks(Bits, &'a [u32]),
}

/// A matrix `[outputs, inputs]` in panels of 64 outputs, the last padded with zeros.
#[derive(Debug)]
pub struct Packed {
    outputs: usize,
    inputs: usize,
    storage: Storage,
    /// f32: a value each. bf16: words of two, column `c < 32` in the low half of word `c`, column
    /// `c + 32` in its high half, so that a shift and a mask widen them.
    data: Resident,
}

impl Packed {
    /// Packs row-major `rows` `[outputs, inputs]`.
    ///
    /// # Panics
    /// If there are not `outputs · inputs` values.
    pub fn pack(rows: &[f32], outputs: usize, inputs: usize, storage: Storage) -> Self {
        let mut packed = Self::zeros(outputs, inputs, storage);
        packed.fill(rows);
        packed
    }

    /// A matrix of zeros, whose rows come later (see [`Packed::fill_rows`]).
    pub fn zeros(outputs: usize, inputs: usize, storage: Storage) -> Self {
        let data = Resident::zeros(outputs.div_ceil(WIDTH) * storage.words(inputs));
        Self { outputs, inputs, storage, data }
    }

    /// Replaces the values by row-major `rows` `[outputs, inputs]`.
    ///
    /// # Panics
    /// If there are not `outputs · inputs` values.
    pub fn fill(&mut self, rows: &[f32]) {
        let Self { outputs, inputs, .. } = *self;
        assert_eq!(rows.len(), outputs * inputs, "weight is not [{outputs}, {inputs}]");
        self.fill_rows(0, rows);
    }

    /// Replaces the rows `[_, inputs]` from row `first` on, so that a matrix can be packed while it is read.
    ///
    /// # Panics
    /// If they are not whole rows that begin and end with a panel of [`WIDTH`] (the last may end with the matrix).
    pub fn fill_rows(&mut self, first: usize, rows: &[f32]) {
        let Self { outputs, inputs, storage, ref mut data } = *self;
        let end = first + rows.len() / inputs.max(1);
        assert_eq!(rows.len(), (end - first) * inputs, "values of rows of {inputs}");
        assert!(first.is_multiple_of(WIDTH), "row {first} begins no panel");
        assert!(
            end == outputs || end.is_multiple_of(WIDTH),
            "row {end} of {outputs} ends no panel"
        );
        let panel = storage.words(inputs);
        let rows = rows.par_chunks((WIDTH * inputs).max(1));
        let panels = &mut data.words_mut()[first / WIDTH * panel..];
        panels.par_chunks_mut(panel.max(1)).zip(rows).for_each(|(panel, rows)| match storage {
            Storage::F32 => {
                let size = (rows.len() / inputs, inputs);
                transpose((rows, inputs), size, (bytemuck::cast_slice_mut(panel), WIDTH));
            }
            Storage::Bf16 => pack_bf16(rows, inputs, panel),
            Storage::Int8 => Bits::Eight.pack(rows, inputs, panel),
            Storage::Int4 => Bits::Four.pack(rows, inputs, panel),
        });
    }

    /// Copies row `output` into `row` `[inputs]`.
    ///
    /// # Panics
    /// If there is no such row, or `row` has another length.
    pub fn copy_row(&self, output: usize, row: &mut [f32]) {
        assert!(output < self.outputs, "row {output} of {}", self.outputs);
        assert_eq!(row.len(), self.inputs, "length of a row");
        let column = output % WIDTH;
        match self.stored(output / WIDTH, 0, self.inputs) {
            Stored::F32(values) => {
                let slots = values[column..].iter().step_by(WIDTH);
                row.iter_mut().zip(slots).for_each(|(w, &slot)| *w = slot);
            }
            Stored::Bf16(words) => {
                let shift = 16 * (column / 32);
                let words = words[column % 32..].iter().step_by(32);
                for (w, word) in row.iter_mut().zip(words) {
                    *w = f32::from_bits((word >> shift) << 16);
                }
            }
            Stored::Blocks(bits, blocks) => bits.copy_column(blocks, column, row),
        }
    }

    /// The matrix as row-major f32.
    pub fn unpack(&self) -> Vec<f32> {
        let mut rows = vec![0.0; self.outputs * self.inputs];
        let panels = rows.par_chunks_mut((WIDTH * self.inputs).max(1));
        panels.enumerate().for_each(|(panel, rows)| {
            scratch(WIDTH * WIDTH, |room| {
                for from in (0..self.inputs).step_by(WIDTH) {
                    let depth = WIDTH.min(self.inputs - from);
                    let block = self.block(panel, from, depth, room);
                    let size = (depth, self.columns(panel));
                    transpose((block, WIDTH), size, (&mut rows[from..], self.inputs));
                }
            });
        });
        rows
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
        self.data.bytes()
    }

    /// Number of panels.
    pub(crate) fn panels(&self) -> usize {
        self.outputs.div_ceil(WIDTH)
    }

    /// Outputs of a panel that are not padding.
    pub(crate) fn columns(&self, panel: usize) -> usize {
        WIDTH.min(self.outputs - panel * WIDTH)
    }

    /// Inputs `from .. from + columns` of a panel turned over, as `[64 outputs, 64 inputs]`.
    pub(crate) fn turned(
        &self,
        panel: usize,
        from: usize,
        columns: usize,
        (turned, room): (&mut [f32], &mut [f32]),
    ) {
        let block = self.block(panel, from, columns, room);
        transpose((block, WIDTH), (columns, WIDTH), (turned, WIDTH));
    }

    /// Rows `from .. from + depth` of a panel as they are stored; of blocks, `from` begins one.
    pub(crate) fn stored(&self, panel: usize, from: usize, depth: usize) -> Stored<'_> {
        let start = panel * self.storage.words(self.inputs) + self.storage.words(from);
        let range = start..start + self.storage.words(depth);
        match self.storage {
            Storage::F32 => Stored::F32(&self.data.values()[range]),
            Storage::Bf16 => Stored::Bf16(&self.data.words()[range]),
            Storage::Int8 => Stored::Blocks(Bits::Eight, &self.data.words()[range]),
            Storage::Int4 => Stored::Blocks(Bits::Four, &self.data.words()[range]),
        }
    }

    /// Rows `from .. from + depth` of a panel as f32 `[depth, 64]`: the stored ones, or widened
    /// into `room`.
    pub(crate) fn block<'a>(
        &'a self,
        panel: usize,
        from: usize,
        depth: usize,
        room: &'a mut [f32],
    ) -> &'a [f32] {
        match self.stored(panel, from, depth) {
            Stored::F32(rows) => rows,
            Stored::Bf16(words) => {
                let room = &mut room[..depth * WIDTH];
                widen(words, room);
                room
            }
            Stored::Blocks(bits, blocks) => {
                let room = &mut room[..depth * WIDTH];
                bits.widen(blocks, room);
                room
            }
        }
    }
}

/// Up to 64 row-major `rows` as a panel of bf16.
fn pack_bf16(rows: &[f32], inputs: usize, panel: &mut [u32]) {
    let outputs = rows.len() / inputs;
    scratch(WIDTH * WIDTH, |turned| {
        turned.fill(0.0);
        for (i, panel) in panel.chunks_mut(WIDTH * WIDTH / 2).enumerate() {
            let from = i * WIDTH;
            let size = (outputs, WIDTH.min(inputs - from));
            transpose((&rows[from..], inputs), size, (turned, WIDTH));
            narrow(&turned[..size.1 * WIDTH], panel);
        }
    });
}
