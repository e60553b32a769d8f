//! The position table at sizes it was not made for: bicubic interpolation of the grid.
//!
//! The same as PyTorch's `interpolate(mode="bicubic", align_corners=False)`, which transformers'
//! DINOv2 and InternViT's own code call: cubic convolution with a = −0.75, sample positions
//! `(i + ½)·in/out − ½`, edges repeated, no antialiasing. (Keys 1981, "Cubic convolution
//! interpolation for digital image processing", equation 15.)

/// The four source cells of one output cell along an axis, with their weights.
type Taps = [(usize, f32); 4];

/// Resamples a square grid of rows, `[from · from, width]`, to `[rows · columns, width]`.
pub(super) fn interpolate(
    table: &[f32],
    from: usize,
    [rows, columns]: [usize; 2],
    width: usize,
) -> Vec<f32> {
    let mut out = vec![0.0; rows * columns * width];
    each_tap(from, [rows, columns], |cell, source, weight| {
        let source = &table[source * width..][..width];
        for (out, value) in out[cell * width..][..width].iter_mut().zip(source) {
            *out += weight * value;
        }
    });
    out
}

/// The transpose of [`interpolate`]: adds the gradient of the resampled grid to that of the table.
pub(super) fn interpolate_backward(
    dout: &[f32],
    from: usize,
    [rows, columns]: [usize; 2],
    dtable: &mut [f32],
) {
    let width = dout.len() / (rows * columns);
    each_tap(from, [rows, columns], |cell, source, weight| {
        let dout = &dout[cell * width..][..width];
        for (grad, value) in dtable[source * width..][..width].iter_mut().zip(dout) {
            *grad += weight * value;
        }
    });
}

/// Visits (output cell, source cell, weight) of the resampling.
fn each_tap(from: usize, [rows, columns]: [usize; 2], mut visit: impl FnMut(usize, usize, f32)) {
    let across: Vec<Taps> = (0..columns).map(|i| taps(i, from, columns)).collect();
    for row in 0..rows {
        let down = taps(row, from, rows);
        for (column, across) in across.iter().enumerate() {
            for (y, weight_y) in down {
                for &(x, weight_x) in across {
                    visit(row * columns + column, y * from + x, weight_y * weight_x);
                }
            }
        }
    }
}

fn taps(index: usize, from: usize, to: usize) -> Taps {
    let position = (index as f64 + 0.5) * from as f64 / to as f64 - 0.5;
    let t = position - position.floor();
    let last = from as i64 - 1;
    std::array::from_fn(|k| {
        let offset = k as i64 - 1;
        let cell = (position.floor() as i64 + offset).clamp(0, last);
        (cell as usize, cubic((t - offset as f64).abs()) as f32)
    })
}

/// The cubic convolution kernel at distance `x` in 0..=2.
fn cubic(x: f64) -> f64 {
    const A: f64 = -0.75;
    if x <= 1.0 {
        ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0
    } else {
        ((A * x - 5.0 * A) * x + 8.0 * A) * x - 4.0 * A
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_size_changes_nothing() {
        let table: Vec<f32> = (0..18).map(|i| (i * i) as f32).collect();
        assert_eq!(interpolate(&table, 3, [3, 3], 2), table);
    }

    /// From PyTorch:
    /// ```text
    /// x = torch.arange(9.).pow(2).reshape(1, 1, 3, 3)
    /// F.interpolate(x, size=(2, 4), mode="bicubic", align_corners=False).flatten()
    /// ```
    #[test]
    fn agrees_with_pytorch() {
        let table: Vec<f32> = (0..9).map(|i| (i * i) as f32).collect();
        let want =
            [0.935635, 2.008327, 4.969212, 7.684483, 29.348543, 36.258278, 48.34427, 56.89657];
        let got = interpolate(&table, 3, [2, 4], 1);
        testkit::assert_close("cells", &got, &want, testkit::Tolerance::absolute(1e-5));
    }

    #[test]
    fn the_backward_pass_is_the_transpose() {
        let table: Vec<f32> = (0..32).map(|i| ((i * 7) % 13) as f32 - 6.0).collect();
        let dout: Vec<f32> = (0..30).map(|i| ((i * 5) % 11) as f32 - 5.0).collect();
        let out = interpolate(&table, 4, [3, 5], 2);
        let mut dtable = vec![0.0; 32];
        interpolate_backward(&dout, 4, [3, 5], &mut dtable);
        let dot =
            |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(a * b)).sum::<f64>();
        assert!((dot(&out, &dout) - dot(&table, &dtable)).abs() < 1e-3);
    }
}
