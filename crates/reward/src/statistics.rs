//! What completions look like, whatever they answer: how long, how repetitive.

use std::collections::HashSet;
use std::hash::Hash;

use serde::{Deserialize, Serialize};

/// The share of n-grams that occurred before: `1 − unique / total`.
///
/// Zero when nothing repeats or there is no n-gram; near one in a loop. Three words or tokens
/// make a usual `n`.
pub fn repetition_rate<T: Eq + Hash>(tokens: &[T], n: usize) -> f64 {
    if n == 0 || tokens.len() < n {
        return 0.0;
    }
    let total = tokens.len() - n + 1;
    let unique: HashSet<&[T]> = tokens.windows(n).collect();
    1.0 - unique.len() as f64 / total as f64
}

/// Pearson's correlation of two rewards of the same completions; `None` where either has no spread.
///
/// # Panics
/// When their numbers differ.
pub fn correlation(first: &[f64], second: &[f64]) -> Option<f64> {
    assert_eq!(first.len(), second.len(), "rewards of the same completions");
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len().max(1) as f64;
    let (mean_first, mean_second) = (mean(first), mean(second));
    let (mut both, mut squares) = (0.0, [0.0; 2]);
    for (a, b) in first.iter().zip(second) {
        let (a, b) = (a - mean_first, b - mean_second);
        both += a * b;
        squares = [squares[0] + a * a, squares[1] + b * b];
    }
    let spread = squares[0].sqrt() * squares[1].sqrt();
    (spread > 0.0 && spread.is_finite()).then(|| (both / spread).clamp(-1.0, 1.0))
}

/// Lengths of a batch of completions, in tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LengthStatistics {
    /// The mean.
    pub mean: f64,
    /// The shortest.
    pub min: usize,
    /// The middle one; of an even number, the lower of the two.
    pub median: usize,
    /// The longest.
    pub max: usize,
}

/// Summarises lengths; all zero when there are none.
pub fn length_statistics(lengths: &[usize]) -> LengthStatistics {
    let mut sorted = lengths.to_vec();
    sorted.sort_unstable();
    let (Some(&min), Some(&max)) = (sorted.first(), sorted.last()) else {
        return LengthStatistics::default();
    };
    let mean = sorted.iter().sum::<usize>() as f64 / sorted.len() as f64;
    LengthStatistics { mean, min, median: sorted[(sorted.len() - 1) / 2], max }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repetition_counts_what_came_before() {
        for (tokens, n, want) in [
            (&[1, 2, 3, 4][..], 3, 0.0),
            (&[1, 1, 1, 1, 1], 3, 1.0 - 1.0 / 3.0),
            (&[1, 2, 1, 2], 2, 1.0 - 2.0 / 3.0),
            (&[1, 2], 3, 0.0),
            (&[], 1, 0.0),
            (&[1, 1], 0, 0.0),
        ] {
            assert_eq!(repetition_rate(tokens, n), want, "{tokens:?} {n}");
        }
        let words: Vec<&str> = "wait no wait no wait no".split(' ').collect();
        assert_eq!(repetition_rate(&words, 2), 1.0 - 2.0 / 5.0);
    }

    #[test]
    fn correlations_need_spread() {
        let close = |got: Option<f64>, want: f64| assert!((got.unwrap() - want).abs() < 1e-12);
        close(correlation(&[0.0, 1.0, 1.0, 0.0], &[-3.0, 5.0, 5.0, -3.0]), 1.0);
        close(correlation(&[0.0, 1.0], &[2.0, -2.0]), -1.0);
        close(correlation(&[1.0, 2.0, 3.0], &[1.0, 3.0, 2.0]), 0.5);
        assert_eq!(correlation(&[1.0, 1.0], &[0.0, 1.0]), None);
        assert_eq!(correlation(&[], &[]), None);
        assert_eq!(correlation(&[1e300, -1e300], &[1e300, -1e300]), None);
    }

    #[test]
    fn lengths_are_summarised() {
        let got = length_statistics(&[9, 1, 4, 2]);
        assert_eq!(got, LengthStatistics { mean: 4.0, min: 1, median: 2, max: 9 });
        assert_eq!(length_statistics(&[]), LengthStatistics::default());
    }
}
