//! The seam to a model that is asked in words: conversations in, texts out.

use std::borrow::Cow;
use std::path::Path;

use schema::{Content, Message, Part, Sample};
use serde::{Deserialize, Serialize};

use crate::ask::Judged;

/// How a completion is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Decoding {
    /// Most tokens of it.
    pub max_new_tokens: u32,
    /// Softmax temperature; 0 is greedy.
    pub temperature: f64,
    /// Nucleus.
    pub top_p: f64,
    /// CTRL repetition penalty over prompt and completion; 1 is none.
    pub repetition_penalty: f64,
    /// Seed of the draws.
    pub seed: u64,
}

impl Decoding {
    /// The most likely tokens, without penalty.
    pub fn greedy(max_new_tokens: u32, seed: u64) -> Self {
        Self { max_new_tokens, temperature: 0.0, top_p: 1.0, repetition_penalty: 1.0, seed }
    }
}

/// One conversation to complete.
#[derive(Clone, Debug)]
pub struct Request<'a> {
    /// Name and version of the prompt.
    pub prompt_version: &'a str,
    /// The turns, images in place.
    pub prompt: Cow<'a, Sample>,
    /// The folder that image paths are relative to.
    pub folder: &'a Path,
    /// How the completion is drawn.
    pub decoding: Decoding,
    /// Which of the draws of one seed these are, for models in this process.
    pub stream: u64,
}

/// What a model said.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Response {
    /// The text, a thought in front where there is one.
    pub text: String,
    /// Whether it ended at the limit on tokens.
    pub is_cut: bool,
    /// The model, by the name it gives itself.
    pub model: String,
    /// Tokens of the turns.
    pub prompt_tokens: u64,
    /// Tokens of the text.
    pub completion_tokens: u64,
    /// What it cost.
    pub cost: f64,
}

/// A reply that is not in the form asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Prose {
    /// What is wrong with it.
    pub reason: String,
    /// How it begins.
    pub excerpt: String,
}

/// Why a request has no response, or a question no verdict.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Failure {
    /// This one failed; another may not.
    #[error("{reason}")]
    Failed {
        /// Why.
        reason: String,
    },
    /// The reply was not in the form asked for, and neither was the one after it; both were paid for.
    #[error("the judge's reply cannot be used: {}; it begins {:?}", .0.verdict.reason, .0.verdict.excerpt)]
    Unreadable(Judged<Prose>),
    /// No rule can tell, and no model is configured.
    #[error("no rule decides {question}, and no judge is configured")]
    NoJudge {
        /// The question's name and version.
        question: &'static str,
    },
    /// Nothing more will be answered: a budget has ended, or access was refused.
    #[error("{reason}")]
    Stopped {
        /// Why.
        reason: String,
    },
}

/// Called with the number of a request and what became of it, as soon as it is known.
pub type Done<'a> = dyn FnMut(usize, Result<Response, Failure>) + 'a;

/// Completes conversations: a model behind a server, or one in this process.
pub trait Respond {
    /// All that tells this model's replies from another's; part of what names a stored result.
    fn identity(&self) -> String;

    /// Completes every request, in any order; `done` is called exactly once for each.
    fn respond(&mut self, requests: &[Request<'_>], done: &mut Done<'_>);
}

/// Bytes of a text that surely make a token: English has four or more, other languages fewer.
const BYTES_PER_TOKEN: usize = 3;

/// Tokens around each turn.
const TURN_TOKENS: u64 = 8;

/// Tokens of a text, not fewer than a tokenizer finds in most.
pub fn estimate_text(text: &str) -> u64 {
    (text.len() / BYTES_PER_TOKEN) as u64 + 1
}

/// Tokens of a prompt before any tokenizer or server has counted them.
pub fn estimate_prompt(prompt: &Sample, image_tokens: u64) -> u64 {
    let part = |part: &Part| match part {
        Part::Text { text } => estimate_text(text),
        Part::Image { image: None } => 0,
        Part::Image { image: Some(_) } | Part::ImageUrl { .. } => image_tokens,
    };
    let turn = |message: &Message| match &message.content {
        Content::Text(text) => estimate_text(text),
        Content::Parts(parts) => parts.iter().map(part).sum(),
    };
    let turns: u64 = prompt.messages.iter().map(|message| turn(message) + TURN_TOKENS).sum();
    turns + prompt.images.len() as u64 * image_tokens
}

/// The text with its thought opened, where a prompt or a server has taken the opening away.
pub fn whole_response(text: &str) -> Cow<'_, str> {
    match text.contains("</think>") && !text.trim_start().starts_with("<think>") {
        true => Cow::Owned(format!("<think>\n{}", text.trim_start_matches('\n'))),
        false => Cow::Borrowed(text),
    }
}
