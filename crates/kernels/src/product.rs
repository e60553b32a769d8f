//! The one inner loop of every matrix product: a block of rows times 64 columns.
//!
//! ```text
//!            k ──►                 64 columns
//!   rows  ┌────────┐   k  ┌────────────────────────┐        ┌───────────────┐
//!    │    │  left  │   │  │ right, a row per k     │  ──►   │ out (+)=      │
//!    ▼    └────────┘   ▼  └────────────────────────┘        └───────────────┘
//!         broadcast        loaded as vectors                  in registers
//! ```
//!
//! Every element is one chain `out = fma(left, right, out)` in the order of `k`, whatever the
//! number of rows, so cutting the rows or `k` anywhere changes no bit.

use crate::simd::{self, Kernel, Simd};

/// Columns of a block: four AVX-512 registers.
pub(crate) const WIDTH: usize = 64;
/// Rows of a register tile.
const ROWS: usize = 6;

/// Element `(r, k)` lies at `at + r·row + k·step`.
#[derive(Clone, Copy)]
pub(crate) struct Left {
    pub(crate) at: *const f32,
    pub(crate) row: usize,
    pub(crate) step: usize,
}

/// Element `(k, c)` lies at `at + k·step + c`; all 64 columns are readable.
#[derive(Clone, Copy)]
pub(crate) struct Right {
    pub(crate) at: *const f32,
    pub(crate) step: usize,
}

/// Element `(r, c)` lies at `at + r·row + c`; only the first `columns ≤ 64` are touched.
#[derive(Clone, Copy)]
pub(crate) struct Out {
    pub(crate) at: *mut f32,
    pub(crate) row: usize,
    pub(crate) columns: usize,
    /// Whether to add to what is there.
    pub(crate) add: bool,
}

/// `out (+)= left · right` for `rows` rows, summed over `depth`.
///
/// # Safety
/// The elements described must be readable, `out`'s writable and nobody else's meanwhile.
pub(crate) unsafe fn product(left: Left, right: Right, out: Out, rows: usize, depth: usize) {
    simd::run(Product { left, right, out, rows, depth });
}

/// Built only by [`product`], whose caller vouches for the pointers.
struct Product {
    left: Left,
    right: Right,
    out: Out,
    rows: usize,
    depth: usize,
}

impl Kernel for Product {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let mut row = 0;
        while row < self.rows {
            let left_over = self.rows - row;
            // Two half-full tiles rather than a full one and a sliver.
            let height = match left_over {
                0..=ROWS => left_over,
                7..12 => left_over.div_ceil(2),
                _ => ROWS,
            };
            // SAFETY: rows `row .. row + height` are part of the block the caller vouches for.
            unsafe {
                let left = Left { at: self.left.at.add(row * self.left.row), ..self.left };
                let out = Out { at: self.out.at.add(row * self.out.row), ..self.out };
                strip(s, left, self.right, out, height, self.depth);
            }
            row += height;
        }
    }
}

/// Up to six rows, all columns.
///
/// # Safety
/// As [`product`].
#[inline(always)]
unsafe fn strip<S: Simd>(s: S, left: Left, right: Right, out: Out, height: usize, depth: usize) {
    let tile_columns = S::LANES * S::TILE;
    let mut column = 0;
    while column < out.columns {
        let columns = tile_columns.min(out.columns - column);
        // SAFETY: the tile is part of the block; `spill` gives narrow tiles room of their own.
        unsafe {
            let right = Right { at: right.at.add(column), ..right };
            let out = Out { at: out.at.add(column), columns, ..out };
            if columns == tile_columns {
                tile_of_height(s, left, right, out, height, depth);
            } else {
                spill(s, left, right, out, height, depth);
            }
        }
        column += tile_columns;
    }
}

/// A tile narrower than its registers: computed aside, then copied.
///
/// # Safety
/// As [`product`].
#[inline(always)]
unsafe fn spill<S: Simd>(s: S, left: Left, right: Right, out: Out, height: usize, depth: usize) {
    let mut aside = [0.0_f32; ROWS * WIDTH];
    let room = Out { at: aside.as_mut_ptr(), row: WIDTH, columns: WIDTH, add: out.add };
    // SAFETY: `aside` holds six rows of 64; `out` is touched in its first `columns` only.
    unsafe {
        for r in 0..height {
            if out.add {
                let from = out.at.add(r * out.row);
                from.copy_to_nonoverlapping(room.at.add(r * WIDTH), out.columns);
            }
        }
        tile_of_height(s, left, right, room, height, depth);
        for r in 0..height {
            let to = out.at.add(r * out.row);
            to.copy_from_nonoverlapping(room.at.add(r * WIDTH), out.columns);
        }
    }
}

/// # Safety
/// As [`product`], for a tile of full width.
#[inline(always)]
unsafe fn tile_of_height<S: Simd>(
    s: S,
    left: Left,
    right: Right,
    out: Out,
    height: usize,
    depth: usize,
) {
    // SAFETY: the caller's promise is passed on.
    unsafe {
        match height {
            1 => tile_of_width::<S, 1>(s, left, right, out, depth),
            2 => tile_of_width::<S, 2>(s, left, right, out, depth),
            3 => tile_of_width::<S, 3>(s, left, right, out, depth),
            4 => tile_of_width::<S, 4>(s, left, right, out, depth),
            5 => tile_of_width::<S, 5>(s, left, right, out, depth),
            _ => tile_of_width::<S, ROWS>(s, left, right, out, depth),
        }
    }
}

/// # Safety
/// As [`product`], for `R` rows.
#[inline(always)]
unsafe fn tile_of_width<S: Simd, const R: usize>(
    s: S,
    left: Left,
    right: Right,
    out: Out,
    depth: usize,
) {
    // SAFETY: the caller's promise is passed on.
    unsafe {
        match S::TILE {
            4 => tile::<S, R, 4>(s, left, right, out, depth),
            _ => tile::<S, R, 2>(s, left, right, out, depth),
        }
    }
}

/// `R` rows by `N` registers, accumulated in registers over the whole depth.
///
/// # Safety
/// As [`product`], for `R` rows and `N · LANES` columns.
#[inline(always)]
unsafe fn tile<S: Simd, const R: usize, const N: usize>(
    s: S,
    left: Left,
    right: Right,
    out: Out,
    depth: usize,
) {
    let mut sums = [[s.splat(0.0); N]; R];
    // SAFETY: rows `0..R`, columns `0..N·LANES` and depths `0..depth` are the caller's promise.
    unsafe {
        if out.add {
            for (r, row) in sums.iter_mut().enumerate() {
                for (c, sum) in row.iter_mut().enumerate() {
                    *sum = s.load(out.at.add(r * out.row + c * S::LANES));
                }
            }
        }
        for k in 0..depth {
            let mut columns = [s.splat(0.0); N];
            for (c, column) in columns.iter_mut().enumerate() {
                *column = s.load(right.at.add(k * right.step + c * S::LANES));
            }
            for (r, row) in sums.iter_mut().enumerate() {
                let value = s.splat(*left.at.add(r * left.row + k * left.step));
                for (sum, column) in row.iter_mut().zip(columns) {
                    *sum = s.fma(value, column, *sum);
                }
            }
        }
        for (r, row) in sums.iter().enumerate() {
            for (c, sum) in row.iter().enumerate() {
                s.store(out.at.add(r * out.row + c * S::LANES), *sum);
            }
        }
    }
}
