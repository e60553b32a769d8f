//! `/score`, `/classify` and `/pooling`: a reward model as vLLM serves it.
//!
//! The numbers are the model's own: a request for another activation is refused.

use std::path::Path;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use openai::{Content, Message, Part, Role};
use preprocess::Processor;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::oneshot;

use crate::aside::{Arrived, Memory, Place, aside};
use crate::conversation::{read, sample};
use crate::judge::Job;
use crate::queue::Queue;
use crate::refusal::Refusal;
use crate::server::now;
use crate::settings::Settings;

/// The most responses of one request.
const MAX_RESPONSES: usize = 256;

/// What the routes know.
pub(crate) struct Scores {
    pub(crate) queue: Queue<Job>,
    pub(crate) processor: Arc<Processor>,
    /// Room for images on their way to the model.
    pub(crate) memory: Memory,
}

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
pub(crate) async fn score(State(scores): State<Arc<Scores>>, Arrived(body): Arrived) -> Reply {
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
    if responses.len() > MAX_RESPONSES {
        let message = format!("{} responses, expected at most {MAX_RESPONSES}", responses.len());
        return Err(Refusal::invalid("text_2", message));
    }
    let place = scores.enter(&model, use_activation)?;
    let turn = Message { role: Role::User, content: Some(content), reasoning_content: None };
    let found = scores.of(place, &[turn], responses).await?;
    let item = |(index, score)| json!({ "index": index, "object": "score", "score": score });
    let items: Vec<Value> = found.into_iter().enumerate().map(item).collect();
    Ok(scores.list("score", &items))
}

/// `/classify`: a response, as the one class of a model that has one.
pub(crate) async fn classify(State(scores): State<Arc<Scores>>, Arrived(body): Arrived) -> Reply {
    let score = scores.of_conversation(read(&body)?).await?;
    let item = json!({ "index": 0, "label": "LABEL_0", "probs": [score], "num_classes": 1 });
    Ok(scores.list("classify", &[item]))
}

/// `/pooling`: a response, by the value at its end.
pub(crate) async fn pooling(State(scores): State<Arc<Scores>>, Arrived(body): Arrived) -> Reply {
    let score = scores.of_conversation(read(&body)?).await?;
    let item = json!({ "index": 0, "object": "pooling", "data": [score] });
    Ok(scores.list("pool", &[item]))
}

impl Scores {
    fn enter(&self, model: &str, use_activation: bool) -> Result<Place, Refusal> {
        match use_activation {
            true => Err(Refusal::invalid("use_activation", "a score is given as it is")),
            false => self.queue.enter(model),
        }
    }

    async fn of_conversation(&self, body: Conversation) -> Result<f64, Refusal> {
        let Conversation { model, mut messages, use_activation } = body;
        let place = self.enter(&model, use_activation)?;
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
        let scores = self.of(place, &messages, vec![response]).await?;
        scores.first().copied().ok_or_else(|| Refusal::failed("the model gave no score"))
    }

    /// One score for each response.
    async fn of(
        &self,
        place: Place,
        turns: &[Message],
        responses: Vec<String>,
    ) -> Result<Vec<f64>, Refusal> {
        let (prompt, processor) = (sample(turns)?, self.processor.clone());
        let judged = move || {
            let responses: Vec<&str> = responses.iter().map(String::as_str).collect();
            processor.judged(&prompt, &responses, Path::new(""))
        };
        let (judged, place) = aside(place, judged).await?;
        let judged = judged.map_err(|error| Refusal::invalid("messages", error.to_string()))?;
        let (pixels, _place) = self.memory.pixels(place, &judged.images).await?;
        let (sender, scores) = oneshot::channel();
        self.queue.send(Job { judged, pixels, scores: sender })?;
        scores.await.map_err(|_| Refusal::stopped())?
    }

    fn list(&self, kind: &str, data: &[Value]) -> Json<Value> {
        let Settings { name, .. } = &self.queue.settings;
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
