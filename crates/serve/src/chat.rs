//! `/v1/chat/completions`: what is asked, checked; what is answered, whole.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use openai::{ChatReply, ChatRequest, Choice, Content, FinishReason, Message, Role, Stop, Usage};
use preprocess::Processor;
use reward::Opening;
use rollout::{GenerateConfig, Sampling};
use serde_json::Value;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use crate::aside::{Arrived, Memory, Place, aside};
use crate::conversation::{question, read};
use crate::generator::{Event, Job, prompt};
use crate::queue::Queue;
use crate::refusal::Refusal;
use crate::server::now;
use crate::stream::stream;
use crate::thought::{Piece, Splitter};

/// Fields that are not understood and change no answer. Others are refused: better than ignored.
const HARMLESS: [&str; 7] = [
    "metadata",
    "parallel_tool_calls",
    "prompt_cache_key",
    "safety_identifier",
    "service_tier",
    "store",
    "user",
];

/// The most completions of one request.
const MAX_SAMPLES: u32 = 128;

/// The most texts that end a completion: each is looked for after every token.
const MAX_STOPS: usize = 16;

/// The longest of them, in bytes.
const MAX_STOP_BYTES: usize = 256;

/// What the route knows.
pub(crate) struct Chats {
    pub(crate) queue: Queue<Job>,
    pub(crate) processor: Arc<Processor>,
    /// Tokens of a prompt and its completion together that there is room for.
    pub(crate) num_rows: usize,
    /// Room for images on their way to the model.
    pub(crate) memory: Memory,
    /// Requests so far, which name their replies.
    pub(crate) num_asked: AtomicU64,
    /// Makes seeds for requests without one, others in each process.
    pub(crate) seeds: RandomState,
}

/// A request that is being answered.
pub(crate) struct Asked {
    /// Its name in replies.
    pub(crate) id: String,
    pub(crate) model: String,
    num_prompt_tokens: usize,
    /// What stands in the prompt of the thought that the completions go on with.
    opening: Opening,
    /// One for each completion.
    splitters: Vec<Splitter>,
    events: UnboundedReceiver<Event>,
    /// Given back when the request is answered or its client has gone.
    _place: Place,
}

/// What is new of a request.
pub(crate) enum News {
    /// More of a completion.
    Piece { sample: usize, piece: Piece },
    /// The last of a completion.
    End { sample: usize, piece: Piece, num_tokens: usize, reason: FinishReason },
}

impl Asked {
    pub(crate) fn num_samples(&self) -> usize {
        self.splitters.len()
    }

    /// What of the completions stands in the prompt: it belongs to the answer.
    pub(crate) fn openings(&mut self) -> Vec<Piece> {
        let opening = self.opening.response("");
        self.splitters.iter_mut().map(|splitter| splitter.push(&opening)).collect()
    }

    /// What comes next.
    pub(crate) async fn next(&mut self) -> Result<News, Refusal> {
        match self.events.recv().await {
            Some(Event::Text { sample, text }) => {
                Ok(News::Piece { sample, piece: self.splitters[sample].push(&text) })
            }
            Some(Event::End { sample, num_tokens, reason }) => {
                let piece = self.splitters[sample].finish();
                Ok(News::End { sample, piece, num_tokens, reason: reason.into() })
            }
            Some(Event::Failed(refusal)) => Err(refusal),
            None => Err(Refusal::stopped()),
        }
    }

    pub(crate) fn usage(&self, num_tokens: usize) -> Usage {
        let (prompt_tokens, completion_tokens) = (self.num_prompt_tokens as u64, num_tokens as u64);
        Usage { prompt_tokens, completion_tokens, total_tokens: prompt_tokens + completion_tokens }
    }
}

/// Answers a request.
pub(crate) async fn answer(
    State(chats): State<Arc<Chats>>,
    Arrived(body): Arrived,
) -> Result<Response, Refusal> {
    let request = understood(&body)?;
    let (is_streamed, with_usage) = (request.stream == Some(true), request.wants_usage());
    let asked = chats.ask(request).await?;
    match is_streamed {
        true => Ok(stream(asked, with_usage).into_response()),
        false => whole(asked).await.map(|reply| Json(reply).into_response()),
    }
}

/// The request, if nothing in it would be ignored that changes the answer.
fn understood(body: &[u8]) -> Result<ChatRequest, Refusal> {
    let request: ChatRequest = read(body)?;
    let is_known = |field: &String| HARMLESS.contains(&field.as_str());
    match request.extra.iter().find(|(field, value)| !is_known(field) && is_set(value)) {
        Some((field, _)) => Err(Refusal::invalid(field, format!("{field} is not supported"))),
        None => Ok(request),
    }
}

/// Whether a field says something else than that there is nothing.
fn is_set(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => false,
        Value::Bool(true) => true,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => text != "none",
        Value::Array(values) => !values.is_empty(),
        Value::Object(fields) => {
            // A `response_format` of plain text.
            !fields.is_empty() && fields.get("type") != Some(&Value::from("text"))
        }
    }
}

