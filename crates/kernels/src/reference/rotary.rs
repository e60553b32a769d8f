//! Rotary position embedding, half-split form (arXiv:2104.09864, equation 34, with the pairs
//! `(i, i + dim/2)` of the Llama checkpoints).

/// Rotates every head of every row of `x` `[rows, heads·dim]` in place.
///
/// `cos` and `sin` are `[rows, dim/2]`. A negative `direction` rotates back, which is also the
/// gradient of the forward rotation.
pub fn rotate(x: &mut [f32], dim: usize, cos: &[f32], sin: &[f32], direction: f32) {
    let half = dim / 2;
    let rows = cos.len() / half;
    let width = x.len() / rows.max(1);
    for (r, row) in x.chunks_exact_mut(width.max(1)).enumerate() {
        for head in row.chunks_exact_mut(dim) {
            for i in 0..half {
                let c = f64::from(cos[r * half + i]);
                let s = f64::from(sin[r * half + i] * direction);
                let (a, b) = (f64::from(head[i]), f64::from(head[i + half]));
                head[i] = (a * c - b * s) as f32;
                head[i + half] = (b * c + a * s) as f32;
            }
        }
    }
}
