//! Group-relative policy optimisation with the Selective Sample Buffer.
//!
//! ```text
//! prompts ─► rollout ─► reward ─► advantage ─► buffer ─► packs ─► loss::grpo ─► engine
//!                       rule,     group-       refills what
//!                       format    relative     the step lacks
//! ```
//!
//! R1V2 (arXiv:2504.16656), section 3.3. One update for each rollout, so a fresh completion's ratio is 1
//! and needs no second pass; buffered completions carry the log-probs they were drawn with.

use std::collections::BTreeSet;

use advantage::{Mixed, ReplayBuffer};
use data::Order;
use engine::{Engine, SavedFile, StepReport, TaskState};
use rollout::GenerateConfig;
use schema::Completion;

use crate::Error;
use crate::policy::Policy;
use crate::run::{Notice, Watch, position, start, state};

mod config;
mod questions;
mod group;
mod journal;
mod task;
#[cfg(test)]
mod tests;

pub use config::{
    GrpoConfig, LossType, ObjectiveConfig, RewardConfig, RewardWeights, RolloutConfig, ScaleRewards,
};
use group::{Group, Sampled, Scorer};
use journal::Journal;
use questions::Questions;
use task::GrpoTask;

/// Rollouts without a single mixed group after which a run gives up.
const MAX_EMPTY_ROLLOUTS: usize = 20;

/// Name of the buffer's file in a checkpoint.
const BUFFER_FILE: &str = "replay_buffer.json";

/// Trains until the last step; returns the policy with its last parameters. A run that has taken all
/// its steps returns at once.
///
/// # Errors
/// Bad settings, data or model files; a non-finite loss; prompts of which none is ever answered both
/// right and wrong; a checkpoint that cannot be written.
pub fn grpo(config: &GrpoConfig, watch: Watch) -> Result<Policy, Error> {
    let Watch { events, mut notices } = watch;
    let policy = Policy::load(&config.model, &config.run)?;
    let questions = Questions::read(&config.run.dataset, &policy, &mut notices)?;
    let engine = config.rate.engine(&config.optimizer, config.num_steps(questions.len()));
    let engine = Engine::new(policy.parameters()?, engine)?;
    let mut task = GrpoTask::new(config, policy, &questions)?;
    let (mut run, resumed) = start(config, engine, &mut task, events)?;
    if run.is_finished() {
        return Ok(task.policy);
    }
    let journal = Journal::open(&config.run.output_dir, run.engine().steps_taken())?;
    let mut draws = Draws::new(config, &questions, journal, notices);
    if let Some(saved) = resumed {
        draws.restore(&saved)?;
    }
    let steps_left = run.engine().max_steps() - run.engine().steps_taken();
    questions.encode(&draws.upcoming(steps_left), &mut task.policy, &mut draws.notices)?;
    while !run.is_finished() {
        let drawn = draws.step(&mut task, run.engine().steps_taken() + 1)?;
        let batches = task.micro_batches(&drawn.mixed);
        let mut report = run.step(&mut task, &batches)?;
        draws.note(&drawn, &mut report);
        run.record(&report, || draws.save(&task.policy))?;
    }
    Ok(task.policy)
}

/// What a run carries from step to step beside the policy.
struct Draws<'a> {
    config: &'a GrpoConfig,
    questions: &'a Questions,
    order: Order,
    buffer: ReplayBuffer<Sampled>,
    scorer: Scorer,
    journal: Journal,
    notices: Box<dyn FnMut(&Notice)>,
}

/// What a step drew.
struct Drawn {
    /// All groups.
    groups: Vec<Group>,
    /// The completions that its update sees.
    mixed: Mixed<Sampled>,
    num_rollouts: usize,
}

impl<'a> Draws<'a> {
    fn new(
        config: &'a GrpoConfig,
        questions: &'a Questions,
        journal: Journal,
        notices: Box<dyn FnMut(&Notice)>,
    ) -> Self {
        let order = Order::shuffled(questions.len(), config.run.seed);
        let (buffer, scorer) = (ReplayBuffer::default(), Scorer::new(config));
        Self { config, questions, order, buffer, scorer, journal, notices }
    }

