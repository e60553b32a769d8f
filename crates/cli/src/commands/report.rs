//! `sightline report`: a run on one page.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use ::data::{Dataset, prompt_of};
use ::report::{Answer, Curve, Example, Fact, Histogram, RunSummary};
use anyhow::{Context as _, Result, bail};
use schema::Sample;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::Context;
use crate::args::ReportArgs;

/// Prompts shown of each step.
const PROMPTS_OF_STEP: usize = 2;

/// Steps shown where none are chosen: the first, the last, and some between.
const NUM_STEPS: usize = 4;

/// Settings worth a place on the page.
const SETTINGS: [&str; 16] = [
    "model_name_or_path",
    "adapter_name_or_path",
    "dataset",
    "trainable",
    "seed",
    "learning_rate",
    "per_device_train_batch_size",
    "gradient_accumulation_steps",
    "num_generations",
    "max_completion_length",
    "temperature",
    "reward_weights",
    "multi_objective_aggregation",
    "reward_model",
    "beta",
    "replay_staleness",
];

/// A row of `metrics.jsonl`.
type Row = Map<String, Value>;

/// A line of `completions.jsonl`.
#[derive(Deserialize)]
struct Said {
    step: u64,
    sample: String,
    answer: String,
    completion: String,
    rule: f64,
    reward: f64,
    advantage: f64,
}

/// What was written.
#[derive(Serialize)]
struct Written {
    report: PathBuf,
}

/// Writes the page of a run.
pub(crate) fn run(args: &ReportArgs, context: &Context) -> Result<()> {
    let report = args.output.clone().unwrap_or_else(|| args.run.join("report.html"));
    let summary = summary(&args.run, &args.steps)?;
    ::report::write(&summary, &args.run, &report)?;
    context.output.show(&Written { report }, |written| written.report.display().to_string())
}

fn summary(folder: &Path, steps: &[u64]) -> Result<RunSummary> {
    let rows: Vec<Row> = lines(&folder.join("metrics.jsonl"))?;
    let journal = folder.join("completions.jsonl");
    let said: Vec<Said> = if journal.is_file() { lines(&journal)? } else { Vec::new() };
    let unknown = steps.iter().find(|&&step| said.iter().all(|said| said.step != step));
    if let Some(step) = unknown {
        let last = said
            .last()
            .map_or("it holds none".to_owned(), |said| format!("the last is {}", said.step));
        bail!("--steps {step}: {} has no completions of this step; {last}", journal.display());
    }
    let name = folder.file_name().unwrap_or(folder.as_os_str()).to_string_lossy();
    Ok(RunSummary {
        facts: facts(folder, &rows)?,
        curves: curves(&rows),
        histograms: histograms(&said),
        alarms: alarms(&rows),
        examples: examples(&said, steps),
        examples_title: "Completions".to_owned(),
        ..RunSummary::titled(&format!("Sightline: {name}"))
    })
}

/// The objects of a JSONL file; a last line that a kill left unfinished is passed over.
fn lines<T: serde::de::DeserializeOwned>(path: &Path) -> Result<Vec<T>> {
    let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    let whole = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
    let parsed = whole.enumerate().filter(|(_, line)| !line.trim().is_empty()).map(|(i, line)| {
        serde_json::from_str(line).with_context(|| format!("{}:{}", path.display(), i + 1))
    });
    parsed.collect()
}

/// Which run this is, by its resolved settings.
fn facts(folder: &Path, rows: &[Row]) -> Result<Vec<Fact>> {
    let fact = |name: &str, value: String| Fact { name: name.to_owned(), value };
    let steps = rows.last().and_then(|row| row.get("step")?.as_u64()).unwrap_or(0);
    let mut facts = vec![fact("steps", steps.to_string())];
    let path = folder.join("config.toml");
    if path.is_file() {
        let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        let table: toml::Table = text.parse().with_context(|| path.display().to_string())?;
        let shown = SETTINGS.iter().filter_map(|&key| Some((key, table.get(key)?)));
        facts.extend(shown.map(|(key, value)| match value {
            toml::Value::String(text) => fact(key, text.clone()),
            value => fact(key, value.to_string()),
        }));
    }
    Ok(facts)
}

/// The charts for which there are values.
fn curves(rows: &[Row]) -> Vec<Curve> {
    let keys: BTreeSet<&str> = rows.iter().flat_map(Row::keys).map(String::as_str).collect();
    let means: Vec<(&str, &str)> = keys
        .iter()
        .filter_map(|key| Some((key.strip_prefix("rewards/")?.strip_suffix("/mean")?, *key)))
        .collect();
    let correlations: Vec<(&str, &str)> = keys
        .iter()
        .filter_map(|key| Some((key.strip_prefix("rewards/correlation/")?, *key)))
        .collect();
    let of = |title: &str, lines: &[(&str, &str)]| {
        let known: Vec<_> = lines.iter().copied().filter(|(_, key)| keys.contains(key)).collect();
        (!known.is_empty()).then(|| Curve::of(title, "metrics.jsonl", &known))
    };
    let shares = |title: &str, lines: &[(&str, &str)]| of(title, lines).map(Curve::in_percent);
    let effective = [
        ("before refill", "effective_fraction/before"),
        ("after refill", "effective_fraction/after"),
    ];
    let held_out = [
        ("accuracy", "eval/accuracy"),
        ("hallucination", "eval/hallucination_rate"),
        ("well formed", "eval/well_formed"),
    ];
    let lengths =
        [("all", "completions/mean_length"), ("ended", "completions/mean_terminated_length")];
    let cut =
        [("cut off", "completions/clipped_ratio"), ("repetition", "completions/repetition_rate")];
    let all = [
        of("Reward", &[("weighted sum", "reward"), ("spread in a group", "reward_std")]),
        of("Reward components", &means),
        of("Correlation of components", &correlations),
        shares("Completions that teach", &effective),
        shares("Held-out questions", &held_out),
        of(
            "Entropy a token",
            &[("nats", "entropy"), ("where reflection begins", "eval/critical_entropy")],
        ),
        of("Completion length", &lengths),
        of("Shares cut off, and repeated", &cut),
        of("Divergence from the reference", &[("a token", "kl")]),
        of(
            "Importance of what others drew",
            &[("ratio", "sampling/importance_sampling_ratio/mean")],
        ),
        of(
            "Share of tokens clipped",
            &[("low", "clip_ratio/low_mean"), ("high", "clip_ratio/high_mean")],
        ),
        of("Loss", &[("loss", "loss")]),
        of("Gradient norm", &[("norm", "grad_norm")]),
    ];
    all.into_iter().flatten().collect()
}