impl Chats {
    /// Puts a request in the queue.
    async fn ask(&self, request: ChatRequest) -> Result<Asked, Refusal> {
        let place = self.queue.enter(&request.model)?;
        let conversation = question(&request.messages)?;
        let processor = self.processor.clone();
        let (prompt, place) = aside(place, move || prompt(&processor, &conversation)).await?;
        let prompt = prompt.map_err(|error| Refusal::invalid("messages", error.to_string()))?;
        let number = self.num_asked.fetch_add(1, Ordering::Relaxed);
        // Equal requests with a seed are answered alike, others never.
        let seed = request.seed.map(i64::cast_unsigned);
        let seed = seed.unwrap_or_else(|| self.seeds.hash_one(number));
        let config = self.config(&request, seed, prompt.ids.len())?;
        let (pixels, place) = self.memory.pixels(place, &prompt.images).await?;
        let (sender, events) = unbounded_channel();
        let asked = Asked {
            id: format!("chatcmpl-{number}"),
            model: self.queue.settings.name.clone(),
            num_prompt_tokens: prompt.ids.len(),
            opening: match prompt.opens_thought() {
                true => Opening::InPrompt,
                false => Opening::InCompletion,
            },
            splitters: self.splitters(config.num_samples),
            events,
            _place: place,
        };
        let job = Job { prompt, pixels, config, events: sender };
        self.queue.send(job)?;
        Ok(asked)
    }

    fn splitters(&self, num_samples: usize) -> Vec<Splitter> {
        let separates = self.queue.settings.separate_reasoning;
        (0..num_samples).map(|_| Splitter::new(separates)).collect()
    }

    /// How a prompt of `length` tokens is answered.
    fn config(
        &self,
        request: &ChatRequest,
        seed: u64,
        length: usize,
    ) -> Result<GenerateConfig, Refusal> {
        let context = self.processor.context_length.min(self.num_rows);
        if length >= context {
            let message = format!("the prompt has {length} tokens, the context {context}");
            return Err(Refusal::invalid("messages", message));
        }
        let num_samples = request.n.unwrap_or(1);
        if !(1..=MAX_SAMPLES).contains(&num_samples) {
            return Err(Refusal::invalid("n", format!("n is {num_samples}, expected 1 to 128")));
        }
        let sampling = Sampling {
            temperature: request.temperature.unwrap_or(1.0) as f32,
            top_k: request.top_k.unwrap_or(0).try_into().unwrap_or(0),
            top_p: request.top_p.unwrap_or(1.0) as f32,
            repetition_penalty: request.repetition_penalty.unwrap_or(1.0) as f32,
            seed,
        };
        let asked = request.token_limit().map(|limit| limit as usize);
        let max_new_tokens = asked.unwrap_or(self.queue.settings.max_new_tokens);
        let config = GenerateConfig {
            num_samples: num_samples as usize,
            context_length: context,
            stop_strings: stop_strings(request)?,
            ..GenerateConfig::new(&self.processor, sampling, max_new_tokens)
        };
        config.validate().map_err(|error| out_of_range(&error))?;
        Ok(config)
    }
}

fn out_of_range(error: &rollout::Error) -> Refusal {
    let field = match error {
        rollout::Error::Setting { key: "max_new_tokens", .. } => "max_tokens",
        rollout::Error::Setting { key, .. } => key,
        _ => "body",
    };
    Refusal::invalid(field, error.to_string())
}

/// What ends a completion.
fn stop_strings(request: &ChatRequest) -> Result<Vec<String>, Refusal> {
    let stops = match &request.stop {
        None => Vec::new(),
        Some(Stop::One(stop)) => vec![stop.clone()],
        Some(Stop::Several(stops)) => stops.clone(),
    };
    if stops.len() > MAX_STOPS {
        let message = format!("{} texts, expected at most {MAX_STOPS}", stops.len());
        return Err(Refusal::invalid("stop", message));
    }
    match stops.iter().map(String::len).find(|length| !(1..=MAX_STOP_BYTES).contains(length)) {
        Some(length) => {
            let message = format!("a text of {length} bytes, expected 1 to {MAX_STOP_BYTES}");
            Err(Refusal::invalid("stop", message))
        }
        None => Ok(stops),
    }
}

/// The reply, when all completions have ended.
async fn whole(mut asked: Asked) -> Result<ChatReply, Refusal> {
    let mut pieces = asked.openings();
    let mut reasons = vec![None; asked.num_samples()];
    let mut num_tokens = 0;
    while reasons.contains(&None) {
        match asked.next().await? {
            News::Piece { sample, piece } => pieces[sample].extend(&piece),
            News::End { sample, piece, num_tokens: more, reason } => {
                pieces[sample].extend(&piece);
                reasons[sample] = Some(reason);
                num_tokens += more;
            }
        }
    }
    let choice = |(index, (piece, finish_reason)): (usize, (Piece, _))| Choice {
        index: index as u32,
        message: message(piece),
        finish_reason,
    };
    Ok(ChatReply {
        id: asked.id.clone(),
        object: "chat.completion".to_owned(),
        created: now(),
        model: asked.model.clone(),
        choices: pieces.into_iter().zip(reasons).enumerate().map(choice).collect(),
        usage: Some(asked.usage(num_tokens)),
    })
}

fn message(piece: Piece) -> Message {
    let (content, reasoning_content) = piece.into_fields();
    Message { role: Role::Assistant, content: content.map(Content::Text), reasoning_content }
}
