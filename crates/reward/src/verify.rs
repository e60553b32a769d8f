//! Whether a prediction is the known answer.
//!
//! [`verify`] is the seam: what counts as equal grows behind it, and its callers do not change.

use answer::{Answer, Extraction, Ground};
use serde::{Deserialize, Serialize};

use crate::choice::{choice, choices, gold_choice};
use crate::extract::{after_thought, extract_answer};
use crate::normalise::{letters, normalise};

/// Longer answers are not compared as text: no short answer is written so.
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
    /// The same expression, by its canonical form or its values.
    Expression,
    /// The same equation or inequality.
    Relation,
    /// The same set, tuple or interval.
    Collection,
    /// The same matrix.
    Matrix,
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

impl Why {
    /// Whether this makes two answers the same.
    pub fn is_equivalent(self) -> bool {
        matches!(
            self,
            Self::Choice
                | Self::Number
                | Self::Expression
                | Self::Relation
                | Self::Collection
                | Self::Matrix
                | Self::Text
        )
    }
}

impl From<Ground> for Why {
    fn from(ground: Ground) -> Self {
        match ground {
            Ground::Number => Self::Number,
            Ground::Expression => Self::Expression,
            Ground::Relation => Self::Relation,
            Ground::Collection => Self::Collection,
            Ground::Matrix => Self::Matrix,
            Ground::Text => Self::Text,
        }
    }
}

/// Compares the answer in a response with the known answer.
///
/// `gold` may be bare, in dollars, boxed, or a whole solution. `prediction` is a bare answer, or a
/// whole response with its thought: then the answer is looked for after the last `</think>`, and has to
/// be boxed or announced in LaTeX, as in Math-Verify's settings for rewards. A prompt that ends in
/// `<think>` is part of the response; see [`Opening::response`](crate::Opening::response).
///
/// Mathematics is compared by the rules of [`answer::compare`]. A gold answer that is one capital letter,
/// or begins with one as an option does (`B. 12`), is a choice. One that is not mathematics is compared as
/// text, and so is a bare one that is more than its number: `July 4`, `2 hours 30 minutes`, `12:30`.
pub fn verify(gold: &str, prediction: &str) -> Verdict {
    let gold = Gold::read(gold);
    let has_thought = prediction.contains("<think>") || prediction.contains("</think>");
    let found = match after_thought(prediction) {
        None => Err(Why::UnfinishedThought),
        Some(response) if gold.are_chosen(response) => text_answer(response),
        Some(response) => match gold.math {
            Some(_) if gold.letter.is_none() => math_answer(response, has_thought),
            _ => text_answer(response),
        },
    };
    let why = match &found {
        _ if gold.text.is_empty() => Why::NoGold,
        _ if gold.text.len() > MAX_ANSWER => Why::TooLong,
        Err(why) => *why,
        Ok(found) => gold.compare(found),
    };
    Verdict {
        equivalent: why.is_equivalent(),
        gold: gold.text.chars().take(MAX_ANSWER).collect(),
        prediction: found.ok().map(|found| found.text),
        why,
    }
}

/// The known answer.
struct Gold {
    text: String,
    /// As mathematics, if it is.
    math: Option<Answer>,
    /// As a letter of a multiple choice, if it is one.
    letter: Option<char>,
    /// As letters of a multiple choice, if it is several.
    letters: Option<String>,
}

impl Gold {
    fn read(gold: &str) -> Self {
        let math = answer::read(gold, Extraction::Bare);
        let text = extract_answer(gold).unwrap_or("");
        let plain = text.len() <= MAX_ANSWER && !text.contains('$');
        let normal = plain.then(|| normalise(text));
        let letter = normal.as_deref().and_then(gold_choice);
        let letters = normal.as_deref().and_then(choices);
        match math {
            Some(math) if letter.is_none() && math.text.len() <= MAX_ANSWER && !is_prose(gold) => {
                Self { text: math.text.clone(), math: Some(math), letter, letters }
            }
            _ => Self { text: text.to_owned(), math: None, letter, letters },
        }
    }

    /// Whether a response chooses the same several options.
    fn are_chosen(&self, response: &str) -> bool {
        let chosen = || extract_answer(response).and_then(|text| choices(&normalise(text)));
        self.letters.is_some() && self.letters == chosen()
    }

    fn compare(&self, found: &Found) -> Why {
        if let Some(letter) = self.letter {
            let chosen = choice(&normalise(&found.text));
            return if chosen == Some(letter) { Why::Choice } else { Why::Different };
        }
        if self.letters.is_some() && self.letters == choices(&normalise(&found.text)) {
            return Why::Choice;
        }
        match &self.math {
            Some(math) => {
                answer::compare(Some(math), found.math.as_ref()).map_or(Why::Different, Why::from)
            }
            None => {
                let (gold, found) = (letters(&normalise(&self.text)), normalise(&found.text));
                let same = !gold.is_empty() && gold == letters(&found);
                if same { Why::Text } else { Why::Different }
            }
        }
    }
}

/// The answer of a prediction.
struct Found {
    text: String,
    math: Option<Answer>,
}

/// The answer as mathematics.
fn math_answer(response: &str, has_thought: bool) -> Result<Found, Why> {
    let extraction = if has_thought { Extraction::Response } else { Extraction::Bare };
    let math = answer::read(response, extraction).ok_or(Why::NoAnswer)?;
    if math.text.len() > MAX_ANSWER {
        return Err(Why::TooLong);
    }
    Ok(Found { text: math.text.clone(), math: Some(math) })
}

/// The answer as a letter or as words.
fn text_answer(response: &str) -> Result<Found, Why> {
    match extract_answer(response) {
        None => Err(Why::NoAnswer),
        Some(text) if text.len() > MAX_ANSWER => Err(Why::TooLong),
        Some(text) => Ok(Found { text: text.to_owned(), math: None }),
    }
}

/// Whether a gold answer is a line of text that is more than the number in it. Delimiters, a box or an
/// announcement would say where its answer is, and a solution ends with it.
fn is_prose(gold: &str) -> bool {
    let gold = gold.trim();
    let points = gold.contains(['$', '\n'])
        || ["\\(", "\\[", "\\boxed"].iter().any(|sign| gold.contains(sign));
    let is_announced = gold.to_lowercase().contains("answer");
    !points && !is_announced && gold.len() <= MAX_ANSWER && !answer::is_whole(gold)
}
