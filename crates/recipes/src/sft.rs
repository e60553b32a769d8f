//! Supervised fine-tuning: cross-entropy on assistant turns, in packs without padding.
//!
//! ```text
//! samples ─► examples ─► packs ─► vlm ─► log-probs ─► loss::sft ─► engine
//! ```
//!
//! Loss mask and reduction follow InternVL's trainer, which R1V descends from.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use data::Dataset;
use engine::{Counts, Engine, Parameters, StepLoss, StepReport, Task, TaskError};
use loss::Reduction;
use model::pack::{Pack, Prefix};
use preprocess::{Example, ModelImage};
use tensor::Gradients;
use tensor::ops::LogProbs;

use crate::Error;
use crate::identity::{Identity, key};
use crate::policy::{Policy, slots};
use crate::run::{Notice, Watch, engine_counts, loss_counts, position, start, state};

mod config;
mod batches;

use batches::Batches;
pub use config::{LossReduction, SampleConfig, SftConfig};

/// Trains until the last step; returns the policy with its last parameters. A run that has taken all
/// its steps returns at once.
///
/// # Errors
/// Bad settings, data or model files; a non-finite loss; a checkpoint that cannot be written.
pub fn sft(config: &SftConfig, watch: Watch) -> Result<Policy, Error> {
    train(config, watch).map(|(policy, _)| policy)
}

/// The policy at its end, and the steps taken.
pub(crate) fn train(config: &SftConfig, watch: Watch) -> Result<(Policy, u64), Error> {
    let Watch { events, mut notices } = watch;
    let policy = Policy::load(&config.model, &config.run)?;
    let mut task = SftTask::new(config, policy, &mut notices)?;
    let engine = config.rate.engine(&config.optimizer, config.num_steps(&task.lengths()));
    let engine = Engine::new(task.policy.parameters()?, engine)?;
    let (mut run, resumed) = start(config, engine, &mut task, events)?;
    let identity = task.identity();
    if let Some(saved) = &resumed {
        identity.check(&run, saved)?;
    }
    if run.is_finished() {
        return Ok((task.policy, run.engine().steps_taken()));
    }
    let mut batches = Batches::new(config, task.lengths());
    if let Some(saved) = resumed {
        batches.seek(position(&saved)?);
    }
    let steps_left = run.engine().max_steps() - run.engine().steps_taken();
    task.encode(&batches.upcoming(steps_left), &mut notices)?;
    while !run.is_finished() {
        let mut report = run.step(&mut task, &batches.step())?;
        task.note(batches.epoch(), &mut report);
        run.record(&report, || {
            let mut saved = state(&task.policy, batches.position(), vec![]);
            identity.save(&mut saved);
            saved
        })?;
    }
    Ok((task.policy, run.engine().steps_taken()))
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
        let base = dataset.path.parent().unwrap_or(Path::new(""));
        let reduction = config.samples.loss_reduction.into();
        let mut task = Self { policy, examples: Vec::new(), places: Vec::new(), reduction };
        let max_length = config.samples.max_length.min(task.policy.processor.context_length);
        let mut num_long = 0;
        for (index, sample) in dataset.samples.iter().enumerate() {
            let place = dataset.place(index);
            match task.policy.processor.example(sample, base) {
                Ok(example) if example.ids.len() <= max_length => {
                    task.examples.push(example);
                    task.places.push(place);
                }
                Ok(_) | Err(preprocess::Error::TooLong { .. }) => num_long += 1,
                Err(error) => return Err(Error::of_sample(&place)(error)),
            }
        }
        if num_long > 0 {
            notices(&Notice::TooLong { count: num_long, max_length });
        }
        let num_text = task.examples.iter().filter(|example| example.images.is_empty()).count();
        task.policy.check_text(&dataset.path, num_text, task.examples.len(), notices)?;
        Ok(task)
    }

    /// Tokens of each sample.
    fn lengths(&self) -> Vec<usize> {
        self.examples.iter().map(|example| example.ids.len()).collect()
    }

    /// Names what is learned from.
    fn identity(&self) -> Identity {
        let key = |Example { ids, loss_mask, images, .. }: &Example| {
            let learned: Vec<u32> = loss_mask.iter().copied().map(u32::from).collect();
            key([ids, &learned], images)
        };
        Identity::of("samples", self.examples.iter().map(key))
    }

    /// Encodes the images of these samples.
    fn encode(
        &mut self,
        samples: &BTreeSet<usize>,
        notices: &mut dyn FnMut(&Notice),
    ) -> Result<(), Error> {
        let Self { policy, examples, places, .. } = self;
        let samples = samples.iter().map(|&i| (places[i].as_str(), images(&examples[i])));
        policy.encode_all(samples, notices)
    }

    /// Adds to a report what the engine does not know.
    fn note(&self, epoch: f64, report: &mut StepReport) {
        report.metrics.insert("epoch".to_owned(), epoch);
        if let Some(counts) = self.policy.cache_counts() {
            report.metrics.insert("feature_cache/hit_rate".to_owned(), counts.hit_rate());
        }
    }
}

fn images(example: &Example) -> &[ModelImage] {
    &example.images
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
        let (mut pack, mut num_features) = (Pack::new(), 0);
        let examples = || batch.iter().map(|&index| &self.examples[index]);
        for example in examples() {
            let slots = slots(&example.image_rows, &mut num_features);
            let places = example.places.as_deref();
            let sequence = Prefix { ids: &example.ids, images: &slots, places };
            pack.push_placed_sequence(sequence, &example.loss_mask);
        }
        let input = self.policy.image_input(examples().map(images))?;
        let (totals, mut loss) = (loss_counts(totals), StepLoss::default());
        let dlogp = |scored: &LogProbs| {
            let mut gradient = Vec::with_capacity(scored.log_prob.len());
            for sequence in &pack.sequences {
                let terms = loss::sft(&scored.log_prob[sequence.clone()]);
                let reduced = self.reduction.reduce(&terms, &totals);
                loss.sample_values.push(reduced.value);
                gradient.extend(reduced.gradient);
            }
            gradient
        };
        let pass = self.policy.pass(1.0);
        let vlm = &self.policy.vlm;
        let scored = vlm.forward_backward(&pack, input.borrow(), pass, dlogp, gradients)?;
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
