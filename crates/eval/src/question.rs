//! Held-out samples as questions: a prompt, and the answer it should get.

use std::path::Path;

use data::Dataset;
use preprocess::{Processor, Prompt};
use reward::{Why, verify};
use schema::{Message, Role, Sample};

use crate::Error;

/// A question with its known answer.
#[derive(Clone, Debug)]
pub struct Question {
    /// The sample's id, or its place in the file, from 0.
    pub id: String,
    /// The last user turn without image tags.
    pub text: String,
    /// Image references as the sample has them.
    pub images: Vec<String>,
    /// The known answer.
    pub gold: String,
    /// What the model is shown.
    pub prompt: Prompt,
}

impl Question {
    /// The same question over grey images of the same size.
    pub fn blind(&self) -> Self {
        Self { prompt: self.prompt.blind(), ..self.clone() }
    }
}

/// Prepares the first `limit` samples of a data set, or all.
///
/// # Errors
///
/// Names file and line of a sample that cannot be rendered or has no known answer; an empty file.
pub fn read_questions(
    dataset: &Dataset,
    processor: &Processor,
    limit: Option<usize>,
) -> Result<Vec<Question>, Error> {
    let base = dataset.path.parent().unwrap_or(Path::new(""));
    let samples = dataset.samples.iter().take(limit.unwrap_or(usize::MAX)).enumerate();
    let question = |(index, sample): (usize, &Sample)| {
        let place = || dataset.place(index);
        let gold = gold(sample).ok_or_else(|| Error::NoGold { place: place() })?;
        let prompt = processor.prompt(&data::prompt_of(sample), base);
        Ok(Question {
            id: sample.id.clone().unwrap_or_else(|| index.to_string()),
            text: asked(sample),
            images: sample.images.clone(),
            gold,
            prompt: prompt.map_err(|source| Error::Sample { place: place(), source })?,
        })
    };
    let questions: Vec<Question> = samples.map(question).collect::<Result<_, Error>>()?;
    if questions.is_empty() {
        return Err(Error::Empty { path: dataset.path.clone() });
    }
    Ok(questions)
}

/// The known answer: the sample's own, else that of its final assistant turn.
fn gold(sample: &Sample) -> Option<String> {
    let turn = || sample.messages.last().filter(|last| last.role == Role::Assistant).map(text);
    let gold = sample.answer.clone().or_else(turn)?;
    (verify(&gold, "").why != Why::NoGold).then_some(gold)
}

fn asked(sample: &Sample) -> String {
    let last = sample.messages.iter().rev().find(|message| message.role == Role::User);
    last.map(text).unwrap_or_default().replace("<image>", "").trim().to_owned()
}

fn text(message: &Message) -> String {
    message.content.texts().collect()
}
