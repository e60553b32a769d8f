//! The columns of the three tools: what a line may hold, and how it becomes a pair.

use std::path::Path;

use schema::{Content, Message, Part, Role, Sample};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Number, Value};

use super::critic::critique;
use super::{PairFlaw, Preference, answer};
use crate::{Error, num_image_tags};

/// Why a line is no preference pair.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PairFault {
    /// A side of the pair has no column.
    #[error("there is no `{0}`")]
    Missing(&'static str),
    /// Nothing comes before the responses.
    #[error(
        "there is no `prompt`, `question` or `messages`, and chosen and rejected have no turn in common"
    )]
    NoPrompt,
    /// A response that is another thing than one turn of the assistant after the prompt.
    #[error("`{column}` holds {found} after the prompt, expected one assistant turn of text")]
    NoAnswer {
        /// The column.
        column: &'static str,
        /// What is there.
        found: String,
    },
    /// Chosen and rejected look at different pictures.
    #[error(
        "`rejected_images` differs from `images`; both responses of a pair see the same images"
    )]
    OtherImages,
    /// The text and the list of images disagree.
    #[error("the text has {tags} image tags, but there are {images} images")]
    ImageCount {
        /// Tags in the prompt.
        tags: usize,
        /// Images listed.
        images: usize,
    },
    /// A judgement of LLaVA-Critic that compares no two responses, or finds none better.
    #[error("`conversations`: {0}")]
    NoComparison(&'static str),
    /// Earlier turns that are no pairs of texts.
    #[error("`history` is no list of questions with their answers")]
    History,
    /// An image column names an image without content or path.
    #[error("an image has neither content nor path")]
    EmptyImage,
    /// Images without a turn to put them in.
    #[error("{images} images, but no user turn to show them in")]
    NoUserTurn {
        /// Images listed.
        images: usize,
    },
}

impl PairFault {
    /// The kind under which it is counted.
    pub(super) fn flaw(&self) -> PairFlaw {
        match self {
            Self::OtherImages
            | Self::ImageCount { .. }
            | Self::EmptyImage
            | Self::NoUserTurn { .. } => PairFlaw::Images,
            Self::Missing(_)
            | Self::NoPrompt
            | Self::NoAnswer { .. }
            | Self::NoComparison(_)
            | Self::History => PairFlaw::NoPair,
        }
    }

    /// The fault as this crate's error.
    pub(super) fn at(self, path: &Path, line: usize) -> Error {
        Error::Pair { path: path.to_owned(), line, fault: self }
    }
}

/// One line of any of the layouts.
#[derive(Deserialize)]
pub(super) struct Row {
    id: Option<Plain>,
    prompt: Option<Turns>,
    question: Option<String>,
    messages: Option<Vec<Message>>,
    chosen: Option<Turns>,
    rejected: Option<Turns>,
    rejected_response: Option<Turns>,
    rejected_messages: Option<Vec<Message>>,
    images: Option<Images>,
    image: Option<Images>,
    image_path: Option<String>,
    conversations: Option<Vec<Utterance>>,
    rejected_images: Option<Images>,
    score_chosen: Option<Plain>,
    score_rejected: Option<Plain>,
    #[serde(alias = "solution")]
    answer: Option<Plain>,
    #[serde(flatten)]
    extra: Map<String, Value>,
}

/// The columns in which pairs are written.
#[derive(Serialize)]
pub(super) struct Columns<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: &'a Option<String>,
    pub prompt: &'a [Message],
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    pub images: &'a [String],
    pub chosen: [Message; 1],
    pub rejected: [Message; 1],
    #[serde(skip_serializing_if = "Option::is_none")]
    pub score_chosen: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub score_rejected: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answer: &'a Option<String>,
    #[serde(flatten)]
    pub extra: &'a Map<String, Value>,
}

/// Text, or a conversation.
#[derive(Clone, Deserialize)]
#[serde(untagged)]
enum Turns {
    Text(String),
    Messages(Vec<Message>),
}

/// A turn as LLaVA has it.
#[derive(Deserialize)]
struct Utterance {
    value: String,
}

/// Text, or a number that stands for its digits.
#[derive(Deserialize)]
#[serde(untagged)]
enum Plain {
    Text(String),
    Number(Number),
}

impl Plain {
    fn text(self) -> String {
        match self {
            Self::Text(text) => text,
            Self::Number(number) => number.to_string(),
        }
    }

