//! How good a sample is to learn from, from 0 to 5: the score that iterative fine-tuning filters by.

use std::path::Path;

use reward::{Opening, format_flaw, repetition_rate};
use schema::Sample;
use serde::{Deserialize, Serialize};

use super::correctness::without_tags;
use crate::form::read_json;
use crate::question::{Question, quoting};
use crate::respond::whole_response;

const SYSTEM: &str = "You score responses that a model shall learn from.";

const RUBRIC: &str = "5: correct, every step needed and sound, no repetition. 4: correct, with a superfluous or terse \
    step. 3: correct, but a step is unsound or much is repeated. 2: wrong answer after mostly sound steps. 1: wrong \
    answer after unsound steps. 0: no answer, not about the question, or unreadable.";

/// Share of word triples that may occur before without being called repetition.
const REPETITION: f64 = 0.2;

/// A sample's score from 0 to 5 (R1V, arXiv:2504.05599, section 2.2; its rubric is not published, this one is ours).
#[derive(Clone, Debug)]
pub struct Rubric<'a> {
    /// The turns that lead to the response, with their images.
    pub prompt: &'a Sample,
    /// The folder that image paths are relative to.
    pub folder: &'a Path,
    /// The known answer.
    pub gold: &'a str,
    /// The response.
    pub response: &'a str,
}

/// The verdict of a [`Rubric`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rating {
    /// From 0 to 5.
    pub score: u8,
    /// Why, in a sentence.
    pub reason: String,
}

impl Question for Rubric<'_> {
    type Verdict = Rating;
    const VERSION: &'static str = "rubric/1";
    const FORM: &'static str = r#"{"score": 4, "reason": "one sentence"}"#;

    fn prompt(&self) -> Sample {
        let user = format!(
            "Here is a response to the conversation above:\n\n{}\n\nThe known answer is: {}\n\nScore the response from 0 to \
             5:\n{RUBRIC}\n\nReply with this JSON object and nothing else:\n{}",
            without_tags(self.response),
            self.gold,
            Self::FORM
        );
        quoting(SYSTEM, self.prompt, &user)
    }

    fn folder(&self) -> &Path {
        self.folder
    }

    fn read(&self, reply: &str) -> Result<Rating, String> {
        let rating: Rating = read_json(reply)?;
        match rating.score {
            0..=5 => Ok(rating),
            score => Err(format!("the score is {score}, expected a whole number from 0 to 5")),
        }
    }

    /// By correctness, form and repetition: 5, less 1 for a flaw of form and 1 for repetition; a wrong answer has at
    /// most 2, and none at all 0.
    fn by_rule(&self) -> Option<Rating> {
        let response = whole_response(self.response);
        let verdict = reward::verify(self.gold, &response);
        let words: Vec<&str> = response.split_whitespace().collect();
        let flaw = format_flaw(&response, Opening::InCompletion);
        let is_repetitive = repetition_rate(&words, 3) > REPETITION;
        let lost = u8::from(flaw.is_some()) + u8::from(is_repetitive);
        let score = match (verdict.equivalent, &verdict.prediction) {
            (true, _) => 5 - lost,
            (false, Some(_)) => 2 - lost,
            (false, None) => 0,
        };
        let reason = format!("{:?}, form {flaw:?}, repetitive {is_repetitive}", verdict.why);
        Some(Rating { score, reason })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_score_answer_form_and_repetition() {
        let prompt = Sample::default();
        let of = |response: &str| {
            let rubric = Rubric { prompt: &prompt, folder: Path::new(""), gold: "7", response };
            rubric.by_rule().map(|rating| rating.score)
        };
        let round = "so it is so it is so it is so it is so it is so it is";
        assert_eq!(of("<think>3 + 4</think>\\boxed{7}"), Some(5));
        assert_eq!(of("3 + 4</think>\\boxed{7}"), Some(5));
        assert_eq!(of("\\boxed{7}"), Some(4));
        assert_eq!(of(&format!("<think>{round}</think>\\boxed{{7}}")), Some(4));
        assert_eq!(of("<think>3 + 4</think>\\boxed{8}"), Some(2));
        assert_eq!(of("<think>3 + 4"), Some(0));
    }
}
