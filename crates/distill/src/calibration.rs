//! Whether the penalty does what it should: length and correctness against P, and P under other settings.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::penalty::{Drlc, Scores, repetition_penalty};
use crate::table::Row;

/// Bins of items of about equal number.
const NUM_BINS: usize = 5;

/// Steepnesses that are tried on the scores at hand, beside the one that is set.
const ALPHAS: [f64; 5] = [0.1, 0.2, 0.3, std::f64::consts::LN_2, 1.0];

/// Length and correctness of generated chains against their penalties.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Calibration {
    /// Items in the order of their penalties, in bins.
    pub bins: Vec<Bin>,
    /// Spearman's rank correlation of penalty and length; negative where the penalty shortens. None without a spread.
    pub length_correlation: Option<f64>,
    /// The same of penalty and correctness.
    pub correctness_correlation: Option<f64>,
    /// What the penalties are under the steepness that is set, and would be under others.
    pub trends: Vec<Trend>,
}

/// Items of neighbouring penalties.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Bin {
    /// The least penalty.
    pub low: f64,
    /// The greatest.
    pub high: f64,
    /// Items.
    pub num_items: usize,
    /// Mean tokens of a chain.
    pub mean_tokens: f64,
    /// Share of chains that reach the known answer.
    pub correct: f64,
    /// Mean share of word triples that occurred before.
    pub repetition: f64,
    /// Share of chains that ended at the limit.
    pub cut: f64,
}

/// Penalties of the same scores at one steepness.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Trend {
    /// The steepness.
    pub alpha: f64,
    /// The least penalty.
    pub min: f64,
    /// The middle one.
    pub median: f64,
    /// The greatest.
    pub max: f64,
    /// Share of items at the cap of 2.
    pub capped: f64,
}

impl Calibration {
    /// Over the rows that were generated, under the settings of equation 1.
    pub(crate) fn new(rows: &[Row], drlc: Drlc) -> Self {
        let mut points: Vec<Point> = rows.iter().filter_map(Point::of).collect();
        points.sort_by(|a, b| a.penalty.total_cmp(&b.penalty));
        let of = |what: fn(&Point) -> f64| points.iter().map(what).collect::<Vec<f64>>();
        let penalties = of(|point| point.penalty);
        let scores: Vec<Scores> = rows.iter().filter_map(scores_of).collect();
        Self {
            bins: bins(&points),
            length_correlation: rank_correlation(&penalties, &of(|point| point.tokens)),
            correctness_correlation: rank_correlation(&penalties, &of(|point| point.correct)),
            trends: trends(&scores, drlc),
        }
    }
}

struct Point {
    penalty: f64,
    tokens: f64,
    correct: f64,
    repetition: f64,
    cut: f64,
}

impl Point {
    fn of(row: &Row) -> Option<Self> {
        Some(Self {
            penalty: row.penalty?,
            tokens: row.num_tokens?,
            correct: row.correct?,
            repetition: row.repetition?,
            cut: row.cut?,
        })
    }
}

fn bins(points: &[Point]) -> Vec<Bin> {
    let size = points.len().div_ceil(NUM_BINS).max(1);
    let bin = |points: &[Point]| {
        let mean =
            |what: fn(&Point) -> f64| points.iter().map(what).sum::<f64>() / points.len() as f64;
        Bin {
            low: points[0].penalty,
            high: points[points.len() - 1].penalty,
            num_items: points.len(),
            mean_tokens: mean(|point| point.tokens),
            correct: mean(|point| point.correct),
            repetition: mean(|point| point.repetition),
            cut: mean(|point| point.cut),
        }
    };
    points.chunks(size).map(bin).collect()
}

fn scores_of(row: &Row) -> Option<Scores> {
    Some(Scores { vision: row.vision?, text: row.text?, integration: row.integration? })
}

/// The weights of the scores stay as they are set: α alone is tried.
fn trends(scores: &[Scores], drlc: Drlc) -> Vec<Trend> {
    if scores.is_empty() {
        return vec![];
    }
    let trend = |alpha: f64| {
        let drlc = Drlc { alpha, ..drlc };
        let mut penalties: Vec<f64> =
            scores.iter().map(|scores| repetition_penalty(scores, &drlc)).collect();
        penalties.sort_by(f64::total_cmp);
        let num_capped = penalties.iter().filter(|&&penalty| penalty >= 2.0).count();
        Trend {
            alpha,
            min: penalties[0],
            median: penalties[(penalties.len() - 1) / 2],
            max: penalties[penalties.len() - 1],
            capped: num_capped as f64 / penalties.len() as f64,
        }
    };
    let mut alphas = [&ALPHAS[..], &[drlc.alpha]].concat();
    alphas.sort_by(f64::total_cmp);
    alphas.dedup();
    alphas.into_iter().map(trend).collect()
}

