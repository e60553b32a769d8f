//! Whether a prediction is the known answer.
//!
//! [`verify`] is the seam: what counts as equal grows behind it, and its callers do not change.

use serde::{Deserialize, Serialize};

use crate::extract::{after_thought, extract_answer};
use crate::normalise::{letters, normalise, without_unit};
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
    if let (Some(letter @ 'A'..='Z'), Some(')' | '.' | ':' | ',')) = (start.next(), start.next()) {
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
