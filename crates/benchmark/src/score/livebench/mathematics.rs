//! Competitions, proofs to put in order, AMPS, integrals with a game.

use std::sync::LazyLock;

use regex::Regex;
use reward::verify;

use super::{boxed, boxed_text, distance, pattern, solution_of_lines, solutions};
use crate::score::share;

static LISTED: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"\\textbf\{\(([A-E])\)\s?\}(.*?)(?:\\qquad|\$)"));

static UPRIGHT: LazyLock<Regex> = LazyLock::new(|| pattern(r"\\(?:text|textbf|overline)\{(.*?)\}"));

/// The end of a text, in characters.
fn tail(text: &str, num: usize) -> &str {
    match text.char_indices().rev().nth(num.saturating_sub(1)) {
        Some((start, _)) if num > 0 => &text[start..],
        _ if num == 0 => "",
        _ => text,
    }
}

/// AMC and its like: the letter repeated, boxed, the option's value at the end, or the last line.
pub(super) fn contest(gold: &str, answer: &str, asked: &str) -> f64 {
    share(
        is_repeated(gold, answer)
            || answer.contains(&gold.repeat(4))
            || boxed_text(answer).is_some_and(|boxed| boxed.eq_ignore_ascii_case(gold))
            || ends_in_value(gold, answer, asked)
            || is_last_line(gold, answer),
    )
}

/// Whether a solution is one character over and over, the known one.
fn is_repeated(gold: &str, answer: &str) -> bool {
    solutions(answer).pop().is_some_and(|said| {
        let said = said.to_lowercase();
        let mut characters = said.chars();
        let first = characters.next();
        first.is_some_and(|first| {
            characters.all(|c| c == first) && first.to_string() == gold.to_lowercase()
        })
    })
}

/// Whether the answer ends in the value that the question lists under the letter.
fn ends_in_value(gold: &str, answer: &str, asked: &str) -> bool {
    let listed = LISTED.captures_iter(asked).filter(|found| &found[1] == gold).last();
    let value = listed.map(|found| found[2].trim().to_owned()).filter(|value| !value.is_empty());
    let value = value.unwrap_or_else(|| "FAILURE".to_owned());
    let value = value.trim_matches('$').trim_matches('~');
    tail(answer, 20 + value.chars().count()).contains(value)
}

/// Whether the last line is the letter, or has it in brackets.
fn is_last_line(gold: &str, answer: &str) -> bool {
    let last = answer.trim().lines().last().unwrap_or_default();
    if last.trim().replace('*', "").eq_ignore_ascii_case(gold) {
        return true;
    }
    let inside = last.split('(').nth(1).filter(|_| last.contains(')'));
    inside.is_some_and(|inside| {
        inside.split(')').next().unwrap_or_default().eq_ignore_ascii_case(gold)
    })
}

/// AIME: the number in the last fifty characters.
pub(super) fn aime(gold: &str, answer: &str) -> f64 {
    share(is_repeated(gold, answer) || tail(answer, 50).contains(gold))
}

/// IMO and USAMO proofs: numbers of expressions in their order, by edit distance.
pub(super) fn proof(gold: &str, answer: &str) -> f64 {
    let gold: Vec<Option<i64>> = gold.split(',').map(|number| number.trim().parse().ok()).collect();
    let said = completions(answer);
    let length = gold.len().max(said.len());
    if length == 0 { 0.0 } else { 1.0 - distance(&said, &gold) as f64 / length as f64 }
}

/// The numbers that an answer lists: after "Answer:", in a box, in the last line, or after the last "answer:".
fn completions(answer: &str) -> Vec<Option<i64>> {
    let has_any = |numbers: &Vec<Option<i64>>| numbers.iter().any(Option::is_some);
    announced(answer)
        .filter(has_any)
        .or_else(|| in_box(answer).filter(has_any))
        .or_else(|| Some(in_last_line(answer)).filter(has_any))
        .unwrap_or_else(|| after_announcement(answer))
}

fn announced(answer: &str) -> Option<Vec<Option<i64>>> {
    let lower = answer.to_lowercase();
    let lines: Vec<&str> = lower.trim().split('\n').collect();
    let place = lines.iter().rposition(|line| line.contains("answer:"))?;
    let plain = |text: &str| {
        text.replace("answer:", "").replace("**", "").replace('.', "").trim().to_owned()
    };
    let behind = lines[place].split("answer:").nth(1).unwrap_or_default();
    let mut listed = plain(behind);
    if listed.is_empty() && place + 1 < lines.len() {
        listed = plain(lines[place + 1]);
    }
    let number = |part: &str| {
        let last = part.trim().rsplit(' ').next().unwrap_or_default();
        last.replace(['$', '{', '}', '\\'], "")
            .replace("boxed", "")
            .replace(['<', '>'], "")
            .parse()
            .ok()
    };
    Some(listed.split(',').map(number).collect())
}

