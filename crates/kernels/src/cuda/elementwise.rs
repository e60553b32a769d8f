//! Value by value, and row by row where a row has a factor.

use crate::cuda::compile::{ELEMENTWISE, ROWS};
use crate::cuda::launch::{Grid, Launch, int};
use crate::cuda::memory::Buffer;

/// Columns that a block of [`column_sums`] has.
const COLUMNS: usize = 32;

/// `x += y`.
///
/// # Panics
/// If the lengths differ; so for all functions here.
pub fn add(x: &mut Buffer, y: &Buffer) {
    assert_eq!(x.len(), y.len(), "lengths of a sum");
    let (card, n) = (x.card().clone(), x.len());
    Launch::new(&card, &ELEMENTWISE, "add").arg(x).arg(y).over(n);
}

/// `x *= s`.
pub fn scale(x: &mut Buffer, s: f32) {
    let (card, n) = (x.card().clone(), x.len());
    Launch::new(&card, &ELEMENTWISE, "scale").arg(x).arg(s).over(n);
}

/// `x[i, ·] *= s[i]`.
pub fn scale_rows(x: &mut Buffer, s: &Buffer) {
    let (card, n) = (x.card().clone(), x.len());
    let cols = n / s.len().max(1);
    assert_eq!(cols * s.len(), n, "rows and factors");
    Launch::new(&card, &ELEMENTWISE, "scale_rows").arg(x).arg(s).over_rows(n, cols);
}

/// `y[·, j] = x[·, j] · v[j]`.
pub fn scale_columns(x: &Buffer, v: &Buffer, y: &mut Buffer) {
    assert_eq!((x.len(), x.len() % v.len()), (y.len(), 0), "columns and factors");
    let launch = Launch::new(x.card(), &ELEMENTWISE, "scale_columns").arg(x).arg(v).arg(y);
    launch.over_rows(x.len(), v.len());
}

/// `sums[j] += Σ_r x[r, j]`, or `Σ_r x[r, j]·y[r, j]`.
pub fn column_sums(x: &Buffer, y: Option<&Buffer>, sums: &mut Buffer) {
    let (cols, rows) = (sums.len(), x.len() / sums.len().max(1));
    assert_eq!(rows * cols, x.len(), "columns and sums");
    assert!(y.is_none_or(|y| y.len() == x.len()), "factors of a sum");
    let kernel = if y.is_some() { "column_products" } else { "column_sums" };
    let mut launch = Launch::new(x.card(), &ROWS, kernel).arg(x);
    if y.is_some() {
        launch = launch.arg(y);
    }
    launch.arg(sums).arg(int(rows)).arg(int(cols)).run(Grid::of(cols.div_ceil(COLUMNS)));
}