    /// Its number; NaN where it is none.
    fn number(self) -> f64 {
        self.text().trim().parse().unwrap_or(f64::NAN)
    }
}

/// One image or several.
#[derive(Deserialize)]
#[serde(untagged)]
enum Images {
    Several(Vec<Image>),
    One(Image),
}

/// An image by name, or with its content as the `datasets` library writes it.
#[derive(Deserialize)]
#[serde(untagged)]
enum Image {
    Named(String),
    Stored(Stored),
}

/// An image with its base64 content, its path, or both.
#[derive(Deserialize)]
struct Stored {
    bytes: Option<String>,
    path: Option<String>,
}

impl Images {
    /// Their names; `None` for one that has neither content nor path.
    fn names(self) -> Vec<Option<String>> {
        match self {
            Self::Several(images) => images.into_iter().map(Image::name).collect(),
            Self::One(image) => vec![image.name()],
        }
    }

    /// The images of the first column that has any.
    fn first(columns: impl IntoIterator<Item = Self>) -> Result<Vec<String>, PairFault> {
        let mut is_any_empty = false;
        for column in columns {
            let names = column.names();
            if names.iter().any(Option::is_some) {
                let names: Option<Vec<String>> = names.into_iter().collect();
                return names.ok_or(PairFault::EmptyImage);
            }
            is_any_empty |= !names.is_empty();
        }
        if is_any_empty { Err(PairFault::EmptyImage) } else { Ok(vec![]) }
    }
}

impl Image {
    /// Its path, or its content as a URL.
    fn name(self) -> Option<String> {
        match self {
            Self::Named(name) => Some(name).filter(|name| !name.is_empty()),
            Self::Stored(Stored { bytes: Some(bytes), .. }) if !bytes.is_empty() => {
                Some(format!("data:image/unknown;base64,{bytes}"))
            }
            Self::Stored(Stored { path, .. }) => path.filter(|path| !path.is_empty()),
        }
    }
}

/// A prompt's turns and what follows them on both sides.
struct Sides {
    prompt: Vec<Message>,
    chosen: Vec<Message>,
    rejected: Vec<Message>,
}

impl Row {
    /// The pair, whatever it is worth.
    pub(super) fn pair(mut self) -> Result<Preference, PairFault> {
        let path = self.image_path.take().map(|path| Images::One(Image::Named(path)));
        let columns = [self.images.take(), self.image.take(), path];
        let images = Images::first(columns.into_iter().flatten())?;
        let others = Images::first(self.rejected_images.take())?;
        if !others.is_empty() && others != images {
            return Err(PairFault::OtherImages);
        }
        let rejected = match &self.rejected_messages {
            Some(_) => "rejected_messages",
            None if self.rejected_response.is_some() => "rejected_response",
            None => "rejected",
        };
        let sides = self.sides()?;
        let chosen = response(&sides.prompt, &sides.chosen, "chosen")?;
        let rejected = response(&sides.prompt, &sides.rejected, rejected)?;
        let messages = with_tags(sides.prompt, images.len())?;
        let Self { id, answer, extra, score_chosen, score_rejected, .. } = self;
        let (id, answer) = (id.map(Plain::text), answer.map(Plain::text));
        let [score_chosen, score_rejected] =
            [score_chosen, score_rejected].map(|score| score.map(Plain::number));
        let prompt = Sample { id, messages, images, answer, completion: None, extra };
        Ok(Preference { prompt, chosen, rejected, score_chosen, score_rejected })
    }

    /// Prompt and responses as turns, from whichever columns there are.
    fn sides(&mut self) -> Result<Sides, PairFault> {
        if let Some(conversation) = self.conversations.take() {
            let texts: Vec<&str> = conversation.iter().map(|turn| turn.value.as_str()).collect();
            let critique = critique(&texts)?;
            let [chosen, rejected] =
                [&critique.chosen, &critique.rejected].map(|t| vec![answer(t)]);
            return Ok(Sides { prompt: vec![user(critique.question)], chosen, rejected });
        }
        if let Some(mut prompt) = self.conversation()? {
            let rejected = self.rejected_messages.take().map(Turns::Messages);
            let rejected = rejected.or(self.rejected_response.take()).or(self.rejected.take());
            let rejected = rejected.ok_or(PairFault::Missing("rejected_response"))?;
            let chosen = match self.chosen.take() {
                Some(chosen) => turns(chosen),
                None => prompt.pop_if(|last| last.role == Role::Assistant).into_iter().collect(),
            };
            return Ok(Sides { prompt, chosen, rejected: turns(rejected) });
        }
        let chosen = self.chosen.take().ok_or(PairFault::Missing("chosen"))?;
        let rejected = self.rejected.take().ok_or(PairFault::Missing("rejected"))?;
        let question = self.question.take().map(Turns::Text);
        match self.prompt.take().or(question) {
            Some(Turns::Text(text)) => {
                let prompt = vec![user(text)];
                Ok(Sides { prompt, chosen: turns(chosen), rejected: turns(rejected) })
            }
            Some(Turns::Messages(prompt)) => {
                Ok(Sides { prompt, chosen: turns(chosen), rejected: turns(rejected) })
            }
            None => implicit(chosen, rejected),
        }
    }

