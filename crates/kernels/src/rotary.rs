//! Rotary position embedding, half-split form (arXiv:2104.09864, equation 34, with the pairs
//! `(i, i + dim/2)` of the Llama checkpoints).

use crate::simd::{self, Kernel, Simd};
use crate::threads::{Shared, for_each};

/// Rows of a task.
const ROWS: usize = 16;

/// Rotates every head of every row of `x` `[rows, heads·dim]` in place.
///
/// `cos` and `sin` are `[rows, dim/2]`. A negative `direction` rotates back, which is also the
/// gradient of the forward rotation.
///
/// # Panics
/// If the lengths are not those of one set of shapes.
pub fn rotate(x: &mut [f32], dim: usize, cos: &[f32], sin: &[f32], direction: f32) {
    let half = dim / 2;
    assert!(half > 0 && dim.is_multiple_of(2), "width {dim} of a rotary head");
    assert!(cos.len() == sin.len() && cos.len().is_multiple_of(half), "size of a rotary table");
    let rows = cos.len() / half;
    let width = x.len() / rows.max(1);
    assert_eq!((x.len(), width % dim), (rows * width, 0), "values to rotate");
    let (cost, x) = (x.len() * 4, Shared::new(x));
    for_each(rows.div_ceil(ROWS), cost, |task| {
        for row in task * ROWS..rows.min((task + 1) * ROWS) {
            // SAFETY: each task has its own rows.
            let x = unsafe { x.slice(row * width..(row + 1) * width) };
            let table = row * half..(row + 1) * half;
            simd::run(Rotate { x, cos: &cos[table.clone()], sin: &sin[table], direction });
        }
    });
}

/// All heads of one row.
struct Rotate<'a> {
    x: &'a mut [f32],
    cos: &'a [f32],
    sin: &'a [f32],
    direction: f32,
}

impl Kernel for Rotate<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let half = self.cos.len();
        let whole = half / S::LANES * S::LANES;
        let direction = s.splat(self.direction);
        for head in self.x.chunks_exact_mut(2 * half) {
            let (a, b) = head.split_at_mut(half);
            for i in (0..whole).step_by(S::LANES) {
                let (cos, sin) = (s.get(&self.cos[i..]), s.mul(s.get(&self.sin[i..]), direction));
                let (x, y) = (s.get(&a[i..]), s.get(&b[i..]));
                s.put(&mut a[i..], s.sub(s.mul(x, cos), s.mul(y, sin)));
                s.put(&mut b[i..], s.fma(y, cos, s.mul(x, sin)));
            }
            for i in whole..half {
                let (cos, sin) = (self.cos[i], self.sin[i] * self.direction);
                let (x, y) = (a[i], b[i]);
                a[i] = x * cos - y * sin;
                b[i] = y * cos + x * sin;
            }
        }
    }
}
