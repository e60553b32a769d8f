//! Which stages are done, and what the others would take.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use ::assets::AssetKind;
use anyhow::{Context as _, Result, ensure};
use serde::Serialize;
use serde_json::Value;
use toml::Table;

use super::marker::{Marker, content, hash};
use super::recipe::{Pipeline, Stage};
use super::{invocation, reference};
use crate::Context;
use crate::args::Command;
use crate::commands::iterative_sft;
use crate::failure::describe;
use crate::output::{Output, Table as Rows, bytes, count, duration};
use crate::progress::Progress;

/// Keys that name files and folders which a stage reads.
const READ: [&str; 14] = [
    "model_name_or_path",
    "adapter_name_or_path",
    "reward_model",
    "dataset",
    "eval_dataset",
    "probe_dataset",
    "text_dataset",
    "vision",
    "llm",
    "model",
    "adapter",
    "input",
    "run",
    "evaluations",
];

/// How a stage stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "state")]
pub(super) enum State {
    /// Finished under the same settings and inputs.
    Done,
    /// Begun under the same settings and inputs.
    Begun,
    /// Not begun.
    ToDo,
    /// Begun or finished under others.
    Changed {
        /// What differs.
        differences: String,
    },
}

/// A stage with its place and its state.
pub(super) struct Planned {
    pub(super) name: String,
    pub(super) command: String,
    pub(super) folder: PathBuf,
    pub(super) state: State,
    /// Names of the stages it is made from.
    from: Vec<String>,
    values: Table,
    marker: Marker,
}

/// The stages of a pipeline as they stand.
pub(super) fn plan(pipeline: &Pipeline) -> Result<Vec<Planned>> {
    let mut fingerprints = BTreeMap::new();
    let mut planned = Vec::new();
    for stage in &pipeline.stages {
        let marker = marker(pipeline, stage, &fingerprints)
            .with_context(|| format!("stage {}", stage.name))?;
        fingerprints.insert(stage.name.clone(), marker.fingerprint.clone());
        let folder = pipeline.folder(&stage.name);
        planned.push(Planned {
            name: stage.name.clone(),
            command: stage.command.clone(),
            state: state(&folder, &marker)?,
            folder,
            from: stage.from.iter().cloned().collect(),
            values: stage.values.clone(),
            marker,
        });
    }
    Ok(planned)
}

fn state(folder: &Path, now: &Marker) -> Result<State> {
    Ok(match Marker::read(folder)? {
        None => State::ToDo,
        Some(found) if found.fingerprint == now.fingerprint => {
            // A checkpoint may have been removed to make room.
            let is_there = found.checkpoint(folder).is_none_or(|checkpoint| checkpoint.exists());
            if found.is_finished && is_there { State::Done } else { State::Begun }
        }
        Some(found) => State::Changed { differences: found.differences(now) },
    })
}

/// What the stage would leave: its settings with references as they are written, so that it does not matter where
/// the pipeline's folder is.
fn marker(
    pipeline: &Pipeline,
    stage: &Stage,
    fingerprints: &BTreeMap<String, String>,
) -> Result<Marker> {
    let command = invocation::parse(&stage.command, &stage.values, Path::new("${output}"))?;
    let settings = invocation::settings(&command)?;
    let of_stage = |name: &String| Some((format!("${{{name}}}"), fingerprints.get(name)?.clone()));
    let mut inputs: BTreeMap<String, String> = stage.from.iter().filter_map(of_stage).collect();
    for text in texts(&toml::Value::Table(stage.values.clone())) {
        let path = Path::new(&text);
        if path.exists() && !path.starts_with(&pipeline.output_dir) {
            inputs.insert(text.clone(), content(path)?);
        }
    }
    let keys = stage.values.iter().map(|(key, value)| (key.clone(), value.to_string())).collect();
    let whole = serde_json::json!([stage.command, settings, inputs]).to_string();
    Ok(Marker {
        command: stage.command.clone(),
        fingerprint: hash(&whole),
        keys,
        inputs,
        is_finished: false,
        seconds: 0.0,
        result: Value::Null,
    })
}

