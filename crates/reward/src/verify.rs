//! Whether a prediction is the known answer.
//!
//! [`verify`] is the seam: what counts as equal grows behind it, and its callers do not change.

use serde::{Deserialize, Serialize};

use crate::extract::{after_thought, extract_answer};
use crate::number::Number;

/// Longer answers are not compared: no short answer is written so.
const MAX_ANSWER: usize = 1024;

/// What [`verify`] found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// Whether the prediction is the known answer.
    pub equivalent: bool,
    /// The answer found in the gold text.
    pub gold: String,
    /// The answer found in the prediction, if there is one of sensible length.
    pub prediction: Option<String>,
    /// What decided.
    pub why: Why,
}

/// What decided a [`Verdict`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    /// The same letter of a multiple choice.
    Choice,
    /// The same number.
    Number,
    /// The same text, apart from case, spaces and how it is typeset.
    Text,
    /// Two answers that differ.
    Different,
    /// The thought was not closed, so there is no answer.
    UnfinishedThought,
    /// Nothing stands where the answer should.
    NoAnswer,
    /// The answer is too long to be one.
    TooLong,
    /// The gold text holds no answer: the item should be left out, not counted as wrong.
    NoGold,
}

/// Compares the answer in a response with the known answer.
///
/// `gold` may be bare, in dollars or boxed. `prediction` is a whole response: the answer is looked
/// for after its last `</think>`. A prompt that ends in `<think>` is part of the response; see
/// [`Opening::response`](crate::Opening::response).
///
/// Equal are, for now: the same letter where the gold answer is one; the same integer, decimal,
/// fraction or percentage, whatever its notation (decimals to six places); and the same text. Where
/// only one side is an equation (`x = 7`), its right side is compared.
pub fn verify(gold: &str, prediction: &str) -> Verdict {
    let gold = extract_answer(gold).unwrap_or("");
    let prediction = match after_thought(prediction).map(extract_answer) {
        None => Err(Why::UnfinishedThought),
        Some(None) => Err(Why::NoAnswer),
        Some(Some(answer)) if answer.len() > MAX_ANSWER => Err(Why::TooLong),
        Some(Some(answer)) => Ok(answer),
    };
    let why = match gold.len() {
        0 => Why::NoGold,
        1..=MAX_ANSWER => prediction.map_or_else(|why| why, |prediction| compare(gold, prediction)),
        _ => Why::TooLong,
    };
    Verdict {
        equivalent: matches!(why, Why::Choice | Why::Number | Why::Text),
        gold: gold.chars().take(MAX_ANSWER).collect(),
        prediction: prediction.ok().map(str::to_owned),
        why,
    }
}

fn compare(gold: &str, prediction: &str) -> Why {
    let (gold, prediction) = (normalise(without_unit(gold)), normalise(without_unit(prediction)));
    if let Some(letter) = choice(&gold) {
        return if chosen(&prediction) == Some(letter) { Why::Choice } else { Why::Different };
    }
    let why = same(&gold, &prediction);
    if why != Why::Different {
        return why;
    }
    match (gold.rsplit_once('='), prediction.rsplit_once('=')) {
        (None, Some((left, right))) if !left.ends_with(['<', '>', '!']) => {
            same(&gold, right.trim())
        }
        (Some((left, right)), None) if is_symbol(left.trim()) => same(right.trim(), &prediction),
        _ => Why::Different,
    }
}

/// Two normalised answers, neither taken apart any further.
fn same(gold: &str, prediction: &str) -> Why {
    match (Number::parse(gold), Number::parse(prediction)) {
        (Some(gold), Some(prediction)) if gold.accepts(&prediction) => Why::Number,
        (Some(_), Some(_)) => Why::Different,
        _ if !gold.is_empty() && letters(gold) == letters(prediction) => Why::Text,
        _ => Why::Different,
    }
}

/// The letter of a gold answer that is nothing but a choice: `B`, `(B)`.
fn choice(gold: &str) -> Option<char> {
    let mut letters = gold.trim_matches(['(', ')', '.', ' ']).chars();
    letters.next().filter(|c| c.is_ascii_uppercase() && letters.next().is_none())
}

/// The letter a prediction chooses: the one it begins with (`B.`, `(B) red`), or the only one in it.
fn chosen(prediction: &str) -> Option<char> {
    let mut start = prediction.trim_start_matches(['(', ' ']).chars();
    if let (Some(letter), Some(')' | '.' | ':' | ',')) = (start.next(), start.next()) {
        return Some(letter);
    }
    let mut words = prediction
        .split(|c: char| c.is_whitespace() || ".()[],:;!*#{}".contains(c))
        .filter_map(choice);
    let first = words.next().or_else(|| choice(&prediction.to_uppercase()))?;
    words.all(|letter| letter == first).then_some(first)
}

