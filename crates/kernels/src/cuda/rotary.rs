//! Rotary position embedding, half-split form (arXiv:2104.09864).

use crate::cuda::compile::ELEMENTWISE;
use crate::cuda::launch::{Launch, int};
use crate::cuda::memory::Buffer;

/// Rotates every head of every row of `x` `[rows, heads·dim]` in place; `cos` and `sin` are `[rows, dim/2]`. A
/// negative `direction` rotates back, which is also the gradient.
///
/// # Panics
/// If lengths disagree.
pub fn rotate(x: &mut Buffer, dim: usize, cos: &Buffer, sin: &Buffer, direction: f32) {
    let half = dim / 2;
    let rows = cos.len() / half;
    let heads = x.len() / (rows * dim).max(1);
    assert_eq!((rows * heads * dim, cos.len()), (x.len(), sin.len()), "rows of a rotation");
    let (card, pairs) = (x.card().clone(), x.len() / 2);
    let launch = Launch::new(&card, &ELEMENTWISE, "rotate").arg(x).arg(cos).arg(sin).arg(direction);
    let grid = launch.grid_over(pairs);
    launch.arg(pairs as i64).arg(int(heads)).arg(int(half)).run(grid);
}