    /// The turns of `messages`, or of ms-swift's older columns. Beside a chosen response, `messages` is the prompt where
    /// there is no other; else it repeats the chosen side, as in UltraFeedback.
    fn conversation(&mut self) -> Result<Option<Vec<Message>>, PairFault> {
        let is_prompt = |turns: &[Message]| turns.last().is_some_and(|t| t.role != Role::Assistant);
        let has_prompt = self.prompt.is_some() || self.question.is_some();
        match (&self.messages, &self.chosen) {
            (Some(_), None) => Ok(self.messages.take()),
            (Some(turns), Some(_)) => {
                let is_needed = !has_prompt && is_prompt(turns);
                Ok(self.messages.take().filter(|_| is_needed))
            }
            (None, None) if !has_prompt => queried(&mut self.extra),
            (None, _) => Ok(None),
        }
    }
}

/// The turns of `query` and `response`, with `system` and `history`, or of `instruction`, `input` and `output`.
fn queried(columns: &mut Map<String, Value>) -> Result<Option<Vec<Message>>, PairFault> {
    let has = |query: &str, response: &str| {
        [query, response].iter().all(|column| columns.get(*column).is_some_and(Value::is_string))
    };
    let is_query = has("query", "response");
    if !is_query && !has("instruction", "output") {
        return Ok(None);
    }
    let mut text = |column: &str| match columns.remove(column) {
        Some(Value::String(text)) if !text.is_empty() => Some(text),
        _ => None,
    };
    let system = text("system");
    let (query, response) = match is_query {
        true => (text("query"), text("response")),
        false => {
            let parts = [text("instruction"), text("input")];
            (Some(parts.into_iter().flatten().collect::<Vec<_>>().join("\n")), text("output"))
        }
    };
    let history: Option<Vec<[String; 2]>> =
        serde_json::from_value(columns.remove("history").unwrap_or_default())
            .map_err(|_| PairFault::History)?;
    let turn = |role, text: String| Message { role, content: Content::Text(text) };
    let mut turns: Vec<Message> = system.into_iter().map(|text| turn(Role::System, text)).collect();
    for [asked, said] in history.into_iter().flatten() {
        turns.extend([user(asked), answer(&said)]);
    }
    turns.extend([user(query.unwrap_or_default()), answer(&response.unwrap_or_default())]);
    Ok(Some(turns))
}

/// TRL's implicit prompt: what both sides begin with, in turns or in characters.
fn implicit(chosen: Turns, rejected: Turns) -> Result<Sides, PairFault> {
    match (chosen, rejected) {
        (Turns::Messages(mut chosen), Turns::Messages(mut rejected)) => {
            let shared = chosen.iter().zip(&rejected).take_while(|(c, r)| c == r).count();
            // Of two identical conversations, the last turn is the response.
            let last = chosen.len().min(rejected.len()).saturating_sub(1);
            let shared = shared.min(last);
            let prompt: Vec<_> = chosen.drain(..shared).collect();
            rejected.drain(..shared);
            if prompt.is_empty() {
                return Err(PairFault::NoPrompt);
            }
            Ok(Sides { prompt, chosen, rejected })
        }
        (Turns::Text(chosen), Turns::Text(rejected)) => {
            let matching = chosen.chars().zip(rejected.chars()).take_while(|(c, r)| c == r);
            let length: usize = matching.map(|(c, _)| c.len_utf8()).sum();
            // A space before the responses belongs to them.
            let prompt = chosen[..length].strip_suffix(' ').unwrap_or(&chosen[..length]);
            if prompt.is_empty() {
                return Err(PairFault::NoPrompt);
            }
            let rest = |text: &str| vec![answer(&text[prompt.len()..])];
            let (chosen, rejected) = (rest(&chosen), rest(&rejected));
            Ok(Sides { prompt: vec![user(prompt.to_owned())], chosen, rejected })
        }
        (Turns::Text(_), Turns::Messages(_)) | (Turns::Messages(_), Turns::Text(_)) => {
            Err(PairFault::NoPrompt)
        }
    }
}

