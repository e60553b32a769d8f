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
pub const WIDTH: usize = 64;
/// Rows of a register tile.
const ROWS: usize = 6;

/// Element `(r, k)` lies at `at + r·row + k·step`.
#[derive(Clone, Copy)]
pub(crate) struct Left {
    pub(crate) at: *const f32,
    pub(crate) row: usize,
    pub(crate) step: usize,
}

/// Where the right side's row of 64 columns for each `k` comes from.
pub(crate) trait Right: Copy {
    /// `LANES` columns from `column` on.
    ///
    /// # Safety
    /// Row `k` must exist.
    unsafe fn load<S: Simd>(self, s: S, k: usize, column: usize) -> S::V;
    /// Asks memory for a row to come, if rows come from memory at all.
    fn announce<S: Simd>(self, s: S, k: usize);
}

/// Element `(k, c)` lies at `at + k·step + c`, in cache; all 64 columns are readable.
#[derive(Clone, Copy)]
pub(crate) struct Rows {
    pub(crate) at: *const f32,
    pub(crate) step: usize,
}

impl Right for Rows {
    #[inline(always)]
    unsafe fn load<S: Simd>(self, s: S, k: usize, column: usize) -> S::V {
        // SAFETY: the caller vouches for row `k`.
        unsafe { s.load(self.at.add(k * self.step + column)) }
    }

    #[inline(always)]
    fn announce<S: Simd>(self, _: S, _: usize) {}
}

/// Rows of a packed f32 panel, streamed from memory.
#[derive(Clone, Copy)]
pub(crate) struct Stream {
    pub(crate) at: *const f32,
    /// How many rows before its use a row is asked for; 0 for never.
    pub(crate) ahead: usize,
}

impl Right for Stream {
    #[inline(always)]
    unsafe fn load<S: Simd>(self, s: S, k: usize, column: usize) -> S::V {
        // SAFETY: the caller vouches for row `k`.
        unsafe { s.load(self.at.add(k * WIDTH + column)) }
    }

    #[inline(always)]
    fn announce<S: Simd>(self, s: S, k: usize) {
        if self.ahead > 0 {
            let row = self.at.wrapping_add((k + self.ahead) * WIDTH);
            (0..4).for_each(|line| s.prefetch(row.wrapping_add(line * 16)));
        }
    }
}

/// Rows of a packed bf16 panel, streamed from memory and widened on the way.
#[derive(Clone, Copy)]
pub(crate) struct StreamBf16 {
    pub(crate) at: *const u32,
    /// As in [`Stream`].
    pub(crate) ahead: usize,
}

impl Right for StreamBf16 {
    #[inline(always)]
    unsafe fn load<S: Simd>(self, s: S, k: usize, column: usize) -> S::V {
        // SAFETY: the caller vouches for row `k`, which is 32 words.
        unsafe {
            let row = self.at.add(k * (WIDTH / 2));
            if column < WIDTH / 2 {
                s.load_bf16(row.add(column)).0
            } else {
                s.load_bf16(row.add(column - WIDTH / 2)).1
            }
        }
    }

    #[inline(always)]
    fn announce<S: Simd>(self, s: S, k: usize) {
        if self.ahead > 0 {
            let row = self.at.wrapping_add((k + self.ahead) * (WIDTH / 2)).cast::<f32>();
            (0..2).for_each(|line| s.prefetch(row.wrapping_add(line * 16)));
        }
    }
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
pub(crate) unsafe fn product<R: Right>(left: Left, right: R, out: Out, rows: usize, depth: usize) {
    simd::run(Product { left, right, out, rows, depth });
}

/// Built only by [`product`], whose caller vouches for the pointers.
struct Product<R: Right> {
    left: Left,
    right: R,
    out: Out,
    rows: usize,
    depth: usize,
}

impl<R: Right> Kernel for Product<R> {
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
                let block = Block { left, right: self.right, out, depth: self.depth };
                match height {
                    1 => strip::<S, R, 1>(s, block),
                    2 => strip::<S, R, 2>(s, block),
                    3 => strip::<S, R, 3>(s, block),
                    4 => strip::<S, R, 4>(s, block),
                    5 => strip::<S, R, 5>(s, block),
                    _ => strip::<S, R, ROWS>(s, block),
                }
            }
            row += height;
        }
    }
}

