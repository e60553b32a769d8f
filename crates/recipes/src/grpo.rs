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

use std::path::Path;
use std::sync::Arc;

use advantage::{Mixed, ReplayBuffer};
use data::{Dataset, Order, prompt_of};
use engine::{Engine, TaskState};
use preprocess::Prompt;
use rollout::{GenerateConfig, Sampling};
use serde_json::json;

use crate::Error;
use crate::policy::Policy;
use crate::run::{Notice, Watch, start};

mod config;
mod group;
mod journal;
mod task;

pub use config::{GrpoConfig, LossType, RewardWeights, ScaleRewards};
use group::{Group, Sampled, Scorer};
use journal::Journal;
use task::GrpoTask;

/// Rollouts without a single mixed group after which a run gives up.
const MAX_EMPTY_ROLLOUTS: usize = 20;

/// Name of the buffer's file in a checkpoint.
const BUFFER_FILE: &str = "replay_buffer.json";

/// Trains until `max_steps`; returns the policy with its last parameters.
///
/// # Errors
/// Bad settings, data or model files; a non-finite loss; prompts of which none is ever answered both
/// right and wrong; a checkpoint that cannot be written.
pub fn grpo(config: &GrpoConfig, watch: Watch) -> Result<Policy, Error> {
    let Watch { events, notices } = watch;
    let mut policy = Policy::load(&config.model, &config.run)?;
    let questions = Questions::read(config, &mut policy)?;
    let engine_config =
        config.rate.engine(&config.optimizer, config.num_steps(questions.prompts.len()));
    let engine = Engine::new(policy.parameters()?, engine_config)?;
    let mut task = GrpoTask::new(config, policy, &questions)?;
    let (mut run, resumed) = start(config, engine, &mut task, events)?;
    let journal = Journal::open(&config.run.output_dir, run.engine().steps_taken())?;
    let order = Order::shuffled(questions.prompts.len(), config.run.seed);
    let mut state = Loop {
        config,
        questions: &questions,
        order,
        buffer: ReplayBuffer::default(),
        journal,
        notices,
    };
    if let Some(saved) = resumed {
        state.restore(&saved)?;
    }
    while !run.is_finished() {
        let (groups, mixed) = state.rollout(&mut task, run.engine().steps_taken() + 1)?;
        let batches = task.micro_batches(&mixed);
        let mut report = run.step(&mut task, &batches)?;
        group::metrics(&groups, &mixed, &mut report.metrics);
        run.record(&report, || state.save())?;
    }
    Ok(task.into_policy())
}

/// The prompts of a data set, their images encoded, and their known answers.
struct Questions {
    prompts: Vec<rollout::Prompt>,
    rendered: Vec<Prompt>,
    answers: Vec<String>,
    places: Vec<String>,
}

impl Questions {
    fn read(config: &GrpoConfig, policy: &mut Policy) -> Result<Self, Error> {
        let dataset = Dataset::read(&config.run.dataset)?;
        let base = dataset.path.parent().unwrap_or(Path::new(""));
        let mut questions =
            Self { prompts: vec![], rendered: vec![], answers: vec![], places: vec![] };
        for (index, sample) in dataset.samples.iter().enumerate() {
            let place = dataset.place(index);
            let Some(answer) = &sample.answer else { return Err(Error::NoAnswer { place }) };
            let prompt = policy.processor.prompt(&prompt_of(sample), base);
            let prompt = prompt.map_err(|source| Error::Sample { place: place.clone(), source })?;
            let images: Vec<_> = prompt.images.iter().collect();
            let features = policy.features(&images)?.map(Arc::new);
            questions.prompts.push(rollout::Prompt::new(&prompt, features, 0));
            questions.rendered.push(prompt);
            questions.answers.push(answer.clone());
            questions.places.push(place);
        }
        let has_images = questions.rendered.iter().any(|prompt| !prompt.images.is_empty());
        match questions.prompts.is_empty() {
            true => Err(Error::Empty { path: dataset.path }),
            false if !has_images && !policy.trainable.text_trains() => {
                Err(Error::TextOnly { path: dataset.path })
            }
            false => Ok(questions),
        }
    }
}

