//! Moving whole rows: embedding splice, cache writes, target rows.

use crate::Tensor;

/// Rows `indices` of `x` as `[n, cols]`.
pub fn gather_rows(x: &Tensor, indices: &[usize]) -> Tensor {
    let mut rows = Tensor::scratch(&[indices.len(), x.cols()]);
    for (i, &index) in indices.iter().enumerate() {
        rows.row_mut(i).copy_from_slice(x.row(index));
    }
    rows
}

/// `dst[indices[i]] += src[i]`: the gradient of [`gather_rows`].
pub fn scatter_add_rows(dst: &mut Tensor, indices: &[usize], src: &Tensor) {
    assert_eq!((src.rows(), src.cols()), (indices.len(), dst.cols()), "rows to add");
    for (i, &index) in indices.iter().enumerate() {
        dst.row_mut(index).iter_mut().zip(src.row(i)).for_each(|(d, s)| *d += s);
    }
}

/// `dst[indices[i]] = src[i]`.
pub fn write_rows(dst: &mut Tensor, indices: &[usize], src: &Tensor) {
    assert_eq!((src.rows(), src.cols()), (indices.len(), dst.cols()), "rows to write");
    for (i, &index) in indices.iter().enumerate() {
        dst.row_mut(index).copy_from_slice(src.row(i));
    }
}
