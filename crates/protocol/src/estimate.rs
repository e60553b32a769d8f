//! A mean with its interval, items of one source counted together.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::interval::{Interval, wilson};

/// Mean score of items.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// Mean and 95 % interval.
    pub score: Interval,
    /// Standard error, clustered.
    pub standard_error: f64,
    /// Items.
    pub num_items: usize,
    /// Sources of items.
    pub num_clusters: usize,
}

/// The mean of items' scores in [0, 1], each given with its cluster.
///
/// The standard error adds up what items of a cluster share (Liang and Zeger, Biometrika 73 (1986), 13–22; Miller,
/// arXiv:2411.00640, section 2.2):
///
/// ```text
/// SE² = Σ_clusters ( Σ_items (s − s̄) )² / n² · C / (C − 1)
/// ```
///
/// The interval is Wilson's for as many independent items as have this standard error, `s̄(1 − s̄) / SE²`, and at most
/// as many as there are clusters times the number of runs; so it keeps within [0, 1], and is no point where all
/// scores are equal.
pub fn clustered(scores: &[(&str, f64)], num_runs: usize) -> Estimate {
    let num_items = scores.len();
    let n = num_items.max(1) as f64;
    let mean = scores.iter().map(|(_, score)| score).sum::<f64>() / n;
    let mut sums: BTreeMap<&str, f64> = BTreeMap::new();
    for (cluster, score) in scores {
        *sums.entry(cluster).or_default() += score - mean;
    }
    let num_clusters = sums.len();
    let c = num_clusters as f64;
    let correction = if num_clusters > 1 { c / (c - 1.0) } else { 1.0 };
    let variance = sums.values().map(|sum| sum * sum).sum::<f64>() / (n * n) * correction;
    let most = (num_clusters * num_runs).max(1);
    let equivalent = match variance > 0.0 {
        true => (mean * (1.0 - mean) / variance).clamp(1.0, most as f64),
        // All scores are equal: no more is known than the clusters say.
        false => c.max(1.0),
    };
    let score = match num_items {
        0 => wilson(0.0, 0),
        _ => interval(mean, equivalent),
    };
    Estimate { score, standard_error: variance.sqrt(), num_items, num_clusters }
}

/// Wilson's interval for a number of items that is no whole one.
fn interval(mean: f64, num: f64) -> Interval {
    let (below, above) = (num.floor().max(1.0), num.ceil().max(1.0));
    let (a, b) = (wilson(mean * below, below as usize), wilson(mean * above, above as usize));
    let between = |a: f64, b: f64| a + (b - a) * (num - below).clamp(0.0, 1.0);
    Interval { value: mean, low: between(a.low, b.low), high: between(a.high, b.high) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_clusters_it_is_wilsons() {
        let ids: Vec<String> = (0..100).map(|i| i.to_string()).collect();
        let scores: Vec<(&str, f64)> = ids
            .iter()
            .enumerate()
            .map(|(i, id)| (id.as_str(), f64::from(u8::from(i < 60))))
            .collect();
        let found = clustered(&scores, 1);
        let expected = wilson(60.0, 100);
        assert!((found.score.low - expected.low).abs() < 2e-3, "{found:?} {expected:?}");
        // √(0.6·0.4/99)
        assert!((found.standard_error - 0.049_236_6).abs() < 1e-6);
    }

    #[test]
    fn copies_of_an_item_teach_nothing() {
        let ids: Vec<String> = (0..50).map(|i| i.to_string()).collect();
        let once: Vec<(&str, f64)> = ids
            .iter()
            .enumerate()
            .map(|(i, id)| (id.as_str(), f64::from(u8::from(i % 2 == 0))))
            .collect();
        let four: Vec<(&str, f64)> = once.iter().flat_map(|one| [*one; 4]).collect();
        let (once, four) = (clustered(&once, 1), clustered(&four, 1));
        assert!((once.standard_error - four.standard_error).abs() < 1e-12);
        assert_eq!((four.num_items, four.num_clusters), (200, 50));
        assert!((once.score.low - four.score.low).abs() < 1e-12);
    }

    #[test]
    fn equal_scores_are_no_certainty() {
        let all = clustered(&[("a", 1.0), ("a", 1.0), ("b", 1.0)], 5);
        assert_eq!((all.score.value, all.score.high), (1.0, 1.0));
        assert!((all.score.low - wilson(2.0, 2).low).abs() < 1e-12);
        assert_eq!(clustered(&[], 1).score, wilson(0.0, 0));
    }
}
