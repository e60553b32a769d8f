//! What travels: requests and replies of `/chat/completions`, as OpenAI, vLLM and our own server write them.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The body of a request. Fields that are `None` are not sent.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ChatRequest {
    /// The model's name on the server.
    #[serde(default)]
    pub model: String,
    /// The turns, oldest first.
    pub messages: Vec<Message>,
    /// Most tokens to generate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_tokens: Option<u32>,
    /// The same under the name that newer models of OpenAI insist on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_completion_tokens: Option<u32>,
    /// Softmax temperature.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub temperature: Option<f64>,
    /// Nucleus.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub top_p: Option<f64>,
    /// The most likely tokens; all of them at 0 or -1 (an extension of vLLM).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub top_k: Option<i64>,
    /// CTRL repetition penalty over prompt and completion (an extension of vLLM).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repetition_penalty: Option<f64>,
    /// Completions to give.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub n: Option<u32>,
    /// Seed of the draws.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<i64>,
    /// What ends a completion.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop: Option<Stop>,
    /// Whether the reply comes in pieces.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream: Option<bool>,
    /// What such a reply tells besides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream_options: Option<StreamOptions>,
    /// Fields this program does not know.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// What a reply in pieces tells besides.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamOptions {
    /// Whether the last piece says what the reply took.
    #[serde(default)]
    pub include_usage: bool,
}

impl ChatRequest {
    /// A request that leaves everything but the turns to the server.
    pub fn new(messages: Vec<Message>) -> Self {
        Self { messages, ..Self::default() }
    }

    /// Most tokens to generate, under whichever name.
    pub fn token_limit(&self) -> Option<u32> {
        self.max_completion_tokens.or(self.max_tokens)
    }

    /// Whether a reply in pieces is to say what it took.
    pub fn wants_usage(&self) -> bool {
        self.stream_options.is_some_and(|options| options.include_usage)
    }
}

/// One string that ends a completion, or several.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Stop {
    /// One.
    One(String),
    /// Several.
    Several(Vec<String>),
}

/// One turn.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Message {
    /// Who speaks.
    pub role: Role,
    /// What is said; `null` in replies that say nothing.
    #[serde(default)]
    pub content: Option<Content>,
    /// The thought, where a server takes it out of the content.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reasoning_content: Option<String>,
}

impl Message {
    /// A turn of plain text.
    pub fn text(role: Role, text: impl Into<String>) -> Self {
        Self { role, content: Some(Content::Text(text.into())), reasoning_content: None }
    }

    /// A turn of parts; a single part of text is sent as plain text, which every server takes.
    pub fn parts(role: Role, mut parts: Vec<Part>) -> Self {
        let content = match parts.as_mut_slice() {
            [] => Content::Text(String::new()),
            [Part::Text { text }] => Content::Text(std::mem::take(text)),
            _ => Content::Parts(parts),
        };
        Self { role, content: Some(content), reasoning_content: None }
    }
}

/// Who speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Instructions that precede the conversation.
    System,
    /// The same under the name that newer models of OpenAI use.
    Developer,
    /// The person who asks.
    User,
    /// The model.
    Assistant,
    /// The result of a tool.
    Tool,
}

impl From<schema::Role> for Role {
    fn from(role: schema::Role) -> Self {
        match role {
            schema::Role::System => Self::System,
            schema::Role::User => Self::User,
            schema::Role::Assistant => Self::Assistant,
        }
    }
}

/// The content of a [`Message`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Content {
    /// Plain text.
    Text(String),
    /// Text and images in order.
    Parts(Vec<Part>),
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
    /// An image.
    ImageUrl {
        /// Where it is.
        image_url: ImageUrl,
    },
}

impl Part {
    /// A part of text.
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text { text: text.into() }
    }

    /// A part that shows the image at a URL.
    pub fn image(url: impl Into<String>) -> Self {
        Self::ImageUrl { image_url: ImageUrl { url: url.into(), detail: None } }
    }
}

/// The `image_url` object.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ImageUrl {
    /// An address, or a `data:` URL that holds the image.
    pub url: String,
    /// How closely it is looked at: `low`, `high` or `auto`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// The body of a reply.
pub type ChatReply = Reply<Choice>;

/// A piece of a reply that comes in pieces; the one that says what the reply took has no choices.
pub type ChatChunk = Reply<ChunkChoice>;

/// What replies and their pieces have in common.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reply<C> {
    /// The server's name for the reply.
    #[serde(default)]
    pub id: String,
    /// `chat.completion`, or `chat.completion.chunk`.
    #[serde(default)]
    pub object: String,
    /// When, in seconds since 1970.
    #[serde(default)]
    pub created: u64,
    /// The model that spoke.
    #[serde(default)]
    pub model: String,
    /// The completions, or what is new of them.
    pub choices: Vec<C>,
    /// What it took.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
}