    /// The questions that the next steps will draw, if each draws once.
    fn upcoming(&self, num_steps: u64) -> BTreeSet<usize> {
        let num_prompts = self.config.num_prompts() * num_steps as usize;
        // From the midst of an epoch, the end of the next one has passed them all.
        self.order.clone().take(num_prompts.min(2 * self.questions.len())).collect()
    }

    /// Groups of this step, and the completions its update sees: those of mixed groups, refilled from
    /// the buffer. Draws further prompts while there is nothing to learn from.
    fn step(&mut self, task: &mut GrpoTask<'_>, step: u64) -> Result<Drawn, Error> {
        let mut groups = Vec::new();
        for num_rollouts in 1..=MAX_EMPTY_ROLLOUTS {
            let new = self.rollout(&mut task.policy)?;
            self.journal.append(step, &new, self.questions)?;
            let fresh = task.entries(&new, step)?;
            groups.extend(new);
            let mixed = self.buffer.mix(fresh, step, &self.config.replay());
            if !mixed.entries.is_empty() {
                return Ok(Drawn { groups, mixed, num_rollouts });
            }
            (self.notices)(&Notice::Redraw { num_rollouts });
        }
        Err(Error::NothingToLearn { num_rollouts: MAX_EMPTY_ROLLOUTS })
    }

    /// The groups of the next prompts, scored.
    fn rollout(&mut self, policy: &mut Policy) -> Result<Vec<Group>, Error> {
        // A prompt's draws are named by its place in the run.
        let first = self.order.position();
        let indices: Vec<usize> = self.order.by_ref().take(self.config.num_prompts()).collect();
        let mut prompts = Vec::with_capacity(indices.len());
        for (stream, &index) in (first..).zip(&indices) {
            let prompt = &self.questions.prompts[index];
            let features = policy.features(&prompt.images)?;
            prompts.push(rollout::Prompt::new(prompt, features, stream));
        }
        let completions = self.generate(policy, &prompts)?;
        let groups = indices.into_iter().zip(completions);
        Ok(groups.map(|(index, group)| self.scorer.score(self.questions, index, group)).collect())
    }

    fn generate(
        &mut self,
        policy: &Policy,
        prompts: &[rollout::Prompt],
    ) -> Result<Vec<Vec<Completion>>, Error> {
        let drawing = &self.config.rollout;
        let (sampling, length) = (self.config.sampling(), drawing.max_completion_length);
        let config = GenerateConfig {
            num_samples: drawing.num_generations,
            ..GenerateConfig::new(&policy.processor, sampling, length)
        };
        let notices = &mut self.notices;
        let mut progress = |progress: rollout::Progress| {
            notices(&Notice::Rollout { done: progress.num_done, total: progress.num_total });
        };
        let (vlm, tokenizer) = (&policy.vlm, &policy.processor.tokenizer);
        Ok(rollout::generate(vlm, tokenizer, prompts, &config, &mut progress)?)
    }

    /// Adds to a report what the engine does not know.
    fn note(&self, drawn: &Drawn, report: &mut StepReport) {
        group::metrics(&drawn.groups, &mut report.metrics);
        let values = [
            ("effective_fraction/after", drawn.mixed.effective_after),
            ("num_rollouts", drawn.num_rollouts as f64),
            ("replay_buffer/size", self.buffer.len() as f64),
            ("epoch", self.order.position() as f64 / self.questions.len() as f64),
        ];
        report.metrics.extend(values.map(|(name, value)| (name.to_owned(), value)));
    }

    fn save(&self, policy: &Policy) -> TaskState {
        let bytes = serde_json::to_vec(&self.buffer).expect("plain numbers");
        let buffer = SavedFile { name: BUFFER_FILE.to_owned(), bytes };
        state(policy, self.order.position(), vec![buffer])
    }

    fn restore(&mut self, saved: &TaskState) -> Result<(), Error> {
        self.order.seek(position(saved)?);
        let broken = |reason| Error::State { what: BUFFER_FILE, reason };
        let file = saved.files.iter().find(|file| file.name == BUFFER_FILE);
        let file = file.ok_or_else(|| broken("it is missing".to_owned()))?;
        self.buffer =
            serde_json::from_slice(&file.bytes).map_err(|error| broken(error.to_string()))?;
        Ok(())
    }
}
