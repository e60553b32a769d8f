//! A run in its output folder: the engine, its checkpoints and its logs, the same for every recipe.
//!
//! ```text
//! start ─► (fresh, or from a checkpoint) ─► step ─► record ─► step ─► record ─► … ─► finished
//!                                                     └─ metrics.jsonl, TensorBoard, checkpoint when due
//! ```

use std::collections::VecDeque;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::checkpoint::{Loaded, TrainerState};
use crate::metrics::{LogLine, MetricsLog};
use crate::{Checkpoints, Engine, Error, StepReport, Task, TaskState};

/// How many log lines a checkpoint repeats.
const HISTORY_LINES: usize = 100;

/// Where a run starts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Start {
    /// At step 0, in a folder without checkpoints.
    #[default]
    Fresh,
    /// At the newest checkpoint, or at step 0 if there is none. A damaged one is an error.
    Latest,
    /// At the newest checkpoint that is whole. Damaged ones are renamed and passed over.
    LatestValid,
    /// At this checkpoint.
    Checkpoint(PathBuf),
}

impl Start {
    /// The value of `resume_from_checkpoint`: `latest`, `latest-valid` or a path.
    pub fn parse(text: &str) -> Self {
        match text {
            "latest" => Self::Latest,
            "latest-valid" => Self::LatestValid,
            path => Self::Checkpoint(path.into()),
        }
    }
}

/// What a run tells those who watch it. Rates and estimates are theirs to compute, with their clock.
#[derive(Debug)]
pub enum Event<'a> {
    /// The run goes on from a checkpoint.
    Resumed {
        /// Steps taken before.
        step: u64,
        /// Steps of the whole run.
        max_steps: u64,
        /// The checkpoint.
        path: &'a Path,
    },
    /// A damaged checkpoint was passed over and renamed.
    SetAside {
        /// Its new name.
        path: &'a Path,
        /// What is wrong with it.
        reason: &'a Error,
    },
    /// A step was taken and recorded.
    Step(&'a StepReport),
    /// A checkpoint was written.
    Saved {
        /// Steps taken.
        step: u64,
        /// The checkpoint.
        path: &'a Path,
    },
}

/// Called at each [`Event`], on the thread that trains.
pub type Observer = Box<dyn FnMut(&Event<'_>) + Send>;

/// What a recipe gets back from the checkpoint it goes on from.
#[derive(Clone, Debug, PartialEq)]
pub struct Resumed {
    /// Steps taken before.
    pub step: u64,
    /// The recipe's own state, as it was saved.
    pub task: TaskState,
}

/// An [`Engine`] with an output folder.
pub struct Run {
    engine: Engine,
    checkpoints: Checkpoints,
    metrics: MetricsLog,
    history: VecDeque<LogLine>,
    config_hash: String,
    observer: Observer,
}

impl fmt::Debug for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Run").field("step", &self.engine.steps_taken()).finish_non_exhaustive()
    }
}

/// What a [`Run`] is made of.
pub struct RunParts {
    /// An engine at step 0.
    pub engine: Engine,
    /// Its output folder.
    pub checkpoints: Checkpoints,
    /// [`crate::config_hash`] of every config value that shapes the result.
    pub config_hash: String,
    /// Who watches.
    pub observer: Observer,
}

impl Run {
    /// Starts a run, publishing restored parameters to `task` when it goes on from a checkpoint.
    ///
    /// # Errors
    /// If the checkpoint is damaged, does not fit the parameters, or was saved under another config; if
    /// other checkpoints lie ahead of the start; if the log files cannot be opened.
    pub fn start<T: Task>(
        parts: RunParts,
        task: &mut T,
        start: &Start,
    ) -> Result<(Self, Option<Resumed>), Error> {
        let RunParts { mut engine, checkpoints, config_hash, mut observer } = parts;
        let found = find(&checkpoints, &engine, &config_hash, start, &mut observer)?;
        let (mut history, mut resumed) = (Vec::new(), None);
        if let Some((path, loaded)) = found {
            let (state, files) = engine.restore(loaded);
            engine.publish_to(task)?;
            let (step, max_steps) = (engine.steps_taken(), engine.max_steps());
            observer(&Event::Resumed { step, max_steps, path: &path });
            history = state.log_history;
            resumed = Some(Resumed { step, task: TaskState { value: state.task_state, files } });
        }
        let step = engine.steps_taken();
        refuse_checkpoints_ahead(&checkpoints, step)?;
        let metrics = MetricsLog::open(checkpoints.folder(), step, wall_time())?;
        let history = history.into();
        Ok((Self { engine, checkpoints, metrics, history, config_hash, observer }, resumed))
    }

