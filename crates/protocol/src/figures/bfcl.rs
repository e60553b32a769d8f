//! The means of BFCL's version 3
//! (gorilla at 4ed459c0, `bfcl/eval_checker/eval_runner_helper.py`, `generate_leaderboard_csv`).
//!
//! ```text
//! non-live    mean of: mean of simple, Java, JavaScript; multiple; parallel; parallel multiple; irrelevance
//! live        mean over all items of the six categories
//! multi-turn  mean of base, missing functions, missing parameters, long context
//! overall     mean of the three
//! ```

use std::collections::BTreeMap;

use super::mean;
use crate::record::Record;

/// The mean of some categories' means.
type Part<'a> = (&'a str, &'a [&'a [&'a str]]);

/// Groups of categories, each a mean of its own.
const NON_LIVE: Part<'_> = (
    "non-live",
    &[
        &["simple", "java", "javascript"],
        &["multiple"],
        &["parallel"],
        &["parallel_multiple"],
        &["irrelevance"],
    ],
);
const MULTI_TURN: Part<'_> = (
    "multi-turn",
    &[
        &["multi_turn_base"],
        &["multi_turn_miss_func"],
        &["multi_turn_miss_param"],
        &["multi_turn_long_context"],
    ],
);
const LIVE: [&str; 6] = [
    "live_simple",
    "live_multiple",
    "live_parallel",
    "live_parallel_multiple",
    "live_irrelevance",
    "live_relevance",
];

/// A part's mean over the categories that were asked, and how many those are.
struct Figure {
    name: &'static str,
    value: f64,
    num_asked: usize,
    num_all: usize,
}

/// The parts of which anything was asked, and the overall figure where all was.
pub(super) fn figures(scored: &[(&Record, f64)]) -> Vec<(String, f64)> {
    let mut scores: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    for (record, score) in scored {
        scores.entry(category(&record.subject)).or_default().push(*score);
    }
    let parts = [of_groups(&scores, NON_LIVE), of_items(&scores), of_groups(&scores, MULTI_TURN)];
    let overall = mean(parts.iter().map(|part| part.value));
    let is_whole = parts.iter().all(|part| part.num_asked == part.num_all);
    let whole = is_whole.then(|| ("overall".to_owned(), overall));
    let parts = parts.iter().filter(|part| part.num_asked > 0).map(Figure::named);
    whole.into_iter().chain(parts).collect()
}

/// Version 4 names three of them otherwise.
fn category(subject: &str) -> &str {
    match subject {
        "simple_python" => "simple",
        "simple_java" => "java",
        "simple_javascript" => "javascript",
        other => other,
    }
}

fn of_groups(scores: &BTreeMap<&str, Vec<f64>>, (name, groups): Part<'static>) -> Figure {
    let asked = |group: &[&str]| -> Vec<f64> {
        let found = group.iter().filter_map(|category| scores.get(category));
        found.map(|scores| mean(scores.iter().copied())).collect()
    };
    let means: Vec<Vec<f64>> = groups.iter().map(|group| asked(group)).collect();
    let of_group = means.iter().filter(|means| !means.is_empty());
    Figure {
        name,
        value: mean(of_group.map(|means| mean(means.iter().copied()))),
        num_asked: means.iter().map(Vec::len).sum(),
        num_all: groups.iter().map(|group| group.len()).sum(),
    }
}

fn of_items(scores: &BTreeMap<&str, Vec<f64>>) -> Figure {
    let asked: Vec<&Vec<f64>> = LIVE.iter().filter_map(|category| scores.get(category)).collect();
    Figure {
        name: "live",
        value: mean(asked.iter().flat_map(|scores| scores.iter().copied())),
        num_asked: asked.len(),
        num_all: LIVE.len(),
    }
}

impl Figure {
    /// With its name, which says what is missing.
    fn named(&self) -> (String, f64) {
        let name = match self.num_asked == self.num_all {
            true => self.name.to_owned(),
            false => format!("{}, {} of {} categories", self.name, self.num_asked, self.num_all),
        };
        (name, self.value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(scores: &[(&str, f64)]) -> Vec<(String, f64)> {
        let record =
            |subject: &&str| Record { subject: (*subject).to_owned(), ..Record::default() };
        let records: Vec<Record> = scores.iter().map(|(subject, _)| record(subject)).collect();
        let scored: Vec<_> =
            records.iter().zip(scores).map(|(record, (_, s))| (record, *s)).collect();
        figures(&scored)
    }

    #[test]
    fn means_by_hand() {
        let mut scores = vec![
            ("simple", 1.0),
            ("java", 0.0),
            ("simple_javascript", 0.5),
            ("multiple", 1.0),
            ("parallel", 0.0),
            ("parallel_multiple", 0.5),
            ("irrelevance", 1.0),
            ("live_simple", 1.0),
            ("live_simple", 1.0),
            ("live_multiple", 0.0),
            ("live_parallel", 0.0),
            ("live_parallel_multiple", 0.0),
            ("live_irrelevance", 1.0),
            ("live_relevance", 1.0),
            ("multi_turn_base", 1.0),
            ("multi_turn_miss_func", 0.0),
            ("multi_turn_miss_param", 0.0),
        ];
        let found = of(&scores);
        let names: Vec<&str> = found.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["non-live", "live", "multi-turn, 3 of 4 categories"]);
        assert!((found[0].1 - 3.0 / 5.0).abs() < 1e-12 && (found[1].1 - 4.0 / 7.0).abs() < 1e-12);
        scores.push(("multi_turn_long_context", 1.0));
        let found = of(&scores);
        assert_eq!((found[0].0.as_str(), found[3].1), ("overall", 0.5));
        assert!((found[0].1 - (0.6 + 4.0 / 7.0 + 0.5) / 3.0).abs() < 1e-12);
    }
}
