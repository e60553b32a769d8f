//! Every record that crosses a disk or process boundary: conversations with their images, and completions.
//!
//! ```text
//! JSONL line ── Sample ──► preprocess ──► rollout ──► Completion ── JSONL line
//! ```
//!
//! A line of a data file is a [`Sample`]; unknown columns are kept in [`Sample::extra`] and written back.
//!
//! ```
//! let line = r#"{"messages":[{"role":"user","content":"<image>\nWhat is it?"}],"images":["a.png"],"answer":"7"}"#;
//! let sample: schema::Sample = serde_json::from_str(line)?;
//! assert_eq!(sample.images, ["a.png"]);
//! assert_eq!(sample.answer.as_deref(), Some("7"));
//! # Ok::<(), serde_json::Error>(())
//! ```
//!
//! This crate does not read files, decode images or know any model.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// One conversation with its images: a line of a `messages` JSONL file.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// The author's name for the item, carried through every stage.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The turns, oldest first.
    pub messages: Vec<Message>,
    /// One entry for each `<image>` in the text, in order: a path relative to the file, or a data URL.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub images: Vec<String>,
    /// The known final answer, where there is one.
    #[serde(default, alias = "solution", skip_serializing_if = "Option::is_none")]
    pub answer: Option<String>,
    /// A completion to score after the rendered prompt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completion: Option<String>,
    /// Columns this program does not know; they travel along.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

impl Sample {
    /// All images: those of the list, then those that parts bring themselves.
    pub fn image_sources(&self) -> impl Iterator<Item = &str> {
        let own = |part| match part {
            &Part::Image { image: Some(ref image) } => Some(image.as_str()),
            Part::ImageUrl { image_url } => Some(image_url.url.as_str()),
            Part::Image { image: None } | Part::Text { .. } => None,
        };
        let parts = self.messages.iter().flat_map(|message| message.content.parts());
        self.images.iter().map(String::as_str).chain(parts.filter_map(own))
    }

    /// The images that are named by path or data URL, in the order of [`Self::image_sources`], to be renamed.
    pub fn image_paths_mut(&mut self) -> impl Iterator<Item = &mut String> {
        let own = |part| match part {
            &mut Part::Image { image: Some(ref mut image) } => Some(image),
            _ => None,
        };
        let parts = self.messages.iter_mut().flat_map(|message| match &mut message.content {
            Content::Text(_) => [].iter_mut(),
            Content::Parts(parts) => parts.iter_mut(),
        });
        self.images.iter_mut().chain(parts.filter_map(own))
    }

    /// The same words without images and their tags.
    pub fn without_images(&self) -> Self {
        let mut blind = self.clone();
        blind.images.clear();
        let strip = |text: &mut String| {
            *text = text.replace("<image>\n", "").replace("<image>", "");
        };
        for message in &mut blind.messages {
            match &mut message.content {
                Content::Text(text) => strip(text),
                Content::Parts(parts) => parts.retain_mut(|part| match part {
                    Part::Text { text } => {
                        strip(text);
                        true
                    }
                    Part::Image { .. } | Part::ImageUrl { .. } => false,
                }),
            }
        }
        blind
    }
}

/// One turn of a conversation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Message {
    /// Who speaks.
    pub role: Role,
    /// What is said.
    pub content: Content,
}

/// Who speaks in a [`Message`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Instructions that precede the conversation.
    System,
    /// The person who asks.
    User,
    /// The model.
    Assistant,
}

impl Role {
    /// The role as chat templates spell it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::User => "user",
            Self::Assistant => "assistant",
        }
    }
}

/// The content of a [`Message`]: plain text with `<image>` tags, or OpenAI-style parts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Content {
    /// Text in which each `<image>` stands for one entry of [`Sample::images`].
    Text(String),
    /// Text and images in order.
    Parts(Vec<Part>),
}

impl Content {
    /// The pieces of text, image tags left in.
    pub fn texts(&self) -> impl Iterator<Item = &str> {
        let whole = match self {
            Self::Text(text) => Some(text.as_str()),
            Self::Parts(_) => None,
        };
        let pieces = self.parts().iter().filter_map(|part| match part {
            Part::Text { text } => Some(text.as_str()),
            Part::Image { .. } | Part::ImageUrl { .. } => None,
        });
        whole.into_iter().chain(pieces)
    }

    /// The parts; plain text has none.
    fn parts(&self) -> &[Part] {
        match self {
            Self::Text(_) => &[],
            Self::Parts(parts) => parts,
        }
    }
}

/// One part of a [`Content::Parts`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Part {
    /// Plain text.
    Text {
        /// The text.
        text: String,
    },
    /// An image by path, or the next entry of [`Sample::images`] when no path is given.
    Image {
        /// A path relative to the file, or a data URL.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        image: Option<String>,
    },
    /// An image by URL, as the OpenAI API writes it.
    ImageUrl {
        /// Where the image is.
        image_url: ImageUrl,
    },
}

/// The `image_url` object of the OpenAI API.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ImageUrl {
    /// A `data:` URL.
    pub url: String,
}

/// What a model said to one prompt.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Completion {
    /// The text, special tokens left out.
    pub text: String,
    /// The tokens, the stop token included when one ended the text.
    pub token_ids: Vec<u32>,
    /// Natural log-probability of each token under the model, before temperature and penalties.
    pub logprobs: Vec<f32>,
    /// Why generation ended.
    pub finish_reason: FinishReason,
}

/// Why a [`Completion`] ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FinishReason {
    /// An end-of-turn token or a stop string.
    Stop,
    /// The limit on new tokens or the model's context.
    Length,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Sample {
        let line = r#"{
            "messages": [
                {"role": "user", "content": "<image>\nWhat is <image>?"},
                {"role": "user", "content": [
                    {"type": "image", "image": "own.png"},
                    {"type": "image"},
                    {"type": "text", "text": "and <image>this"},
                    {"type": "image_url", "image_url": {"url": "data:,x"}}
                ]}
            ],
            "images": ["a.png", "b.png"]
        }"#;
        serde_json::from_str(line).unwrap()
    }

    #[test]
    fn images_are_found_wherever_they_stand() {
        let mut sample = sample();
        let sources: Vec<&str> = sample.image_sources().collect();
        assert_eq!(sources, ["a.png", "b.png", "own.png", "data:,x"]);
        sample.image_paths_mut().for_each(|path| path.insert(0, '/'));
        let sources: Vec<&str> = sample.image_sources().collect();
        assert_eq!(sources, ["/a.png", "/b.png", "/own.png", "data:,x"]);
    }

    #[test]
    fn without_images_the_words_stay() {
        let blind = sample().without_images();
        assert_eq!(blind.image_sources().count(), 0);
        assert_eq!(blind.messages[0].content, Content::Text("What is ?".to_owned()));
        assert_eq!(blind.messages[1].content.texts().collect::<Vec<_>>(), ["and this"]);
    }
}
