//! Group-relative policy optimisation with the Selective Sample Buffer.
//!
//! ```text
//! prompts ─► rollout ─► reward ─► advantage ─► buffer ─► packs ─► loss::grpo ─► engine
//!                       rule,     group-       refills what               └─► guard
//!                       format,   relative     the step lacks
//!                       others
//! ```
//!
//! R1V2 (arXiv:2504.16656), section 3.3. While a rollout has one update, a fresh completion's ratio is 1 and needs no
//! second pass; buffered completions carry the log-probs they were drawn with.

use engine::{Engine, Run, SavedFile, StepReport, TaskState};

use crate::Error;
use crate::policy::Policy;
use crate::run::{Watch, start, state};

mod config;
mod questions;
mod pool;
mod flight;
mod draw;
mod ahead;
mod draws;
mod group;
mod score;
mod rethink;
mod lesson;
mod task;
mod alarms;
mod held_out;
mod guard;
mod journal;
#[cfg(test)]
mod tests;

pub use config::{
    Aggregation, AlarmConfig, BufferConfig, CustomReward, Estimator, GrpoConfig, GrpoMetric,
    GuardConfig, LossType, ObjectiveConfig, RethinkingConfig, RewardConfig, RewardWeights,
    RolloutConfig, ScaleRewards,
};
use draws::Draws;
use group::Group;
use guard::Guard;
use lesson::Lesson;
pub use pool::POOL_FILE;
use questions::Questions;
pub use score::Scorers;
use score::Scoring;
use task::GrpoTask;

/// Name of the file of a rollout that is not yet learned to its end.
const LESSON_FILE: &str = "lesson.json";

/// Trains until the last step, or until held-out questions say so; returns the policy with its last parameters. A run
/// that has ended returns at once. `scorers` are what [`RewardConfig::reward_model`] and [`RewardConfig::custom_reward`]
/// name.
///
/// # Errors
/// Bad settings, data or model files; a non-finite loss; prompts of which none is ever answered both
/// right and wrong; a scorer that fails; a checkpoint that cannot be written.
pub fn grpo(config: &GrpoConfig, scorers: Scorers<'_>, watch: Watch) -> Result<Policy, Error> {
    let Watch { events, mut notices } = watch;
    let mut policy = Policy::load(&config.model, &config.run)?;
    let mut questions = Questions::read(&config.run.dataset, &policy, &mut notices)?;
    pool::restrict(config, &mut questions, &mut policy, &mut notices)?;
    let engine = config.rate.engine(&config.optimizer, config.num_steps(questions.len()));
    let engine = Engine::new(policy.parameters()?, engine)?;
    let guard = Guard::new(config, &policy)?;
    let mut task = GrpoTask::new(config, policy, &questions)?;
    let (run, resumed) = start(config, engine, &mut task, events)?;
    let draws = Draws::new(config, &questions, run.engine().steps_taken(), notices)?;
    let scoring = Scoring::new(config, &questions, scorers)?;
    let mut course = Course { config, run, task, draws, scoring, guard, lesson: None };
    if let Some(saved) = resumed {
        course.restore(&saved)?;
    }
    if !course.is_finished() {
        course.prepare()?;
    }
    while !course.is_finished() {
        let done = course.iteration();
        if let Err(Error::NothingToLearn { .. }) = &done {
            course.keep()?;
        }
        done?;
    }
    Ok(course.task.policy)
}

/// A run under way.
struct Course<'a, 's> {
    config: &'a GrpoConfig,
    run: Run,
    task: GrpoTask<'a>,
    draws: Draws<'a>,
    scoring: Scoring<'a, 's>,
    guard: Guard<'a>,
    /// A rollout that is not yet learned to its end.
    lesson: Option<Lesson>,
}

impl Course<'_, '_> {
    fn is_finished(&self) -> bool {
        self.run.is_finished() || self.guard.is_over()
    }

    /// Encodes the images of the questions to come, and starts drawing ahead where that is wanted.
    fn prepare(&mut self) -> Result<(), Error> {
        let steps_left = self.run.engine().max_steps() - self.run.engine().steps_taken();
        self.draws.prepare(steps_left, &mut self.task.policy)
    }

    /// One rollout, and the updates on it.
    fn iteration(&mut self) -> Result<(), Error> {
        if self.lesson.is_some() {
            return self.learn(None);
        }
        let (step, mut groups) = (self.run.engine().steps_taken() + 1, Vec::new());
        let drawn = self.draw(step, &mut groups);
        // What taught nothing is kept as well: it says why the run ends.
        self.scoring.advantage(&mut groups);
        self.draws.journal.append(step, &groups, self.draws.questions)?;
        let num_rollouts = drawn?;
        let fresh = self.task.entries(&groups)?;
        let mixed = self.draws.buffer.mix(fresh, step, &self.config.replay());
        let rethought = self.draws.rethinker().rethink(&mut self.task.policy, &groups)?;
        let mut lesson = Lesson::new(mixed, rethought);
        self.task.prepare(&mut lesson)?;
        self.lesson = Some(lesson);
        self.learn(Some((&groups, num_rollouts)))
    }

