//! An answer in pieces, as server-sent events.

use std::convert::Infallible;

use axum::response::Sse;
use axum::response::sse::{self, KeepAlive};
use openai::{ChatChunk, ChunkChoice, Delta, FinishReason, Role, Usage};
use serde::Serialize;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio_stream::wrappers::UnboundedReceiverStream;
use tokio_stream::{Stream, StreamExt as _};

use crate::chat::Asked;
use crate::generator::Event;
use crate::refusal::Refusal;
use crate::server::now;

/// What ends a stream.
const DONE: &str = "[DONE]";

/// The chunks of an answer: the speaker of each completion, its pieces as they are drawn, and its end; then, if it is
/// wanted, what they took.
pub(crate) fn stream(
    asked: Asked,
    with_usage: bool,
) -> Sse<impl Stream<Item = Result<sse::Event, Infallible>>> {
    let (sender, events) = unbounded_channel();
    let teller = Teller { asked, sender, created: now() };
    tokio::spawn(teller.tell(with_usage));
    Sse::new(UnboundedReceiverStream::new(events).map(Ok)).keep_alive(KeepAlive::default())
}

/// Turns what the model does into chunks.
struct Teller {
    asked: Asked,
    sender: UnboundedSender<sse::Event>,
    created: u64,
}

/// The client has gone.
struct Gone;

impl Teller {
    /// Tells all there is, or until the client goes; then the request ends with this.
    async fn tell(mut self, with_usage: bool) {
        let Ok(num_tokens) = self.tell_completions().await else { return };
        if with_usage {
            let usage = Some(self.asked.usage(num_tokens));
            let _ = self.send(&self.chunk(vec![], usage));
        }
        let _ = self.sender.send(sse::Event::default().data(DONE));
    }

    /// How many tokens the completions took.
    async fn tell_completions(&mut self) -> Result<usize, Gone> {
        for sample in 0..self.asked.num_samples {
            // What stands in the prompt of a thought belongs to the answer.
            let content = Some(self.asked.opening.response("").into_owned());
            self.send_choice(sample, Delta { role: Some(Role::Assistant), content }, None)?;
        }
        let (mut num_left, mut num_tokens) = (self.asked.num_samples, 0);
        while num_left > 0 {
            match self.asked.events.recv().await {
                Some(Event::Text { sample, text }) => {
                    self.send_choice(sample, Delta { role: None, content: Some(text) }, None)?;
                }
                Some(Event::End { sample, num_tokens: more, reason }) => {
                    self.send_choice(sample, Delta::default(), Some(reason.into()))?;
                    num_tokens += more;
                    num_left -= 1;
                }
                Some(Event::Failed(refusal)) => return self.fail(refusal),
                None => return self.fail(Refusal::stopped()),
            }
        }
        Ok(num_tokens)
    }

    fn send_choice(
        &self,
        sample: usize,
        delta: Delta,
        finish_reason: Option<FinishReason>,
    ) -> Result<(), Gone> {
        let choice = ChunkChoice { index: sample as u32, delta, finish_reason };
        self.send(&self.chunk(vec![choice], None))
    }

    fn chunk(&self, choices: Vec<ChunkChoice>, usage: Option<Usage>) -> ChatChunk {
        ChatChunk {
            id: self.asked.id.clone(),
            object: "chat.completion.chunk".to_owned(),
            created: self.created,
            model: self.asked.model.clone(),
            choices,
            usage,
        }
    }

    /// The status has long been sent: the last event says what went wrong.
    fn fail(&self, refusal: Refusal) -> Result<usize, Gone> {
        self.send(&refusal.into_body())?;
        Err(Gone)
    }

    fn send(&self, body: &impl Serialize) -> Result<(), Gone> {
        let text = serde_json::to_string(body).expect("plain text and numbers");
        self.sender.send(sse::Event::default().data(text)).map_err(|_| Gone)
    }
}
