//! One completion while it grows: its tokens, and the rules that end it.

use std::ops::Range;
use std::sync::Arc;

use preprocess::TextStream;
use schema::{Completion, FinishReason};

use crate::Error;
use crate::drawing::Drawing;
use crate::sampler::{Choice, Draw, Rules};

/// One sample of a prompt.
#[derive(Debug)]
pub(crate) struct Sequence<'a> {
    /// Which prompt it answers.
    pub(crate) prompt: usize,
    /// Which of the prompt's samples it is.
    pub(crate) sample: usize,
    /// Cache rows of its own: one for each token but the last.
    pub(crate) rows: Range<usize>,
    /// Distinct tokens of prompt and output, ascending; empty while nothing is penalised.
    pub(crate) seen: Vec<u32>,
    token_ids: Vec<u32>,
    logprobs: Vec<f32>,
    drawing: Arc<Drawing<'a>>,
    limit: usize,
    stream: u64,
    spelled: Option<Spelled<'a>>,
    finish: Option<FinishReason>,
}

/// The text so far, where stop strings are looked for.
#[derive(Debug)]
struct Spelled<'a> {
    stream: TextStream<'a>,
    text: String,
}

impl<'a> Sequence<'a> {
    /// A sample that may take `limit` tokens and draws from `stream`.
    pub(crate) fn new(
        (prompt, sample): (usize, usize),
        limit: usize,
        stream: u64,
        drawing: Arc<Drawing<'a>>,
    ) -> Self {
        let spelled = Spelled { stream: drawing.tokenizer.stream(), text: String::new() };
        let has_stops = drawing.stop_strings().next().is_some();
        Self {
            prompt,
            sample,
            rows: 0..0,
            seen: Vec::new(),
            token_ids: Vec::new(),
            logprobs: Vec::new(),
            drawing,
            limit,
            stream,
            spelled: has_stops.then_some(spelled),
            finish: (limit == 0).then_some(FinishReason::Length),
        }
    }

    /// What the next token is chosen by.
    pub(crate) fn rules(&self) -> Rules<'_> {
        let Drawing { config, banned, .. } = &*self.drawing;
        let draw = Draw { stream: self.stream, position: self.token_ids.len() as u64 };
        Rules { sampling: &config.sampling, banned, seen: &self.seen, draw }
    }

    /// Tokens so far.
    pub(crate) fn len(&self) -> usize {
        self.token_ids.len()
    }

    /// The token the model has not been shown yet.
    pub(crate) fn last(&self) -> u32 {
        *self.token_ids.last().expect("a running sequence has drawn its first token")
    }

    /// Cache rows that the longest completion takes: its last token is never shown to the model.
    pub(crate) fn num_rows(&self) -> usize {
        self.limit.saturating_sub(1)
    }

    /// The most tokens that are still to come.
    pub(crate) fn num_left(&self) -> usize {
        self.limit - self.token_ids.len()
    }

    /// Whether it has ended.
    pub(crate) fn is_finished(&self) -> bool {
        self.finish.is_some()
    }

    /// Adds a token and applies the rules.
    pub(crate) fn push(&mut self, choice: Choice) -> Result<(), Error> {
        self.token_ids.push(choice.token);
        self.logprobs.push(choice.logprob);
        if self.drawing.penalises() {
            self.mark_seen(choice.token);
        }
        if self.drawing.stop_ids.contains(&choice.token) || self.spells_a_stop(choice.token)? {
            self.finish = Some(FinishReason::Stop);
        } else if self.token_ids.len() >= self.limit {
            self.finish = Some(FinishReason::Length);
        }
        Ok(())
    }

    /// Adds a token to those that the repetition penalty knows.
    fn mark_seen(&mut self, token: u32) {
        if let Err(place) = self.seen.binary_search(&token) {
            self.seen.insert(place, token);
        }
    }

    /// Spells the token; cuts the text before the first stop string in it, what later tokens may spell otherwise included:
    /// after a stop there are none.
    fn spells_a_stop(&mut self, token: u32) -> Result<bool, Error> {
        let Some(Spelled { stream, text }) = &mut self.spelled else { return Ok(false) };
        // A stop string that ends in the new piece begins at most its own length before it.
        let longest = self.drawing.stop_strings().map(str::len).max().unwrap_or(0);
        let from = text.floor_char_boundary(text.len().saturating_sub(longest));
        text.push_str(&stream.push(token)?);
        let num_certain = text.len();
        text.push_str(stream.held());
        let new = &text[from..];
        let stops = self.drawing.stop_strings().filter(|stop| stop.len() <= new.len());
        let found = stops.filter_map(|stop| new.find(stop)).min();
        text.truncate(found.map_or(num_certain, |place| from + place));
        Ok(found.is_some())
    }

    /// The finished completion. A stop token leaves no text, special or not.
    pub(crate) fn complete(self) -> Result<Completion, Error> {
        let finish_reason = self.finish.unwrap_or(FinishReason::Length);
        let stopped_by_id =
            self.token_ids.last().is_some_and(|id| self.drawing.stop_ids.contains(id));
        let text = match self.spelled {
            Some(spelled) if finish_reason == FinishReason::Stop && !stopped_by_id => spelled.text,
            _ => {
                let num_text = self.token_ids.len() - usize::from(stopped_by_id);
                self.drawing.tokenizer.decode(&self.token_ids[..num_text])?
            }
        };
        Ok(Completion { text, token_ids: self.token_ids, logprobs: self.logprobs, finish_reason })
    }
}
