//! Webs of lies, zebra puzzles, houses, space, minds, navigation, sudoku.

use std::sync::LazyLock;

use regex::Regex;

use super::{
    boxed, boxed_text, found, half_for_all, pattern, solution_of_lines, solutions,
    solutions_or_misopened,
};
use crate::score::share;

static BOLD: LazyLock<Regex> = LazyLock::new(|| pattern(r"\*\*(.*?)\*\*"));
static BOLD_OF_LINES: LazyLock<Regex> = LazyLock::new(|| pattern(r"\*\*([^*]+)\*\*"));
static BOLD_ITALIC: LazyLock<Regex> = LazyLock::new(|| pattern(r"\*\*\*(\w+)\*\*\*"));
static WORD: LazyLock<Regex> = LazyLock::new(|| pattern(r"\b(\w+)\b"));
static PLACE: LazyLock<Regex> = LazyLock::new(|| pattern(r"\(\s*(-?\d+)\s*,\s*(-?\d+)\s*\)"));
static BARE_PLACE: LazyLock<Regex> = LazyLock::new(|| pattern(r"(-?\d+)\s*,\s*(-?\d+)"));

const VERDICTS: [&str; 3] = ["yes", "no", "unknown"];

const NUMBERS: [&str; 21] = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
    "twenty",
];

/// Web of lies, version 2: all three verdicts.
pub(super) fn lies(gold: &str, answer: &str) -> f64 {
    let gold = gold.to_lowercase();
    let said = solutions_or_misopened(answer).pop().or_else(|| bold_verdicts(answer));
    let said = said.filter(|said| !said.trim().is_empty()).or_else(|| boxed(&framed(answer)));
    let said = said.or_else(|| plain_verdicts(answer)).unwrap_or_default();
    let num: usize = VERDICTS.iter().map(|verdict| said.matches(verdict).count()).sum();
    share(said == gold || (num == VERDICTS.len() && said.contains(&gold)))
}

/// Bold type is a frame too.
fn framed(answer: &str) -> String {
    answer.replace("\\textbf{", "\\boxed{")
}

/// The last three verdicts in bold.
fn bold_verdicts(answer: &str) -> Option<String> {
    let bold = found(&BOLD, answer);
    let words = bold.iter().flat_map(|part| part.split_whitespace());
    let words = words.map(|word| word.to_lowercase().replace([',', '.'], ""));
    let mut verdicts: Vec<String> =
        words.filter(|word| VERDICTS.contains(&word.as_str())).collect();
    let verdicts = verdicts.split_off(verdicts.len().saturating_sub(VERDICTS.len()));
    (!verdicts.is_empty()).then(|| verdicts.join(", "))
}

/// Of all threes of verdicts, the one whose first occurrence is the last.
fn plain_verdicts(answer: &str) -> Option<String> {
    let lower = answer.to_lowercase();
    let threes = VERDICTS.into_iter().flat_map(|a| {
        VERDICTS.into_iter().flat_map(move |b| VERDICTS.map(|c| format!("{a}, {b}, {c}")))
    });
    threes
        .filter_map(|three| Some((lower.find(&three)?, three)))
        .max_by_key(|(place, _)| *place)
        .map(|(_, three)| three)
}

/// Web of lies, version 3: half for all verdicts, half for the share in place.
pub(super) fn lies_in_place(gold: &str, answer: &str) -> f64 {
    let said = solutions(answer).pop().filter(|said| !said.trim().is_empty());
    let said = said.or_else(|| {
        boxed(&framed(answer)).map(|boxed| boxed.replace("\\text{", "").replace('}', ""))
    });
    let Some(said) = said.or_else(|| plain_verdicts(answer)) else { return 0.0 };
    let (gold, said): (Vec<&str>, Vec<&str>) =
        (gold.split(',').collect(), said.split(',').collect());
    let num_right = gold.iter().zip(&said).filter(|(gold, said)| gold == said).count();
    half_for_all(num_right, gold.len())
}

/// House traversal: names in bold, each in its place at the end, or all in order in the last bold part.
pub(super) fn houses(gold: &str, answer: &str) -> f64 {
    let bold = starred(&answer.to_lowercase());
    let Some(last) = bold.last() else { return 0.0 };
    let gold = gold.to_lowercase();
    let names: Vec<&str> = gold.split(' ').collect();
    let are_last = bold.len() >= names.len()
        && names.iter().rev().zip(bold.iter().rev()).all(|(name, bold)| name == bold);
    let mut places = names.iter().map(|name| last.find(name));
    let mut before = None;
    let is_ordered = places.all(|place| {
        let follows = place.is_some_and(|place| before.is_none_or(|before| place > before));
        before = place;
        follows
    });
    share(are_last || is_ordered)
}

