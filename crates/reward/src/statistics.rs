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
    fn lengths_are_summarised() {
        let got = length_statistics(&[9, 1, 4, 2]);
        assert_eq!(got, LengthStatistics { mean: 4.0, min: 1, median: 2, max: 9 });
        assert_eq!(length_statistics(&[]), LengthStatistics::default());
    }
}
