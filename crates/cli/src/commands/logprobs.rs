//! `sightline logprobs`: given completions, scored token by token.

use anyhow::{Context as _, Result, bail};
use preprocess::{Processor, Prompt};
use rollout::Group;
use serde::Serialize;
use serde_json::{Map, Value};

use super::generate::identity;
use crate::Context;
use crate::args::LogprobsArgs;
use crate::lines::{Growing, Input, Written};
use crate::loaded::Loaded;
use crate::progress::Unit;

/// Lines that are scored together.
const BATCH: usize = 32;

/// Rows of one pass.
const MAX_ROWS: usize = 2048;

/// What a line gains.
const FIELDS: [&str; 3] = ["token_ids", "logprobs", "logprob_sum"];

/// A line of the output.
#[derive(Serialize)]
struct Line {
    #[serde(flatten)]
    input: Map<String, Value>,
    token_ids: Vec<u32>,
    /// Natural log-probability of each token.
    logprobs: Vec<f32>,
    logprob_sum: f64,
}

/// Scores a file.
pub(crate) fn run(args: &LogprobsArgs, context: &Context) -> Result<()> {
    let input = Input::read(&args.input)?;
    let processor = Processor::load(&args.model.model)?;
    for index in 0..input.len() {
        task(&input, &processor, index)?;
    }
    let lines = serde_json::to_string(&input.lines)?;
    let settings = format!("{}\n{lines}", identity(&args.model));
    let mut output = Growing::open(&args.output, &settings, 1)?;
    let mut model = Loaded::open(&args.model, &context.progress)?;
    let total = input.len() as u64;
    let mut meter = context.progress.meter("completions", Unit::Items, Some(total));
    meter.start_at(output.num_done() as u64);
    let todo: Vec<usize> = (output.num_done()..input.len()).collect();
    let mut num_tokens = 0;
    for batch in todo.chunks(BATCH) {
        let lines = score(&input, &processor, &mut model, batch)?;
        num_tokens += lines.iter().map(|line| line.token_ids.len()).sum::<usize>();
        output.append(lines)?;
        let done = batch.last().map_or(0, |last| last + 1);
        meter.set(done as u64, &format!("{num_tokens} tokens"));
    }
    meter.finish();
    output.commit()?;
    let (num_completions, num_new_tokens) = (input.len(), num_tokens);
    let written = Written { output: &args.output, num_completions, num_new_tokens };
    context.output.show(&written, ToString::to_string)
}

/// Prompt and completion of a line, checked to fit the context together.
fn task(input: &Input, processor: &Processor, index: usize) -> Result<(Prompt, Vec<u32>)> {
    let place = || input.dataset.place(index);
    let prompt = input.prompt(processor, index)?;
    let Some(completion) = &input.dataset.samples[index].completion else {
        bail!("{}: no \"completion\" to score", place());
    };
    let ids = processor.completion(completion).with_context(place)?;
    let (length, context) = (prompt.ids.len() + ids.len(), processor.context_length);
    if length > context {
        bail!("{}: {length} tokens do not fit the model's context of {context}", place());
    }
    Ok((prompt, ids))
}

fn score(
    input: &Input,
    processor: &Processor,
    model: &mut Loaded,
    batch: &[usize],
) -> Result<Vec<Line>> {
    let (mut prompts, mut completions) = (Vec::new(), Vec::new());
    for &index in batch {
        let (prompt, ids) = task(input, processor, index)?;
        let features = model.features(&prompt.images);
        let features = features.with_context(|| input.dataset.place(index))?;
        prompts.push(rollout::Prompt::new(&prompt, features, index as u64));
        completions.push([ids]);
    }
    let pairs = prompts.iter().zip(&completions);
    let groups: Vec<Group<'_>> =
        pairs.map(|(prompt, completions)| Group { prompt, completions }).collect();
    let scores = rollout::score(&model.vlm, &groups, 1.0, MAX_ROWS)?;
    let lines = batch.iter().zip(completions).zip(scores);
    Ok(lines
        .map(|((&index, [token_ids]), scores)| {
            let logprobs = scores.into_iter().next().unwrap_or_default();
            let logprob_sum = logprobs.iter().map(|&value| f64::from(value)).sum();
            Line { input: input.without(index, &FIELDS), token_ids, logprobs, logprob_sum }
        })
        .collect())
}
