//! `sightline reward score`: conversations that end in a response, each with its score.

use std::path::Path;

use anyhow::{Context as _, Result, bail};
use data::prompt_of;
use preprocess::Processor;
use rollout::Judge;
use schema::{Content, Part, Role, Sample};
use serde::Serialize;
use serde_json::{Map, Value};

use super::{BATCH, Doubtful, Unscored, finite, open, refusal};
use crate::Context;
use crate::args::RewardScoreArgs;
use crate::commands::generate::identity;
use crate::lines::{Growing, Input};
use crate::progress::Unit;

/// A line of the output.
#[derive(Serialize)]
struct Line {
    #[serde(flatten)]
    input: Map<String, Value>,
    score: f32,
}

/// What a command says about the file it wrote.
#[derive(Serialize)]
struct Written<'a> {
    output: &'a Path,
    num_scores: usize,
    num_empty: usize,
    /// Lines that can get no score.
    num_unscored: usize,
}

/// Lines whose responses answer one prompt.
struct Group {
    prompt: Sample,
    /// Each line's number and its response.
    responses: Vec<(usize, String)>,
}

/// Scores a file.
pub(super) fn run(args: &RewardScoreArgs, context: &Context) -> Result<()> {
    let (input, unscored) = read(args)?;
    unscored.tell((&args.input, input.len()), args.bad_scores, context)?;
    let mut doubtful = Doubtful::default();
    for index in 0..input.len() {
        doubtful.count(&[&response(&input, index)?]);
    }
    doubtful.tell(&args.input, context);
    let lines = serde_json::to_string(&input.lines)?;
    let settings = format!("{}\n{lines}", identity(&args.model));
    let mut output = Growing::open(&args.output, &settings, 1)?;
    let mut judge = open(&args.model, context)?;
    let total = input.len() as u64;
    let mut meter = context.progress.meter("responses", Unit::Items, Some(total));
    meter.start_at(output.num_done() as u64);
    let todo: Vec<usize> = (output.num_done()..input.len()).collect();
    for batch in todo.chunks(BATCH) {
        output.append(score(&input, &mut judge, batch)?)?;
        meter.set(batch.last().map_or(0, |last| last + 1) as u64, "");
    }
    meter.finish();
    output.commit()?;
    let Doubtful { num_empty, .. } = doubtful;
    let (num_scores, num_unscored) = (input.len(), unscored.count);
    let written = Written { output: &args.output, num_scores, num_empty, num_unscored };
    context.output.show(&written, |written| {
        format!("{}: {} scores", written.output.display(), written.num_scores)
    })
}

/// The lines that can get a score.
fn read(args: &RewardScoreArgs) -> Result<(Input, Unscored)> {
    let (mut input, bad) = Input::read_what_is_good(&args.input)?;
    let mut unscored = Unscored::default();
    bad.iter().for_each(|error| unscored.add(error));
    let processor = Processor::load(&args.model.model)?;
    let is_good: Vec<bool> = (0..input.len())
        .map(|index| {
            let refused = check(&input, index, &processor).err();
            refused.inspect(|error| unscored.add(&format!("{error:#}"))).is_none()
        })
        .collect();
    input.keep(&is_good);
    Ok((input, unscored))
}

/// Fails where a line can get no score.
fn check(input: &Input, index: usize, processor: &Processor) -> Result<()> {
    let response = response(input, index)?;
    let prompt = prompt_of(&input.dataset.samples[index]);
    let asked = (&prompt, &[response.as_str()][..], input.dataset.folder());
    refusal(processor, asked).with_context(|| input.dataset.place(index))
}

/// The words of the assistant's turn that a line ends in.
fn response(input: &Input, index: usize) -> Result<String> {
    let last = input.dataset.samples[index].messages.last();
    let Some(last) = last.filter(|last| last.role == Role::Assistant) else {
        bail!("{}: no assistant's turn to score at the end", input.dataset.place(index));
    };
    Ok(match &last.content {
        Content::Text(text) => text.clone(),
        Content::Parts(parts) => {
            let texts = parts.iter().map(|part| match part {
                Part::Text { text } => Ok(text.as_str()),
                Part::Image { .. } | Part::ImageUrl { .. } => {
                    bail!("{}: the response holds an image", input.dataset.place(index))
                }
            });
            texts.collect::<Result<Vec<_>>>()?.concat()
        }
    })
}

fn score(input: &Input, judge: &mut Judge, batch: &[usize]) -> Result<Vec<Line>> {
    let folder = input.dataset.path.parent().unwrap_or(Path::new(""));
    let groups = group(input, batch)?;
    let mut judged = Vec::with_capacity(groups.len());
    for Group { prompt, responses } in &groups {
        let texts: Vec<&str> = responses.iter().map(|(_, text)| text.as_str()).collect();
        let one = judge.judged(prompt, &texts, folder);
        judged.push(one.with_context(|| input.dataset.place(responses[0].0))?);
    }
    let mut lines = Vec::with_capacity(batch.len());
    for (group, scores) in groups.iter().zip(judge.score(judged)?) {
        for ((index, _), score) in group.responses.iter().zip(scores) {
            finite(&[score]).with_context(|| input.dataset.place(*index))?;
            lines.push((*index, Line { input: input.without(*index, &["score"]), score }));
        }
    }
    lines.sort_by_key(|(index, _)| *index);
    Ok(lines.into_iter().map(|(_, line)| line).collect())
}

/// The lines of a batch by their prompts, in the order of the prompts' first lines.
fn group(input: &Input, batch: &[usize]) -> Result<Vec<Group>> {
    let mut groups: Vec<Group> = Vec::new();
    for &index in batch {
        let prompt = prompt_of(&input.dataset.samples[index]);
        let response = (index, response(input, index)?);
        let same = |group: &&mut Group| {
            group.prompt.messages == prompt.messages && group.prompt.images == prompt.images
        };
        match groups.iter_mut().find(same) {
            Some(group) => group.responses.push(response),
            None => groups.push(Group { prompt, responses: vec![response] }),
        }
    }
    Ok(groups)
}