/// What stands between two equal runs of two or more asterisks, on one line.
fn starred(text: &str) -> Vec<String> {
    let (mut found, mut rest) = (Vec::new(), text);
    while let Some(start) = rest.find("**") {
        let run = rest[start..].len() - rest[start..].trim_start_matches('*').len();
        let part = (2..=run).rev().find_map(|num| {
            let inside = &rest[start + num..];
            let line = inside.split('\n').next().unwrap_or_default();
            line.find(&"*".repeat(num)).map(|end| (inside[..end].to_owned(), start + 2 * num + end))
        });
        match part {
            Some((part, end)) => {
                found.push(part);
                rest = &rest[end..];
            }
            None => rest = &rest[start + run..],
        }
    }
    found
}

/// Zebra puzzles before November 2024: the last word in bold italics, or the last word.
pub(super) fn zebra_word(gold: &str, answer: &str) -> f64 {
    let said = found(&BOLD_ITALIC, answer).pop().or_else(|| found(&WORD, answer).pop());
    let Some(said) = said.map(|said| said.to_lowercase()) else { return 0.0 };
    let number = said.parse::<usize>().ok().filter(|number| (1..10).contains(number));
    let number = number.map(|number| NUMBERS[number]);
    let gold = gold.to_lowercase();
    share(said == gold || number == Some(gold.as_str()) || format!("{said} movies") == gold)
}

/// Zebra puzzles: half for all answers, half for the share that is right.
pub(super) fn zebra(gold: &str, answer: &str) -> f64 {
    let gold: Vec<&str> = gold.split(',').collect();
    let mut said = solutions_or_misopened(answer);
    if said.is_empty() {
        said.extend(boxed_text(answer));
    }
    if said.is_empty() {
        let last = answer.trim().rsplit('\n').next().unwrap_or_default();
        said.extend((last.matches(',').count() + 1 == gold.len()).then(|| last.to_owned()));
    }
    let mut parts: Vec<String> =
        said.iter().flat_map(|one| one.split(',')).map(str::to_owned).collect();
    if said.len() > 1 {
        parts = parts.split_off(parts.len().saturating_sub(gold.len()));
    }
    if parts.is_empty() {
        return 0.0;
    }
    let plain = |text: &str| text.trim().to_lowercase().replace('-', " ");
    let is_right = |(gold, said): &(&&str, &String)| {
        plain(said).replace("position", "").contains(&plain(gold))
    };
    half_for_all(gold.iter().zip(&parts).filter(is_right).count(), gold.len())
}

/// Space: among the last three parts in bold, in digits or words, or boxed.
pub(super) fn spatial(gold: &str, answer: &str) -> f64 {
    let plain = gold.trim().to_lowercase();
    let is_right = |word: &String| {
        let word = word.trim().to_lowercase();
        let number = NUMBERS.iter().position(|number| *number == word);
        let is_shape =
            ["tetrahedra", "tetrahedron", "triangle", "square"].contains(&plain.as_str());
        word == plain
            || number.is_some_and(|number| number.to_string() == plain)
            || (is_shape && word.contains(&plain) && word.chars().count() < 2 * plain.len() + 5)
    };
    let bold = found(&BOLD_OF_LINES, answer);
    let framed = || {
        let mut text = boxed(answer)?;
        for command in ["\\textbf{", "\\mathbf{", "\\text{", "}"] {
            text = text.replace(command, "");
        }
        Some(text)
    };
    share(
        answer == gold
            || bold.iter().rev().take(3).any(is_right)
            || framed().as_deref() == Some(gold),
    )
}

/// Theory of mind: the known answer in the solution, or in the last line.
pub(super) fn mind(gold: &str, answer: &str) -> f64 {
    let last = || {
        let mut line = answer.trim().rsplit('\n').next().unwrap_or_default().trim();
        for prefix in ["Answer:", "answer:", "The answer is", "the answer is"] {
            line = line.strip_prefix(prefix).map_or(line, str::trim);
        }
        line.to_owned()
    };
    let said = solution_of_lines(answer).unwrap_or_else(last).trim().to_lowercase();
    let said: String = said.chars().filter(|c| !".,!?;:".contains(*c)).collect();
    share(said.trim().contains(gold.trim().to_lowercase().as_str()))
}

/// Navigation: the coordinates in the solution.
pub(super) fn navigation(gold: &str, answer: &str) -> f64 {
    let place = |text: &str| {
        let found = PLACE.captures(text).or_else(|| BARE_PLACE.captures(text))?;
        Some((found[1].parse::<i64>().ok()?, found[2].parse::<i64>().ok()?))
    };
    let said = solution_of_lines(answer).and_then(|said| place(&said));
    share(said.is_some() && said == place(gold))
}

/// Sudoku: the first solution, spaces aside.
pub(super) fn sudoku(gold: &str, answer: &str) -> f64 {
    let plain = |text: &str| text.split_whitespace().collect::<String>();
    let said = found(&super::SOLUTION_OF_LINES, answer).into_iter().next().unwrap_or_default();
    share(!said.is_empty() && plain(&said) == plain(gold))
}
