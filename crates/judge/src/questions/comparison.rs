//! Which of two responses is better, and how surely.

use std::path::Path;

use schema::Sample;
use serde::{Deserialize, Serialize};

use super::correctness::without_tags;
use crate::form::{Score, read_json};
use crate::question::{Question, quoting};
use crate::respond::whole_response;

const SYSTEM: &str = "You compare two responses. Correctness and what the image bears out come first, then reasoning, \
    then clarity; length and style alone decide nothing.";

/// Which of two responses is better.
#[derive(Clone, Debug)]
pub struct Comparison<'a> {
    /// The turns that lead to the responses, with their images.
    pub prompt: &'a Sample,
    /// The folder that image paths are relative to.
    pub folder: &'a Path,
    /// The responses, in the order in which the judge sees them.
    pub responses: [&'a str; 2],
}

/// The verdict of a [`Comparison`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Compared {
    /// The better one.
    pub better: Better,
    /// 1: a guess; 5: beyond doubt.
    pub confidence: Score,
}

/// The better of two.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Better {
    /// The first.
    First,
    /// The second.
    Second,
    /// Neither.
    Equal,
}

impl Question for Comparison<'_> {
    type Verdict = Compared;
    const VERSION: &'static str = "comparison/1";
    const FORM: &'static str = r#"{"better": "first", "confidence": 4}"#;

    fn prompt(&self) -> Sample {
        let [first, second] = self.responses.map(without_tags);
        let text = format!(
            "The first response to the conversation above:\n\n{first}\n\nThe second response:\n\n{second}\n\nWhich is better: \
             first, second, or equal? confidence: 1 a guess, 3 likely, 5 beyond doubt.\nReply with this JSON object and \
             nothing else:\n{}",
            Self::FORM
        );
        quoting(SYSTEM, self.prompt, &text)
    }

    fn folder(&self) -> &Path {
        self.folder
    }

    fn read(&self, reply: &str) -> Result<Compared, String> {
        read_json(reply)
    }

    /// Where the answer is known and one response alone reaches it.
    fn by_rule(&self) -> Option<Compared> {
        let gold = self.prompt.answer.as_deref()?;
        let is_right = |text| reward::verify(gold, &whole_response(text)).equivalent;
        let better = match self.responses.map(is_right) {
            [true, false] => Better::First,
            [false, true] => Better::Second,
            _ => return None,
        };
        Some(Compared { better, confidence: Score::clamped(5) })
    }

    fn rule_suffices(&self) -> bool {
        self.by_rule().is_some()
    }
}
