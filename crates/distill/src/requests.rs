//! What the generator is asked: a short answer with or without the image, and a chain of thought.

use std::borrow::Cow;
use std::path::Path;

use judge::{Decoding, Request};
use schema::{Content, Part, Sample};

use crate::config::DistillConfig;
use crate::item::Item;
use crate::record::Stage;

/// An answer with or without the image, as short as it comes.
pub(crate) fn ablation<'a>(
    config: &DistillConfig,
    (item, folder): (&'a Item, &'a Path),
    stage: Stage,
) -> Request<'a> {
    let prompt = match stage {
        Stage::Blind => Cow::Owned(item.prompt.without_images()),
        _ => Cow::Borrowed(&item.prompt),
    };
    let limit = config.ablation_max_new_tokens.unwrap_or(config.max_new_tokens);
    let decoding = Decoding::greedy(limit, config.seed);
    Request { prompt_version: "ablation/1", prompt, folder, decoding, stream: item.stream() }
}

/// A chain of thought under a penalty.
pub(crate) fn generation<'a>(
    config: &DistillConfig,
    (item, folder): (&'a Item, &'a Path),
    penalty: f64,
) -> Request<'a> {
    let prompt = match &config.instruction {
        Some(instruction) => Cow::Owned(instructed(&item.prompt, instruction)),
        None => Cow::Borrowed(&item.prompt),
    };
    let decoding = Decoding {
        max_new_tokens: config.max_new_tokens,
        temperature: config.temperature,
        top_p: config.top_p,
        repetition_penalty: penalty,
        seed: config.seed,
    };
    Request { prompt_version: "generation/1", prompt, folder, decoding, stream: item.stream() }
}

/// The prompt with an instruction after its question.
fn instructed(prompt: &Sample, instruction: &str) -> Sample {
    let mut prompt = prompt.clone();
    if let Some(last) = prompt.messages.last_mut() {
        match &mut last.content {
            Content::Text(text) => *text += &format!("\n{instruction}"),
            Content::Parts(parts) => parts.push(Part::Text { text: instruction.to_owned() }),
        }
    }
    prompt
}
