//! Linear layers: `y = x·Wᵀ + b` and its three gradients.
//!
//! Shapes: `x` and `dx` are `[rows, inputs]`, `y` and `dy` `[rows, outputs]`, `weight` and its
//! gradient `[outputs, inputs]`, `bias` `[outputs]`.

/// `y = x·Wᵀ + b`.
///
/// # Panics
/// If the lengths are not those of one set of shapes.
pub fn forward(x: &[f32], weight: &[f32], bias: Option<&[f32]>, inputs: usize, y: &mut [f32]) {
    let outputs = weight.len() / inputs;
    for (x, y) in x.chunks_exact(inputs).zip(y.chunks_exact_mut(outputs)) {
        for (o, y) in y.iter_mut().enumerate() {
            let row = &weight[o * inputs..][..inputs];
            let bias = bias.map_or(0.0, |bias| f64::from(bias[o]));
            *y = (dot(x, row) + bias) as f32;
        }
    }
}

/// Rows as weights of 8 and 4 bits meet them: each block of 32 values in 127 steps up to its largest.
pub fn rounded(x: &[f32], inputs: usize) -> Vec<f32> {
    let mut rounded = x.to_vec();
    for block in rounded.chunks_mut(inputs).flat_map(|row| row.chunks_mut(32)) {
        let step = block.iter().fold(0.0_f32, |top, v| top.max(v.abs())) / 127.0;
        if step < f32::MIN_POSITIVE {
            block.fill(0.0);
        } else {
            block.iter_mut().for_each(|v| *v = (*v * step.recip()).round_ties_even() * step);
        }
    }
    rounded
}

/// `dx += dy·W`.
///
/// # Panics
/// If the lengths are not those of one set of shapes.
pub fn backward(dy: &[f32], weight: &[f32], inputs: usize, dx: &mut [f32]) {
    let outputs = weight.len() / inputs;
    for (dy, dx) in dy.chunks_exact(outputs).zip(dx.chunks_exact_mut(inputs)) {
        for (i, dx) in dx.iter_mut().enumerate() {
            let sum: f64 =
                (0..outputs).map(|o| f64::from(dy[o]) * f64::from(weight[o * inputs + i])).sum();
            *dx = (f64::from(*dx) + sum) as f32;
        }
    }
}

/// `dW += dyᵀ·x`.
///
/// # Panics
/// If the lengths are not those of one set of shapes.
pub fn weight_gradient(dy: &[f32], x: &[f32], inputs: usize, gradient: &mut [f32]) {
    let outputs = gradient.len() / inputs;
    for (o, row) in gradient.chunks_exact_mut(inputs).enumerate() {
        for (i, g) in row.iter_mut().enumerate() {
            let dy = dy.iter().skip(o).step_by(outputs);
            let x = x.iter().skip(i).step_by(inputs);
            let sum: f64 = dy.zip(x).map(|(&dy, &x)| f64::from(dy) * f64::from(x)).sum();
            *g = (f64::from(*g) + sum) as f32;
        }
    }
}

/// `db += Σ_rows dy`; also the gradient of any other per-column addend.
///
/// # Panics
/// If `dy` is not whole rows of `gradient`'s length.
pub fn bias_gradient(dy: &[f32], gradient: &mut [f32]) {
    let columns = gradient.len();
    for (o, g) in gradient.iter_mut().enumerate() {
        let sum: f64 = dy.iter().skip(o).step_by(columns).map(|&v| f64::from(v)).sum();
        *g = (f64::from(*g) + sum) as f32;
    }
}

/// Inner product in f64.
pub(crate) fn dot(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum()
}
