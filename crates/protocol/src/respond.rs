//! Has the model respond: once to an item, or as often as a task of several turns goes on.
//!
//! ```text
//! what is asked next of each ─► store, model ─► responses ─┬─► done
//!            └──────────── calls executed ◄────────────────┘
//! ```

use std::borrow::Cow;
use std::path::Path;

use benchmark::{Dialogue, Item, Sandbox, Scoring};
use judge::{Decoding, Failure, Request, Respond, Response};
use rayon::prelude::*;
use stages::Keyed;

use crate::Error;
use crate::record::Record;
use crate::run::{NO_RESPONSE, Phase, Run, number_of};
use crate::settings::Settings;

/// Name and version of how prompts are made.
const PROMPTS: &str = "benchmark/1";

/// An item that the model has still something to say to.
struct Open<'a> {
    /// The place of its record.
    index: usize,
    item: &'a Item,
    dialogue: Option<Dialogue<'a>>,
}

type Outcome = Option<Result<Response, Failure>>;

/// Fills in what the model says, round by round.
pub(crate) fn respond(
    items: &[Item],
    records: &mut [Record],
    run: &mut Run,
    model: &mut dyn Respond,
) -> Result<(), Error> {
    let mut open = begin(items, records, run.sandbox);
    while !open.is_empty() {
        let outcomes = ask(&open, (items.len(), records.len()), run, model)?;
        open = take_all(open, outcomes, records, run);
        (run.progress)(Phase::Responses, records.len() - open.len(), records.len());
    }
    Ok(())
}

/// All items of all runs, but for those that nobody could execute.
fn begin<'a>(
    items: &'a [Item],
    records: &mut [Record],
    sandbox: Option<&Sandbox>,
) -> Vec<Open<'a>> {
    let mut open = Vec::new();
    for (index, record) in records.iter_mut().enumerate() {
        let item = &items[index % items.len()];
        if matches!(item.scoring, Scoring::Turns(_)) && sandbox.is_none() {
            record.flaw = Some("no sandbox: calls are not executed without one".to_owned());
        } else {
            open.push(Open { index, item, dialogue: Dialogue::of(item) });
        }
    }
    open
}

/// Asks what is next of each, in their order.
fn ask(
    open: &[Open<'_>],
    (num_items, total): (usize, usize),
    run: &mut Run,
    model: &mut dyn Respond,
) -> Result<Vec<Outcome>, Error> {
    let contents: Vec<String> = open.iter().map(|one| content(one.item)).collect();
    let (decoding, images) = (run.settings.decoding, run.images);
    let requests = open.iter().zip(&contents).map(|(one, content)| Keyed {
        content,
        value: request(one, one.index / num_items, decoding, images),
    });
    let requests = requests.collect();
    let mut outcomes: Vec<Outcome> = open.iter().map(|_| None).collect();
    let (mut done, mut stopped) = (total - open.len(), None);
    let progress = &mut *run.progress;
    run.store.respond("evaluation", model, requests, &mut |place, outcome| {
        done += usize::from(open[place].dialogue.is_none());
        progress(Phase::Responses, done, total);
        match outcome {
            Err(Failure::Stopped { reason }) => stopped = Some(reason),
            outcome => outcomes[place] = Some(outcome),
        }
    })?;
    stopped.map_or(Ok(outcomes), |reason| Err(Error::Stopped { reason }))
}

/// What an item's images hold: a prompt names them only.
fn content(item: &Item) -> String {
    item.images.iter().map(|image| image.sha256.as_str()).collect::<Vec<_>>().join("+")
}

fn request<'a>(
    one: &'a Open<'_>,
    number: usize,
    decoding: Decoding,
    images: &'a Path,
) -> Request<'a> {
    let next = one.dialogue.as_ref().and_then(Dialogue::prompt);
    Request {
        prompt_version: PROMPTS,
        prompt: Cow::Borrowed(next.unwrap_or(&one.item.prompt)),
        folder: images,
        decoding: Decoding { seed: decoding.seed + number as u64, ..decoding },
        stream: number_of(&one.item.id),
    }
}

/// Takes what was said; what goes on is what is still open.
fn take_all<'a>(
    open: Vec<Open<'a>>,
    outcomes: Vec<Outcome>,
    records: &mut [Record],
    run: &Run,
) -> Vec<Open<'a>> {
    let mut going = Vec::new();
    for (one, outcome) in open.into_iter().zip(outcomes) {
        let record = &mut records[one.index];
        match (outcome, &one.dialogue) {
            (Some(Ok(response)), None) => take_only(record, response, run.settings),
            (Some(Ok(response)), Some(_)) => {
                going.push((take(record, response, run.settings), one))
            }
            (Some(Err(failure)), _) => record.flaw = Some(format!("{NO_RESPONSE}: {failure}")),
            (None, _) => {}
        }
    }
    let sandbox = run.sandbox;
    let execute = |(said, one): (String, Open<'a>)| {
        let mut dialogue = one.dialogue?;
        let outcome = dialogue.take(said, sandbox);
        Some((one.index, one.item, dialogue, outcome))
    };
    let went: Vec<_> = going.into_par_iter().filter_map(execute).collect();
    let mut open = Vec::new();
    for (index, item, dialogue, outcome) in went {
        let record = &mut records[index];
        record.turns = dialogue.said().to_vec();
        record.response = dialogue.transcript();
        match outcome {
            Ok(()) if dialogue.prompt().is_some() => {
                open.push(Open { index, item, dialogue: Some(dialogue) });
            }
            Ok(()) => {}
            Err(reason) => record.flaw = Some(reason),
        }
    }
    open
}

/// The only response to an item.
fn take_only(record: &mut Record, response: Response, settings: &Settings) {
    record.response = take(record, response, settings);
    if record.response.trim_start_matches("<think>").trim().is_empty() {
        record.flaw = Some("an empty response".to_owned());
    }
}

/// Counts a response; its text, with the thought that the template opened.
fn take(record: &mut Record, response: Response, settings: &Settings) -> String {
    record.model = response.model;
    record.prompt_tokens += response.prompt_tokens;
    record.num_tokens += response.completion_tokens;
    record.is_cut |= response.is_cut;
    match settings.opens_thought && !response.text.contains("<think>") {
        true => format!("<think>\n{}", response.text),
        false => response.text,
    }
}