/// `x`, `AB`, `x_1`: something an equation may name and an answer may leave out.
fn is_symbol(text: &str) -> bool {
    text.starts_with(|c: char| c.is_alphabetic())
        && text.chars().all(|c| c.is_alphanumeric() || "_{}|".contains(c))
        && text.len() <= 8
}

/// Without spaces and case: what is left of a text to compare. Digits that a space parted stay parted.
fn letters(text: &str) -> String {
    let mut out = String::new();
    let mut parted = false;
    for c in text.trim_end_matches(['.', ',']).chars() {
        if c.is_whitespace() {
            parted = out.ends_with(|c: char| c.is_ascii_digit());
            continue;
        }
        if parted && c.is_ascii_digit() {
            out.push(' ');
        }
        parted = false;
        out.extend(c.to_lowercase());
    }
    out
}

/// `\frac{1}{3} \text{ metres}` without the unit; a text that is all unit stays.
fn without_unit(answer: &str) -> &str {
    let Some(start) = answer.rfind("\\text").or_else(|| answer.rfind("\\mathrm")) else {
        return answer;
    };
    let unit = &answer[start..];
    let is_last =
        unit.find('}').is_some_and(|end| unit[end + 1..].trim_matches(['$', ' ', '.']).is_empty());
    let number = answer[..start].trim_end_matches(['$', ' ', '\\', ',']);
    if is_last && Number::parse(&normalise(number)).is_some() { number } else { answer }
}

/// An answer without its typesetting: dollars, sizes, spacing, font commands, degree signs, exotic minus signs.
fn normalise(answer: &str) -> String {
    let mut out = String::with_capacity(answer.len());
    let mut rest = answer;
    // for each open brace, whether it belongs to a font command and is dropped
    let mut braces: Vec<bool> = vec![];
    while let Some(c) = rest.chars().next() {
        let mut length = c.len_utf8();
        match c {
            '\\' => length = command(rest, &mut out, &mut braces),
            '{' => {
                braces.push(false);
                out.push('{');
            }
            '}' if braces.pop() == Some(true) => {}
            '$' | '*' | '"' | '°' => {}
            '^' => length = degree(rest).unwrap_or_else(|| push(&mut out, c)),
            '−' | '–' | '—' | '‐' => out.push('-'),
            '~' | '\u{a0}' => out.push(' '),
            _ => out.push(c),
        }
        rest = &rest[length..];
    }
    out.replace("{,}", ",").trim().trim_end_matches('.').trim_end().to_owned()
}

fn push(out: &mut String, c: char) -> usize {
    out.push(c);
    c.len_utf8()
}

/// The length of a degree sign written as a power.
fn degree(rest: &str) -> Option<usize> {
    ["^{\\circ}", "^\\circ", "^°"]
        .iter()
        .find(|sign| rest.starts_with(**sign))
        .map(|sign| sign.len())
}

/// Writes what a command at the start of `rest` leaves behind, and returns its length.
fn command(rest: &str, out: &mut String, braces: &mut Vec<bool>) -> usize {
    let name_length = rest[1..].find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len() - 1);
    let name = &rest[1..1 + name_length];
    match name {
        "left" | "right" | "big" | "Big" | "bigl" | "bigr" | "displaystyle" | "circ" => {}
        "frac" | "dfrac" | "tfrac" | "cfrac" => out.push_str("\\frac"),
        "quad" | "qquad" => out.push(' '),
        "text" | "textbf" | "textit" | "textnormal" | "mathrm" | "mathbf" | "mbox" | "boxed"
        | "operatorname" => {
            let spaces = rest[1 + name_length..].len() - rest[1 + name_length..].trim_start().len();
            if rest[1 + name_length + spaces..].starts_with('{') {
                braces.push(true);
                return 1 + name_length + spaces + 1;
            }
        }
        "" => return symbol(&rest[1..], out),
        _ => {
            out.push('\\');
            out.push_str(name);
        }
    }
    1 + name_length
}

/// A command of one character that is not a letter: spacing, delimiters, escapes.
fn symbol(rest: &str, out: &mut String) -> usize {
    let Some(c) = rest.chars().next() else { return 1 };
    match c {
        '(' | ')' | '[' | ']' | '!' | '$' => {}
        ',' | ';' | ':' | ' ' | '\\' => out.push(' '),
        '{' | '}' => {
            out.push('\\');
            out.push(c);
        }
        _ => out.push(c),
    }
    1 + c.len_utf8()
}
