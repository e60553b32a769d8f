//! Asks every item k times, scores by rule, asks the judge.

use std::path::Path;

use benchmark::{Flaw, Item, Loaded, Sandbox, Scoring, Task, score, score_turns};
use judge::{Failure, Judge, Judging, Respond};
use rayon::prelude::*;
use sha2::{Digest, Sha256};
use stages::{Keyed, Stage, Store};

use crate::Error;
use crate::matching::match_responses;
use crate::record::Record;
use crate::respond::respond;
use crate::ruling::{Inquiry, Ruling};
use crate::settings::Settings;

/// What the flaw of a record says first whose model did not respond.
pub(crate) const NO_RESPONSE: &str = "no response";

/// A benchmark that is asked.
pub struct Asked<'a> {
    /// The benchmark.
    pub task: &'a Task,
    /// Its items, and the rows that are none.
    pub loaded: Loaded,
}

/// What is under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// The model responds.
    Responses,
    /// Responses are scored.
    Scores,
    /// The judge does what VLMEvalKit has a model do.
    Matching,
    /// The judge rules.
    Rulings,
}

/// What one benchmark is asked with.
pub struct Run<'a> {
    /// What shapes the figures.
    pub settings: &'a Settings,
    /// Responses and rulings of this and earlier runs.
    pub store: &'a Store,
    /// The folder of the images.
    pub images: &'a Path,
    /// Where programs run, if anywhere.
    pub sandbox: Option<&'a Sandbox>,
    /// Called with how much of a phase is done, and how much there is.
    pub progress: &'a mut dyn FnMut(Phase, usize, usize),
}

/// Asks a benchmark; the records, and the rows that could not be asked.
///
/// # Errors
/// When the store fails, or the model will answer nothing more.
pub fn run(
    asked: Asked,
    run: &mut Run,
    model: &mut dyn Respond,
    judging: Option<Judging>,
) -> Result<(Vec<Record>, Vec<Flaw>), Error> {
    let Loaded { items, flaws, .. } = asked.loaded;
    let mut records: Vec<Record> = (0..run.settings.num_runs)
        .flat_map(|number| items.iter().map(move |item| (number, item)))
        .map(|(number, item)| Record::of(asked.task, item, number))
        .collect();
    respond(&items, &mut records, run, model)?;
    mark(&items, &mut records, run);
    if let Some(mut judging) = judging {
        let (seed, progress) = (judging.decoding.seed, &mut *run.progress);
        let mut matched = |done, total| progress(Phase::Matching, done, total);
        match_responses(&items, &mut records, run.store, &mut judging, &mut matched)?;
        rule(&items, &mut records, run, (&mut Judge::Model(judging), seed))?;
    }
    Ok((records, flaws))
}

/// A number that a text always has.
pub(crate) fn number_of(text: &str) -> u64 {
    Sha256::digest(text).iter().take(8).fold(0, |sum, byte| (sum << 8) | u64::from(*byte))
}

/// Scores by rule, in parallel; an empty response is wrong, and said to be empty.
fn mark(items: &[Item], records: &mut [Record], run: &mut Run) {
    let sandbox = run.sandbox;
    let total = records.len();
    (run.progress)(Phase::Scores, 0, total);
    records.par_iter_mut().enumerate().for_each(|(index, record)| {
        let no_response = record.flaw.as_ref().is_some_and(|flaw| flaw.starts_with(NO_RESPONSE));
        if no_response {
            return;
        }
        let item = &items[index % items.len()];
        let marks = match &item.scoring {
            Scoring::Turns(_) if record.flaw.is_some() => return,
            Scoring::Turns(_) => score_turns(item, &record.turns, sandbox),
            _ => score(item, &record.response, sandbox),
        };
        match marks {
            Ok(marks) => record.marks = Some(marks),
            Err(reason) => record.flaw = Some(reason),
        }
    });
    (run.progress)(Phase::Scores, total, total);
}

/// Has the judge rule on every response that has marks.
fn rule(
    items: &[Item],
    records: &mut [Record],
    run: &mut Run,
    (judge, seed): (&mut Judge, u64),
) -> Result<(), Error> {
    let mut inquiries = Vec::new();
    for (index, record) in records.iter_mut().enumerate() {
        let inquiry = Inquiry::about(&items[index % items.len()], &record.response);
        match inquiry.filter(|_| record.marks.is_some()) {
            Some(_) if record.is_empty() => record.judgement = Some(Ruling::of_nothing()),
            Some(inquiry) => inquiries.push((index, inquiry)),
            None => {}
        }
    }
    let keyed = inquiries.iter().map(|(_, inquiry)| Keyed { content: "", value: inquiry.clone() });
    let keyed: Vec<_> = keyed.collect();
    let (total, mut done, mut stopped) = (keyed.len(), 0, None);
    let (identity, progress) = (judge.identity(), &mut *run.progress);
    let stage = Stage { name: "judgement", seed };
    run.store.ask(stage, judge, keyed, &mut |number, outcome| {
        done += 1;
        progress(Phase::Rulings, done, total);
        let (index, inquiry) = &inquiries[number];
        let mut ruling = match outcome {
            Ok(ruling) => ruling,
            Err(Failure::Stopped { reason }) => return stopped = Some(reason),
            Err(failure) => Ruling { reason: format!("no ruling: {failure}"), ..Ruling::default() },
        };
        ruling.judge.clone_from(&identity);
        ruling.seed = seed;
        ruling.prompt = prompt_text(inquiry);
        records[*index].judgement = Some(ruling);
    })?;
    stopped.map_or(Ok(()), |reason| Err(Error::Stopped { reason }))
}

fn prompt_text(inquiry: &Inquiry) -> String {
    use judge::Question as _;
    let text = |message: &schema::Message| match &message.content {
        schema::Content::Text(text) => text.clone(),
        schema::Content::Parts(_) => String::new(),
    };
    inquiry.prompt().messages.iter().map(text).collect::<Vec<_>>().join("\n\n")
}
