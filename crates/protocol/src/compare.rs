//! Two runs over the same items: is the later one better?

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::Error;
use crate::record::{Record, Scheme};
use crate::significance::{exact_mcnemar, sign_flip};
use crate::summary::item_means;

/// Two-sided 95 % quantile of the normal distribution.
const Z: f64 = 1.959_963_984_540_054;

/// Seed of the drawn signs: the same two runs compare alike.
const SEED: u64 = 1;

/// A paired comparison.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// The benchmark, or `all`.
    pub task: String,
    /// Items scored in both runs.
    pub num_items: usize,
    /// Items scored in one of them only; they do not count.
    pub num_unpaired: usize,
    /// Sources of the items.
    pub num_clusters: usize,
    /// Score of the first run on the shared items.
    pub before: f64,
    /// Score of the second.
    pub after: f64,
    /// `after − before`.
    pub difference: f64,
    /// Lower end of its 95 % interval, by the clustered standard error.
    pub low: f64,
    /// Upper end.
    pub high: f64,
    /// Items that the first run did better.
    pub num_worse: usize,
    /// Items that the second did better.
    pub num_better: usize,
    /// Two-sided p-value of the sign-flip test over clusters.
    pub p_value: f64,
    /// That of McNemar's exact test, where every item has one response that is right or wrong, and a cluster of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mcnemar: Option<f64>,
}

/// Compares two runs: by benchmark, and, if there are several, over all.
///
/// # Errors
/// When they share nothing, or an item has another known answer.
pub fn compare(
    before: &[Record],
    after: &[Record],
    scheme: Scheme,
) -> Result<Vec<Comparison>, Error> {
    same_golds(before, after)?;
    let tasks: BTreeSet<&str> = before.iter().map(|record| record.task.as_str()).collect();
    let mut comparisons = Vec::new();
    let names = tasks.iter().copied().map(Some).chain((tasks.len() > 1).then_some(None));
    for task in names {
        let (before, after) = (of_task(before, task), of_task(after, task));
        comparisons.extend(paired(task.unwrap_or("all"), &before, &after, scheme));
    }
    match comparisons.is_empty() {
        true => Err(Error::NothingShared { task: "any task".to_owned() }),
        false => Ok(comparisons),
    }
}

/// The records of a benchmark, or all.
fn of_task<'a>(records: &'a [Record], task: Option<&str>) -> Vec<&'a Record> {
    records.iter().filter(|record| task.is_none_or(|task| record.task == task)).collect()
}

fn same_golds(before: &[Record], after: &[Record]) -> Result<(), Error> {
    let golds: BTreeMap<(&str, &str), &str> =
        before.iter().map(|r| ((r.task.as_str(), r.id.as_str()), r.gold.as_str())).collect();
    let other = after.iter().find_map(|record| {
        let gold = golds.get(&(record.task.as_str(), record.id.as_str()))?;
        (*gold != record.gold).then_some((record, *gold))
    });
    other.map_or(Ok(()), |(record, gold)| {
        Err(Error::OtherGold {
            task: record.task.clone(),
            id: record.id.clone(),
            before: gold.to_owned(),
            after: record.gold.clone(),
        })
    })
}

fn paired(task: &str, before: &[&Record], after: &[&Record], scheme: Scheme) -> Option<Comparison> {
    let (first, second) = (item_means(before, scheme), item_means(after, scheme));
    let pairs: Vec<(&str, f64, f64)> = first
        .iter()
        .filter_map(|(key, (cluster, before))| Some((*cluster, *before, second.get(key)?.1)))
        .collect();
    if pairs.is_empty() {
        return None;
    }
    let n = pairs.len() as f64;
    let difference = pairs.iter().map(|(_, before, after)| after - before).sum::<f64>() / n;
    let (mut sums, mut centred): (BTreeMap<&str, f64>, BTreeMap<&str, f64>) = Default::default();
    for (cluster, before, after) in &pairs {
        *sums.entry(cluster).or_default() += after - before;
        *centred.entry(cluster).or_default() += after - before - difference;
    }
    let c = sums.len() as f64;
    let correction = if c > 1.0 { c / (c - 1.0) } else { 1.0 };
    let error = (centred.values().map(|sum| sum * sum).sum::<f64>() * correction).sqrt() / n;
    let count = |sign: f64| pairs.iter().filter(|(_, b, a)| (a - b) * sign > 0.0).count();
    let differences: Vec<f64> = sums.values().copied().collect();
    let (num_worse, num_better) = (count(-1.0), count(1.0));
    let is_plain =
        pairs.iter().all(|(_, b, a)| [*b, *a].iter().all(|score| *score == 0.0 || *score == 1.0));
    Some(Comparison {
        task: task.to_owned(),
        num_items: pairs.len(),
        num_unpaired: first.len() + second.len() - 2 * pairs.len(),
        num_clusters: sums.len(),
        before: pairs.iter().map(|(_, before, _)| before).sum::<f64>() / n,
        after: pairs.iter().map(|(_, _, after)| after).sum::<f64>() / n,
        difference,
        low: difference - Z * error,
        high: difference + Z * error,
        num_worse,
        num_better,
        p_value: sign_flip(&differences, SEED),
        mcnemar: (is_plain && sums.len() == pairs.len())
            .then(|| exact_mcnemar(num_worse, num_better)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::tests::records;

    #[test]
    fn runs_are_compared_item_by_item() {
        let (before, after) = (records("11000", 0), records("10110", 0));
        let found = &compare(&before, &after[..4], Scheme::Strict).unwrap()[0];
        assert_eq!((found.num_items, found.num_unpaired), (4, 1));
        assert_eq!((found.num_worse, found.num_better), (1, 2));
        assert_eq!((found.before, found.after, found.difference), (0.5, 0.75, 0.25));
        assert_eq!((found.p_value, found.mcnemar), (1.0, Some(1.0)));
        assert!(found.low < 0.0 && found.high > 0.5);
    }

    #[test]
    fn runs_of_an_item_are_one_item_and_clusters_one_coin() {
        let twice = |a: &str, b: &str| [records(a, 0), records(b, 1)].concat();
        let (mut before, mut after) = (twice("1100", "1000"), twice("1110", "1110"));
        let found = &compare(&before, &after, Scheme::Strict).unwrap()[0];
        assert_eq!((found.num_items, found.before, found.mcnemar), (4, 0.375, None));
        for record in before.iter_mut().chain(&mut after) {
            record.cluster = "one".to_owned();
        }
        let found = &compare(&before, &after, Scheme::Strict).unwrap()[0];
        assert_eq!((found.num_clusters, found.p_value), (1, 1.0));
    }

    #[test]
    fn other_items_are_no_pairs() {
        let (before, mut after) = (records("11", 0), records("11", 0));
        after[1].gold = "B".to_owned();
        let error = compare(&before, &after, Scheme::Strict).unwrap_err().to_string();
        assert_eq!(error, r#"mmmu/q1: the known answer is "A" in one run and "B" in the other"#);
        after.iter_mut().for_each(|record| record.task = "pope".to_owned());
        assert!(
            compare(&before, &after, Scheme::Strict).unwrap_err().to_string().contains("share no")
        );
    }
}
