//! Conversations as the routes take them: OpenAI-style turns with images as data URLs.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reward::Asked;
use schema::{Content, Part};
use serde_json::{Value, json};

use crate::Error;

const IMAGE_TAG: &str = "<image>";

/// The prompt's turns; each image stands where its tag stood.
pub(crate) struct Turns {
    turns: Vec<(&'static str, Vec<Value>)>,
}

impl Turns {
    /// Reads the prompt's images.
    ///
    /// # Errors
    /// When an image file cannot be read.
    pub(crate) fn read(asked: &Asked<'_>) -> Result<Self, Error> {
        let mut listed = asked.prompt.images.iter();
        let mut turns = Vec::with_capacity(asked.prompt.messages.len() + 1);
        for message in &asked.prompt.messages {
            let mut parts = Vec::new();
            let mut image = |source: &str| Ok(image_part(&data_url(source, asked.folder)?));
            match &message.content {
                Content::Text(text) => spread(text, &mut listed, &mut parts, &mut image)?,
                Content::Parts(of) => {
                    for part in of {
                        match part {
                            Part::Text { text } => {
                                spread(text, &mut listed, &mut parts, &mut image)?;
                            }
                            Part::Image { image: own } => {
                                if let Some(source) = own.as_ref().or_else(|| listed.next()) {
                                    parts.push(image(source)?);
                                }
                            }
                            Part::ImageUrl { image_url } => parts.push(image_part(&image_url.url)),
                        }
                    }
                }
            }
            turns.push((message.role.as_str(), parts));
        }
        Ok(Self { turns })
    }

    /// The whole conversation with `response` as its last turn, for `/classify` and `/pooling`.
    pub(crate) fn conversation(&self, model: &str, response: &str) -> Value {
        let mut messages: Vec<Value> =
            self.turns.iter().map(|(role, parts)| turn(role, parts)).collect();
        messages.push(json!({ "role": "assistant", "content": response }));
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
        let parts: Vec<&Value> = self.turns.iter().flat_map(|(_, parts)| parts).collect();
        let texts: Option<Vec<&str>> = parts.iter().map(|part| part["text"].as_str()).collect();
        let query = match texts {
            Some(texts) => json!(texts.join("\n")),
            None => json!({ "content": parts }),
        };
        json!({ "model": model, "text_1": query, "text_2": responses, "use_activation": false })
    }
}

fn turn(role: &str, parts: &[Value]) -> Value {
    match parts {
        [only] if only["text"].is_string() => json!({ "role": role, "content": only["text"] }),
        _ => json!({ "role": role, "content": parts }),
    }
}

/// Text in pieces, with the next listed image in place of each tag.
fn spread(
    text: &str,
    listed: &mut std::slice::Iter<'_, String>,
    parts: &mut Vec<Value>,
    image: &mut dyn FnMut(&str) -> Result<Value, Error>,
) -> Result<(), Error> {
    for (index, piece) in text.split(IMAGE_TAG).enumerate() {
        if index > 0
            && let Some(source) = listed.next()
        {
            parts.push(image(source)?);
        }
        if !piece.trim().is_empty() {
            parts.push(json!({ "type": "text", "text": piece.trim_matches('\n') }));
        }
    }
    Ok(())
}

fn image_part(url: &str) -> Value {
    json!({ "type": "image_url", "image_url": { "url": url } })
}

/// An image as a `data:` URL: as given, or from its file.
pub(crate) fn data_url(source: &str, folder: &Path) -> Result<String, Error> {
    if source.starts_with("data:") {
        return Ok(source.to_owned());
    }
    let path = folder.join(source);
    let bytes =
        std::fs::read(&path).map_err(|source| Error::Image { path: path.clone(), source })?;
    let kind = match bytes.as_slice() {
        [0x89, b'P', b'N', b'G', ..] => "png",
        [0xFF, 0xD8, ..] => "jpeg",
        [b'G', b'I', b'F', ..] => "gif",
        [b'B', b'M', ..] => "bmp",
        [b'R', b'I', b'F', b'F', ..] => "webp",
        _ => "octet-stream",
    };
    Ok(format!("data:image/{kind};base64,{}", STANDARD.encode(bytes)))
}
