//! `/score`, `/classify` and `/pooling`: a reward model as vLLM serves it.
//!
//! The numbers are the model's own: a request for another activation is refused.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use openai::{Content, Message, Part, Role};
use reward::ScoreError;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use crate::conversation::{read, sample};
use crate::judge::Job;
use crate::queue::Queue;
use crate::refusal::Refusal;
use crate::server::now;
use crate::settings::Settings;

/// What the routes know.
pub(crate) struct Scores(pub(crate) Queue<Job>);

type Reply = Result<Json<Value>, Refusal>;

/// A conversation that ends in the response, for `/classify` and `/pooling`.
#[derive(Deserialize)]
pub(crate) struct Conversation {
    #[serde(default)]
    model: String,
    messages: Vec<Message>,
    #[serde(default)]
    use_activation: bool,
}

/// A question and its responses, for `/score`.
#[derive(Deserialize)]
pub(crate) struct Query {
    #[serde(default)]
    model: String,
    #[serde(alias = "queries")]
    text_1: Text,
    #[serde(alias = "documents")]
    text_2: Texts,
    #[serde(default)]
    use_activation: bool,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Text {
    Plain(String),
    Parts { content: Vec<Part> },
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Texts {
    One(String),
    Several(Vec<String>),
}

/// `/score`: each response to a question.
pub(crate) async fn score(State(scores): State<Arc<Scores>>, body: Bytes) -> Reply {
    let Query { model, text_1, text_2, use_activation } = read(&body)?;
    let content = match text_1 {
        Text::Plain(text) => Content::Text(text),
        Text::Parts { content } => Content::Parts(content),
    };
    let responses = match text_2 {
        Texts::One(response) => vec![response],
        Texts::Several(responses) => responses,
    };
    if responses.is_empty() {
        return Err(Refusal::invalid("text_2", "there is nothing to score"));
    }
    let _place = scores.enter(&model, use_activation)?;
    let turn = Message { role: Role::User, content: Some(content), reasoning_content: None };
    let found = scores.of(&[turn], responses).await?;
    let item = |(index, score)| json!({ "index": index, "object": "score", "score": score });
    let items: Vec<Value> = found.into_iter().enumerate().map(item).collect();
    Ok(scores.list("score", &items))
}

/// `/classify`: a response, as the one class of a model that has one.
pub(crate) async fn classify(State(scores): State<Arc<Scores>>, body: Bytes) -> Reply {
    let score = scores.of_conversation(read(&body)?).await?;
    let item = json!({ "index": 0, "label": "LABEL_0", "probs": [score], "num_classes": 1 });
    Ok(scores.list("classify", &[item]))
}

/// `/pooling`: a response, by the value at its end.
pub(crate) async fn pooling(State(scores): State<Arc<Scores>>, body: Bytes) -> Reply {
    let score = scores.of_conversation(read(&body)?).await?;
    let item = json!({ "index": 0, "object": "pooling", "data": [score] });
    Ok(scores.list("pool", &[item]))
}

impl Scores {
    fn enter(&self, model: &str, use_activation: bool) -> Result<OwnedSemaphorePermit, Refusal> {
        match use_activation {
            true => Err(Refusal::invalid("use_activation", "a score is given as it is")),
            false => self.0.enter(model),
        }
    }

    async fn of_conversation(&self, body: Conversation) -> Result<f64, Refusal> {
        let Conversation { model, mut messages, use_activation } = body;
        let _place = self.enter(&model, use_activation)?;
        let response = messages.pop().filter(|last| last.role == Role::Assistant);
        let response = response.and_then(|last| match last.content {
            Some(Content::Text(text)) => Some(text),
            Some(Content::Parts(parts)) => texts(parts),
            None => None,
        });
        let Some(response) = response else {
            let message = "the last turn is the assistant's, and text: it is what is scored";
            return Err(Refusal::invalid("messages", message));
        };
        let scores = self.of(&messages, vec![response]).await?;
        scores.first().copied().ok_or_else(|| Refusal::failed("the model gave no score"))
    }

    /// One score for each response.
    async fn of(&self, turns: &[Message], responses: Vec<String>) -> Result<Vec<f64>, Refusal> {
        let (sender, scores) = oneshot::channel();
        let job = Job { prompt: sample(turns)?, responses, scores: sender };
        self.0.send(job)?;
        let scores = scores.await.map_err(|_| Refusal::stopped())?;
        scores.map_err(|error| match error {
            ScoreError::Failed(error) => Refusal::invalid("messages", error.to_string()),
            error => Refusal::failed(error.to_string()),
        })
    }

    fn list(&self, kind: &str, data: &[Value]) -> Json<Value> {
        let Settings { name, .. } = &self.0.settings;
        let created = now();
        Json(json!({
            "id": format!("{kind}-{created}"),
            "object": "list",
            "created": created,
            "model": name,
            "data": data,
        }))
    }
}

/// The text of parts that are all text.
fn texts(parts: Vec<Part>) -> Option<String> {
    let text = |part| match part {
        Part::Text { text } => Some(text),
        Part::ImageUrl { .. } => None,
    };
    parts.into_iter().map(text).collect()
}
