//! Pixel unshuffle: squares of neighbouring patches become one token, a quarter of the tokens at
//! four times the width for a factor of 2.
//!
//! Token (i, j) of factor k is the concatenation of the patches (k·i + a, k·j + b), a-major:
//! `[X[2i,2j]; X[2i,2j+1]; X[2i+1,2j]; X[2i+1,2j+1]]` for k = 2. `ps_version` v2 emits tokens row by
//! row; v1, a slip of the first InternVL that its checkpoints were trained with, column by column.

use tensor::{Tensor, ops};

use crate::Error;
use crate::config::vlm::UnshuffleOrder;
use crate::vision::Grid;

/// Features `[n, rows · columns, c]` to `[n · tokens, k²·c]`.
///
/// # Errors
/// When the grid does not divide by the factor.
pub fn unshuffle(
    x: &Tensor,
    grid: Grid,
    factor: usize,
    order: UnshuffleOrder,
) -> Result<Tensor, Error> {
    if !grid.rows.is_multiple_of(factor) || !grid.columns.is_multiple_of(factor) {
        let Grid { rows, columns } = grid;
        let reason = format!("{rows}×{columns} patches do not divide into squares of {factor}");
        return Err(Error::input("image grid", reason));
    }
    let (rows, width, area) = (x.rows(), x.cols(), factor * factor);
    let out = ops::gather_rows(x, &source_rows(rows, grid, factor, order));
    Ok(out.reshape(&[rows / area, area * width]))
}

/// The gradient of the features, `[n · rows · columns, c]`, from that of the tokens.
pub fn unshuffle_backward(
    dout: &Tensor,
    grid: Grid,
    factor: usize,
    order: UnshuffleOrder,
) -> Tensor {
    let area = factor * factor;
    let (rows, width) = (dout.rows() * area, dout.cols() / area);
    let mut places = vec![0; rows];
    let sources = source_rows(rows, grid, factor, order);
    sources.into_iter().enumerate().for_each(|(place, row)| places[row] = place);
    ops::gather_rows(&dout.clone().reshape(&[rows, width]), &places)
}

/// The patch of every place of the output.
fn source_rows(rows: usize, grid: Grid, factor: usize, order: UnshuffleOrder) -> Vec<usize> {
    (0..rows).map(|place| source_row(place, grid, factor, order)).collect()
}

/// The patch that stands at a place of the output, counted in pieces of c values.
fn source_row(place: usize, grid: Grid, factor: usize, order: UnshuffleOrder) -> usize {
    let area = factor * factor;
    let (token, within) = (place / area, place % area);
    let (rows, columns) = (grid.rows / factor, grid.columns / factor);
    let (tile, token) = (token / (rows * columns), token % (rows * columns));
    let (i, j) = match order {
        UnshuffleOrder::Rows => (token / columns, token % columns),
        UnshuffleOrder::Columns => (token % rows, token / rows),
    };
    let (row, column) = (factor * i + within / factor, factor * j + within % factor);
    (tile * grid.rows + row) * grid.columns + column
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Patches numbered row by row; each token lists its patches.
    fn tokens(grid: Grid, tiles: usize, factor: usize, order: UnshuffleOrder) -> Vec<Vec<f32>> {
        let count = tiles * grid.rows * grid.columns;
        let x = Tensor::from_vec((0..count).map(|i| i as f32).collect(), &[count, 1]);
        let out = unshuffle(&x, grid, factor, order).unwrap();
        (0..out.rows()).map(|i| out.row(i).to_vec()).collect()
    }

    #[test]
    fn order_of_tokens_and_of_patches_within() {
        let square = Grid { rows: 4, columns: 4 };
        let v2 = tokens(square, 1, 2, UnshuffleOrder::Rows);
        assert_eq!(v2[0], [0.0, 1.0, 4.0, 5.0]);
        assert_eq!(v2[1], [2.0, 3.0, 6.0, 7.0]);
        assert_eq!(v2[2], [8.0, 9.0, 12.0, 13.0]);
        let v1 = tokens(square, 1, 2, UnshuffleOrder::Columns);
        assert_eq!([&v1[0], &v1[1], &v1[2], &v1[3]], [&v2[0], &v2[2], &v2[1], &v2[3]]);
    }

    #[test]
    fn oblong_grids_several_tiles_and_other_factors() {
        let oblong = Grid { rows: 2, columns: 6 };
        let all = tokens(oblong, 2, 2, UnshuffleOrder::Rows);
        assert_eq!(all.len(), 6);
        assert_eq!(all[2], [4.0, 5.0, 10.0, 11.0]);
        assert_eq!(all[3], [12.0, 13.0, 18.0, 19.0]);
        assert_eq!(tokens(oblong, 1, 1, UnshuffleOrder::Rows)[7], [7.0]);
        let square = Grid { rows: 4, columns: 4 };
        let one: Vec<f32> = (0..16).map(|i| i as f32).collect();
        assert_eq!(tokens(square, 1, 4, UnshuffleOrder::Rows), [one]);
    }

    #[test]
    fn backward_undoes_forward() {
        let grid = Grid { rows: 4, columns: 6 };
        let x = Tensor::from_vec((0..144).map(|i| i as f32).collect(), &[48, 3]);
        for order in [UnshuffleOrder::Rows, UnshuffleOrder::Columns] {
            let there = unshuffle(&x, grid, 2, order).unwrap();
            assert_eq!(unshuffle_backward(&there, grid, 2, order).to_vec(), x.to_vec());
        }
    }

    #[test]
    fn a_grid_that_does_not_divide_is_an_error() {
        let x = Tensor::zeros(&[6, 1]);
        let grid = Grid { rows: 2, columns: 3 };
        let error = unshuffle(&x, grid, 2, UnshuffleOrder::Rows).unwrap_err();
        assert_eq!(error.to_string(), "image grid: 2×3 patches do not divide into squares of 2");
    }
}