/// What a run carries from step to step beside the policy.
struct Loop<'a> {
    config: &'a GrpoConfig,
    questions: &'a Questions,
    order: Order,
    buffer: ReplayBuffer<Sampled>,
    journal: Journal,
    notices: Box<dyn FnMut(&Notice)>,
}

impl Loop<'_> {
    /// Groups of this step, and the completions its update sees: those of mixed groups, refilled from
    /// the buffer. Draws further prompts while there is nothing to learn from.
    fn rollout(
        &mut self,
        task: &mut GrpoTask<'_>,
        step: u64,
    ) -> Result<(Vec<Group>, Mixed<Sampled>), Error> {
        let replay = self.config.replay(self.config.run.seed);
        for _ in 0..MAX_EMPTY_ROLLOUTS {
            let groups = self.sample(task)?;
            self.journal.append(step, &groups, self.questions)?;
            let fresh = task.entries(&groups, step)?;
            let mixed = match self.config.replay_buffer {
                true => self.buffer.mix(fresh, step, &replay),
                false => ReplayBuffer::default().mix(fresh, step, &replay),
            };
            if !mixed.entries.is_empty() {
                return Ok((groups, mixed));
            }
        }
        Err(Error::NothingToLearn { num_rollouts: MAX_EMPTY_ROLLOUTS })
    }

    /// The next prompts, their groups of completions, scored.
    fn sample(&mut self, task: &mut GrpoTask<'_>) -> Result<Vec<Group>, Error> {
        let first = self.order.position();
        let indices: Vec<usize> = self.order.by_ref().take(self.config.num_prompts()).collect();
        let prompts: Vec<_> = (first..)
            .zip(&indices)
            .map(|(stream, &index)| rollout::Prompt {
                stream,
                ..self.questions.prompts[index].clone()
            })
            .collect();
        let policy = task.policy();
        let generate = self.generate_config(policy);
        let notices = &mut self.notices;
        let mut progress = |progress: rollout::Progress| {
            notices(&Notice::Rollout { done: progress.num_done, total: progress.num_total });
        };
        let completions = rollout::generate(
            &policy.vlm,
            &policy.processor.tokenizer,
            &prompts,
            &generate,
            &mut progress,
        )?;
        let scorer = Scorer::new(self.config);
        Ok(indices
            .into_iter()
            .zip(completions)
            .map(|(index, completions)| scorer.score(self.questions, index, completions))
            .collect())
    }

    fn generate_config(&self, policy: &Policy) -> GenerateConfig {
        let sampling = Sampling {
            temperature: self.config.temperature,
            top_k: self.config.top_k,
            top_p: self.config.top_p,
            repetition_penalty: self.config.repetition_penalty,
            seed: self.config.run.seed,
        };
        GenerateConfig {
            num_samples: self.config.num_generations,
            ..GenerateConfig::new(&policy.processor, sampling, self.config.max_completion_length)
        }
    }

    fn save(&self) -> TaskState {
        let buffer = serde_json::to_vec(&self.buffer).expect("plain numbers and strings");
        TaskState {
            value: json!({"position": self.order.position()}),
            files: vec![engine::SavedFile { name: BUFFER_FILE.to_owned(), bytes: buffer }],
        }
    }

    fn restore(&mut self, saved: &TaskState) -> Result<(), Error> {
        self.order.seek(saved.value["position"].as_u64().unwrap_or_default());
        let file = saved.files.iter().find(|file| file.name == BUFFER_FILE);
        if let Some(file) = file {
            self.buffer = serde_json::from_slice(&file.bytes)
                .map_err(|source| Error::Buffer { name: BUFFER_FILE, source })?;
        }
        Ok(())
    }
}
