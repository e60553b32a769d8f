//! VLMEvalKit's way with responses that its rules cannot score: it asks a model, once or several times, and every
//! prompt and reply is kept.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::Path;

use benchmark::{Item, Next, kit_answer};
use judge::{Decoding, Failure, Judging, Request, judge_identity, without_tags};
use schema::{Content, Message, Role, Sample};
use serde::{Deserialize, Serialize};
use stages::{Keyed, Store};

use crate::Error;
use crate::record::Record;
use crate::run::number_of;

/// Name and version of how VLMEvalKit's prompts are put.
const PROMPTS: &str = "vlmevalkit/1";

/// Seeds of two tries of one item are so far apart that runs of other seeds meet none of them.
const TRY_STRIDE: u64 = 1_000_003;

/// What VLMEvalKit made of a response, with a model.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Matching {
    /// From 0 to 1; nothing where the model did not reply.
    pub score: Option<f64>,
    /// How it came about: by rule, matched, extracted, drawn; or why there is none.
    pub how: String,
    /// The model and how its replies are drawn.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub judge: String,
    /// What was asked and replied, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<Step>,
}

impl Matching {
    /// Of an empty response, which no model is asked about.
    fn of_nothing() -> Self {
        Self { score: Some(0.0), how: "an empty response".to_owned(), ..Self::default() }
    }
}

/// One question to the model.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// What it was asked.
    pub prompt: String,
    /// What it replied, word by word.
    pub reply: String,
    /// The temperature, which the kit raises from try to try.
    pub temperature: f64,
    /// The seed of the draw.
    pub seed: u64,
}

/// Whose way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Upstream,
    Fork,
}

/// A response under way.
struct Open {
    record: usize,
    way: Way,
    matching: Matching,
    replies: Vec<String>,
}

