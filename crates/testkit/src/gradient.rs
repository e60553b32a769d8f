//! A gradient against central differences of the function it belongs to.

/// Checks `gradient` of `f` at `x`, one coordinate at a time:
///
/// ```text
/// |(f(x + ε·e_i) − f(x − ε·e_i)) / 2ε − g_i| ≤ tolerance · max(1, |g_i|)
/// ```
///
/// A function that rounds its input to f32 is exact here when `x` and `eps` are multiples of one
/// power of two (2⁻¹² leaves room for values up to 4096).
///
/// # Panics
/// When the lengths differ or a coordinate is off; the message names the worst one.
#[track_caller]
pub fn check_gradient(
    f: impl Fn(&[f64]) -> f64,
    x: &[f64],
    gradient: &[f64],
    eps: f64,
    tolerance: f64,
) {
    assert_eq!(x.len(), gradient.len(), "coordinates of the gradient");
    let mut worst = (0, 0.0, 0.0, 0.0);
    let mut moved = x.to_vec();
    for (i, &claimed) in gradient.iter().enumerate() {
        moved[i] = x[i] + eps;
        let above = f(&moved);
        moved[i] = x[i] - eps;
        let below = f(&moved);
        moved[i] = x[i];
        let measured = (above - below) / (2.0 * eps);
        let error = (measured - claimed).abs() / claimed.abs().max(1.0);
        assert!(error.is_finite(), "coordinate {i}: gradient {claimed}, measured {measured}");
        if error > worst.3 {
            worst = (i, claimed, measured, error);
        }
    }
    let (i, claimed, measured, error) = worst;
    assert!(
        error <= tolerance,
        "coordinate {i}: gradient {claimed}, measured {measured}, error {error:e}"
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum_of_cubes(x: &[f64]) -> f64 {
        x.iter().map(|x| x.powi(3)).sum()
    }

    #[test]
    fn a_right_gradient_passes() {
        check_gradient(sum_of_cubes, &[1.0, -2.0], &[3.0, 12.0], 1e-4, 1e-6);
    }

    #[test]
    #[should_panic(expected = "coordinate 1: gradient -12, measured 12")]
    fn a_wrong_sign_is_found() {
        check_gradient(sum_of_cubes, &[1.0, -2.0], &[3.0, -12.0], 1e-4, 1e-6);
    }

    #[test]
    #[should_panic(expected = "coordinate 0")]
    fn not_a_number_is_found() {
        check_gradient(|_| f64::NAN, &[1.0], &[0.0], 1e-4, 1e-6);
    }
}
