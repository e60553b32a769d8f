//! What every recipe does around its loop: start or resume in the output folder, and tell who watches.

use std::path::{Path, PathBuf};

use data::PairReport;
use engine::{
    Checkpoints, Counts, Engine, Event, Observer, Run, RunParts, SavedFile, Start, Task, TaskState,
};
use model::feature_cache::CacheCounts;
use serde_json::{Map, Value, json};
use toml::Table;

use crate::Error;
use crate::config::{Recipe, Training, read, resolved};
use crate::policy::{LORA_FILE, Policy};

/// Something a recipe found that its user should know.
#[derive(Clone, Debug)]
pub enum Notice {
    /// Samples longer than the limit were left out.
    TooLong {
        /// How many.
        count: usize,
        /// The limit, in tokens.
        max_length: usize,
    },
    /// Samples without images give the adapter no gradient.
    TextOnly {
        /// How many.
        count: usize,
        /// Samples in all.
        of: usize,
    },
    /// Samples whose images have gone through the encoder, or were found in the cache, so far.
    Encoding {
        /// Samples done.
        done: usize,
        /// Samples in all.
        total: usize,
    },
    /// All images are encoded: what the cache had of them, and what it holds now.
    Encoded(CacheCounts),
    /// Preference pairs that teach nothing were left out.
    BadPairs {
        /// The data set.
        path: PathBuf,
        /// What was found.
        report: PairReport,
    },
    /// Preference pairs whose scores are too near were left out.
    Ties {
        /// The data set.
        path: PathBuf,
        /// How many.
        count: usize,
        /// What their scores would have had to differ by, and more.
        min_score_gap: f64,
    },
    /// Pairs whose log-probs under the reference policy are known so far.
    Reference {
        /// Pairs done.
        done: usize,
        /// Pairs in all.
        total: usize,
    },
    /// A checkpoint does better on held-out pairs than all before it, and was kept.
    Best {
        /// Its step.
        step: u64,
        /// What was compared.
        metric: &'static str,
        /// Its value.
        value: f64,
        /// Where it is.
        path: PathBuf,
    },
    /// Held-out pairs got no better for so long that the run ends.
    EarlyStop {
        /// Steps taken.
        step: u64,
        /// The step of the best checkpoint.
        best: u64,
    },
    /// Completions of this step's rollout so far.
    Rollout {
        /// Completions done.
        done: usize,
        /// Completions in all.
        total: usize,
    },
    /// Prompts whose responses are sampled and scored so far.
    Sampled {
        /// Prompts done.
        done: usize,
        /// Prompts in all.
        total: usize,
    },
    /// Samples of a data set that the policy has answered so far.
    Answered {
        /// Samples done.
        done: usize,
        /// Samples in all.
        total: usize,
    },
    /// Samples of a data set that have their score so far.
    Scored {
        /// Samples done.
        done: usize,
        /// Samples in all.
        total: usize,
    },
    /// What a round of iterative fine-tuning learns from.
    Selected {
        /// The round, from 1.
        round: usize,
        /// Samples of the data set.
        num_samples: usize,
        /// Samples that score high enough.
        num_scored: usize,
        /// Samples that the policy answers wrongly.
        num_misclassified: usize,
        /// Samples that are either.
        num_selected: usize,
    },
    /// The scorer gave a prompt's responses no scores.
    Unscored {
        /// File and line.
        place: String,
        /// Why.
        reason: String,
    },
    /// The scorer refused some of a prompt's completions, which count as the worst of the others.
    Refused {
        /// File and line.
        place: String,
        /// Why.
        reason: String,
    },
    /// A warm start is done, or was read: how many prompts the policy answers both right and wrong.
    Pool {
        /// The file.
        path: PathBuf,
        /// Prompts that train.
        kept: usize,
        /// Prompts in all.
        of: usize,
    },
    /// A metric has gone where no good run goes.
    Alarm {
        /// The step.
        step: u64,
        /// Which alarm.
        what: String,
        /// The metric's mean over the last steps.
        value: f64,
        /// What it should not have passed.
        limit: f64,
    },
    /// A rule about held-out questions ends the run.
    Stopped {
        /// Steps taken.
        step: u64,
        /// What was measured.
        what: &'static str,
        /// Its value.
        value: f64,
        /// What it should not have passed.
        limit: f64,
    },
    /// A rollout taught nothing, or too little, so the step draws further prompts.
    Redraw {
        /// Rollouts of this step so far.
        num_rollouts: usize,
    },
}

