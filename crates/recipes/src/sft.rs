//! Supervised fine-tuning: cross-entropy on assistant turns, in packs without padding.
//!
//! ```text
//! samples ─► examples ─► packs ─► vlm ─► log-probs ─► loss::sft ─► engine
//! ```
//!
//! Loss mask and reduction follow InternVL's trainer, which R1V descends from.

use std::collections::BTreeMap;
use std::path::Path;

use data::{Dataset, Order};
use engine::{
    CheckpointConfig, Counts, Engine, OptimizerConfig, Parameters, StepLoss, Task, TaskError,
    TaskState,
};
use loss::Reduction;
use model::pack::Pack;
use preprocess::Example;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tensor::Gradients;
use tensor::ops::LogProbs;

use crate::Error;
use crate::config::{ModelConfig, RateConfig, Recipe, RunConfig, Training, Unknown};
use crate::policy::{Policy, slots};
use crate::run::{Notice, Watch, engine_counts, loss_counts, start, steps_for};

/// The keys of `sightline sft`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SftConfig {
    /// The model and what of it trains.
    #[serde(flatten)]
    pub model: ModelConfig,
    /// Where the run reads and writes.
    #[serde(flatten)]
    pub run: RunConfig,
    /// When checkpoints are written, and how many stay.
    #[serde(flatten)]
    pub checkpoint: CheckpointConfig,
    /// AdamW and clipping.
    #[serde(flatten)]
    pub optimizer: OptimizerConfig,
    /// The learning rate over the run.
    #[serde(flatten)]
    pub rate: RateConfig,
    /// Samples in a micro-batch; with `packing`, packs of `max_length` tokens.
    pub per_device_train_batch_size: usize,
    /// Micro-batches in a step.
    #[serde(default = "one")]
    pub gradient_accumulation_steps: usize,
    /// Passes over the data set; not used when `max_steps` is given.
    #[serde(default = "one_epoch")]
    pub num_train_epochs: f64,
    /// Steps of the run; 0 derives them from `num_train_epochs`.
    #[serde(default)]
    pub max_steps: u64,
    /// Longest sample, in tokens; longer ones are left out and counted.
    #[serde(default = "max_length")]
    pub max_length: usize,
    /// Fill each micro-batch up to `max_length` tokens instead of counting samples.
    #[serde(default)]
    pub packing: bool,
    /// Draw samples in a new order each epoch; otherwise in the file's order.
    #[serde(default = "yes")]
    pub shuffle_dataset: bool,
    /// How token losses are averaged over samples.
    #[serde(default)]
    pub loss_reduction: LossReduction,
    /// Keys that no field took.
    #[serde(flatten)]
    pub unknown: Unknown,
}

/// Weight of a token in a sample of `n` supervised tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LossReduction {
    /// 1.
    Token,
    /// 1/n.
    Sample,
    /// 1/√n, as InternVL's stage-1 scripts have it.
    #[default]
    Square,
}

impl From<LossReduction> for Reduction {
    fn from(reduction: LossReduction) -> Self {
        match reduction {
            LossReduction::Token => Self::TokenMean,
            LossReduction::Sample => Self::SequenceMean,
            LossReduction::Square => Self::SquareRootMean,
        }
    }
}

fn one() -> usize {
    1
}

fn one_epoch() -> f64 {
    1.0
}

/// The context of R1V's stages (arXiv:2504.05599, section 2.2).
fn max_length() -> usize {
    16_384
}

fn yes() -> bool {
    true
}

impl SftConfig {
    /// Steps of a run over samples of so many tokens together.
    pub fn num_steps(&self, num_samples: usize, num_tokens: usize) -> u64 {
        let step = self.per_device_train_batch_size * self.gradient_accumulation_steps;
        match (self.max_steps, self.packing) {
            (0, true) => steps_for(num_tokens, self.num_train_epochs, self.max_length * step),
            (0, false) => steps_for(num_samples, self.num_train_epochs, step),
            (steps, _) => steps,
        }
    }
}

impl Training for SftConfig {
    fn output(&self) -> (&RunConfig, &CheckpointConfig) {
        (&self.run, &self.checkpoint)
    }
}

