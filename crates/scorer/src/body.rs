//! Conversations as the routes take them: OpenAI-style turns with images as data URLs.

use openai::{Content, Message, Part, Role};
use reward::Asked;
use serde_json::{Value, json};

use crate::Error;

/// The prompt's turns; each image stands where its tag stood.
pub(crate) struct Turns(Vec<Message>);

impl Turns {
    /// Reads the prompt's images.
    ///
    /// # Errors
    /// When an image file cannot be read.
    pub(crate) fn read(asked: &Asked<'_>) -> Result<Self, Error> {
        Ok(Self(openai::messages(asked.prompt, asked.folder)?))
    }

    /// The whole conversation with `response` as its last turn, for `/classify` and `/pooling`.
    pub(crate) fn conversation(&self, model: &str, response: &str) -> Value {
        let mut messages = self.0.clone();
        messages.push(Message::text(Role::Assistant, response));
        // The score is the model's own number: no generation prompt after the answer, no sigmoid.
        json!({
            "model": model,
            "messages": messages,
            "add_generation_prompt": false,
            "use_activation": false,
        })
    }

    /// A query and its documents, for `/score`, which knows no turns: their texts follow each other.
    pub(crate) fn query(&self, model: &str, responses: &[&str]) -> Value {
        let parts: Vec<Part> = self.0.iter().flat_map(parts).collect();
        let text = |part: &Part| match part {
            Part::Text { text } => Some(text.clone()),
            Part::ImageUrl { .. } => None,
        };
        let query = match parts.iter().map(text).collect::<Option<Vec<String>>>() {
            Some(texts) => json!(texts.join("\n")),
            None => json!({ "content": parts }),
        };
        json!({ "model": model, "text_1": query, "text_2": responses, "use_activation": false })
    }
}

fn parts(message: &Message) -> Vec<Part> {
    match &message.content {
        Some(Content::Text(text)) => vec![Part::text(text.as_str())],
        Some(Content::Parts(parts)) => parts.clone(),
        None => vec![],
    }
}