/// The advantages of the first and of the last quarter of the steps.
fn histograms(said: &[Said]) -> Vec<Histogram> {
    let Some(last) = said.last().map(|said| said.step) else { return Vec::new() };
    let quarter = last.div_ceil(4);
    let of = |title: &str, holds: &dyn Fn(u64) -> bool| Histogram {
        title: title.to_owned(),
        values: said.iter().filter(|said| holds(said.step)).map(|said| said.advantage).collect(),
    };
    let early = of("Advantages, first steps", &|step| step <= quarter);
    let late = of("Advantages, last steps", &|step| step > last - quarter);
    vec![early, late]
}

/// From when to when each alarm was on.
fn alarms(rows: &[Row]) -> Vec<String> {
    let mut spans: BTreeMap<(&str, u64), u64> = BTreeMap::new();
    let mut open: BTreeMap<&str, u64> = BTreeMap::new();
    for row in rows {
        let step = row.get("step").and_then(Value::as_u64).unwrap_or(0);
        let on: BTreeSet<&str> = row.keys().filter_map(|key| key.strip_prefix("alarms/")).collect();
        open.retain(|what, _| on.contains(what));
        for what in on {
            let first = *open.entry(what).or_insert(step);
            spans.insert((what, first), step);
        }
    }
    let mut spans: Vec<_> =
        spans.into_iter().map(|((what, first), last)| (first, last, what)).collect();
    spans.sort_unstable();
    let text = |(first, last, what)| match first == last {
        true => format!("{what}: step {first}"),
        false => format!("{what}: steps {first} to {last}"),
    };
    spans.into_iter().map(text).collect()
}

/// Some prompts of some steps with all their completions.
fn examples(said: &[Said], chosen: &[u64]) -> Vec<Example> {
    let steps: Vec<u64> =
        said.iter().map(|said| said.step).collect::<BTreeSet<_>>().into_iter().collect();
    let between = |i: usize| steps[i * (steps.len() - 1) / (NUM_STEPS - 1)];
    let shown: BTreeSet<u64> = match chosen.is_empty() {
        true if steps.is_empty() => BTreeSet::new(),
        true => (0..NUM_STEPS).map(between).collect(),
        false => chosen.iter().copied().collect(),
    };
    let mut files = BTreeMap::new();
    let mut examples = Vec::new();
    for step in shown {
        let of_step: Vec<&Said> = said.iter().filter(|said| said.step == step).collect();
        let groups = of_step.chunk_by(|a, b| a.sample == b.sample);
        examples.extend(groups.take(PROMPTS_OF_STEP).map(|group| example(step, group, &mut files)));
    }
    examples
}

fn example(step: u64, group: &[&Said], files: &mut BTreeMap<PathBuf, Option<Dataset>>) -> Example {
    let first = group[0];
    let answer = |said: &&Said| Answer {
        stage: format!("reward {:.2}, advantage {:+.2}", said.reward, said.advantage),
        completion: said.completion.clone(),
        correct: said.rule > 0.0,
    };
    let found = first.sample.rsplit_once(':').and_then(|(path, _)| {
        let path = PathBuf::from(path);
        let dataset = files.entry(path.clone()).or_insert_with(|| Dataset::read(&path).ok());
        let dataset = dataset.as_ref()?;
        let index = (0..dataset.samples.len()).find(|&i| dataset.place(i) == first.sample)?;
        let images = dataset.samples[index].images.iter();
        let images = images.filter_map(|image| picture(dataset, image)).collect();
        Some((images, question(&dataset.samples[index])))
    });
    // The data may have moved since.
    let (images, question) = found.unwrap_or((Vec::new(), first.sample.clone()));
    Example {
        images,
        question: format!("Step {step}: {question}"),
        gold: first.answer.clone(),
        answers: group.iter().map(answer).collect(),
    }
}

/// An image as the page takes it, if it is still there.
fn picture(dataset: &Dataset, image: &str) -> Option<String> {
    let Some(path) = dataset.image_path(image) else { return Some(image.to_owned()) };
    let path = std::path::absolute(path).ok()?;
    path.is_file().then(|| path.display().to_string())
}

/// The last thing that is asked, without image tags.
fn question(sample: &Sample) -> String {
    let prompt = prompt_of(sample);
    let texts = prompt.messages.last().into_iter().flat_map(|message| message.content.texts());
    texts.collect::<Vec<_>>().join(" ").replace("<image>", "").trim().to_owned()
}