/// Every text in a value.
fn texts(value: &toml::Value) -> Vec<String> {
    match value {
        toml::Value::String(text) => vec![text.clone()],
        toml::Value::Array(values) => values.iter().flat_map(texts).collect(),
        toml::Value::Table(table) => table.values().flat_map(texts).collect(),
        _ => vec![],
    }
}

impl Planned {
    /// What the stage leaves when it begins.
    pub(super) fn marker(&self) -> Marker {
        self.marker.clone()
    }

    /// The stage's keys with every reference replaced by what it stands for.
    pub(super) fn resolved(&self, pipeline: &Pipeline) -> Result<Table> {
        let mut replace = |reference: &reference::Reference| {
            let folder = pipeline.folder(&reference.stage);
            if !reference.is_checkpoint {
                return Ok(folder.display().to_string());
            }
            let marker = Marker::read(&folder)?.filter(|marker| marker.is_finished);
            let checkpoint = marker.and_then(|marker| marker.checkpoint(&folder));
            let checkpoint =
                checkpoint.with_context(|| format!("{reference}: no checkpoint was left"))?;
            Ok(checkpoint.display().to_string())
        };
        match reference::resolve(&toml::Value::Table(self.values.clone()), &mut replace)? {
            toml::Value::Table(table) => Ok(table),
            _ => Ok(Table::new()),
        }
    }

    /// As [`resolved`](Self::resolved) for an estimate, which takes a model for one that will be made of it, and needs
    /// no checkpoint: neither changes a size.
    fn expected(&self, pipeline: &Pipeline) -> Option<Table> {
        let mut values = Table::new();
        for (key, value) in &self.values {
            let mut is_missing = false;
            let mut replace = |reference: &reference::Reference| {
                is_missing |= reference.is_checkpoint;
                stood_in(pipeline, reference)
            };
            let value = reference::resolve(value, &mut replace);
            if !is_missing {
                values.insert(key.clone(), value.ok()?);
            }
        }
        Some(values)
    }

    /// What the settings say of a stage whose inputs are not there yet.
    fn schedule(&self) -> Option<Value> {
        let folder = Path::new("${output}");
        match invocation::parse(&self.command, &self.values, folder).ok()? {
            Command::IterativeSft(args) => {
                serde_json::to_value(iterative_sft::schedule(&args.recipe).ok()?).ok()
            }
            _ => None,
        }
    }

    /// What is known of the stage before it runs.
    fn outlook(&self, pipeline: &Pipeline, planned: &[Self]) -> Outlook {
        if self.state == State::Done {
            return Outlook::default();
        }
        let is_to_do =
            |stage: &&Self| stage.state != State::Done && self.from.contains(&stage.name);
        let waits_for: Vec<String> =
            planned.iter().filter(is_to_do).map(|stage| stage.name.clone()).collect();
        let missing = self.missing(pipeline);
        if !missing.is_empty() {
            let error = Some(format!("no such file or folder: {}", missing.join(", ")));
            return Outlook { plan: self.schedule(), waits_for, error };
        }
        match self.estimate(pipeline).transpose() {
            Ok(Some(plan)) => Outlook { plan: Some(plan), ..Outlook::default() },
            Err(error) if waits_for.is_empty() || self.is_of_own_file(&error) => {
                Outlook { error: Some(describe(&error)), ..Outlook::default() }
            }
            _ => Outlook { plan: self.schedule(), waits_for, error: None },
        }
    }

    /// Files and folders that the stage reads, that no stage makes, and that are not there.
    fn missing(&self, pipeline: &Pipeline) -> Vec<String> {
        let is_missing = |text: &String| {
            let path = Path::new(text);
            let is_named = text.contains("${") || text.contains("://");
            let is_made = path.starts_with(&pipeline.output_dir);
            !is_named && !is_made && AssetKind::from_name(text).is_none() && !path.exists()
        };
        read(&self.values).into_iter().filter(is_missing).collect()
    }

