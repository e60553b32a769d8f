//! Tests of whether two runs differ.

use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

/// Draws of [`sign_flip`] where there are too many clusters to try all.
const DRAWS: usize = 20_000;

/// Clusters up to which all signs are tried.
const EXACT: usize = 14;

/// Two-sided p-value of McNemar's exact test: under the hypothesis of no difference, each question
/// that only one run had right falls to either with probability ½.
///
/// ```text
/// p = min(1, 2 · Σ_{i ≤ min(b, c)} C(b + c, i) / 2^(b + c))
/// ```
pub fn exact_mcnemar(only_before: usize, only_after: usize) -> f64 {
    let num = only_before + only_after;
    let mut log_term = -(num as f64) * std::f64::consts::LN_2;
    let mut tail = 0.0;
    for i in 0..=only_before.min(only_after) {
        tail += log_term.exp();
        log_term += ((num - i) as f64).ln() - ((i + 1) as f64).ln();
    }
    (2.0 * tail).min(1.0)
}

/// Two-sided p-value of the sign-flip test: under the hypothesis of no difference, the sum of each cluster's
/// differences is as likely to be what it is as to have the other sign (Fisher, The Design of Experiments, 1935).
///
/// All signs are tried for up to 14 clusters, else 20,000 drawn ones, the observed one counted among them.
pub fn sign_flip(differences: &[f64], seed: u64) -> f64 {
    let differences: Vec<f64> = differences.iter().copied().filter(|d| *d != 0.0).collect();
    let observed = differences.iter().sum::<f64>().abs() - 1e-12;
    let n = differences.len();
    if n <= EXACT {
        let sum = |signs: usize| -> f64 {
            let signed = |(at, d): (usize, &f64)| if signs >> at & 1 == 1 { *d } else { -*d };
            differences.iter().enumerate().map(signed).sum()
        };
        let extreme = (0..1usize << n).filter(|signs| sum(*signs).abs() >= observed).count();
        return extreme as f64 / (1usize << n) as f64;
    }
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut extreme = 1;
    for _ in 0..DRAWS {
        let mut sum = 0.0;
        for chunk in differences.chunks(64) {
            let signs: u64 = random.random();
            for (at, d) in chunk.iter().enumerate() {
                sum += if signs >> at & 1 == 1 { *d } else { -*d };
            }
        }
        extreme += usize::from(sum.abs() >= observed);
    }
    extreme as f64 / (DRAWS + 1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    // Python: Fraction(2 * sum(comb(b + c, i) for i in range(min(b, c) + 1)), 2 ** (b + c))
    #[test]
    fn exact_mcnemar_equals_the_binomial_test() {
        let cases = [
            (0, 0, 1.0),
            (5, 5, 1.0),
            (0, 5, 0.0625),
            (3, 10, 0.092_285_156_25),
            (31, 73, 4.656_986_97e-5),
            (1200, 1400, 9.442_234_77e-5),
        ];
        for (b, c, expected) in cases {
            let found = exact_mcnemar(b, c);
            assert!((found - expected).abs() <= 1e-8 * expected, "{b} {c}: {found:e}");
            assert_eq!(found, exact_mcnemar(c, b));
        }
    }

    #[test]
    fn sign_flips_equal_mcnemar_where_differences_are_whole() {
        let ones = |before: usize, after: usize| [vec![-1.0; before], vec![1.0; after]].concat();
        for (b, c) in [(0, 0), (0, 5), (3, 10), (1, 4)] {
            let (found, expected) = (sign_flip(&ones(b, c), 1), exact_mcnemar(b, c));
            assert!((found - expected).abs() < 1e-12, "{b} {c}: {found} {expected}");
        }
        let found = sign_flip(&ones(30, 50), 1);
        assert!((found - exact_mcnemar(30, 50)).abs() < 0.006, "{found}");
        assert_eq!(found, sign_flip(&ones(30, 50), 1));
    }
}