impl Recipe for SftConfig {
    fn unknown(&self) -> &Unknown {
        &self.unknown
    }

    fn validate(&self) -> Result<(), Error> {
        self.model.trainable()?;
        self.rate.engine(&self.optimizer, self.max_steps.max(1)).validate()?;
        self.checkpoint.validate()?;
        let positive = [
            ("per_device_train_batch_size", self.per_device_train_batch_size),
            ("gradient_accumulation_steps", self.gradient_accumulation_steps),
            ("max_length", self.max_length),
        ];
        if let Some((key, _)) = positive.into_iter().find(|(_, value)| *value == 0) {
            return Err(Error::Value { key, value: "0".to_owned(), expected: "at least 1" });
        }
        Ok(())
    }
}

/// Trains until `max_steps`; returns the policy with its last parameters.
///
/// # Errors
/// Bad settings, data or model files; a non-finite loss; a checkpoint that cannot be written.
pub fn sft(config: &SftConfig, watch: Watch) -> Result<Policy, Error> {
    let Watch { events, mut notices } = watch;
    let policy = Policy::load(&config.model, &config.run)?;
    let mut task = SftTask::new(config, policy, &mut notices)?;
    let mut batches = Batches::new(config, &task);
    let engine = Engine::new(
        task.policy.parameters()?,
        config.rate.engine(&config.optimizer, task.num_steps(config)),
    )?;
    let (mut run, resumed) = start(config, engine, &mut task, events)?;
    if let Some(position) = resumed.and_then(|state| state.value["position"].as_u64()) {
        batches.order.seek(position);
    }
    while !run.is_finished() {
        let step = batches.step(&task.examples);
        let mut report = run.step(&mut task, &step)?;
        report.metrics.insert("feature_cache/hit_rate".to_owned(), task.policy.feature_hit_rate());
        let position = json!({"position": batches.order.position()});
        run.record(&report, || TaskState { value: position, ..TaskState::default() })?;
    }
    Ok(task.policy)
}

/// Samples to micro-batches, in a resumable order.
struct Batches {
    order: Order,
    size: usize,
    accumulation: usize,
    /// Tokens of a pack, where packs are filled by tokens.
    budget: Option<usize>,
}

impl Batches {
    fn new(config: &SftConfig, task: &SftTask) -> Self {
        let num_samples = task.examples.len();
        let order = match config.shuffle_dataset {
            true => Order::shuffled(num_samples, config.run.seed),
            false => Order::sequential(num_samples),
        };
        Self {
            order,
            size: config.per_device_train_batch_size,
            accumulation: config.gradient_accumulation_steps,
            budget: config.packing.then_some(config.max_length),
        }
    }

    /// The micro-batches of one step, as indices of examples.
    fn step(&mut self, examples: &[Example]) -> Vec<Vec<usize>> {
        match self.budget {
            None => {
                let mut micro = || self.order.by_ref().take(self.size).collect();
                (0..self.accumulation).map(|_| micro()).collect()
            }
            Some(budget) => {
                (0..self.size * self.accumulation).map(|_| self.fill(budget, examples)).collect()
            }
        }
    }

    /// The next samples that fit into `budget` tokens together; at least one.
    fn fill(&mut self, budget: usize, examples: &[Example]) -> Vec<usize> {
        let (mut pack, mut num_tokens) = (Vec::new(), 0);
        loop {
            let position = self.order.position();
            let Some(index) = self.order.next() else { return pack };
            num_tokens += examples[index].ids.len();
            if num_tokens > budget && !pack.is_empty() {
                self.order.seek(position);
                return pack;
            }
            pack.push(index);
        }
    }
}

/// The algorithm: which tokens are learned, and how their losses are averaged.
struct SftTask {
    policy: Policy,
    examples: Vec<Example>,
    places: Vec<String>,
    reduction: Reduction,
}