    /// Whether an error begins with the name of a file that no stage makes: what it waits for cannot mend it.
    fn is_of_own_file(&self, error: &anyhow::Error) -> bool {
        let text = describe(error);
        let mut files = self.marker.inputs.keys().filter(|key| !key.starts_with("${"));
        files.any(|file| Path::new(file).is_file() && text.starts_with(file.as_str()))
    }

    /// What the command's own dry run says, where it has one and what its inputs are is known.
    fn estimate(&self, pipeline: &Pipeline) -> Option<Result<Value>> {
        let mut values = self.expected(pipeline)?;
        invocation::keys(&self.command).ok()?.contains(&"dry_run".to_owned()).then_some(())?;
        values.insert("dry_run".to_owned(), true.into());
        Some(self.dry_run(&values))
    }

    fn dry_run(&self, values: &Table) -> Result<Value> {
        let command = invocation::parse(&self.command, values, &self.folder)?;
        let (output, captured) = Output::captured();
        crate::dispatch(&command, &Context { output, progress: Progress::new(true) })?;
        let mut said = captured.take();
        // An evaluation has no plan but the number of its questions.
        let plan = said.get_mut("plan").map(Value::take);
        Ok(plan.unwrap_or_else(|| {
            said.as_object_mut().map(|map| map.remove("config"));
            said
        }))
    }
}

/// Every text under a key that names what is read.
fn read(table: &Table) -> Vec<String> {
    // The name of a model on its server is none of a folder.
    let is_read =
        |key: &str| READ.contains(&key) && !(key == "model" && table.contains_key("base_url"));
    let of = |(key, value): (&String, &toml::Value)| match value {
        toml::Value::Table(inner) => read(inner),
        value if is_read(key) => texts(value),
        _ => vec![],
    };
    table.iter().flat_map(of).collect()
}

/// The folder of a stage that is finished, or of the model that it will be made of.
fn stand_in(pipeline: &Pipeline, name: &str) -> Option<PathBuf> {
    let folder = pipeline.folder(name);
    let Some(stage) = pipeline.stages.iter().find(|stage| stage.name == name) else {
        return Some(folder);
    };
    if Marker::read(&folder).ok()?.is_some_and(|marker| marker.is_finished) {
        return Some(folder);
    }
    let model = stage.values.get("model").filter(|_| stage.command == "assemble")?;
    let model = reference::resolve(model, &mut |reference| stood_in(pipeline, reference));
    Some(model.ok()?.as_str()?.into())
}

/// The same as text, for a reference.
fn stood_in(pipeline: &Pipeline, reference: &reference::Reference) -> Result<String> {
    let found = stand_in(pipeline, &reference.stage);
    Ok(found.with_context(|| format!("{reference} is not there"))?.display().to_string())
}

