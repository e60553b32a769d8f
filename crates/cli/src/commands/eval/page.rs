//! The page of an evaluation on benchmarks.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Result;
use protocol::{Record, Scheme, Summary};
use report::{AskedView, Fact, ItemPage, ItemView, ResponseView, write_items};

/// Writes `report.html` beside the figures.
pub(super) fn write(
    summary: &Summary,
    records: &[Record],
    images: &Path,
    path: &Path,
) -> Result<()> {
    let table = summary.rows();
    let page = ItemPage {
        title: format!("Evaluation of {}", summary.model),
        facts: facts(summary),
        table,
        notes: summary.notes(),
        items: items(records, summary.settings.scoring),
    };
    Ok(write_items(&page, images, path)?)
}

fn facts(summary: &Summary) -> Vec<Fact> {
    let settings = &summary.settings;
    let decoding = settings.decoding;
    let fact = |name: &str, value: String| Fact { name: name.to_owned(), value };
    vec![
        fact("model", summary.model.clone()),
        fact("judge", summary.judge.clone().unwrap_or_else(|| "none".to_owned())),
        fact(
            "score",
            format!("{}, pass@1 over {} runs", settings.scoring.name(), settings.num_runs),
        ),
        fact("prompts", format!("{:?}", settings.prompts).to_lowercase()),
        fact("temperature", decoding.temperature.to_string()),
        fact("top_p", decoding.top_p.to_string()),
        fact("max_new_tokens", decoding.max_new_tokens.to_string()),
        fact("seed", decoding.seed.to_string()),
    ]
}

/// Items in the order of their first responses.
fn items(records: &[Record], scheme: Scheme) -> Vec<ItemView> {
    let mut places: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    let mut items: Vec<ItemView> = Vec::new();
    for record in records {
        let place = *places.entry((&record.task, &record.id)).or_insert_with(|| {
            items.push(ItemView {
                task: record.task.clone(),
                subject: record.subject.clone(),
                id: record.id.clone(),
                prompt: record.prompt.clone(),
                gold: record.gold.clone(),
                images: record.images.clone(),
                responses: Vec::new(),
            });
            items.len() - 1
        });
        items[place].responses.push(response(record, scheme));
    }
    items
}

fn response(record: &Record, scheme: Scheme) -> ResponseView {
    let schemes = Scheme::ALL.into_iter();
    let scores =
        schemes.filter_map(|scheme| Some((scheme.name().to_owned(), record.score(scheme)?)));
    let why = record.marks.as_ref().map(|marks| marks.why.clone());
    let found = record.marks.as_ref().and_then(|marks| marks.prediction.as_deref());
    let found =
        found.map(|found| format!("found: {}", found.chars().take(200).collect::<String>()));
    let judged = record.judgement.as_ref();
    let reason = judged.map(|ruling| format!("judge: {}", ruling.reason));
    let matched = record.matching.as_ref().map(|matching| format!("VLMEvalKit: {}", matching.how));
    ResponseView {
        text: record.response.clone(),
        num_tokens: record.num_tokens,
        scores: scores.collect(),
        score: record.score(scheme),
        why: [record.flaw.clone(), why, found, reason, matched]
            .into_iter()
            .flatten()
            .collect::<Vec<_>>()
            .join("; "),
        is_disputed: record.is_disputed(),
        is_cut: record.is_cut,
        asked: asked(record),
    }
}

/// What the judge was asked, for itself and in VLMEvalKit's words.
fn asked(record: &Record) -> Vec<AskedView> {
    let judged = record.judgement.iter().filter(|ruling| !ruling.reply.is_empty());
    let judged = judged.map(|ruling| AskedView {
        title: "judge".to_owned(),
        prompt: ruling.prompt.clone(),
        reply: ruling.reply.clone(),
    });
    let kits = [("VLMEvalKit", &record.matching), ("its fork", &record.fork_matching)];
    let matched = kits.into_iter().flat_map(|(name, matching)| {
        let steps = matching.iter().flat_map(|matching| &matching.steps).enumerate();
        steps.map(move |(number, step)| AskedView {
            title: format!("{name}, question {}", number + 1),
            prompt: step.prompt.clone(),
            reply: step.reply.clone(),
        })
    });
    judged.chain(matched).collect()
}
