//! Whether a response reaches the known answer.

use reward::Why;
use schema::Sample;
use serde::{Deserialize, Serialize};

use crate::form::read_json;
use crate::question::{Question, two_turns};
use crate::respond::whole_response;

const SYSTEM: &str = "You compare the final answer of a response with the known answer. Only the final answer counts: \
    not style, not length, not the way to it. Equal values in another notation are correct; a missing answer, several \
    different answers, or another value are not. You cannot see images: take the known answer as true.";

/// Whether a response reaches the known answer. What the verifier of rewards holds equal needs no judge.
#[derive(Clone, Debug)]
pub struct Correctness<'a> {
    /// The question.
    pub question: &'a str,
    /// The known answer.
    pub gold: &'a str,
    /// The response, with its thought if it has one.
    pub response: &'a str,
}

/// The verdict of [`Correctness`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Correct {
    /// Whether it does.
    pub correct: bool,
    /// Why, in a sentence.
    pub reason: String,
}

impl Correctness<'_> {
    /// The verdict that a reply holds.
    ///
    /// # Errors
    /// As for [`Question::read`].
    pub fn read_text(reply: &str) -> Result<Correct, String> {
        read_json(reply)
    }
}

impl Question for Correctness<'_> {
    type Verdict = Correct;
    const VERSION: &'static str = "correctness/1";
    const FORM: &'static str = r#"{"correct": true, "reason": "one sentence"}"#;

    fn prompt(&self) -> Sample {
        let response = whole_response(self.response);
        // The answer is judged, not the way to it, which may be long.
        let answer = reward::after_thought(&response).unwrap_or(&response).trim();
        let user = format!(
            "Question:\n{}\n\nKnown answer:\n{}\n\nResponse:\n{}\n\nReply with this JSON object and nothing else:\n{}",
            without_tags(self.question),
            self.gold,
            without_tags(answer),
            Self::FORM
        );
        two_turns(SYSTEM, user, vec![])
    }

    fn read(&self, reply: &str) -> Result<Correct, String> {
        Self::read_text(reply)
    }

    fn by_rule(&self) -> Option<Correct> {
        let verdict = reward::verify(self.gold, &whole_response(self.response));
        let reason = format!("{:?}", verdict.why);
        Some(Correct { correct: verdict.equivalent, reason })
    }

    /// A response that stops inside its thought has no answer to be judged.
    fn rule_suffices(&self) -> bool {
        let verdict = reward::verify(self.gold, &whole_response(self.response));
        verdict.equivalent || verdict.why == Why::UnfinishedThought
    }
}

/// Text that shows no image, whatever it spells.
pub fn without_tags(text: &str) -> String {
    text.replace("<image>", "[image]")
}