    /// The engine.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// The checkpoints written so far, and the output folder.
    pub fn checkpoints(&self) -> &Checkpoints {
        &self.checkpoints
    }

    /// Whether all steps were taken.
    pub fn is_finished(&self) -> bool {
        self.engine.steps_taken() >= self.engine.max_steps()
    }

    /// Takes one step; see [`Engine::step`]. Follow it by [`Self::record`].
    pub fn step<T: Task>(
        &mut self,
        task: &mut T,
        micro_batches: &[T::Batch],
    ) -> Result<StepReport, Error> {
        self.engine.step(task, micro_batches)
    }

    /// Logs the report, tells the observer, and writes a checkpoint when one is due.
    ///
    /// `state` is asked for only then.
    pub fn record(
        &mut self,
        report: &StepReport,
        state: impl FnOnce() -> TaskState,
    ) -> Result<(), Error> {
        let line = self.metrics.append(report.step, wall_time(), &report.all_metrics())?;
        self.history.push_back(line);
        if self.history.len() > HISTORY_LINES {
            self.history.pop_front();
        }
        (self.observer)(&Event::Step(report));
        if self.checkpoints.is_due(report.step, report.max_steps) {
            self.save(state())?;
        }
        Ok(())
    }

    /// Writes a checkpoint that is not due, in place of this step's if it has one: what was learned, and where the recipe
    /// is, outlive an end before its time.
    ///
    /// # Errors
    /// If it cannot be written; the one in its place then stays.
    pub fn keep(&mut self, task: TaskState) -> Result<(), Error> {
        self.save(task)
    }

    fn save(&mut self, task: TaskState) -> Result<(), Error> {
        let TaskState { value, files } = task;
        self.metrics.sync()?;
        let step = self.engine.steps_taken();
        let state = TrainerState {
            global_step: step,
            max_steps: self.engine.max_steps(),
            num_tokens_seen: self.engine.num_tokens_seen,
            config_hash: self.config_hash.clone(),
            log_history: self.history.iter().cloned().collect(),
            task_state: value,
        };
        let path = self.checkpoints.save(&self.engine, &state, &files)?;
        (self.observer)(&Event::Saved { step, path: &path });
        Ok(())
    }
}

/// The checkpoint to go on from, read and verified.
fn find(
    checkpoints: &Checkpoints,
    engine: &Engine,
    config_hash: &str,
    start: &Start,
    observer: &mut Observer,
) -> Result<Option<(PathBuf, Loaded)>, Error> {
    let candidates = match start {
        Start::Fresh => Vec::new(),
        Start::Checkpoint(path) => vec![path.clone()],
        Start::Latest | Start::LatestValid => {
            checkpoints.list()?.into_iter().rev().map(|(_, path)| path).collect()
        }
    };
    for path in candidates {
        match checkpoints.load(&path, engine, config_hash) {
            Ok(loaded) => return Ok(Some((path, loaded))),
            Err(reason @ Error::Corrupt { .. }) if *start == Start::LatestValid => {
                let aside = checkpoints.set_aside(&path)?;
                observer(&Event::SetAside { path: &aside, reason: &reason });
            }
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}

/// Two histories in one folder could not be told apart by the next resume.
fn refuse_checkpoints_ahead(checkpoints: &Checkpoints, step: u64) -> Result<(), Error> {
    match checkpoints.list()?.pop() {
        Some((newest, path)) if newest > step => Err(Error::CheckpointAhead { path, step }),
        _ => Ok(()),
    }
}

/// Seconds since 1970: the one clock of this crate. TensorBoard wants a time with each event; nothing
/// that is computed depends on it.
fn wall_time() -> f64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0.0, |time| time.as_secs_f64())
}
