//! Rotary position embedding.

use std::sync::OnceLock;

use kernels::cuda::{Buffer, Card};

use crate::Tensor;
use crate::tensor::card_of;

/// Cosines and sines of every row's angles, `[t, dim/2]` each.
#[derive(Clone, Debug)]
pub struct RotaryTable {
    half: usize,
    cos: Vec<f32>,
    sin: Vec<f32>,
    /// The same on a card, once one has rotated by it: all layers do.
    on_card: OnceLock<[Buffer; 2]>,
}

impl RotaryTable {
    /// Angles `position · inv_freq` (arXiv:2104.09864), their cosines and sines times `scale`
    /// (1 unless the checkpoint's rope scaling has an attention factor).
    pub fn new(positions: &[u32], inv_freq: &[f64], scale: f64) -> Self {
        let angle = |&p: &u32| inv_freq.iter().map(move |f| f64::from(p) * f);
        let angles: Vec<f64> = positions.iter().flat_map(angle).collect();
        Self::of_angles(&angles, inv_freq.len(), scale)
    }

    /// As [`new`](Self::new) for positions on several axes: pair `i` of components turns by
    /// `position[axes[i]] · inv_freq[i]`. Patches of an image have a row and a column; M-RoPE
    /// (arXiv:2409.12191) gives tokens a time, a row and a column.
    ///
    /// # Panics
    /// If there is not one axis for each frequency.
    pub fn of_axes<const N: usize>(
        positions: &[[u32; N]],
        inv_freq: &[f64],
        axes: &[usize],
    ) -> Self {
        assert_eq!(inv_freq.len(), axes.len(), "frequencies and their axes");
        let pairs = || inv_freq.iter().zip(axes);
        let angle = |p: &[u32; N]| pairs().map(|(f, &axis)| f64::from(p[axis]) * f).collect();
        let angles: Vec<f64> = positions.iter().flat_map(|p| -> Vec<f64> { angle(p) }).collect();
        Self::of_angles(&angles, inv_freq.len(), 1.0)
    }

    fn of_angles(angles: &[f64], half: usize, scale: f64) -> Self {
        Self {
            half,
            cos: angles.iter().map(|a| (a.cos() * scale) as f32).collect(),
            sin: angles.iter().map(|a| (a.sin() * scale) as f32).collect(),
            on_card: OnceLock::new(),
        }
    }

    fn on(&self, card: &Card) -> &[Buffer; 2] {
        self.on_card
            .get_or_init(|| [&self.cos, &self.sin].map(|values| Buffer::upload(card, values)))
    }

    /// Number of rows, one per token.
    pub fn rows(&self) -> usize {
        self.cos.len() / self.half.max(1)
    }

    /// Width of a head this table rotates.
    pub fn dim(&self) -> usize {
        self.half * 2
    }

    /// Cosines `[t, dim/2]`.
    pub fn cos(&self) -> &[f32] {
        &self.cos
    }

    /// Sines `[t, dim/2]`.
    pub fn sin(&self) -> &[f32] {
        &self.sin
    }
}

impl PartialEq for RotaryTable {
    fn eq(&self, other: &Self) -> bool {
        (self.half, &self.cos, &self.sin) == (other.half, &other.cos, &other.sin)
    }
}

/// Rotates every head of `x` `[t, heads·dim]` in place, pairing component `i` with `i + dim/2`.
pub fn rotary(x: &mut Tensor, dim: usize, table: &RotaryTable) {
    turn(x, dim, table, 1.0);
}

/// Gradient of [`rotary`], in place: the rotation back.
pub fn rotary_backward(dx: &mut Tensor, dim: usize, table: &RotaryTable) {
    turn(dx, dim, table, -1.0);
}

fn turn(x: &mut Tensor, dim: usize, table: &RotaryTable, direction: f32) {
    assert_eq!((x.rows(), dim), (table.rows(), table.dim()), "rows and width of a rotary table");
    if let Some(card) = card_of(&[x]) {
        let [cos, sin] = table.on(&card);
        return kernels::cuda::rotary::rotate(x.on_mut(&card), dim, cos, sin, direction);
    }
    kernels::rotary::rotate(x.as_mut_slice(), dim, &table.cos, &table.sin, direction);
}
