//! What is known of an item, stage by stage, and how it ended.

use judge::{Correct, Failure, Response};
use serde::{Deserialize, Serialize};

use crate::clarity::Clarity;
use crate::penalty::Scores;
use crate::questions::{Integration, Relevance, TextGrades};
use crate::sieve::Flaw;

/// The stages, in the order of the pipeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// QDAM: image clarity, from the pixels.
    Clarity,
    /// QDAM: the question answered with the image.
    Seeing,
    /// QDAM: the question answered without the image.
    Blind,
    /// QDAM: how much the answer depends on the image.
    Relevance,
    /// QDAM: question quality, difficulty, reasoning demand.
    Text,
    /// VTIA: how far image and text have to be read together.
    Integration,
    /// DRLC: the model's own chain under the repetition penalty.
    Generation,
    /// Whether the chain reaches the known answer.
    Check,
    /// A wrong chain written anew.
    Rewrite,
}

impl Stage {
    /// All of them, in order.
    pub const ALL: [Self; 9] = [
        Self::Clarity,
        Self::Seeing,
        Self::Blind,
        Self::Relevance,
        Self::Text,
        Self::Integration,
        Self::Generation,
        Self::Check,
        Self::Rewrite,
    ];

    /// Its name in files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Clarity => "clarity",
            Self::Seeing => "seeing",
            Self::Blind => "blind",
            Self::Relevance => "relevance",
            Self::Text => "text",
            Self::Integration => "integration",
            Self::Generation => "generation",
            Self::Check => "check",
            Self::Rewrite => "rewrite",
        }
    }
}

/// How an item ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Outcome {
    /// Its own chain is kept.
    Kept,
    /// The judge's chain is kept.
    Rewritten,
    /// Its chain is wrong, and there is no right one.
    Dropped {
        /// Why not.
        reason: String,
    },
    /// It cannot be used.
    Quarantined {
        /// In a word.
        flaw: Flaw,
        /// In a sentence.
        reason: String,
    },
    /// A stage failed; a rerun tries again.
    Failed {
        /// Which.
        stage: Stage,
        /// Why.
        reason: String,
    },
    /// The run stopped before it was done; a rerun goes on.
    Stopped {
        /// Where.
        stage: Stage,
        /// Why.
        reason: String,
    },
}

impl Outcome {
    /// What a failure at a stage makes of an item.
    pub(crate) fn of(stage: Stage, failure: Failure) -> Self {
        match failure {
            Failure::Failed { reason } => Self::Failed { stage, reason },
            Failure::Stopped { reason } => Self::Stopped { stage, reason },
            other if stage == Stage::Rewrite => Self::Dropped { reason: other.to_string() },
            other => {
                let reason = format!("{}: {other}", stage.name());
                Self::Quarantined { flaw: Flaw::JudgeProse, reason }
            }
        }
    }

    /// Its name in files.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Kept => "kept",
            Self::Rewritten => "rewritten",
            Self::Dropped { .. } => "dropped",
            Self::Quarantined { .. } => "quarantined",
            Self::Failed { .. } => "failed",
            Self::Stopped { .. } => "stopped",
        }
    }

    /// Why, where there is something to say.
    pub fn reason(&self) -> Option<&str> {
        match self {
            Self::Kept | Self::Rewritten => None,
            Self::Dropped { reason }
            | Self::Quarantined { reason, .. }
            | Self::Failed { reason, .. }
            | Self::Stopped { reason, .. } => Some(reason),
        }
    }
}

/// What is known of an item.
#[derive(Clone, Debug, Default)]
pub(crate) struct Record {
    pub(crate) clarity: Option<Clarity>,
    pub(crate) seeing: Option<Response>,
    pub(crate) blind: Option<Response>,
    pub(crate) relevance: Option<Relevance>,
    pub(crate) text: Option<TextGrades>,
    pub(crate) integration: Option<Integration>,
    /// Scaled over the data set.
    pub(crate) scores: Option<Scores>,
    pub(crate) penalty: Option<f64>,
    pub(crate) response: Option<Response>,
    pub(crate) correct: Option<Correct>,
    pub(crate) rewritten: Option<String>,
    pub(crate) outcome: Option<Outcome>,
}

/// How necessary the image is, from 1 to 5, by what becomes of the answer without it: 5 when only the image makes it
/// right, 3 when it changes and is wrong both times, 2 when it is right without the image alone, 1 when it does not change.
pub(crate) fn necessity(gold: &str, seeing: &str, blind: &str) -> f64 {
    let is_right = |text: &str| reward::verify(gold, &judge::whole_response(text)).equivalent;
    match (is_right(seeing), is_right(blind)) {
        (true, false) => 5.0,
        (false, true) => 2.0,
        (true, true) => 1.0,
        (false, false) if is_same(seeing, blind) => 1.0,
        (false, false) => 3.0,
    }
}

/// Whether two responses answer the same.
fn is_same(seeing: &str, blind: &str) -> bool {
    let answer = |text: &str| {
        let text = judge::whole_response(text).into_owned();
        reward::after_thought(&text).map(|rest| rest.trim().to_owned())
    };
    match (answer(seeing), answer(blind)) {
        (Some(seeing), Some(blind)) => {
            seeing == blind || reward::verify(&seeing, &blind).equivalent
        }
        (None, None) => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_is_necessary_when_only_it_makes_the_answer_right() {
        for (seeing, blind, want) in [
            (r"\boxed{7}", r"\boxed{8}", 5.0),
            (r"see</think>\boxed{7}", r"\boxed{7}", 1.0),
            (r"\boxed{8}", r"\boxed{7}", 2.0),
            (r"\boxed{8}", r"\boxed{9}", 3.0),
            (r"\boxed{8}", r"\boxed{8.0}", 1.0),
            ("<think>a", "<think>b", 1.0),
            ("<think>a", r"\boxed{8}", 3.0),
        ] {
            assert_eq!(necessity("7", seeing, blind), want, "{seeing} {blind}");
        }
    }
}
