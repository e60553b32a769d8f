//! Rotary position embedding, half-split form (arXiv:2104.09864, equation 34, with the pairs
//! `(i, i + dim/2)` of the Llama checkpoints).

use crate::pointwise::row_blocks;
use crate::threads::Shared;

/// Rows of one task.
const ROWS: usize = 64;
/// Floating-point operations a value takes.
const COST: usize = 4;

/// Rotates every head of every row of `x` `[rows, heads·dim]` in place.
///
/// `cos` and `sin` are `[rows, dim/2]`. A negative `direction` rotates back, which is also the
/// gradient of the forward rotation.
pub fn rotate(x: &mut [f32], dim: usize, cos: &[f32], sin: &[f32], direction: f32) {
    let half = dim / 2;
    let rows = cos.len() / half;
    assert!(cos.len() == sin.len() && cos.len() == rows * half);
    assert!(x.len().is_multiple_of(rows.max(1)));
    let width = x.len() / rows.max(1);
    assert!(width.is_multiple_of(dim));
    let len = x.len();
    let x = Shared::new(x);
    row_blocks(rows, ROWS, len * COST, |block| {
        for row in block {
            // SAFETY: every row is rotated by one task.
            let heads = unsafe { x.slice(row * width..(row + 1) * width) };
            let angles = row * half..(row + 1) * half;
            for head in heads.chunks_exact_mut(dim) {
                turn(head, &cos[angles.clone()], &sin[angles.clone()], direction);
            }
        }
    });
}

/// Rotates one head; plain enough for the compiler to vectorise.
fn turn(head: &mut [f32], cos: &[f32], sin: &[f32], direction: f32) {
    let (left, right) = head.split_at_mut(cos.len());
    for (((a, b), c), s) in left.iter_mut().zip(right).zip(cos).zip(sin) {
        let s = s * direction;
        (*a, *b) = (*a * c - *b * s, *b * c + *a * s);
    }
}
