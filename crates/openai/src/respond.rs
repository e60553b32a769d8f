//! A model behind a server as [`judge::Respond`] has it.

use judge::{Decoding, Done, Failure, Request, Respond, Response};

use crate::endpoint::{Answered, Call, Endpoint};
use crate::wire::{ChatRequest, FinishReason};
use crate::{Error, messages};

impl Respond for Endpoint {
    fn identity(&self) -> String {
        self.settings().identity()
    }

    fn respond(&mut self, requests: &[Request<'_>], done: &mut Done<'_>) {
        let endpoint: &Self = self;
        let make = |index: usize| endpoint.call(&requests[index]);
        endpoint.chat_all(requests.len(), make, |index, answered| {
            done(index, answered.map(response).map_err(failure));
        });
    }
}

impl Endpoint {
    fn call<'a>(&self, request: &Request<'a>) -> Result<Call<'a>, Error> {
        let Decoding { max_new_tokens, temperature, top_p, repetition_penalty, seed } =
            request.decoding;
        let settings = self.settings();
        let free = !settings.has_fixed_sampling;
        let newer = settings.has_completion_limit;
        let wire = ChatRequest {
            max_tokens: (!newer).then_some(max_new_tokens),
            max_completion_tokens: newer.then_some(max_new_tokens),
            temperature: free.then_some(temperature),
            top_p: (free && top_p < 1.0).then_some(top_p),
            // Only vLLM and its kin know the field.
            repetition_penalty: (repetition_penalty != 1.0).then_some(repetition_penalty),
            seed: Some(seed.cast_signed()),
            ..ChatRequest::new(messages(&request.prompt, request.folder)?)
        };
        Ok(Call { prompt_version: request.prompt_version, request: wire })
    }
}

fn response(answered: Answered) -> Response {
    let choice = answered.reply.choices.first();
    let thought = choice.and_then(|choice| choice.message.reasoning_content.as_deref());
    let text = match thought {
        Some(thought) if !thought.trim().is_empty() => {
            format!("<think>\n{}\n</think>\n\n{}", thought.trim(), answered.reply.text())
        }
        _ => answered.reply.text().to_owned(),
    };
    let is_cut = choice.is_some_and(|choice| choice.finish_reason == Some(FinishReason::Length));
    Response {
        text,
        is_cut,
        model: answered.reply.model,
        prompt_tokens: answered.usage.prompt_tokens,
        completion_tokens: answered.usage.completion_tokens,
        cost: answered.cost,
    }
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn failure(error: Error) -> Failure {
    let reason = error.to_string();
    if error.is_final() { Failure::Stopped { reason } } else { Failure::Failed { reason } }
}
