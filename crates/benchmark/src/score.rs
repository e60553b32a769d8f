//! From a response to its scores: strict, lenient, and as VLMEvalKit scores.
//!
//! ```text
//! response ─► after the thought ─┬─► strict    only in the form that was asked for
//!                                ├─► lenient   also where it is said otherwise
//!                                └─► vlmevalkit, and Skywork's fork of it: their matching, letter by letter
//! ```
//!
//! Nothing is guessed: where no answer is found there is none, and the response is wrong.

mod choice;
pub(crate) mod livebench;
mod number;
mod open;
mod preference;
mod short;
mod yes_no;

use reward::after_thought;
use serde::{Deserialize, Serialize};

use crate::item::{Comparing, Item, Scoring};
use crate::sandbox::Sandbox;
use crate::vlmevalkit::Ruled;
use crate::{calls, code, ifeval, suite, turns};

/// What a response is worth under each way of scoring, from 0 to 1.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Marks {
    /// In the form that was asked for.
    pub strict: f64,
    /// Wherever the answer is said.
    pub lenient: f64,
    /// By VLMEvalKit's rules, the thought cut off; nothing where it asks a model whatever the response is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vlmevalkit: Option<f64>,
    /// By the rules of Skywork's fork of it, which also reads the thought.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vlmevalkit_fork: Option<f64>,
    /// The answer that was found, by the strict rule or else by the lenient one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prediction: Option<String>,
    /// What decided.
    pub why: String,
    /// For each instruction: followed strictly, followed loosely.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub instructions: Vec<(bool, bool)>,
    /// Whether VLMEvalKit goes on to ask a model.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_unmatched: bool,
    /// Whether the fork does.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_fork_unmatched: bool,
    /// Whether only a judge can tell.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub needs_judge: bool,
}

impl Marks {
    /// Both scores from verdicts.
    fn of(strict: bool, lenient: bool, prediction: Option<String>) -> Self {
        Self::shares(share(strict), share(strict || lenient), prediction)
    }

    /// Both scores from shares; the lenient one is at least the strict one.
    fn shares(strict: f64, lenient: f64, prediction: Option<String>) -> Self {
        let why = match (&prediction, strict > 0.0, lenient > strict) {
            (None, ..) => "no answer found",
            (_, _, true) => "right only where form is forgiven",
            (_, true, _) => "right",
            _ => "different",
        };
        let lenient = lenient.max(strict);
        Self { strict, lenient, prediction, why: why.to_owned(), ..Self::default() }
    }

    /// With what VLMEvalKit's rules and the fork's make of the response.
    fn with_kit(mut self, item: &Item, response: &str) -> Self {
        let Some(kit) = &item.kit else { return self };
        let of = |ruled| match ruled {
            Ruled::Score(score) => (Some(score), false),
            Ruled::Open => (Some(0.0), true),
            Ruled::NeedsModel => (None, true),
        };
        (self.vlmevalkit, self.is_unmatched) = of(kit.rule(kit_answer(response)));
        if let Some(ruled) = kit.fork_rule(response) {
            (self.vlmevalkit_fork, self.is_fork_unmatched) = of(ruled);
        }
        self
    }
}

/// The answer as VLMEvalKit cuts it out: what follows the last thought, or all where none is closed.
pub fn kit_answer(response: &str) -> &str {
    response.rsplit_once("</think>").map_or(response, |(_, answer)| answer).trim()
}

/// 1 for true.
pub(crate) fn share(verdict: bool) -> f64 {
    f64::from(u8::from(verdict))
}

/// Scores a response.
///
/// # Errors
/// Why it cannot be scored at all: a program where there is no sandbox.
pub fn score(item: &Item, response: &str, sandbox: Option<&Sandbox>) -> Result<Marks, String> {
    let marks = match after_thought(response).map(str::trim) {
        Some("") => nothing(item),
        Some(answer) => of_answer(item, answer, sandbox)?,
        None => Marks { why: "the thought was not closed".to_owned(), ..Marks::default() },
    };
    Ok(marks.with_kit(item, response))
}

/// Scores what was said by turn and step; where there is one step, it is a response.
///
/// # Errors
/// Why it cannot be scored at all: calls where there is no sandbox.
pub fn score_turns(
    item: &Item,
    said: &[Vec<String>],
    sandbox: Option<&Sandbox>,
) -> Result<Marks, String> {
    match &item.scoring {
        Scoring::Turns(turns) => turns::marks(said, turns, sandbox),
        _ => score(item, &said.concat().concat(), sandbox),
    }
}

/// Nothing is wrong whatever is asked, also where silence could be taken for an answer.
fn nothing(item: &Item) -> Marks {
    let needs_judge = matches!(item.scoring, Scoring::Rated);
    Marks { needs_judge, why: "no answer found".to_owned(), ..Marks::default() }
}

fn needed(sandbox: Option<&Sandbox>) -> Result<&Sandbox, String> {
    sandbox.ok_or_else(|| "no sandbox: programs are not run without one".to_owned())
}

/// The strict and the lenient score of an answer.
fn of_answer(item: &Item, answer: &str, sandbox: Option<&Sandbox>) -> Result<Marks, String> {
    Ok(match &item.scoring {
        Scoring::Choice { options, answer: right } => choice::marks(answer, options, *right),
        Scoring::Open { golds, how: Comparing::Rounded(decimals) } => {
            number::rounded(answer, &golds[0], *decimals)
        }
        Scoring::Open { golds, how } => open::marks(answer, golds, how),
        Scoring::Relaxed { golds } => short::relaxed(answer, golds),
        Scoring::Consensus { answers } => short::consensus(answer, answers),
        Scoring::YesNo { yes } => yes_no::marks(answer, *yes),
        Scoring::Instructions(instructions) => ifeval::marks(answer, instructions)?,
        Scoring::Followed(instructions) => ifeval::shares(answer, instructions)?,
        Scoring::Calls(expected) => calls::marks(answer, expected),
        Scoring::Turns(expected) => turns::marks(&[vec![answer.to_owned()]], expected, sandbox)?,
        Scoring::Program(program) => code::marks(answer, program, needed(sandbox)?)?,
        Scoring::Suite(tests) => suite::marks(answer, tests, needed(sandbox)?)?,
        Scoring::Preference { better } => preference::marks(answer, *better),
        Scoring::LiveBench { task, gold } => livebench::marks(answer, *task, gold, &item.question),
        Scoring::Rated => Marks {
            needs_judge: true,
            why: "rated by a judge".to_owned(),
            prediction: Some(answer.to_owned()),
            ..Marks::default()
        },
    })
}
