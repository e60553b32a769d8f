//! Typos, connections, plots to put in order.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use regex::Regex;

use super::closest::closest;
use super::{boxed_text, distance, found, pattern, solutions, solutions_or_misopened};
use crate::score::share;

static BOLD: LazyLock<Regex> = LazyLock::new(|| pattern(r"\*\*(.*?)\*\*"));
static DASHED: LazyLock<Regex> = LazyLock::new(|| pattern(r".* --- (.*?) --- .*"));
static PLOT: LazyLock<Regex> = LazyLock::new(|| pattern(r"(?s)<PLOT_SUMMARY>(.*)</PLOT_SUMMARY>"));
static OPEN_PLOT: LazyLock<Regex> = LazyLock::new(|| pattern(r"(?s)<PLOT_SUMMARY>(.*)"));

/// Typos: the known text occurs in the solution, letter by letter.
pub(super) fn typos(gold: &str, answer: &str) -> f64 {
    let said = solutions(answer).pop().unwrap_or_else(|| {
        let bare = answer.replace("<solution>", "").replace("</solution>", "");
        DASHED.captures(&bare).map_or(bare.clone(), |found| found[1].to_owned())
    });
    let lines: Vec<&str> = said.trim().split('\n').filter(|line| !line.is_empty()).collect();
    share(lines.join(" ").contains(gold))
}

type Group = BTreeSet<String>;

/// Words in groups of four.
fn groups<'a>(words: impl Iterator<Item = &'a str>) -> Vec<Group> {
    let mut groups: Vec<Group> = vec![Group::new()];
    for word in words.map(|word| word.trim().to_lowercase()) {
        if groups.last().is_some_and(|group| group.len() == 4) {
            groups.push(Group::new());
        }
        groups.last_mut().map(|group| group.insert(word));
    }
    groups
}

/// Connections before November 2024: groups in one of the bold parts, the best of them.
pub(super) fn connections_in_bold(gold: &str, answer: &str) -> f64 {
    let gold = groups(gold.split(','));
    let of = |bold: &String| {
        let said = groups(bold.split(','));
        let is_found = |group: &&Group| said.iter().any(|said| group.is_subset(said));
        gold.iter().filter(is_found).count() as f64 / gold.len() as f64
    };
    found(&BOLD, &answer.replace('\n', "")).iter().map(of).fold(0.0, f64::max)
}

/// Connections: the share of groups in the solution that are among the known ones.
pub(super) fn connections(gold: &str, answer: &str) -> f64 {
    let joined = answer.replace('\n', "");
    let mut said = solutions(answer);
    if said.is_empty() {
        said = solutions_or_misopened(&joined);
    }
    if said.is_empty() && answer.contains("\\boxed") {
        said.extend(boxed_text(answer));
    }
    let num_words = gold.split(',').count();
    let words: Vec<String> =
        said.iter().flat_map(|one| one.split(',')).map(str::to_owned).collect();
    // Of several solutions the last words count.
    let first = if said.len() > 1 { words.len().saturating_sub(num_words) } else { 0 };
    if words.is_empty() {
        return 0.0;
    }
    let gold = groups(gold.split(','));
    let said = groups(words[first..].iter().map(String::as_str));
    said.iter().filter(|group| gold.contains(group)).count() as f64 / gold.len() as f64
}

/// Plots: one less the edit distance between the known sentences and those they are nearest to.
pub(super) fn plot(gold: &str, answer: &str) -> f64 {
    let summary = PLOT.captures(answer).or_else(|| OPEN_PLOT.captures(answer));
    let summary = summary.map_or(answer.to_owned(), |found| found[1].to_owned());
    let sentences = |text: &str| -> Vec<String> {
        text.split('.').map(|sentence| sentence.trim().to_owned()).collect()
    };
    let is_sentence = |sentence: &String| {
        !["", "</PLOT_SUMMARY>", "**End of Plot Summary**"].contains(&sentence.as_str())
    };
    let gold: Vec<String> = sentences(gold).into_iter().filter(|one| !one.is_empty()).collect();
    let said: Vec<String> = sentences(&summary).into_iter().filter(is_sentence).collect();
    let order: Vec<usize> = gold.iter().filter_map(|sentence| closest(sentence, &said)).collect();
    let places: Vec<usize> = (0..gold.len()).collect();
    1.0 - distance(&places, &order) as f64 / gold.len().max(1) as f64
}