/// A product of few rows.
#[derive(Clone, Copy)]
struct Block<R: Right> {
    left: Left,
    right: R,
    out: Out,
    depth: usize,
}

/// `H` rows, all columns, one register tile after the other.
///
/// # Safety
/// As [`product`].
#[inline(always)]
unsafe fn strip<S: Simd, R: Right, const H: usize>(s: S, block: Block<R>) {
    let width = S::LANES * S::TILE;
    let mut column = 0;
    while column < block.out.columns {
        let columns = width.min(block.out.columns - column);
        // SAFETY: the tile is part of the block; `spill` gives narrow tiles room of their own.
        unsafe {
            let out = Out { at: block.out.at.add(column), columns, ..block.out };
            let block = Block { out, ..block };
            match (columns == width, S::TILE) {
                (true, 4) => tile::<S, R, H, 4>(s, block, column),
                (true, _) => tile::<S, R, H, 2>(s, block, column),
                (false, _) => spill::<S, R, H>(s, block, column),
            }
        }
        column += width;
    }
}

/// A tile narrower than its registers: computed aside, then copied.
///
/// # Safety
/// As [`product`].
#[inline(always)]
unsafe fn spill<S: Simd, R: Right, const H: usize>(s: S, block: Block<R>, column: usize) {
    let mut aside = [[0.0_f32; WIDTH]; H];
    let out = block.out;
    let room = Out { at: aside.as_mut_ptr().cast(), row: WIDTH, ..out };
    // SAFETY: `aside` holds the tile at full width; of `out` only `columns` are touched.
    unsafe {
        for (r, aside) in aside.iter_mut().enumerate().filter(|_| out.add) {
            out.at.add(r * out.row).copy_to_nonoverlapping(aside.as_mut_ptr(), out.columns);
        }
        let block = Block { out: room, ..block };
        match S::TILE {
            4 => tile::<S, R, H, 4>(s, block, column),
            _ => tile::<S, R, H, 2>(s, block, column),
        }
        for (r, aside) in aside.iter().enumerate() {
            out.at.add(r * out.row).copy_from_nonoverlapping(aside.as_ptr(), out.columns);
        }
    }
}

/// `H` rows by `N` registers from `column` on, summed in registers over the whole depth.
///
/// # Safety
/// As [`product`], for `N · LANES` columns.
#[inline(always)]
unsafe fn tile<S: Simd, R: Right, const H: usize, const N: usize>(
    s: S,
    block: Block<R>,
    column: usize,
) {
    let Block { left, right, out, depth } = block;
    let mut sums = [[s.splat(0.0); N]; H];
    // SAFETY: rows `0..H`, `N · LANES` columns and depths `0..depth` are the caller's promise.
    unsafe {
        if out.add {
            for (r, row) in sums.iter_mut().enumerate() {
                for (c, sum) in row.iter_mut().enumerate() {
                    *sum = s.load(out.at.add(r * out.row + c * S::LANES));
                }
            }
        }
        for k in 0..depth {
            right.announce(s, k);
            let mut columns = [s.splat(0.0); N];
            for (c, values) in columns.iter_mut().enumerate() {
                *values = right.load(s, k, column + c * S::LANES);
            }
            for (r, row) in sums.iter_mut().enumerate() {
                let value = s.splat(*left.at.add(r * left.row + k * left.step));
                for (sum, values) in row.iter_mut().zip(columns) {
                    *sum = s.fma(value, values, *sum);
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