/// Who watches a recipe.
pub struct Watch {
    /// Called at each step and checkpoint.
    pub events: Observer,
    /// Called at each notice.
    pub notices: Box<dyn FnMut(&Notice)>,
}

impl Watch {
    /// Nobody watches.
    pub fn nobody() -> Self {
        Self { events: Box::new(|_: &Event<'_>| {}), notices: Box::new(|_| {}) }
    }
}

/// Name of the file in a checkpoint that holds what trained, under the model's own tensor names.
pub const WEIGHTS_FILE: &str = "trainable.safetensors";

/// Name of the resolved configuration in an output folder.
const CONFIG_FILE: &str = "config.toml";

/// Keys that do not change what a run computes, wherever they stand: a resume may change them. Where it writes, how
/// patiently it asks, what that may cost, and whether it goes on without an answer.
const INCIDENTAL: [&str; 18] = [
    "feature_cache",
    "output_dir",
    "resume_from_checkpoint",
    "save_steps",
    "save_total_limit",
    "api_key_env",
    "timeout",
    "max_tries",
    "first_wait",
    "num_parallel",
    "input_price",
    "output_price",
    "max_total_tokens",
    "max_cost",
    "image_tokens",
    "scorer_timeout",
    "scorer_tries",
    "bad_scores",
];

/// Opens the output folder, goes on from a checkpoint if there is one, and writes the resolved
/// configuration; returns the recipe's own state from the checkpoint.
pub(crate) fn start<R: Training, T: Task>(
    recipe: &R,
    engine: Engine,
    task: &mut T,
    observer: Observer,
) -> Result<(Run, Option<TaskState>), Error> {
    let (config, saving) = recipe.output();
    let checkpoints = Checkpoints::open(&config.output_dir, saving.clone(), WEIGHTS_FILE)?;
    let shaping = shaping(Table::try_from(recipe)?);
    let config_hash = settings_hash(recipe)?;
    let parts = RunParts { engine, checkpoints, config_hash, observer };
    let start = match config.resume_from_checkpoint.as_str() {
        "never" => Start::Fresh,
        text => Start::parse(text),
    };
    let (run, resumed) =
        Run::start(parts, task, &start).map_err(|error| name_changes(error, &shaping))?;
    write_config(recipe, &config.output_dir)?;
    Ok((run, resumed.map(|resumed| resumed.task)))
}

/// Hash of the settings that shape the result.
pub(crate) fn settings_hash<R: Recipe>(recipe: &R) -> Result<String, Error> {
    Ok(engine::config_hash(&shaping_text(recipe)?))
}

/// The settings that shape the result, as TOML.
///
/// # Errors
/// A value that TOML cannot hold.
pub fn shaping_text<R: Recipe>(recipe: &R) -> Result<String, Error> {
    Ok(toml::to_string(&shaping(Table::try_from(recipe)?))?)
}

/// The same as what heads a journal.
pub(crate) fn shaping_map<R: Recipe>(recipe: &R) -> Result<Map<String, Value>, Error> {
    let table = shaping(Table::try_from(recipe)?);
    Ok(match serde_json::to_value(table).expect("plain text and numbers") {
        Value::Object(map) => map,
        _ => Map::new(),
    })
}

/// The settings that shape the result; a table that holds no other ones is as good as none.
fn shaping(mut table: Table) -> Table {
    table.retain(|key, value| match value {
        _ if INCIDENTAL.contains(&key) => false,
        toml::Value::Table(inner) => {
            *inner = shaping(std::mem::take(inner));
            !inner.is_empty()
        }
        _ => true,
    });
    table
}

/// Replaces the engine's two hashes by the keys that differ, where the saved settings can be read.
fn name_changes(error: engine::Error, current: &Table) -> Error {
    let engine::Error::ConfigChanged { path, .. } = &error else { return error.into() };
    let file = path.parent().unwrap_or(Path::new("")).join(CONFIG_FILE);
    let Ok(saved) = read(&file).map(shaping) else { return error.into() };
    let mut keys: Vec<&String> = saved.keys().chain(current.keys()).collect();
    keys.sort();
    keys.dedup();
    let show = |table: &Table, key| table.get(key).map_or("none".to_owned(), ToString::to_string);
    let differences: Vec<String> = keys
        .into_iter()
        .filter(|key| saved.get(*key) != current.get(*key))
        .map(|key| format!("{key}: {}, now {}", show(&saved, key), show(current, key)))
        .collect();
    match differences.is_empty() {
        true => error.into(),
        false => Error::Changed { checkpoint: path.clone(), differences: differences.join("; ") },
    }
}

/// Beside its place and then moved: a kill leaves the old file or the new one.
pub(crate) fn write_config<R: Recipe>(recipe: &R, folder: &Path) -> Result<(), Error> {
    let path = folder.join(CONFIG_FILE);
    let partial = folder.join("config.toml.partial");
    let text = resolved(recipe)?;
    std::fs::write(&partial, text)
        .and_then(|()| std::fs::rename(&partial, &path))
        .map_err(|source| Error::Io { path, source })
}

/// What a recipe puts into a checkpoint: where it is in its data, and what `files` hold.
pub(crate) fn state(policy: &Policy, position: u64, mut files: Vec<SavedFile>) -> TaskState {
    let lora = policy.vlm.llm.lora();
    files.extend(lora.map(|lora| SavedFile {
        name: LORA_FILE.to_owned(),
        bytes: json!({"r": lora.rank, "lora_alpha": lora.alpha}).to_string().into_bytes(),
    }));
    TaskState { value: json!({"position": position}), files }
}

/// Where a saved run was in its data.
pub(crate) fn position(state: &TaskState) -> Result<u64, Error> {
    let reason = || format!("{} instead of a number", state.value["position"]);
    state.value["position"]
        .as_u64()
        .ok_or_else(|| Error::State { what: "position in the data", reason: reason() })
}

/// The engine's counts as the losses take them.
pub(crate) fn loss_counts(counts: &Counts) -> loss::Counts {
    let Counts { tokens, sequences, pairs, weight } = *counts;
    loss::Counts { tokens, sequences, pairs, weight }
}

/// The losses' counts as the engine takes them.
pub(crate) fn engine_counts(counts: loss::Counts) -> Counts {
    let loss::Counts { tokens, sequences, pairs, weight } = counts;
    Counts { tokens, sequences, pairs, weight }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shaped(text: &str) -> Table {
        shaping(text.parse().unwrap())
    }

    #[test]
    fn budgets_and_patience_shape_nothing_wherever_they_stand() {
        let judge = "{ base_url = 'http://a', model = 'm', max_cost = 1.0, timeout = 60.0 }";
        let table = shaped(&format!(
            "seed = 1\nbad_scores = 'stop'\njudge = {judge}\n\
             distill = {{ max_new_tokens = 8, judge = {judge}, generator = {{ max_tries = 3 }} }}"
        ));
        let judge = "{ base_url = 'http://a', model = 'm' }";
        let same = format!(
            "seed = 1\njudge = {judge}\ndistill = {{ max_new_tokens = 8, judge = {judge} }}"
        );
        assert_eq!(table, same.parse::<Table>().unwrap());
        assert_ne!(table, shaped(&same.replace("'m'", "'another'")));
    }
}
