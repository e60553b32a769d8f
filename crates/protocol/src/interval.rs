//! A share of successes with its interval.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Two-sided 95 % quantile of the normal distribution.
const Z: f64 = 1.959_963_984_540_054;

/// A share and its 95 % interval, all in [0, 1].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// The measured share.
    pub value: f64,
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

/// Wilson's 95 % score interval for `successes` among `num` trials. Without trials it is 0 to 1.
///
/// ```text
/// ( p + z²/2n ± z·√( p(1−p)/n + z²/4n² ) ) / ( 1 + z²/n )
/// ```
///
/// Wilson, J. Am. Stat. Assoc. 22 (1927), 209–212. `successes` may be a sum of means, where every
/// trial was repeated: repetitions of one question do not count as further trials.
pub fn wilson(successes: f64, num: usize) -> Interval {
    if num == 0 {
        return Interval { value: 0.0, low: 0.0, high: 1.0 };
    }
    let n = num as f64;
    let p = successes / n;
    let scale = 1.0 + Z * Z / n;
    let middle = (p + Z * Z / (2.0 * n)) / scale;
    let half = Z / scale * (p * (1.0 - p) / n + Z * Z / (4.0 * n * n)).sqrt();
    // Rounding must not push the ends past the share itself.
    Interval { value: p, low: (middle - half).clamp(0.0, p), high: (middle + half).clamp(p, 1.0) }
}

impl fmt::Display for Interval {
    /// In percent, with `precision` digits (one if none is given).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = f.precision().unwrap_or(1);
        let [value, low, high] = [self.value, self.low, self.high].map(|share| share * 100.0);
        write!(f, "{value:.digits$} % ({low:.digits$} – {high:.digits$})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Newcombe, Statistics in Medicine 17 (1998), 857–872, table I, method 3.
    #[test]
    fn wilson_equals_newcombes_table() {
        let cases = [
            (81, 263, 0.2553, 0.3662),
            (15, 148, 0.0624, 0.1605),
            (0, 20, 0.0, 0.1611),
            (1, 29, 0.0061, 0.1718),
        ];
        for (successes, num, low, high) in cases {
            let found = wilson(f64::from(successes), num);
            assert!(
                (found.low - low).abs() < 6e-5 && (found.high - high).abs() < 6e-5,
                "{found:?}"
            );
        }
    }

    #[test]
    fn the_ends_hold_the_share() {
        for num in [1, 3, 300] {
            let (none, all) = (wilson(0.0, num), wilson(num as f64, num));
            assert_eq!((none.value, none.low, all.value, all.high), (0.0, 0.0, 1.0, 1.0));
            assert!((none.high - (1.0 - all.low)).abs() < 1e-12);
        }
        assert_eq!(wilson(0.0, 0), Interval { value: 0.0, low: 0.0, high: 1.0 });
    }
}
