//! Whether a response says only what the image and the question bear out.

use std::path::Path;

use schema::Sample;
use serde::{Deserialize, Serialize};

use super::correctness::without_tags;
use crate::form::read_json;
use crate::question::{Question, quoting};

const SYSTEM: &str = "You check statements against an image and a question.";

/// Whether a response is factually consistent with what was asked and shown. No rule can tell.
#[derive(Clone, Debug)]
pub struct Consistency<'a> {
    /// The turns that lead to the response, with their images.
    pub prompt: &'a Sample,
    /// The folder that image paths are relative to.
    pub folder: &'a Path,
    /// The response.
    pub response: &'a str,
}

/// The verdict of [`Consistency`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Consistent {
    /// Whether nothing in it is contradicted or made up.
    pub consistent: bool,
    /// The first claim that is, or an empty string.
    pub claim: String,
}

impl Question for Consistency<'_> {
    type Verdict = Consistent;
    const VERSION: &'static str = "consistency/1";
    const FORM: &'static str =
        r#"{"consistent": false, "claim": "the first claim that is contradicted or made up"}"#;

    fn prompt(&self) -> Sample {
        let user = format!(
            "Here is a response to the conversation above:\n\n{}\n\nIs every statement in it about the image, the question \
             and the world borne out? Judge facts alone: not style, not completeness, not whether the final answer is the \
             one you would give. Reply with this JSON object and nothing else:\n{}",
            without_tags(self.response),
            Self::FORM
        );
        quoting(SYSTEM, self.prompt, &user)
    }

    fn folder(&self) -> &Path {
        self.folder
    }

    fn read(&self, reply: &str) -> Result<Consistent, String> {
        read_json(reply)
    }

    fn by_rule(&self) -> Option<Consistent> {
        None
    }
}