impl SftTask {
    fn new(
        config: &SftConfig,
        policy: Policy,
        notices: &mut dyn FnMut(&Notice),
    ) -> Result<Self, Error> {
        let dataset = Dataset::read(&config.run.dataset)?;
        let reduction = config.loss_reduction.into();
        let mut task = Self { policy, examples: Vec::new(), places: Vec::new(), reduction };
        let (mut num_long, mut num_text) = (0, 0);
        for (index, sample) in dataset.samples.iter().enumerate() {
            let place = dataset.place(index);
            let base = dataset.path.parent().unwrap_or(Path::new(""));
            let example = task.policy.processor.example(sample, base);
            let example =
                example.map_err(|source| Error::Sample { place: place.clone(), source })?;
            if example.ids.len() > config.max_length {
                num_long += 1;
                continue;
            }
            num_text += usize::from(example.images.is_empty());
            task.examples.push(example);
            task.places.push(place);
        }
        task.check(config, num_long, num_text, notices)?;
        Ok(task)
    }

    fn num_steps(&self, config: &SftConfig) -> u64 {
        let num_tokens = self.examples.iter().map(|example| example.ids.len()).sum();
        config.num_steps(self.examples.len(), num_tokens)
    }

    /// Says what will not train, and refuses a run of which nothing would.
    fn check(
        &self,
        config: &SftConfig,
        num_long: usize,
        num_text: usize,
        notices: &mut dyn FnMut(&Notice),
    ) -> Result<(), Error> {
        let path = config.run.dataset.clone();
        if num_long > 0 {
            notices(&Notice::TooLong { count: num_long, max_length: config.max_length });
        }
        if self.examples.is_empty() {
            return Err(Error::Empty { path });
        }
        if !self.policy.trainable.text_trains() && num_text > 0 {
            notices(&Notice::TextOnly { count: num_text, of: self.examples.len() });
            if num_text == self.examples.len() {
                return Err(Error::TextOnly { path });
            }
        }
        Ok(())
    }
}

impl Task for SftTask {
    type Batch = Vec<usize>;

    fn count(&self, batch: &Vec<usize>) -> Counts {
        let num_targets = batch.iter().map(|&index| self.examples[index].num_targets());
        num_targets.map(|n| engine_counts(loss::Counts::sequence(n, self.reduction))).sum()
    }

    fn samples(&self, batch: &Vec<usize>) -> Vec<String> {
        batch.iter().map(|&index| self.places[index].clone()).collect()
    }

    fn forward_backward(
        &mut self,
        batch: &Vec<usize>,
        totals: &Counts,
        gradients: &mut Gradients,
    ) -> Result<StepLoss, TaskError> {
        let (mut pack, mut images, mut num_features) = (Pack::new(), Vec::new(), 0);
        for &index in batch {
            let example = &self.examples[index];
            let slots = slots(&example.image_rows, &mut num_features);
            pack.push_sequence(&example.ids, &slots, &example.loss_mask);
            images.extend(&example.images);
        }
        let images = self.policy.image_input(&images)?;
        let (reduction, totals, sequences) =
            (self.reduction, loss_counts(totals), pack.sequences.clone());
        let mut loss = StepLoss::default();
        let dlogp = |scored: &LogProbs| {
            let mut gradient = Vec::with_capacity(scored.log_prob.len());
            for sequence in &sequences {
                let terms = loss::sft(&scored.log_prob[sequence.clone()]);
                let reduced = reduction.reduce(&terms, &totals);
                loss.sample_values.push(reduced.value);
                gradient.extend(reduced.gradient);
            }
            gradient
        };
        let pass = self.policy.pass(1.0);
        let scored =
            self.policy.vlm.forward_backward(&pack, images.borrow(), pass, dlogp, gradients)?;
        loss.value = loss.sample_values.iter().sum();
        loss.metrics = metrics(&scored, totals.tokens);
        Ok(loss)
    }

    fn publish(&mut self, parameters: &Parameters) -> Result<(), TaskError> {
        self.policy.publish(parameters);
        Ok(())
    }
}

/// Means over the step's supervised tokens, under TRL's names.
fn metrics(scored: &LogProbs, num_tokens: u64) -> BTreeMap<String, f64> {
    let mean = |values: &[f32]| {
        values.iter().map(|&value| f64::from(value)).sum::<f64>() / num_tokens.max(1) as f64
    };
    BTreeMap::from([
        ("entropy".to_owned(), mean(&scored.entropy)),
        ("token_loss".to_owned(), -mean(&scored.log_prob)),
    ])
}