fn user(text: String) -> Message {
    Message { role: Role::User, content: Content::Text(text) }
}

/// A response column as turns.
fn turns(response: Turns) -> Vec<Message> {
    match response {
        Turns::Text(text) => vec![answer(&text)],
        Turns::Messages(messages) => messages,
    }
}

/// The text of the one turn that follows the prompt; a prompt that the column repeats is skipped.
fn response(
    prompt: &[Message],
    turns: &[Message],
    column: &'static str,
) -> Result<String, PairFault> {
    let own = turns.strip_prefix(prompt).unwrap_or(turns);
    let fault = |found: String| PairFault::NoAnswer { column, found };
    let [Message { role: Role::Assistant, content }] = own else {
        let roles: Vec<_> = own.iter().map(|turn| turn.role.as_str()).collect();
        return Err(fault(format!("{} turns ({})", own.len(), roles.join(", "))));
    };
    let parts = match content {
        Content::Text(text) => return Ok(text.clone()),
        Content::Parts(parts) => parts,
    };
    let mut whole = String::new();
    for part in parts {
        let Part::Text { text } = part else { return Err(fault("an image".to_owned())) };
        whole.push_str(text);
    }
    Ok(whole)
}

/// The prompt with as many image tags as images; text without any gets its tags before the first user turn.
fn with_tags(mut prompt: Vec<Message>, images: usize) -> Result<Vec<Message>, PairFault> {
    let tags = num_image_tags(&prompt);
    if tags == images {
        return Ok(prompt);
    }
    if tags > 0 {
        return Err(PairFault::ImageCount { tags, images });
    }
    let first = prompt.iter_mut().find(|turn| turn.role == Role::User);
    let first = first.ok_or(PairFault::NoUserTurn { images })?;
    match &mut first.content {
        Content::Text(text) => text.insert_str(0, &"<image>\n".repeat(images)),
        Content::Parts(parts) => {
            parts.splice(0..0, (0..images).map(|_| Part::Image { image: None }));
        }
    }
    Ok(prompt)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// The prompt of a pair with these columns besides its texts.
    fn prompt(columns: &Value) -> Sample {
        let mut line = json!({"prompt": "What?", "chosen": "good", "rejected": "bad"});
        line.as_object_mut().unwrap().extend(columns.as_object().unwrap().clone());
        serde_json::from_str::<Row>(&line.to_string()).unwrap().pair().unwrap().prompt
    }

    #[test]
    fn images_come_with_their_content_by_name_or_both() {
        let (stored, named) = (json!({"bytes": "AAAA", "path": "b.png"}), json!({"path": "b.png"}));
        let (content, name) = ("data:image/unknown;base64,AAAA", "b.png");
        for (images, want) in [
            (json!([stored]), vec![content]),
            (json!([stored, named]), vec![content, name]),
            (json!([{"bytes": null, "path": "b.png"}, "c.png"]), vec![name, "c.png"]),
            (json!(["b.png", "c.png"]), vec![name, "c.png"]),
            (json!("b.png"), vec![name]),
            (stored, vec![content]),
            (json!([]), vec![]),
            (json!(null), vec![]),
        ] {
            let found = prompt(&json!({"images": images.clone()}));
            assert_eq!(found.images, want, "{images}");
            assert_eq!(num_image_tags(&found.messages), want.len(), "{images}");
        }
    }

    #[test]
    fn a_number_is_as_good_as_its_digits() {
        for (value, want) in [(json!(7), "7"), (json!(-0.5), "-0.5"), (json!("7 cm"), "7 cm")] {
            let found = prompt(&json!({"id": value.clone(), "solution": value}));
            assert_eq!(found.id.as_deref(), Some(want));
            assert_eq!(found.answer.as_deref(), Some(want));
        }
        assert_eq!(prompt(&json!({"id": null})).id, None);
    }
}
