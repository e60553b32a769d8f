//! Moving whole rows.

use crate::cuda::Card;
use crate::cuda::compile::ROWS;
use crate::cuda::launch::{Grid, Launch, int};
use crate::cuda::linear::Matrix;
use crate::cuda::memory::Buffer;

/// Numbers of rows, on the card.
pub type Indices = Buffer<u32>;

/// The indices, checked and copied to a card.
///
/// # Panics
/// If one is not below `rows`.
pub fn indices(card: &Card, of: impl Iterator<Item = usize>, rows: usize) -> Indices {
    let row = |index: usize| {
        assert!(index < rows, "row {index} of {rows}");
        u32::try_from(index).expect("rows fit 32 bits")
    };
    Buffer::upload(card, &of.map(row).collect::<Vec<_>>())
}

/// Rows `indices` of `x`, of so many columns.
pub fn gather(x: &Buffer, indices: &Indices, cols: usize) -> Buffer {
    gather_from("gather_rows", x, indices, cols)
}

/// As [`gather`] from a matrix: the embedding look-up.
pub fn gather_matrix(matrix: &Matrix, indices: &Indices, cols: usize) -> Buffer {
    match matrix {
        Matrix::F32(buffer) => gather(buffer, indices, cols),
        Matrix::Bf16(buffer) => gather_from("gather_rows_bf16", buffer, indices, cols),
    }
}

fn gather_from<T: bytemuck::Pod>(
    kernel: &'static str,
    from: &Buffer<T>,
    indices: &Indices,
    cols: usize,
) -> Buffer {
    let mut to = Buffer::scratch(from.card(), indices.len() * cols);
    let launch = Launch::new(from.card(), &ROWS, kernel).arg(from).arg(indices).arg(&mut to);
    launch.arg(int(cols)).run(Grid::of(indices.len()));
    to
}

/// `to[indices[i]] = from[i]`.
///
/// # Panics
/// If there is not an index a row.
pub fn write(to: &mut Buffer, indices: &Indices, from: &Buffer) {
    place("write_rows", to, indices, from);
}

/// `to[indices[i]] += from[i]`; an index may come twice, and then the order of the sums is left open.
///
/// # Panics
/// If there is not an index a row.
pub fn scatter_add(to: &mut Buffer, indices: &Indices, from: &Buffer) {
    place("scatter_add_rows", to, indices, from);
}

fn place(kernel: &'static str, to: &mut Buffer, indices: &Indices, from: &Buffer) {
    if indices.is_empty() {
        return;
    }
    let cols = from.len() / indices.len();
    assert_eq!(cols * indices.len(), from.len(), "rows and indices");
    let card = to.card().clone();
    let launch = Launch::new(&card, &ROWS, kernel).arg(to).arg(indices).arg(from);
    launch.arg(int(cols)).run(Grid::of(indices.len()));
}
