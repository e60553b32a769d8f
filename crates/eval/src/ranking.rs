//! Benchmarks of reward models: of two responses, the one that people prefer should score higher.
//!
//! ```text
//! VL-RewardBench, RewardBench ─► items ─► a reward model's margins ─► accuracy by category, micro, macro
//! ```

use std::path::Path;

use protocol::{Interval, wilson};
use reward::{PairwiseSummary, pairwise};
use schema::Sample;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::Error;

mod reward_bench;
mod vl_reward_bench;

/// A benchmark, by the columns of its published files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Benchmark {
    /// VL-RewardBench (arXiv:2411.17451): images; categories general, hallucination, reasoning.
    #[serde(rename = "vl_rewardbench")]
    VlRewardBench,
    /// RewardBench (arXiv:2403.13787): text; categories Chat, Chat Hard, Safety, Reasoning.
    #[serde(rename = "rewardbench")]
    RewardBench,
}

/// One pair of a benchmark.
#[derive(Clone, Debug, PartialEq)]
pub struct RankingItem {
    /// The benchmark's name for it.
    pub id: String,
    /// What was asked.
    pub prompt: Sample,
    /// The response that people prefer.
    pub preferred: String,
    /// The other one.
    pub other: String,
    /// Where the benchmark has it from.
    pub subset: String,
    /// What the benchmark counts it under.
    pub category: String,
    /// Its weight within the category.
    pub weight: f64,
    /// File and line.
    pub place: String,
}

/// How a reward model does on a category.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CategorySummary {
    /// The category.
    pub name: String,
    /// Its pairs.
    pub num_pairs: usize,
    /// The benchmark's score: accuracy, items weighed as the benchmark weighs them.
    pub score: f64,
    /// Plain accuracy with its interval.
    pub accuracy: Interval,
}

/// How a reward model does on a benchmark.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RankingSummary {
    /// By category, in the order of their first items.
    pub categories: Vec<CategorySummary>,
    /// Accuracy over all pairs.
    pub micro: f64,
    /// Mean of the categories' scores.
    #[serde(rename = "macro")]
    pub macro_mean: f64,
    /// Mean margin.
    pub margin: f64,
    /// Expected calibration error.
    pub calibration_error: f64,
}

/// Reads a benchmark's file: parquet as published, JSON or JSONL, TSV or CSV.
///
/// # Errors
/// When it cannot be read, holds nothing, or a row lacks a column or names an unknown category.
pub fn read_benchmark(benchmark: Benchmark, path: &Path) -> Result<Vec<RankingItem>, Error> {
    let items = match benchmark {
        Benchmark::VlRewardBench => vl_reward_bench::read(path)?,
        Benchmark::RewardBench => reward_bench::read(path)?,
    };
    match items.is_empty() {
        true => Err(Error::Empty { path: path.to_owned() }),
        false => Ok(items),
    }
}

/// The rows of a file, each with its place.
fn rows<R: DeserializeOwned>(path: &Path) -> Result<Vec<(String, R)>, Error> {
    let row = |row: Result<benchmark::Row, benchmark::Flaw>| {
        let row =
            row.map_err(|flaw| Error::Benchmark { place: flaw.place, reason: flaw.reason })?;
        let place = row.place.clone();
        let read = serde_json::from_value(row.object());
        match read {
            Ok(read) => Ok((place, read)),
            Err(error) => Err(Error::Benchmark { place, reason: error.to_string() }),
        }
    };
    benchmark::open(path)?.map(row).collect()
}

impl RankingSummary {
    /// Sums up the margins of all items: the preferred response's score less the other's. An item is
    /// right if its margin is above zero.
    pub fn new(items: &[RankingItem], margins: &[f64]) -> Self {
        let mut names: Vec<&str> = Vec::new();
        for item in items {
            if !names.contains(&item.category.as_str()) {
                names.push(&item.category);
            }
        }
        let categories = names.into_iter().map(|name| {
            let of = items.iter().zip(margins).filter(|(item, _)| item.category == name);
            CategorySummary::new(name, of.map(|(item, &margin)| (item.weight, margin > 0.0)))
        });
        let categories: Vec<_> = categories.collect();
        let PairwiseSummary { accuracy, margin, calibration_error, .. } = pairwise(margins);
        let sum: f64 = categories.iter().map(|category| category.score).sum();
        let macro_mean = sum / categories.len().max(1) as f64;
        Self { categories, micro: accuracy, macro_mean, margin, calibration_error }
    }
}

impl CategorySummary {
    fn new(name: &str, items: impl Iterator<Item = (f64, bool)>) -> Self {
        let (mut num_pairs, mut num_right, mut weight, mut right) = (0, 0, 0.0, 0.0);
        for (item, is_right) in items {
            num_pairs += 1;
            weight += item;
            if is_right {
                num_right += 1;
                right += item;
            }
        }
        let accuracy = wilson(f64::from(num_right), num_pairs);
        let score = if weight > 0.0 { right / weight } else { 0.0 };
        Self { name: name.to_owned(), num_pairs, score, accuracy }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn categories_micro_and_macro_by_hand() {
        let item = |category: &str, weight: f64| RankingItem {
            id: String::new(),
            prompt: Sample::default(),
            preferred: "a".to_owned(),
            other: "b".to_owned(),
            subset: String::new(),
            category: category.to_owned(),
            weight,
            place: String::new(),
        };
        let items = [item("x", 1.0), item("x", 3.0), item("y", 1.0), item("x", 1.0)];
        // A tie is wrong.
        let summary = RankingSummary::new(&items, &[0.5, -1.0, 0.0, 2.0]);
        let of: Vec<_> = summary.categories.iter().map(|c| (c.num_pairs, c.score)).collect();
        assert_eq!(of, [(3, 0.4), (1, 0.0)]);
        assert_eq!((summary.micro, summary.macro_mean), (0.5, 0.2));
        assert!((summary.categories[0].accuracy.value - 2.0 / 3.0).abs() < 1e-12);
    }
}
