//! Where a run is in its prompts, what it keeps of earlier rollouts, and who draws the next one.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use advantage::ReplayBuffer;
use data::Order;
use engine::{Run, SavedFile, StepReport, TaskState};

use super::ahead::Ahead;
use super::draw::{Ask, Drawn, Hand, generation};
use super::flight::Flight;
use super::group::Sampled;
use super::journal::Journal;
use super::questions::Questions;
use super::rethink::Rethinker;
use super::{GrpoConfig, file, read};
use crate::Error;
use crate::identity::Identity;
use crate::policy::Policy;
use crate::run::{Notice, position, settings_hash};

/// Name of the buffer's file in a checkpoint.
const BUFFER_FILE: &str = "replay_buffer.json";

/// Name of the file of rollouts drawn ahead.
const AHEAD_FILE: &str = "ahead.json";

/// What a run carries from rollout to rollout beside the policy.
pub(super) struct Draws<'a> {
    config: &'a GrpoConfig,
    pub questions: &'a Questions,
    /// Which questions: their numbers mean nothing among others.
    pub identity: Identity,
    pub order: Order,
    pub buffer: ReplayBuffer<Sampled>,
    pub flight: Arc<Flight>,
    /// Where something else than the policy under training draws.
    ahead: Option<Ahead>,
    /// What a checkpoint kept of it.
    ready: VecDeque<Vec<Drawn>>,
    pub journal: Journal,
    pub notices: Box<dyn FnMut(&Notice)>,
}

impl<'a> Draws<'a> {
    pub(super) fn new(
        config: &'a GrpoConfig,
        questions: &'a Questions,
        steps_taken: u64,
        notices: Box<dyn FnMut(&Notice)>,
    ) -> Result<Self, Error> {
        let folder = &config.run.output_dir;
        let identity = questions.identity();
        let settings = format!("{}, {}", settings_hash(config)?, identity.hash());
        let flight = Flight::open(folder, &settings)?;
        if config.run.resume_from_checkpoint == "never" {
            flight.clear()?;
        }
        Ok(Self {
            config,
            questions,
            identity,
            order: Order::shuffled(questions.len(), config.run.seed),
            buffer: ReplayBuffer::default(),
            flight: Arc::new(flight),
            ahead: None,
            ready: VecDeque::new(),
            journal: Journal::open(folder, steps_taken)?,
            notices,
        })
    }

    pub(super) fn prepare(&mut self, steps_left: u64, policy: &mut Policy) -> Result<(), Error> {
        self.questions.encode(&self.upcoming(steps_left), policy, &mut self.notices)?;
        self.ahead = Ahead::start(self.config, &self.flight, std::mem::take(&mut self.ready))?;
        Ok(())
    }

    /// The questions that the next steps will draw, if each draws once.
    fn upcoming(&self, num_steps: u64) -> BTreeSet<usize> {
        let num_prompts = self.config.num_prompts() * num_steps as usize;
        // From the midst of an epoch, the end of the next one has passed them all.
        self.order.clone().take(num_prompts.min(2 * self.questions.len())).collect()
    }

    /// Whether a step that has drawn so much draws further prompts: while there is nothing to learn from, or while
    /// what there is does not fill the update and that is wanted.
    pub(super) fn needs_more(
        &mut self,
        step: u64,
        num_rollouts: usize,
        num_fresh: usize,
    ) -> Result<bool, Error> {
        let config = self.config;
        let is_something = num_fresh > 0 || self.buffer.is_drawable(step, &config.replay());
        let is_enough = match config.rollout.dynamic_sampling {
            true => num_fresh >= config.num_completions(),
            false => is_something,
        };
        let needs_more = num_rollouts == 0 || !is_enough;
        if !needs_more || num_rollouts == 0 {
            return Ok(needs_more);
        }
        (self.notices)(&Notice::Redraw { num_rollouts });
        match num_rollouts < config.rollout.max_num_gen_batches() {
            true => Ok(true),
            false if is_something => Ok(false),
            false => Err(Error::NothingToLearn { num_rollouts }),
        }
    }

    /// The groups of the next prompts.
    pub(super) fn rollout(&mut self, policy: &mut Policy, run: &Run) -> Result<Vec<Drawn>, Error> {
        let (taken, max) = (run.engine().steps_taken(), run.engine().max_steps());
        let Some(mut ahead) = self.ahead.take() else {
            let ask = self.ask(policy, taken)?;
            let config = generation(self.config, &policy.processor);
            let (vlm, processor) = (&policy.vlm, &policy.processor);
            let hand = Hand { vlm, processor, config: &config, flight: &self.flight };
            return hand.draw(&ask, &mut hear(&mut *self.notices));
        };
        let num_left = (max - taken).div_ceil(self.config.updates_per_rollout()) as usize;
        let num_wanted = (1 + self.config.rollout.max_staleness()).min(num_left).max(1);
        while ahead.len() < num_wanted {
            ahead.ask(self.ask(policy, taken)?, policy.parameters()?);
        }
        let drawn = ahead.take(&mut hear(&mut *self.notices));
        self.ahead = Some(ahead);
        drawn
    }

    /// The next prompts.
    pub(super) fn ask(&mut self, policy: &mut Policy, version: u64) -> Result<Ask, Error> {
        // A prompt's draws are named by its place in the run.
        let first = self.order.position();
        let questions: Vec<usize> = self.order.by_ref().take(self.config.num_prompts()).collect();
        let prompts = (first..).zip(&questions);
        let prompts = prompts
            .map(|(stream, &question)| self.questions.prompt(question, stream, policy))
            .collect::<Result<_, Error>>()?;
        Ok(Ask { version, questions, prompts })
    }

    pub(super) fn rethinker(&self) -> Rethinker<'_> {
        Rethinker { config: self.config, questions: self.questions, flight: &self.flight }
    }

    /// Adds to a report where the run is in its data.
    pub(super) fn note(&self, report: &mut StepReport) {
        let epoch = self.order.position() as f64 / self.questions.len() as f64;
        let values = [("replay_buffer/size", self.buffer.len() as f64), ("epoch", epoch)];
        report.metrics.extend(values.map(|(name, value)| (name.to_owned(), value)));
    }

    /// What a checkpoint keeps: the buffer, and what was drawn ahead, which is waited for.
    pub(super) fn save(&mut self) -> Result<Vec<SavedFile>, Error> {
        let mut files = vec![file(BUFFER_FILE, &self.buffer)];
        let Self { ahead, notices, .. } = self;
        if let Some(ahead) = ahead {
            files.push(file(AHEAD_FILE, ahead.all(&mut hear(&mut **notices))?));
        }
        Ok(files)
    }

    pub(super) fn restore(&mut self, saved: &TaskState) -> Result<(), Error> {
        self.order.seek(position(saved)?);
        let missing = || Error::State { what: BUFFER_FILE, reason: "it is missing".to_owned() };
        self.buffer = read(saved, BUFFER_FILE)?.ok_or_else(missing)?;
        self.ready = read(saved, AHEAD_FILE)?.unwrap_or_default();
        Ok(())
    }
}

/// Tells how far a rollout is.
fn hear(notices: &mut dyn FnMut(&Notice)) -> impl FnMut(rollout::Progress) {
    move |progress| notices(&Notice::Rollout { done: progress.num_done, total: progress.num_total })
}