fn in_box(answer: &str) -> Option<Vec<Option<i64>>> {
    if !answer.contains("\\boxed") {
        return None;
    }
    let text = boxed(answer).unwrap_or_else(|| answer.to_owned());
    let text = text.replace("\\text{", "").replace(['}', '\\'], "");
    Some(text.trim().split(',').map(|number| number.trim().parse().ok()).collect())
}

/// The first run of digits of a text, and how many characters are not of it.
fn digits(text: &str) -> (&str, usize) {
    let start = text.find(|c: char| c.is_ascii_digit()).unwrap_or(text.len());
    let rest = &text[start..];
    let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    (&rest[..end], text.chars().count() - end)
}

fn in_last_line(answer: &str) -> Vec<Option<i64>> {
    let last = answer.trim().rsplit('\n').next().unwrap_or_default();
    let numbers = last.trim().split(',').map(|part| digits(part).0);
    numbers.filter(|number| !number.is_empty()).map(|number| number.parse().ok()).collect()
}

fn after_announcement(answer: &str) -> Vec<Option<i64>> {
    let lower = answer.to_lowercase();
    let mut numbers = Vec::new();
    for (place, part) in lower.rsplit("answer:").next().unwrap_or_default().split(',').enumerate() {
        let (number, num_others) = digits(part.trim());
        if !number.is_empty() {
            numbers.push(number.parse().ok());
        }
        if place > 0 && num_others > 0 {
            break;
        }
    }
    numbers
}

/// AMPS: the box, or the last formula, against the known expression; else the end of the answer.
///
/// Departs from LiveBench in that expressions are compared by the verifier that rewards, and no model is asked where
/// it finds them different.
pub(super) fn amps(gold: &str, answer: &str) -> f64 {
    let mut plain = answer.to_owned();
    for constant in ["+C", "+ C", "+ c", "+c"] {
        plain = plain.replace(constant, "");
    }
    let plain = typeset(&plain);
    let gold =
        gold.replace("\\left", "").replace("\\right", "").replace(" ^", "^").replace("\\ ", "*");
    let said = boxed(&plain).map(|boxed| last_side(&boxed)).or_else(|| last_formula(&plain));
    share(match said {
        Some(said) => is_same(&gold, &said),
        None => plain.strip_suffix('.').unwrap_or(&plain).ends_with(&gold),
    })
}

/// Without commands that change nothing.
fn typeset(text: &str) -> String {
    let mut text =
        text.replace("\\dfrac", "\\frac").replace("\\tfrac", "\\frac").replace("\\cdot", "*");
    for command in ["\\left", "\\right", "\\bigl", "\\bigr", "\\Bigl", "\\Bigr", "\\,", "\\;", "\n"]
    {
        text = text.replace(command, "");
    }
    text
}

fn last_side(formula: &str) -> String {
    let side = formula.rsplit('=').next().unwrap_or_default();
    UPRIGHT.replace_all(side, "$1").trim().to_owned()
}

fn last_formula(text: &str) -> Option<String> {
    let text = text.trim_end_matches(|c| c != '$').trim_end_matches('$');
    let (_, formula) = text.rsplit_once('$')?;
    Some(last_side(formula.rsplit("\\text{or}").next().unwrap_or_default()))
}

fn is_same(gold: &str, said: &str) -> bool {
    verify(&format!("${gold}$"), &format!("<think></think>\\boxed{{{said}}}")).equivalent
}

/// Integrals with a game: the solution, the box, or the known number among the last two hundred characters.
pub(super) fn integrals(gold: &str, answer: &str) -> f64 {
    let plain = |text: &str| typeset(&text.trim().replace("\\\\", "\\")).replace(' ', "");
    let solution = solution_of_lines(answer).is_some_and(|said| is_same(gold, &plain(&said)));
    let is_boxed = || boxed(answer).is_some_and(|said| is_same(gold, &plain(&said)));
    share(solution || is_boxed() || plain(tail(answer, 200)).contains(&plain(gold)))
}
