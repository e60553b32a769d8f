//! Words and their order: LiveBench's tasks of language and data.

use std::collections::BTreeSet;

use reward::last_boxed;

use super::{Marks, share};
use crate::item::Wording;

/// Scores words.
pub(super) fn marks(answer: &str, golds: &[String], how: Wording) -> Marks {
    let said = said(answer);
    let of = |text: &str| match how {
        Wording::Contained => share(plain(text).contains(&plain(&golds[0]))),
        Wording::InPlace => in_place(&golds[0], text),
        Wording::Groups => groups(&golds[0], text),
        Wording::Order => order(&golds[0], text),
    };
    let strict = said.as_deref().map_or(0.0, of);
    let prediction = said.or_else(|| answer.lines().last().map(str::to_owned));
    let last = prediction.as_deref().map_or(0.0, of);
    let lenient = if how == Wording::Contained { of(answer) } else { last };
    Marks::shares(strict, lenient, prediction.filter(|said| !said.is_empty()))
}

/// What stands in the last box, between `<solution>` tags, in bold, or between `<PLOT_SUMMARY>` tags.
fn said(answer: &str) -> Option<String> {
    let between = |open: &str, close: &str| {
        let (_, rest) = answer.rsplit_once(open)?;
        Some(rest.split_once(close).map_or(rest, |(inside, _)| inside).trim().to_owned())
    };
    let bold = || {
        let mut parts: Vec<&str> = answer.split("**").collect();
        parts
            .len()
            .checked_sub(2)
            .filter(|_| parts.len() >= 3)
            .map(|at| parts.swap_remove(at).to_owned())
    };
    last_boxed(answer)
        .map(str::to_owned)
        .or_else(|| between("<solution>", "</solution>"))
        .or_else(|| between("<PLOT_SUMMARY>", "</PLOT_SUMMARY>"))
        .or_else(bold)
}

fn plain(text: &str) -> String {
    let kept = text.chars().map(|c| if c.is_alphanumeric() { c } else { ' ' }).collect::<String>();
    kept.to_lowercase().split_whitespace().collect::<Vec<_>>().join(" ")
}

fn list(text: &str) -> Vec<String> {
    text.split([',', '\n']).map(plain).filter(|word| !word.is_empty()).collect()
}

/// The share of the known words that stand in their places.
fn in_place(gold: &str, said: &str) -> f64 {
    let (gold, said) = (list(gold), list(said));
    let num_right = gold.iter().zip(&said).filter(|(gold, said)| gold == said).count();
    num_right as f64 / gold.len().max(1) as f64
}

/// The share of groups of four that are among the known ones.
fn groups(gold: &str, said: &str) -> f64 {
    let sets = |text: &str| -> Vec<BTreeSet<String>> {
        list(text).chunks(4).map(|group| group.iter().cloned().collect()).collect()
    };
    let (gold, said) = (sets(gold), sets(said));
    let num_right = gold.iter().filter(|group| said.contains(group)).count();
    num_right as f64 / gold.len().max(1) as f64
}

/// One less the edit distance of the order of sentences.
fn order(gold: &str, said: &str) -> f64 {
    let sentences = |text: &str| -> Vec<String> {
        text.split(". ").map(plain).filter(|sentence| !sentence.is_empty()).collect()
    };
    let (gold, said) = (sentences(gold), sentences(said));
    let distance = distance(&gold, &said) as f64;
    (1.0 - distance / gold.len().max(1) as f64).max(0.0)
}

fn distance(a: &[String], b: &[String]) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, left) in a.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, right) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(left != right);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_by_hand() {
        let cases = [
            (Wording::InPlace, "yes, no, yes", "**yes, no, no**", 2.0 / 3.0),
            (Wording::InPlace, "yes, no, yes", "so <solution>yes, no, yes</solution>", 1.0),
            (Wording::Groups, "a,b,c,d,e,f,g,h", "**d, c, b, a, e, f, g, x**", 0.5),
            (
                Wording::Order,
                "A one. B two. C three.",
                "<PLOT_SUMMARY>A one. C three. B two.",
                1.0 / 3.0,
            ),
            (
                Wording::Contained,
                "the café is open",
                "<solution>Here: the café is open!</solution>",
                1.0,
            ),
            (Wording::InPlace, "yes", "", 0.0),
        ];
        for (how, gold, said, expected) in cases {
            let marks = marks(said, &[gold.to_owned()], how);
            assert!((marks.strict - expected).abs() < 1e-12, "{said}: {}", marks.strict);
        }
    }
}
