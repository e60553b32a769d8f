//! Comparison of arrays with a stated tolerance.

/// How far a number may be from the reference: `|got - want| <= absolute + relative * |want|`.
#[derive(Clone, Copy, Debug)]
pub struct Tolerance {
    /// Allowed whatever the size of the reference.
    pub absolute: f64,
    /// Allowed in proportion to the reference.
    pub relative: f64,
}

impl Tolerance {
    /// An absolute tolerance only.
    pub fn absolute(absolute: f64) -> Self {
        Self { absolute, relative: 0.0 }
    }

    /// A relative tolerance only.
    pub fn relative(relative: f64) -> Self {
        Self { absolute: 0.0, relative }
    }

    fn allows(self, got: f64, want: f64) -> bool {
        got == want || (got - want).abs() <= self.absolute + self.relative * want.abs()
    }
}

/// Compares two arrays element by element.
///
/// # Panics
/// When the lengths differ or any element is outside the tolerance (NaN always is); the message
/// says how many are, and names the one furthest away.
#[track_caller]
pub fn assert_close<T: Copy + Into<f64>>(what: &str, got: &[T], want: &[T], tolerance: Tolerance) {
    assert_eq!(got.len(), want.len(), "{what}: number of elements");
    let total = want.len();
    let outside: Vec<(usize, f64, f64)> = pairs(got, want)
        .enumerate()
        .filter(|&(_, (got, want))| !tolerance.allows(got, want))
        .map(|(index, (got, want))| (index, got, want))
        .collect();
    let distance = |&(_, got, want): &(usize, f64, f64)| {
        let distance = (got - want).abs();
        if distance.is_nan() { f64::INFINITY } else { distance }
    };
    let worst = outside.iter().max_by(|a, b| distance(a).total_cmp(&distance(b)));
    if let Some((index, got, want)) = worst {
        let (bad, all) = (outside.len(), total);
        panic!(
            "{what}: {bad} of {all} elements are off, worst [{index}]: got {got}, want {want} ({tolerance:?})"
        );
    }
}

/// `‖got - want‖ / ‖want‖` in the Euclidean norm; infinite when only the reference is zero.
///
/// # Panics
/// When the lengths differ.
#[track_caller]
pub fn relative_error<T: Copy + Into<f64>>(got: &[T], want: &[T]) -> f64 {
    assert_eq!(got.len(), want.len(), "number of elements");
    let difference: f64 = pairs(got, want).map(|(got, want)| (got - want).powi(2)).sum();
    let size: f64 = pairs(got, want).map(|(_, want)| want * want).sum();
    if difference == 0.0 { 0.0 } else { (difference / size).sqrt() }
}

/// Compares two arrays by [`relative_error`]: the right measure for gradients, where single
/// elements near zero mean little.
///
/// # Panics
/// When the lengths differ or the error exceeds `limit`.
#[track_caller]
pub fn assert_close_by_norm<T: Copy + Into<f64>>(what: &str, got: &[T], want: &[T], limit: f64) {
    let error = relative_error(got, want);
    assert!(error <= limit, "{what}: relative error {error:e} exceeds {limit:e}");
}

fn pairs<T: Copy + Into<f64>>(got: &[T], want: &[T]) -> impl Iterator<Item = (f64, f64)> {
    got.iter().zip(want).map(|(&got, &want)| (got.into(), want.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[should_panic(expected = "rows: 2 of 3 elements are off, worst [2]: got 9, want 3")]
    fn the_worst_element_is_named() {
        assert_close("rows", &[1.0, 2.5, 9.0], &[1.0, 2.0, 3.0], Tolerance::absolute(0.1));
    }

    #[test]
    #[should_panic(expected = "worst [1]: got NaN")]
    fn not_a_number_is_never_close() {
        assert_close("rows", &[1.5, f32::NAN], &[1.0, f32::NAN], Tolerance::absolute(1e9));
    }

    #[test]
    fn relative_tolerance_follows_the_reference() {
        assert_close("large", &[1001.0, -2.0e-9], &[1000.0, -2.0e-9], Tolerance::relative(1e-3));
        assert_close("infinite", &[f64::INFINITY], &[f64::INFINITY], Tolerance::relative(1e-3));
    }

    #[test]
    fn relative_error_is_a_ratio_of_norms() {
        assert_eq!(relative_error(&[3.0, 4.0], &[3.0, 4.0]), 0.0);
        assert_eq!(relative_error(&[0.0, 0.0], &[3.0, 4.0]), 1.0);
        assert_eq!(relative_error(&[1.0], &[0.0]), f64::INFINITY);
        assert!(relative_error(&[f64::NAN], &[1.0]).is_nan());
    }

    #[test]
    #[should_panic(expected = "relative error NaN")]
    fn a_norm_that_is_not_a_number_fails() {
        assert_close_by_norm("gradient", &[f64::NAN], &[1.0], 1.0);
    }
}
