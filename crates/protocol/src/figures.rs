//! Figures that benchmarks report beside their accuracy.

mod bfcl;

use std::collections::BTreeMap;

use benchmark::Figures;

use crate::record::{Record, Scheme};

/// A benchmark's own figures under a scheme, by name; shares, but for ratings.
pub fn figures(kind: Figures, records: &[&Record], scheme: Scheme) -> Vec<(String, f64)> {
    let scored: Vec<(&Record, f64)> =
        records.iter().filter_map(|record| Some((*record, record.score(scheme)?))).collect();
    match kind {
        Figures::Accuracy => Vec::new(),
        Figures::Bfcl => bfcl::figures(&scored),
        Figures::Macro => vec![("macro".to_owned(), macro_mean(&scored))],
        Figures::Consistency => vec![
            ("aAcc".to_owned(), mean(scored.iter().map(|(_, score)| *score))),
            ("fAcc".to_owned(), all_right(&scored, "figure")),
            ("qAcc".to_owned(), all_right(&scored, "question")),
        ],
        Figures::Detection => detection(&scored, scheme),
        Figures::Instructions => instructions(records),
        Figures::Rating => {
            vec![("rating (0 to 3)".to_owned(), 3.0 * mean(scored.iter().map(|(_, score)| *score)))]
        }
    }
}

fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let (mut sum, mut num) = (0.0, 0usize);
    for value in values {
        sum += value;
        num += 1;
    }
    sum / num.max(1) as f64
}

/// The mean of the subjects' means; subjects `group/…` are averaged to their group first.
fn macro_mean(scored: &[(&Record, f64)]) -> f64 {
    let mut groups: BTreeMap<&str, BTreeMap<&str, Vec<f64>>> = BTreeMap::new();
    for (record, score) in scored {
        let group = record.subject.split('/').next().unwrap_or_default();
        groups.entry(group).or_default().entry(&record.subject).or_default().push(*score);
    }
    let of_group = |subjects: &BTreeMap<&str, Vec<f64>>| {
        mean(subjects.values().map(|scores| mean(scores.iter().copied())))
    };
    mean(groups.values().map(of_group))
}

/// The share of groups, of one run each, in which every item is right.
fn all_right(scored: &[(&Record, f64)], label: &str) -> f64 {
    let mut groups: BTreeMap<(usize, &str), bool> = BTreeMap::new();
    for (record, score) in scored {
        let group = record.labels.get(label).map_or("", String::as_str);
        *groups.entry((record.run, group)).or_insert(true) &= *score >= 1.0;
    }
    mean(groups.values().map(|right| f64::from(u8::from(*right))))
}

/// Precision, recall and F1 of `Yes`; what is neither yes nor no counts as no, and an item of several categories once
/// for each, as in VLMEvalKit, whose table lists POPE's equal questions once.
fn detection(scored: &[(&Record, f64)], scheme: Scheme) -> Vec<(String, f64)> {
    let (mut hits, mut said, mut known) = (0.0, 0.0, 0.0);
    for (record, score) in scored {
        let (is_yes, is_right) = (record.gold == "Yes", *score >= 1.0);
        let says_yes = if is_yes { is_right } else { !is_right && says_yes(record, scheme) };
        let weight = record.subject.split(',').count() as f64;
        hits += if is_yes && says_yes { weight } else { 0.0 };
        said += if says_yes { weight } else { 0.0 };
        known += if is_yes { weight } else { 0.0 };
    }
    let share = |part: f64, whole: f64| if whole > 0.0 { part / whole } else { 0.0 };
    let (precision, recall) = (share(hits, said), share(hits, known));
    let f1 = share(2.0 * precision * recall, precision + recall);
    [("precision", precision), ("recall", recall), ("F1", f1)]
        .map(|(name, value)| (name.to_owned(), value))
        .to_vec()
}

/// Whether a wrong answer to what is not there is yes, and not nothing.
fn says_yes(record: &Record, scheme: Scheme) -> bool {
    let Some(marks) = &record.marks else { return false };
    match (scheme, &record.matching) {
        (Scheme::Vlmevalkit, Some(matching)) => !matching.how.starts_with("Unknown"),
        (Scheme::Vlmevalkit, None) => !marks.is_unmatched && record.flaw.is_none(),
        _ => marks.prediction.as_deref() == Some("Yes"),
    }
}

/// The shares of instructions that are followed, strictly and loosely.
fn instructions(records: &[&Record]) -> Vec<(String, f64)> {
    let all =
        || records.iter().filter_map(|record| record.marks.as_ref()).flat_map(|m| &m.instructions);
    let share =
        |pick: fn(&(bool, bool)) -> bool| mean(all().map(|one| f64::from(u8::from(pick(one)))));
    vec![
        ("instructions, strict".to_owned(), share(|(strictly, _)| *strictly)),
        ("instructions, loose".to_owned(), share(|(_, loosely)| *loosely)),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::tests::records;

    fn of(kind: Figures, records: &[Record]) -> Vec<f64> {
        let records: Vec<&Record> = records.iter().collect();
        figures(kind, &records, Scheme::Strict).into_iter().map(|(_, value)| value).collect()
    }

    #[test]
    fn figures_by_hand() {
        let mut records = records("1101", 0);
        for (record, [subject, figure, question, gold]) in records.iter_mut().zip([
            ["x", "f0", "a", "Yes"],
            ["x", "f1", "a", "No"],
            ["x", "f0", "b", "Yes"],
            ["y", "f1", "b", "No"],
        ]) {
            record.subject = subject.to_owned();
            record.gold = gold.to_owned();
            record.labels = [("figure", figure), ("question", question)]
                .map(|(k, v)| (k.to_owned(), v.to_owned()))
                .into();
        }
        assert_eq!(of(Figures::Consistency, &records), [0.75, 0.5, 0.5]);
        let found = of(Figures::Macro, &records)[0];
        assert!((found - (2.0 / 3.0 + 1.0) / 2.0).abs() < 1e-12);
        let mut nested = records.clone();
        for (record, subject) in nested.iter_mut().zip(["x/1", "x/1", "x/2", "y"]) {
            record.subject = subject.to_owned();
        }
        // x is the mean of 1 and 0.
        assert_eq!(of(Figures::Macro, &nested), [0.75]);
        // One hit, one missed: precision 1, recall ½, F1 ⅔.
        let found = of(Figures::Detection, &records);
        assert_eq!(found[..2], [1.0, 0.5]);
        assert!((found[2] - 2.0 / 3.0).abs() < 1e-12);
        // The hit is of two categories: recall ⅔.
        records[0].subject = "random,popular".to_owned();
        assert!((of(Figures::Detection, &records)[1] - 2.0 / 3.0).abs() < 1e-12);
    }
}
