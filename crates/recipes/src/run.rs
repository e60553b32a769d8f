//! What every recipe does around its loop: start or resume in the output folder, and tell who watches.

use engine::{Checkpoints, Counts, Engine, Event, Observer, Run, RunParts, Start, Task, TaskState};

use crate::Error;
use crate::config::{Recipe, Training, resolved};

/// Something a recipe found that its user should know.
#[derive(Debug)]
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
    /// Completions of this step's rollout so far.
    Rollout {
        /// Completions done.
        done: usize,
        /// Completions in all.
        total: usize,
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

/// Keys that do not change what a run computes: a resume may change them.
const INCIDENTAL: [&str; 5] =
    ["feature_cache", "output_dir", "resume_from_checkpoint", "save_steps", "save_total_limit"];

/// Opens the output folder, writes the resolved configuration there, and goes on from a checkpoint
/// if there is one; returns the recipe's own state from it.
pub(crate) fn start<R: Training, T: Task>(
    recipe: &R,
    engine: Engine,
    task: &mut T,
    observer: Observer,
) -> Result<(Run, Option<TaskState>), Error> {
    let (config, saving) = recipe.output();
    let checkpoints = Checkpoints::open(&config.output_dir, saving.clone(), WEIGHTS_FILE)?;
    let text = resolved(recipe)?;
    let path = config.output_dir.join("config.toml");
    std::fs::write(&path, &text).map_err(|source| Error::Io { path, source })?;
    let config_hash = shaping_hash(recipe)?;
    let parts = RunParts { engine, checkpoints, config_hash, observer };
    let start = match config.resume_from_checkpoint.as_str() {
        "never" => Start::Fresh,
        text => Start::parse(text),
    };
    let (run, resumed) = Run::start(parts, task, &start)?;
    Ok((run, resumed.map(|resumed| resumed.task)))
}

/// Hash of every setting that shapes the result.
fn shaping_hash<R: Recipe>(recipe: &R) -> Result<String, Error> {
    let mut table = toml::Table::try_from(recipe)?;
    table.retain(|key, _| !INCIDENTAL.contains(&key));
    Ok(engine::config_hash(&toml::to_string(&table)?))
}

/// Steps that make `epochs` passes over `num_items` in steps of `step_size`.
pub(crate) fn steps_for(num_items: usize, epochs: f64, step_size: usize) -> u64 {
    ((num_items as f64 * epochs) / step_size as f64).ceil().max(1.0) as u64
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
