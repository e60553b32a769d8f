//! An answer in pieces, as server-sent events.

use std::convert::Infallible;

use axum::response::Sse;
use axum::response::sse::{self, KeepAlive};
use openai::{ChatChunk, ChunkChoice, Delta, FinishReason, Role, Usage};
use serde::Serialize;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio_stream::wrappers::UnboundedReceiverStream;
use tokio_stream::{Stream, StreamExt as _};

use crate::chat::{Asked, News};
use crate::refusal::Refusal;
use crate::server::now;
use crate::thought::Piece;

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
        for (sample, piece) in self.asked.openings().into_iter().enumerate() {
            let delta = Delta { role: Some(Role::Assistant), ..delta(piece) };
            self.send_choice(sample, delta, None)?;
        }
        let (mut num_left, mut num_tokens) = (self.asked.num_samples(), 0);
        while num_left > 0 {
            // A client that goes while there is nothing to tell is noticed too.
            let news = tokio::select! {
                () = self.sender.closed() => return Err(Gone),
                news = self.asked.next() => news,
            };
            match news {
                Ok(News::Piece { sample, piece }) => self.send_piece(sample, piece)?,
                Ok(News::End { sample, piece, num_tokens: more, reason }) => {
                    self.send_piece(sample, piece)?;
                    self.send_choice(sample, Delta::default(), Some(reason))?;
                    num_tokens += more;
                    num_left -= 1;
                }
                Err(refusal) => return self.fail(refusal),
            }
        }
        Ok(num_tokens)
    }

    fn send_piece(&self, sample: usize, piece: Piece) -> Result<(), Gone> {
        if piece.is_empty() {
            return Ok(());
        }
        self.send_choice(sample, delta(piece), None)
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

fn delta(piece: Piece) -> Delta {
    let (content, reasoning_content) = piece.into_fields();
    Delta { role: None, content, reasoning_content }
}