/// Spearman's ρ, ties sharing their mean rank; `None` where one side has no spread.
fn rank_correlation(a: &[f64], b: &[f64]) -> Option<f64> {
    let (a, b) = (ranks(a), ranks(b));
    let mean = (a.len() as f64 + 1.0) / 2.0;
    let product = |x: &[f64], y: &[f64]| -> f64 {
        x.iter().zip(y).map(|(x, y)| (x - mean) * (y - mean)).sum()
    };
    let spread = (product(&a, &a) * product(&b, &b)).sqrt();
    (spread > 0.0).then(|| product(&a, &b) / spread)
}

fn ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&a, &b| values[a].total_cmp(&values[b]));
    let (mut ranks, mut num_before) = (vec![0.0; values.len()], 0);
    for tied in order.chunk_by(|&a, &b| values[a] == values[b]) {
        let rank = num_before as f64 + (tied.len() as f64 + 1.0) / 2.0;
        tied.iter().for_each(|&index| ranks[index] = rank);
        num_before += tied.len();
    }
    ranks
}

impl fmt::Display for Calibration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "penalty      items  tokens  correct  repetition  cut")?;
        for bin in &self.bins {
            let Bin { low, high, num_items, mean_tokens, correct, repetition, cut } = bin;
            writeln!(
                f,
                "{low:.2} to {high:.2}  {num_items:>4}  {mean_tokens:>6.1}  {correct:>7.2}  {repetition:>10.2}  {cut:.2}"
            )?;
        }
        let shown = |value: Option<f64>| value.map_or("none".to_owned(), |v| format!("{v:+.2}"));
        writeln!(
            f,
            "rank correlation of penalty with length {}, with correctness {}",
            shown(self.length_correlation),
            shown(self.correctness_correlation)
        )?;
        writeln!(f, "alpha   least  median  greatest  at the cap")?;
        for Trend { alpha, min, median, max, capped } in &self.trends {
            writeln!(f, "{alpha:<6.3}  {min:.2}   {median:.2}    {max:.2}      {capped:.2}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rank_correlation_knows_order_ties_and_no_spread() {
        let close = |a: &[f64], b: &[f64], want: f64| {
            let found = rank_correlation(a, b).unwrap();
            assert!((found - want).abs() < 1e-9, "{found}");
        };
        close(&[1.0, 2.0, 3.0], &[10.0, 20.0, 30.0], 1.0);
        close(&[1.0, 2.0, 3.0], &[9.0, 4.0, 1.0], -1.0);
        // Ranks 1, 2.5, 2.5, 4 against 1, 3, 2, 4: 4.5 / sqrt(4.5 · 5).
        close(&[1.0, 2.0, 2.0, 3.0], &[1.0, 3.0, 2.0, 4.0], 4.5 / 22.5_f64.sqrt());
        assert_eq!(rank_correlation(&[1.0, 1.0], &[1.0, 2.0]), None);
        assert_eq!(rank_correlation(&[], &[]), None);
    }

    #[test]
    fn the_steepness_that_is_set_is_among_those_tried_and_the_weights_stay() {
        let scores = [Scores { vision: 1.0, text: 0.0, integration: 0.5 }];
        let alphas =
            |drlc| trends(&scores, drlc).iter().map(|trend| trend.alpha).collect::<Vec<_>>();
        let own = Drlc { alpha: 0.25, beta: 3.0, gamma: 0.0 };
        assert_eq!(alphas(own), [0.1, 0.2, 0.25, 0.3, std::f64::consts::LN_2, 1.0]);
        assert_eq!(alphas(Drlc { alpha: 0.3, ..own }), ALPHAS);
        // A mean of one quarter.
        for Trend { alpha, median, .. } in trends(&scores, own) {
            assert!((median - (alpha * 0.75).exp().min(2.0)).abs() < 1e-12, "{alpha}: {median}");
        }
        assert!(trends(&[], own).is_empty());
    }
}
