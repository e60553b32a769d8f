//! Moving whole rows: embedding splice, cache writes, target rows.

use kernels::cuda::rows::indices as on_card;

use crate::Tensor;
use crate::tensor::card_of;

/// Rows `indices` of `x` as `[n, cols]`.
pub fn gather_rows(x: &Tensor, indices: &[usize]) -> Tensor {
    let shape = [indices.len(), x.cols()];
    if let Some(card) = card_of(&[x]) {
        let indices = on_card(&card, indices.iter().copied(), x.rows());
        return Tensor::of_card(
            kernels::cuda::rows::gather(&x.on(&card), &indices, x.cols()),
            &shape,
        );
    }
    let mut rows = Tensor::scratch(&shape);
    for (i, &index) in indices.iter().enumerate() {
        rows.row_mut(i).copy_from_slice(x.row(index));
    }
    rows
}

/// `dst[indices[i]] += src[i]`: the gradient of [`gather_rows`].
pub fn scatter_add_rows(dst: &mut Tensor, indices: &[usize], src: &Tensor) {
    assert_eq!((src.rows(), src.cols()), (indices.len(), dst.cols()), "rows to add");
    if let Some(card) = card_of(&[dst, src]) {
        let indices = on_card(&card, indices.iter().copied(), dst.rows());
        return kernels::cuda::rows::scatter_add(dst.on_mut(&card), &indices, &src.on(&card));
    }
    for (i, &index) in indices.iter().enumerate() {
        dst.row_mut(index).iter_mut().zip(src.row(i)).for_each(|(d, s)| *d += s);
    }
}

/// `dst[indices[i]] = src[i]`.
pub fn write_rows(dst: &mut Tensor, indices: &[usize], src: &Tensor) {
    assert_eq!((src.rows(), src.cols()), (indices.len(), dst.cols()), "rows to write");
    if let Some(card) = card_of(&[dst, src]) {
        let indices = on_card(&card, indices.iter().copied(), dst.rows());
        return kernels::cuda::rows::write(dst.on_mut(&card), &indices, &src.on(&card));
    }
    for (i, &index) in indices.iter().enumerate() {
        dst.row_mut(index).copy_from_slice(src.row(i));
    }
}

/// Rows of several tensors of one width, one after the other.
pub fn stack_rows(parts: &[&Tensor]) -> Tensor {
    let rows = parts.iter().map(|part| part.rows()).sum();
    let width = parts.first().map_or(0, |part| part.cols());
    assert!(parts.iter().all(|part| part.cols() == width), "widths of rows to stack");
    let mut all = match card_of(parts) {
        Some(card) => {
            Tensor::of_card(kernels::cuda::Buffer::scratch(&card, rows * width), &[rows, width])
        }
        None => Tensor::scratch(&[rows, width]),
    };
    let mut first = 0;
    for part in parts {
        all.replace_rows(first, part);
        first += part.rows();
    }
    all
}

/// `part` of the same rows of all `inputs`, at most `at_once` at a time, its results joined: for work row by row that
/// holds much in between. A result has as many rows and columns as the first of its inputs.
///
/// # Panics
/// If the inputs differ in rows, or a result has another size.
pub fn by_rows<const N: usize>(
    inputs: [&Tensor; N],
    at_once: usize,
    mut part: impl FnMut([&Tensor; N]) -> Tensor,
) -> Tensor {
    let rows = inputs[0].rows();
    assert!(inputs.iter().all(|x| x.rows() == rows), "rows of the inputs");
    if rows <= at_once {
        return part(inputs);
    }
    let mut out = inputs[0].scratch_beside();
    for first in (0..rows).step_by(at_once) {
        let end = rows.min(first + at_once);
        let parts = inputs.map(|x| x.copy_rows(first..end));
        let done = part(parts.each_ref());
        assert_eq!(parts[0].shape(), done.shape(), "rows {first}..{end}");
        out.replace_rows(first, &done);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_rows_gives_what_all_rows_give_at_once() {
        let [x, y] = [0.3, 0.7].map(|step| {
            let values = (0..7 * 3).map(|i| (i as f32 * step).sin()).collect();
            Tensor::from_vec(values, &[7, 3])
        });
        let product = |[x, y]: [&Tensor; 2]| {
            let values = x.as_slice().iter().zip(y.as_slice()).map(|(x, y)| x * y).collect();
            Tensor::from_vec(values, x.shape())
        };
        let whole = product([&x, &y]);
        for at_once in [1, 2, 3, 6, 7, 100] {
            let mut calls = 0;
            let parts = by_rows([&x, &y], at_once, |inputs| {
                calls += 1;
                product(inputs)
            });
            assert_eq!(parts.as_slice(), whole.as_slice());
            assert_eq!(calls, 7_usize.div_ceil(at_once));
        }
    }
}
