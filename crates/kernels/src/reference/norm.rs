//! RMSNorm and LayerNorm over the last axis.
//!
//! Shapes: `x`, `y`, `dy`, `dx` are `[rows, columns]`; `weight`, `bias` and their gradients
//! `[columns]`.

/// RMSNorm, `y = x / √(mean(x²) + ε) · w` (arXiv:1910.07467, equation 4).
pub fn rms_norm(x: &[f32], weight: &[f32], epsilon: f32, y: &mut [f32]) {
    let columns = weight.len();
    for (x, y) in x.chunks_exact(columns).zip(y.chunks_exact_mut(columns)) {
        let scale = inverse_rms(x, epsilon);
        for ((y, &x), &w) in y.iter_mut().zip(x).zip(weight) {
            *y = (f64::from(x) * scale * f64::from(w)) as f32;
        }
    }
}

/// Gradient of [`rms_norm`]: writes `dx`, adds to `dweight`.
pub fn rms_norm_backward(
    (dy, x): (&[f32], &[f32]),
    weight: &[f32],
    epsilon: f32,
    dx: &mut [f32],
    mut dweight: Option<&mut [f32]>,
) {
    let columns = weight.len();
    let rows = dy.chunks_exact(columns).zip(x.chunks_exact(columns));
    for ((dy, x), dx) in rows.zip(dx.chunks_exact_mut(columns)) {
        let scale = inverse_rms(x, epsilon);
        let normal: Vec<f64> = x.iter().map(|&x| f64::from(x) * scale).collect();
        let inner = products(dy, weight);
        let along = mean(inner.iter().zip(&normal).map(|(g, n)| g * n), columns);
        for i in 0..columns {
            dx[i] = (scale * (inner[i] - normal[i] * along)) as f32;
            if let Some(dweight) = dweight.as_deref_mut() {
                dweight[i] += (f64::from(dy[i]) * normal[i]) as f32;
            }
        }
    }
}

/// LayerNorm, `y = (x − mean) / √(variance + ε) · w + b` (arXiv:1607.06450, equation 4).
pub fn layer_norm(x: &[f32], weight: &[f32], bias: &[f32], epsilon: f32, y: &mut [f32]) {
    let columns = weight.len();
    for (x, y) in x.chunks_exact(columns).zip(y.chunks_exact_mut(columns)) {
        let (normal, _) = standardise(x, epsilon);
        for i in 0..columns {
            y[i] = (normal[i] * f64::from(weight[i]) + f64::from(bias[i])) as f32;
        }
    }
}

/// Gradient of [`layer_norm`]: writes `dx`, adds to the gradients of weight and bias.
pub fn layer_norm_backward(
    (dy, x): (&[f32], &[f32]),
    weight: &[f32],
    epsilon: f32,
    dx: &mut [f32],
    mut gradients: Option<(&mut [f32], &mut [f32])>,
) {
    let columns = weight.len();
    let rows = dy.chunks_exact(columns).zip(x.chunks_exact(columns));
    for ((dy, x), dx) in rows.zip(dx.chunks_exact_mut(columns)) {
        let (normal, scale) = standardise(x, epsilon);
        let inner = products(dy, weight);
        let level = mean(inner.iter().copied(), columns);
        let along = mean(inner.iter().zip(&normal).map(|(g, n)| g * n), columns);
        for i in 0..columns {
            dx[i] = (scale * (inner[i] - level - normal[i] * along)) as f32;
            if let Some((dweight, dbias)) = &mut gradients {
                dweight[i] += (f64::from(dy[i]) * normal[i]) as f32;
                dbias[i] += dy[i];
            }
        }
    }
}

fn inverse_rms(x: &[f32], epsilon: f32) -> f64 {
    let power = mean(x.iter().map(|&x| f64::from(x) * f64::from(x)), x.len());
    1.0 / (power + f64::from(epsilon)).sqrt()
}

/// `x` with mean 0 and variance 1, and one over its standard deviation.
fn standardise(x: &[f32], epsilon: f32) -> (Vec<f64>, f64) {
    let level = mean(x.iter().map(|&x| f64::from(x)), x.len());
    let variance = mean(x.iter().map(|&x| (f64::from(x) - level).powi(2)), x.len());
    let scale = 1.0 / (variance + f64::from(epsilon)).sqrt();
    (x.iter().map(|&x| (f64::from(x) - level) * scale).collect(), scale)
}

fn products(dy: &[f32], weight: &[f32]) -> Vec<f64> {
    dy.iter().zip(weight).map(|(&g, &w)| f64::from(g) * f64::from(w)).collect()
}

fn mean(values: impl Iterator<Item = f64>, count: usize) -> f64 {
    values.sum::<f64>() / count as f64
}
