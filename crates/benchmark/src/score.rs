//! From a response to its scores: strict, lenient, and as VLMEvalKit scores.
//!
//! ```text
//! response ─► after the thought ─┬─► strict    only in the form that was asked for
//!                                ├─► lenient   also where it is said otherwise
//!                                └─► vlmevalkit, and Skywork's fork of it: their matching, letter by letter
//! ```
//!
//! Nothing is guessed: where no answer is found there is none, and the response is wrong.

pub(crate) mod choice;
mod consensus;
mod number;
mod open;
mod preference;
mod words;
mod yes_no;

use reward::after_thought;
use serde::{Deserialize, Serialize};

use crate::item::{Comparing, Item, Scoring};
use crate::sandbox::Sandbox;
use crate::{calls, code, ifeval};

/// What a response is worth under each way of scoring, from 0 to 1.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Marks {
    /// In the form that was asked for.
    pub strict: f64,
    /// Wherever the answer is said.
    pub lenient: f64,
    /// By VLMEvalKit's rules, the thought cut off; nothing where it asks a model for every item.
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
    /// Whether VLMEvalKit's rules find no option, so that it asks a model.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_unmatched: bool,
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

    fn harness(self, vlmevalkit: f64, fork: f64) -> Self {
        Self { vlmevalkit: Some(vlmevalkit), vlmevalkit_fork: Some(fork), ..self }
    }
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
    let Some(answer) = after_thought(response) else {
        let fork = match &item.scoring {
            Scoring::Choice { options, answer } => choice::fork(response, options, *answer),
            _ => None,
        };
        let why = "the thought was not closed".to_owned();
        return Ok(Marks {
            why,
            vlmevalkit: fork.map(|_| 0.0),
            vlmevalkit_fork: fork,
            ..Marks::default()
        });
    };
    let answer = answer.trim();
    Ok(match &item.scoring {
        Scoring::Choice { options, answer: right } => {
            choice::marks(answer, response, options, *right)
        }
        Scoring::Open { golds, how: Comparing::Rounded(decimals) } => {
            number::rounded(answer, &golds[0], *decimals)
        }
        Scoring::Open { golds, how } => open::marks(answer, response, golds, *how),
        Scoring::Relaxed { golds } => number::relaxed(answer, golds),
        Scoring::Consensus { answers } => consensus::marks(answer, answers),
        Scoring::YesNo { yes } => yes_no::marks(answer, *yes),
        Scoring::Instructions(instructions) => ifeval::marks(answer, instructions)?,
        Scoring::Calls(expected) => calls::marks(answer, expected),
        Scoring::Program(program) => {
            let sandbox = sandbox.ok_or("no sandbox: programs are not run without one")?;
            code::marks(answer, program, sandbox)?
        }
        Scoring::Preference { better } => preference::marks(answer, *better),
        Scoring::Words { golds, how } => words::marks(answer, golds, *how),
        Scoring::Rated => Marks {
            needs_judge: true,
            why: "rated by a judge".to_owned(),
            prediction: Some(answer.to_owned()),
            ..Marks::default()
        },
    })
}
