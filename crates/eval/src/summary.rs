//! The figures of an evaluation, and their table.

use std::collections::{HashMap, HashSet};
use std::fmt::Write;

use protocol::{Interval, wilson};
use schema::FinishReason;
use serde::{Deserialize, Serialize};

use crate::answer::Answer;

/// What the answers of one run amount to.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// Questions.
    pub num_items: usize,
    /// Completions judged: several for each question if it was sampled several times.
    pub num_completions: usize,
    /// Share of right completions. Its interval counts questions, not completions.
    pub accuracy: Interval,
    /// Share of completions whose thought and answer have their form.
    pub well_formed: f64,
    /// Mean tokens of a completion.
    pub mean_length: f64,
    /// Share of completions that the limit on tokens ended.
    pub clipped: f64,
    /// Mean share of token triples that occurred before in the same completion.
    pub repetition: f64,
    /// Share of the commonest known answer: what always giving it would score.
    pub majority: f64,
    /// Where all known answers are yes or no: share of the questions answered `no` that are said `yes` to, which is how
    /// often something absent is seen (POPE, arXiv:2305.10355).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hallucination: Option<f64>,
}

impl Summary {
    /// Sums up the answers of one run.
    pub fn of(answers: &[Answer]) -> Self {
        let mean = |value: fn(&Answer) -> f64| {
            answers.iter().map(value).sum::<f64>() / answers.len().max(1) as f64
        };
        let num_items = answers.iter().map(|a| &a.id).collect::<HashSet<_>>().len();
        let accuracy = mean(|a| f64::from(u8::from(a.correct)));
        Self {
            num_items,
            num_completions: answers.len(),
            accuracy: wilson(accuracy * num_items as f64, num_items),
            well_formed: mean(|a| f64::from(u8::from(a.well_formed))),
            mean_length: mean(|a| a.num_tokens as f64),
            clipped: mean(|a| f64::from(u8::from(a.finish_reason == FinishReason::Length))),
            repetition: mean(|a| a.repetition),
            majority: majority(answers),
            hallucination: hallucination(answers),
        }
    }
}

fn majority(answers: &[Answer]) -> f64 {
    let mut counts = HashMap::new();
    for answer in answers {
        *counts.entry(answer.gold.trim()).or_insert(0_usize) += 1;
    }
    let most = counts.into_values().max().unwrap_or(0);
    most as f64 / answers.len().max(1) as f64
}

fn hallucination(answers: &[Answer]) -> Option<f64> {
    let is = |text: &str, word: &str| text.trim().eq_ignore_ascii_case(word);
    if !answers.iter().all(|answer| is(&answer.gold, "yes") || is(&answer.gold, "no")) {
        return None;
    }
    let absent: Vec<&Answer> = answers.iter().filter(|answer| is(&answer.gold, "no")).collect();
    let seen =
        absent.iter().filter(|a| a.prediction.as_deref().is_some_and(|said| is(said, "yes")));
    (!absent.is_empty()).then(|| seen.count() as f64 / absent.len() as f64)
}

/// A table of runs: a name, the run's summary, and its blind baseline if there is one.
pub fn table(rows: &[(&str, &Summary, Option<&Summary>)]) -> String {
    let name_width = rows.iter().map(|(name, ..)| name.chars().count()).max().unwrap_or(0).max(5);
    let percent = |share: f64| format!("{:.1} %", share * 100.0);
    let mut text = format!(
        "{:name_width$}  {:>5}  {:>22}  {:>22}  {:>11}  {:>6}  {:>7}  {:>8}\n",
        "run",
        "items",
        "accuracy (95 %)",
        "blind (95 %)",
        "well formed",
        "tokens",
        "clipped",
        "repeated",
    );
    for (name, summary, blind) in rows {
        let blind = blind.map_or_else(|| "–".to_owned(), |blind| blind.accuracy.to_string());
        let _ = writeln!(
            text,
            "{name:name_width$}  {:>5}  {:>22}  {blind:>22}  {:>11}  {:>6.1}  {:>7}  {:>8}",
            summary.num_items,
            summary.accuracy.to_string(),
            percent(summary.well_formed),
            summary.mean_length,
            percent(summary.clipped),
            percent(summary.repetition),
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::answer::tests::answers;

    #[test]
    fn figures_are_means_over_completions() {
        let summary = Summary::of(&answers("1101"));
        assert_eq!((summary.num_items, summary.num_completions), (4, 4));
        assert_eq!(summary.accuracy, wilson(3.0, 4));
        assert_eq!((summary.well_formed, summary.mean_length), (0.5, 11.5));
        assert_eq!((summary.clipped, summary.repetition), (0.25, 0.25));
        let mut mixed = answers("1101");
        mixed[0].gold = "another".to_owned();
        assert_eq!((summary.majority, Summary::of(&mixed).majority), (1.0, 0.75));
    }

    #[test]
    fn what_is_absent_and_seen_is_hallucinated() {
        let mut all = answers("1111");
        assert_eq!(Summary::of(&all).hallucination, None);
        for (answer, (gold, said)) in
            all.iter_mut().zip([("yes", "yes"), ("no", "Yes"), ("No", "no"), ("no", "3")])
        {
            answer.gold = gold.to_owned();
            answer.prediction = Some(said.to_owned());
        }
        assert_eq!(Summary::of(&all).hallucination, Some(1.0 / 3.0));
        assert_eq!(Summary::of(&all[..1]).hallucination, None, "nothing absent is asked for");
        assert_eq!(Summary::of(&[]).hallucination, None);
    }

    #[test]
    fn repeated_samples_are_no_further_questions() {
        let mut twice = answers("1101");
        twice.extend(answers("1011").into_iter().map(|a| Answer { sample: 1, ..a }));
        let summary = Summary::of(&twice);
        assert_eq!((summary.num_items, summary.num_completions), (4, 8));
        assert_eq!(summary.accuracy, wilson(3.0, 4));
    }

    #[test]
    fn columns_stand_below_each_other() {
        let (all, none) = (Summary::of(&answers("1111")), Summary::of(&answers("0000")));
        let text = table(&[("assembled", &none, None), ("SFT", &all, Some(&none))]);
        let widths: Vec<usize> = text.lines().map(|line| line.chars().count()).collect();
        assert!(widths.iter().all(|&width| width == widths[0]), "{text}");
        assert!(text.contains("100.0 % (51.0 – 100.0)"), "{text}");
        assert_eq!(Summary::of(&[]).accuracy.high, 1.0);
    }
}
