//! A conversation with answers becomes one sequence to learn from, with a loss on the answers alone.

use schema::Role;

use crate::conversation::Turn;
use crate::error::{Error, Result};
use crate::model_image::ModelImage;
use crate::prompt::opens_thought;
use crate::template::ChatTemplate;

/// One training sequence.
#[derive(Clone, Debug)]
pub struct Example {
    /// Token ids, image rows included; the last one is learned.
    pub ids: Vec<u32>,
    /// For each id whether it is learned: the assistant's words and the token that ends its turn.
    pub loss_mask: Vec<bool>,
    /// Positions in `ids` of the image rows, ascending.
    pub image_rows: Vec<usize>,
    /// Time, row and column of each id, where the model places rows so.
    pub places: Option<Vec<[u32; 3]>>,
    /// The images in the order of their rows.
    pub images: Vec<ModelImage>,
}

impl Example {
    /// Length of the part before the first learned id: the prompt of the first answer.
    pub fn prompt_length(&self) -> usize {
        self.loss_mask.iter().position(|&learned| learned).unwrap_or(self.ids.len())
    }

    /// Number of learned ids.
    pub fn num_targets(&self) -> usize {
        self.loss_mask.iter().filter(|&&learned| learned).count()
    }
}

/// A run of text that is tokenised on its own.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Segment {
    /// What leads to the first answer.
    Prompt(String),
    /// What the assistant says: learned.
    Answer(String),
    /// What closes an answer and leads to the next; its first token ends the turn and is learned.
    Bridge(String),
    /// What closes the last answer: only its first token counts.
    Close(String),
}

/// Cuts a conversation into what the model is given and what it says.
///
/// Each answer is preceded by exactly what the template puts before an answer at inference, so a thought opened there
/// (`<think>`) is not learned, and not doubled when the answer spells it too. Templates that drop earlier thoughts do
/// not touch the answers here: they are rendered with a mark in the answer's place.
pub(crate) fn segments(template: &ChatTemplate, turns: &[Turn]) -> Result<Vec<Segment>> {
    let marked: Vec<Turn> =
        turns.iter().enumerate().map(|(index, turn)| mark_answer(index, turn)).collect();
    let answers = (0..turns.len()).filter(|&index| turns[index].role == Role::Assistant);
    let mut segments = Vec::new();
    let mut previous = None;
    for index in answers {
        let lead = template.render_prompt(&marked[..index])?;
        let lead = after_mark(&lead, previous)?;
        segments.push(match previous {
            None => Segment::Prompt(lead.to_owned()),
            Some(_) => Segment::Bridge(lead.to_owned()),
        });
        segments.push(Segment::Answer(answer_after(lead, &turns[index].text).to_owned()));
        previous = Some(index);
    }
    let last = previous.ok_or(Error::NoAssistantTurn)?;
    let whole = template.render(&marked[..=last])?;
    segments.push(Segment::Close(after_mark(&whole, previous)?.to_owned()));
    Ok(segments)
}

/// Private-use characters around a number: no template alters them, no text has them by accident.
fn mark(index: usize) -> String {
    format!("\u{f8fe}{index}\u{f8ff}")
}

fn mark_answer(index: usize, turn: &Turn) -> Turn {
    let text = match turn.role {
        Role::Assistant => mark(index),
        Role::System | Role::User => turn.text.clone(),
    };
    Turn { role: turn.role, text }
}

/// The mark of a lone answer.
pub(crate) fn answer_mark() -> String {
    mark(0)
}

/// A rendered text with `answer` in place of [`answer_mark`].
pub(crate) fn with_answer(text: &str, answer: &str) -> Result<String> {
    let after = after_mark(text, Some(0))?;
    let before = &text[..text.len() - after.len() - mark(0).len()];
    Ok([before, answer_after(before, answer), after].concat())
}

/// What follows the mark of the answer at `index`, or all of `text` before the first answer.
fn after_mark(text: &str, index: Option<usize>) -> Result<&str> {
    let Some(index) = index else { return Ok(text) };
    let after = text.split_once(&mark(index)).map(|(_, after)| after);
    after.ok_or_else(|| Error::Template {
        reason: "it does not render the assistant's words".to_owned(),
    })
}

/// The answer without a `<think>` that `lead` has opened already.
fn answer_after<'a>(lead: &str, answer: &'a str) -> &'a str {
    match answer.trim_start().strip_prefix("<think>") {
        Some(thought) if opens_thought(lead) && lead.ends_with('\n') => {
            thought.strip_prefix('\n').unwrap_or(thought)
        }
        Some(thought) if opens_thought(lead) => thought,
        _ => answer,
    }
}