/// What is known of a stage before it runs: a plan; or what it waits for; or why it cannot run.
#[derive(Default, Serialize)]
struct Outlook {
    #[serde(skip_serializing_if = "Option::is_none")]
    plan: Option<Value>,
    /// Stages to do that make its inputs.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    waits_for: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

impl Outlook {
    fn describe(&self) -> String {
        let waits = (!self.waits_for.is_empty())
            .then(|| format!("waits for {}", self.waits_for.join(", ")));
        let error = self.error.as_ref().map(|error| format!("cannot run: {error}"));
        let plan = self.plan.as_ref().map(estimate);
        [error, waits, plan].into_iter().flatten().collect::<Vec<_>>().join("; ")
    }
}

/// What `--dry-run` prints of a stage.
#[derive(Serialize)]
struct Line {
    name: String,
    command: String,
    #[serde(flatten)]
    state: State,
    inputs: Vec<String>,
    output: PathBuf,
    #[serde(flatten)]
    outlook: Outlook,
}

/// Prints the plan; fails where a stage could not run.
pub(super) fn show(pipeline: &Pipeline, planned: &[Planned], context: &Context) -> Result<()> {
    let line = |stage: &Planned| Line {
        name: stage.name.clone(),
        command: stage.command.clone(),
        state: stage.state.clone(),
        inputs: stage
            .from
            .iter()
            .cloned()
            .chain(stage.marker.inputs.keys().filter(|key| !key.starts_with("${")).cloned())
            .collect(),
        output: stage.folder.clone(),
        outlook: stage.outlook(pipeline, planned),
    };
    let lines: Vec<Line> = planned.iter().map(line).collect();
    context.output.show(&lines, |lines| table(lines))?;
    let failing: Vec<&str> = lines
        .iter()
        .filter(|line| line.outlook.error.is_some())
        .map(|line| line.name.as_str())
        .collect();
    ensure!(failing.is_empty(), "stages that cannot run: {}", failing.join(", "));
    Ok(())
}

fn table(lines: &[Line]) -> String {
    let mut rows = Rows::new(&["stage", "command", "state", "from", "output", "plan"]);
    for line in lines {
        let state = match &line.state {
            State::Done => "done".to_owned(),
            State::Begun => "begun".to_owned(),
            State::ToDo => "to do".to_owned(),
            State::Changed { differences } => format!("changed ({differences})"),
        };
        let (output, outlook) = (line.output.display().to_string(), line.outlook.describe());
        let cells = [&line.name, &line.command, &state, &line.inputs.join(" "), &output, &outlook];
        rows.row(cells.map(String::from));
    }
    rows.to_string()
}

/// The numbers of a command's plan that matter.
fn estimate(plan: &Value) -> String {
    let number = |key: &str| plan.get(key).and_then(Value::as_u64);
    let named = [
        ("steps", "steps"),
        ("num_samples", "samples"),
        ("num_items", "items"),
        ("num_prompts", "prompts"),
        ("num_responses", "responses"),
        ("num_questions", "questions"),
    ];
    let mut parts: Vec<String> =
        named.iter().filter_map(|(key, what)| Some(format!("{} {what}", number(key)?))).collect();
    parts.extend(requests(plan));
    if let Some(parameters) = number("num_parameters") {
        parts.push(format!("{} parameters train", count(parameters as usize)));
    }
    if let Some(memory) = plan.get("memory").and_then(Value::as_object) {
        parts.push(bytes(memory.values().filter_map(Value::as_u64).sum()));
    }
    if let Some(seconds) = plan.get("work").and_then(|work| work["seconds"].as_f64()) {
        parts.push(format!("up to {} here", duration(seconds)));
    }
    parts.extend(rounds(plan));
    parts.join(", ")
}

/// What a distillation has still to ask, and what that costs where it costs anything.
fn requests(plan: &Value) -> Vec<String> {
    let Some(stages) = plan.get("stages").and_then(Value::as_array) else { return vec![] };
    let sum = |key: &str| stages.iter().filter_map(|stage| stage[key].as_f64()).sum::<f64>();
    let (num_requests, cost) = (sum("num_requests") - sum("num_stored"), sum("cost"));
    let cost = (cost > 0.0).then(|| format!("cost at most {cost:.4}"));
    [format!("up to {num_requests} requests")].into_iter().chain(cost).collect()
}

/// The rounds of iterative fine-tuning.
fn rounds(plan: &Value) -> Option<String> {
    let rounds = plan.get("rounds")?.as_array().filter(|rounds| !rounds.is_empty())?;
    let of = |key: &str| rounds.iter().filter_map(|round| round[key].as_f64()).collect::<Vec<_>>();
    let listed = |key: &str| {
        of(key).iter().map(|value| format!("{value:e}").replace("e0", "")).collect::<Vec<_>>()
    };
    let seconds: f64 = rounds.iter().filter_map(|round| round["work"]["seconds"].as_f64()).sum();
    let most = of("max_steps").into_iter().reduce(f64::max);
    let most = most.map(|steps| format!(" of up to {steps} steps, up to {}", duration(seconds)));
    let (rates, thresholds) = (listed("learning_rate"), listed("score_threshold"));
    let again = if plan["is_distilled"] == true { ", distilled anew before each" } else { "" };
    let measured = if plan.get("evaluation").is_some() { ", each measured" } else { "" };
    Some(format!(
        "then {} rounds{} at {} on scores from {}{again}{measured}",
        rounds.len(),
        most.unwrap_or_default(),
        rates.join(", "),
        thresholds.join(", ")
    ))
}