impl ChatReply {
    /// The text of the first completion; empty when there is none.
    pub fn text(&self) -> &str {
        match self.choices.first().and_then(|choice| choice.message.content.as_ref()) {
            Some(Content::Text(text)) => text,
            Some(Content::Parts(parts)) => parts
                .iter()
                .find_map(|part| match part {
                    Part::Text { text } => Some(text.as_str()),
                    Part::ImageUrl { .. } => None,
                })
                .unwrap_or(""),
            None => "",
        }
    }
}

/// One completion.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Choice {
    /// Which, from 0.
    #[serde(default)]
    pub index: u32,
    /// The completion.
    pub message: Message,
    /// Why it ended.
    #[serde(default)]
    pub finish_reason: Option<FinishReason>,
}

/// Why a completion ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FinishReason {
    /// An end-of-turn token or a stop string.
    Stop,
    /// The limit on tokens.
    Length,
    /// The server would not say more.
    ContentFilter,
    /// A tool is to be called.
    ToolCalls,
    /// Another reason of the server's.
    #[serde(other)]
    Other,
}

impl From<schema::FinishReason> for FinishReason {
    fn from(reason: schema::FinishReason) -> Self {
        match reason {
            schema::FinishReason::Stop => Self::Stop,
            schema::FinishReason::Length => Self::Length,
        }
    }
}

/// What is new of one completion.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ChunkChoice {
    /// Which, from 0.
    #[serde(default)]
    pub index: u32,
    /// What is new.
    pub delta: Delta,
    /// Why it ended, in its last piece.
    #[serde(default)]
    pub finish_reason: Option<FinishReason>,
}

/// More of a [`Message`].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Delta {
    /// Who speaks, in the first piece.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<Role>,
    /// More text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<String>,
    /// More of the thought, where a server takes it out of the content.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reasoning_content: Option<String>,
}

/// What a request took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Tokens of the turns.
    #[serde(default)]
    pub prompt_tokens: u64,
    /// Tokens generated.
    #[serde(default)]
    pub completion_tokens: u64,
    /// Both.
    #[serde(default)]
    pub total_tokens: u64,
}

/// The body of a reply that declines.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ErrorBody {
    /// Why.
    pub error: ApiError,
}

/// Why a server declines.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ApiError {
    /// For people.
    pub message: String,
    /// `invalid_request_error`, `rate_limit_error`, …
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// The field that is at fault.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub param: Option<String>,
    /// For programs: a word, or a number on some servers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<Value>,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_request_comes_back_as_it_was_sent() {
        let sent = json!({
            "model": "m",
            "messages": [
                { "role": "system", "content": "Be right." },
                { "role": "user", "content": [
                    { "type": "image_url", "image_url": { "url": "data:image/png;base64,AA==" } },
                    { "type": "text", "text": "What is it?" },
                ]},
            ],
            "max_tokens": 64,
            "temperature": 0.5,
            "repetition_penalty": 1.1,
            "seed": 7,
            "stop": ["\n"],
        });
        let request: ChatRequest = serde_json::from_value(sent.clone()).unwrap();
        assert_eq!(request.token_limit(), Some(64));
        assert_eq!(serde_json::to_value(&request).unwrap(), sent);
    }

    #[test]
    fn replies_of_many_servers_are_read() {
        let text = |reply: Value| {
            serde_json::from_value::<ChatReply>(reply).map(|reply| reply.text().to_owned())
        };
        let of = |content: Value| json!({ "choices": [{ "message": { "role": "assistant", "content": content } }] });
        assert_eq!(text(of(json!("7"))).unwrap(), "7");
        assert_eq!(text(of(json!(null))).unwrap(), "");
        assert_eq!(text(of(json!([{ "type": "text", "text": "7" }]))).unwrap(), "7");
        assert_eq!(text(json!({ "choices": [] })).unwrap(), "");
        assert!(text(json!({ "error": { "message": "no" } })).is_err());
        let reason =
            json!({ "index": 0, "message": { "role": "assistant" }, "finish_reason": "abort" });
        let choice: Choice = serde_json::from_value(reason).unwrap();
        assert_eq!(choice.finish_reason, Some(FinishReason::Other));
    }

    #[test]
    fn one_part_of_text_is_plain_text() {
        let one = Message::parts(Role::User, vec![Part::text("a")]);
        assert_eq!(one, Message::text(Role::User, "a"));
        assert_eq!(Message::parts(Role::User, vec![]), Message::text(Role::User, ""));
        let two = Message::parts(Role::User, vec![Part::image("data:,"), Part::text("a")]);
        assert!(matches!(two.content, Some(Content::Parts(parts)) if parts.len() == 2));
    }
}