/// Asks the model about every response of which VLMEvalKit, or its fork, would ask one.
///
/// # Errors
/// When the store fails, or the model will answer nothing more.
pub(crate) fn match_responses(
    items: &[Item],
    records: &mut [Record],
    store: &Store,
    judging: &mut Judging,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<(), Error> {
    for record in records.iter_mut().filter(|record| record.is_empty()) {
        let is_open = record.marks.as_ref().is_some_and(|marks| marks.is_unmatched);
        record.matching = is_open.then(Matching::of_nothing);
    }
    let judge = judge_identity(&judging.model.identity(), &judging.decoding);
    let mut open = unmatched(records, &judge);
    let total = open.len();
    while !open.is_empty() {
        let asked: Vec<(Open, String, f64)> =
            open.drain(..).filter_map(|open| step(open, items, records)).collect();
        progress(total - asked.len(), total);
        open = ask(asked, records, store, judging)?;
    }
    Ok(())
}

/// The responses that go to the model.
fn unmatched(records: &[Record], judge: &str) -> Vec<Open> {
    let mut open = Vec::new();
    for (index, record) in records.iter().enumerate() {
        let Some(marks) = record.marks.as_ref().filter(|_| record.flaw.is_none()) else { continue };
        let ways = [(marks.is_unmatched, Way::Upstream), (marks.is_fork_unmatched, Way::Fork)];
        for (_, way) in ways.into_iter().filter(|(is_open, _)| *is_open) {
            let matching = Matching { judge: judge.to_owned(), ..Matching::default() };
            open.push(Open { record: index, way, matching, replies: Vec::new() });
        }
    }
    open
}

/// What comes next: the question with its temperature, or nothing where the record got its score.
fn step(mut open: Open, items: &[Item], records: &mut [Record]) -> Option<(Open, String, f64)> {
    let item = &items[open.record % items.len()];
    let record = &mut records[open.record];
    let draw = draw(&record.id, record.run);
    let kit = item.kit.as_ref()?;
    let next = match open.way {
        Way::Upstream => kit.next(item, kit_answer(&record.response), &open.replies, draw),
        Way::Fork => kit.fork_next(item, &record.response, &open.replies, draw)?,
    };
    match next {
        Next::Ask { prompt, temperature } => Some((open, prompt, temperature)),
        Next::Score { score, how } => {
            (open.matching.score, open.matching.how) = (Some(score), how);
            keep(open, record);
            None
        }
    }
}

fn keep(open: Open, record: &mut Record) {
    *match open.way {
        Way::Upstream => &mut record.matching,
        Way::Fork => &mut record.fork_matching,
    } = Some(open.matching);
}

/// Where the kit draws an option, this number decides: the same in every rerun.
fn draw(id: &str, run: usize) -> u64 {
    number_of(&format!("{run} {id}"))
}

/// One round: every open response has one question, asked at its temperature.
fn ask(
    asked: Vec<(Open, String, f64)>,
    records: &mut [Record],
    store: &Store,
    judging: &mut Judging,
) -> Result<Vec<Open>, Error> {
    let base = judging.decoding;
    let decoding = |open: &Open, temperature: f64| {
        let seed = base.seed.wrapping_add(TRY_STRIDE.wrapping_mul(open.replies.len() as u64));
        Decoding { temperature, seed, ..base }
    };
    let questions: Vec<(&str, Decoding)> = asked
        .iter()
        .map(|(open, prompt, temperature)| (prompt.as_str(), decoding(open, *temperature)))
        .collect();
    let (replies, seeds) = (replies(&questions, store, judging)?, seeds(&questions));
    let mut open = Vec::new();
    for (((mut one, prompt, temperature), reply), seed) in asked.into_iter().zip(replies).zip(seeds)
    {
        match reply {
            Ok(reply) => {
                one.replies.push(kit_answer(&reply).to_owned());
                one.matching.steps.push(Step { prompt, reply, temperature, seed });
                open.push(one);
            }
            Err(Failure::Stopped { reason }) => return Err(Error::Stopped { reason }),
            Err(failure) => lose(one, &failure, records),
        }
    }
    Ok(open)
}

fn seeds(questions: &[(&str, Decoding)]) -> Vec<u64> {
    questions.iter().map(|(_, decoding)| decoding.seed).collect()
}

/// The replies to questions, each different one asked once.
fn replies(
    questions: &[(&str, Decoding)],
    store: &Store,
    judging: &mut Judging,
) -> Result<Vec<Result<String, Failure>>, Error> {
    let mut places = BTreeMap::new();
    let mut different: Vec<(&str, Decoding)> = Vec::new();
    let of: Vec<usize> = questions
        .iter()
        .map(|&(prompt, decoding)| {
            let key = (prompt, decoding.seed, decoding.temperature.to_bits());
            *places.entry(key).or_insert_with(|| {
                different.push((prompt, decoding));
                different.len() - 1
            })
        })
        .collect();
    let request = |&(prompt, decoding): &(&str, Decoding)| Keyed {
        content: "",
        value: Request {
            prompt_version: PROMPTS,
            prompt: Cow::Owned(turn(prompt)),
            folder: Path::new(""),
            decoding,
            stream: 0,
        },
    };
    let requests = different.iter().map(request).collect();
    let none = || Err(Failure::Failed { reason: "no reply".to_owned() });
    let mut found: Vec<Result<String, Failure>> = different.iter().map(|_| none()).collect();
    store.respond("matching", judging.model, requests, &mut |number, outcome| {
        found[number] = outcome.map(|response| response.text);
    })?;
    Ok(of.into_iter().map(|place| found[place].clone()).collect())
}

/// Without a reply there is no score; the rerun asks again.
fn lose(mut open: Open, failure: &Failure, records: &mut [Record]) {
    open.matching.how = format!("no reply: {failure}");
    let record = open.record;
    keep(open, &mut records[record]);
}

fn turn(prompt: &str) -> Sample {
    let content = Content::Text(without_tags(prompt));
    Sample { messages: vec![Message { role: Role::User, content }], ..Sample::default() }
}