    /// Draws and scores until there is enough to learn from; how many rollouts it took.
    fn draw(&mut self, step: u64, groups: &mut Vec<Group>) -> Result<usize, Error> {
        let (mut num_fresh, mut num_rollouts) = (0, 0);
        while self.draws.needs_more(step, num_rollouts, num_fresh)? {
            let completions = self.draws.rollout(&mut self.task.policy, &self.run)?;
            let Draws { flight, notices, .. } = &mut self.draws;
            let rewarded = self.scoring.reward(completions, flight, &mut **notices)?;
            num_fresh += rewarded.iter().map(|group| self.config.num_seen(group)).sum::<usize>();
            groups.extend(rewarded);
            num_rollouts += 1;
        }
        Ok(num_rollouts)
    }

    /// The updates of a rollout that are left; what was drawn is logged with the first of them.
    fn learn(&mut self, mut drawn: Option<(&[Group], usize)>) -> Result<(), Error> {
        while let Some(lesson) = &mut self.lesson {
            let batches = lesson.next_update(self.config);
            let mut report = self.run.step(&mut self.task, &batches)?;
            lesson.num_done += 1;
            if let Some((groups, num_rollouts)) = drawn.take() {
                note(groups, num_rollouts, lesson, &mut report);
            }
            if lesson.is_over(self.config) || self.run.is_finished() {
                self.lesson = None;
            }
            self.record(report)?;
            if self.is_finished() {
                break;
            }
        }
        Ok(())
    }

    /// Looks at an update, logs it, and keeps it when a checkpoint is due.
    fn record(&mut self, mut report: StepReport) -> Result<(), Error> {
        self.draws.note(&mut report);
        self.guard.watch(&mut report, &mut self.task.policy, &mut self.draws.notices)?;
        let is_checkpoint = self.run.checkpoints().is_due(report.step, report.max_steps);
        let saved = if is_checkpoint { Some(self.save()?) } else { None };
        self.run.record(&report, || saved.unwrap_or_default())?;
        if is_checkpoint {
            self.draws.flight.clear()?;
            self.guard.keep_best(&mut self.draws.notices)?;
        }
        Ok(())
    }

    /// Keeps what was learned before a step that found nothing to learn: taken up again, the run goes on with the prompts
    /// after it.
    fn keep(&mut self) -> Result<(), Error> {
        if self.run.engine().steps_taken() == 0 {
            return Ok(());
        }
        let saved = self.save()?;
        self.run.keep(saved)?;
        self.draws.flight.clear()
    }

    fn save(&mut self) -> Result<TaskState, Error> {
        let mut files = self.draws.save()?;
        files.extend(self.lesson.as_ref().map(|lesson| file(LESSON_FILE, lesson)));
        let mut saved = state(&self.task.policy, self.draws.order.position(), files);
        saved.value["guard"] = self.guard.save();
        self.draws.identity.save(&mut saved);
        Ok(saved)
    }

    fn restore(&mut self, saved: &TaskState) -> Result<(), Error> {
        self.draws.identity.check(&self.run, saved)?;
        self.draws.restore(saved)?;
        self.lesson = read(saved, LESSON_FILE)?;
        self.guard.restore(&saved.value["guard"])?;
        self.guard.keep_best(&mut self.draws.notices)
    }
}

/// Adds to a report what its rollout was like.
fn note(groups: &[Group], num_rollouts: usize, lesson: &Lesson, report: &mut StepReport) {
    group::metrics(groups, &mut report.metrics);
    let values = [
        ("effective_fraction/after", lesson.mixed.effective_after),
        ("num_rollouts", num_rollouts as f64),
    ];
    report.metrics.extend(values.map(|(name, value)| (name.to_owned(), value)));
    if !lesson.rethought.is_empty() {
        report.metrics.insert("num_rethought".to_owned(), lesson.rethought.len() as f64);
    }
}

/// A file of a checkpoint.
fn file(name: &str, value: &impl serde::Serialize) -> SavedFile {
    let bytes = serde_json::to_vec(value).expect("plain numbers");
    SavedFile { name: name.to_owned(), bytes }
}

/// What a file of a checkpoint holds, if the checkpoint has it.
fn read<T: serde::de::DeserializeOwned>(
    saved: &TaskState,
    name: &'static str,
) -> Result<Option<T>, Error> {
    let Some(file) = saved.files.iter().find(|file| file.name == name) else { return Ok(None) };
    let broken = |error: serde_json::Error| Error::State { what: name, reason: error.to_string() };
    serde_json::from_slice(&file.bytes).map(Some).map_err(broken)
}
