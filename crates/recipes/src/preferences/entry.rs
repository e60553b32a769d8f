//! What one prompt gave: its responses, their scores, and the rejected side of a DropoutNTP pair.

use reward::Opening;
use schema::FinishReason;
use serde::{Deserialize, Serialize};

use crate::journal::Numbered;

/// One sampled response.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Response {
    pub text: String,
    pub finish_reason: FinishReason,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub score: Option<f64>,
}

impl Response {
    pub(super) fn is_complete(&self) -> bool {
        self.finish_reason == FinishReason::Stop
    }
}

/// The rejected side of a DropoutNTP pair.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Dropout {
    /// The whole of the chosen response.
    pub chosen: String,
    /// Its first half, continued without the image.
    pub rejected: Response,
}

/// What one prompt gave.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Entry {
    /// The prompt's number in the data set.
    pub prompt: usize,
    /// Whether the prompt ends inside an opened thought.
    pub opens_thought: bool,
    pub responses: Vec<Response>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dropout: Option<Dropout>,
    /// Why there are no scores, where there should be some.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub score_error: Option<String>,
}

impl Entry {
    /// Of a prompt that nothing was said to yet.
    pub(super) fn new(prompt: usize, opens_thought: bool) -> Self {
        Self { prompt, opens_thought, responses: vec![], dropout: None, score_error: None }
    }

    /// Whether the prompt was longer than the context, so that nothing was sampled.
    pub(super) fn is_too_long(&self) -> bool {
        self.responses.is_empty()
    }

    /// Where its thought was opened.
    pub(super) fn opening(&self) -> Opening {
        match self.opens_thought {
            true => Opening::InPrompt,
            false => Opening::InCompletion,
        }
    }
}

impl Numbered for Entry {
    fn number(&self) -> usize {
        self.prompt
    }
}
