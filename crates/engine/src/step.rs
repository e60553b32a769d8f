//! The one step every trainer takes: count, forward and backward, check, clip, update, publish.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tensor::{Gradients, ops};

use crate::optimizer::{Moments, clip, global_norm, update, zero_moments};
use crate::{Counts, Error, OptimizerConfig, Parameters, ScheduleConfig, StepLoss, Task};

/// What the engine needs to know beyond the parameters.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EngineConfig {
    /// AdamW and clipping.
    pub optimizer: OptimizerConfig,
    /// The learning rate over the run.
    pub schedule: ScheduleConfig,
}

impl EngineConfig {
    /// Checks both parts.
    pub fn validate(&self) -> Result<(), Error> {
        self.optimizer.validate()?;
        self.schedule.validate()
    }
}

/// Parameters, their gradients and moments, and how many updates they have seen.
///
/// No clock, no file, no randomness: the same batches give the same bits.
#[derive(Debug)]
pub struct Engine {
    config: EngineConfig,
    pub(crate) parameters: Parameters,
    pub(crate) moments: BTreeMap<String, Moments>,
    pub(crate) step: u64,
    pub(crate) num_tokens_seen: u64,
    gradients: Gradients,
}

/// What one step did.
#[derive(Clone, Debug, PartialEq)]
pub struct StepReport {
    /// The step taken, from 1.
    pub step: u64,
    /// Steps of the whole run.
    pub max_steps: u64,
    /// The loss over all micro-batches.
    pub loss: f64,
    /// Norm of the gradient before clipping.
    pub grad_norm: f64,
    /// The learning rate of this update.
    pub learning_rate: f64,
    /// What the loss was divided by.
    pub counts: Counts,
    /// Tokens with a loss since the start of the run.
    pub num_tokens_seen: u64,
    /// The task's metrics. The recipe may add its own before the report is recorded.
    pub metrics: BTreeMap<String, f64>,
}

impl StepReport {
    /// The task's metrics together with `loss`, `grad_norm`, `learning_rate` and `num_tokens`.
    pub fn all_metrics(&self) -> BTreeMap<String, f64> {
        let mut metrics = self.metrics.clone();
        metrics.insert("loss".to_owned(), self.loss);
        metrics.insert("grad_norm".to_owned(), self.grad_norm);
        metrics.insert("learning_rate".to_owned(), self.learning_rate);
        metrics.insert("num_tokens".to_owned(), self.num_tokens_seen as f64);
        metrics
    }
}

impl Engine {
    /// An engine at step 0.
    ///
    /// # Errors
    /// If the config is invalid.
    pub fn new(parameters: Parameters, config: EngineConfig) -> Result<Self, Error> {
        config.validate()?;
        let moments = zero_moments(&parameters);
        let gradients = parameters.gradients();
        Ok(Self { config, parameters, moments, step: 0, num_tokens_seen: 0, gradients })
    }

    /// Number of updates made.
    pub fn steps_taken(&self) -> u64 {
        self.step
    }

    /// Steps of the whole run.
    pub fn max_steps(&self) -> u64 {
        self.config.schedule.max_steps
    }

    /// The values under training.
    pub fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// Takes one optimiser step over `micro_batches`, as if they were one big batch.
    ///
    /// # Errors
    /// Before the update, with parameters, moments and step as they were: no micro-batches, no step left,
    /// a failing task, a non-finite loss or gradient. After it: a task that does not accept the parameters.
    pub fn step<T: Task>(
        &mut self,
        task: &mut T,
        micro_batches: &[T::Batch],
    ) -> Result<StepReport, Error> {
        if micro_batches.is_empty() {
            return Err(Error::EmptyStep { step: self.step + 1 });
        }
        if self.step >= self.max_steps() {
            return Err(Error::Complete { max_steps: self.max_steps() });
        }
        let totals: Counts = micro_batches.iter().map(|batch| task.count(batch)).sum();
        let (loss, grad_norm) = self.accumulate(task, micro_batches, &totals)?;
        let learning_rate = self.apply(grad_norm);
        self.num_tokens_seen += totals.tokens;
        self.publish_to(task)?;
        Ok(StepReport {
            step: self.step,
            max_steps: self.max_steps(),
            loss: loss.value,
            grad_norm,
            learning_rate,
            counts: totals,
            num_tokens_seen: self.num_tokens_seen,
            metrics: loss.metrics,
        })
    }

    /// Hands the parameters to the task, as after each step.
    pub(crate) fn publish_to<T: Task>(&self, task: &mut T) -> Result<(), Error> {
        task.publish(&self.parameters).map_err(|source| Error::Publish { step: self.step, source })
    }

    /// Forward and backward over all micro-batches; returns the summed loss and the gradient's norm.
    fn accumulate<T: Task>(
        &mut self,
        task: &mut T,
        micro_batches: &[T::Batch],
        totals: &Counts,
    ) -> Result<(StepLoss, f64), Error> {
        let step = self.step + 1;
        let (mut loss, mut grad_norm) = (StepLoss::default(), 0.0);
        self.gradients.zero();
        for (micro_batch, batch) in micro_batches.iter().enumerate() {
            let part =
                task.forward_backward(batch, totals, &mut self.gradients).map_err(|source| {
                    Error::Task { step, micro_batch, samples: task.samples(batch), source }
                })?;
            if !part.value.is_finite() {
                let samples = suspects(task.samples(batch), &part.sample_values);
                return Err(Error::NonFiniteLoss { step, micro_batch, value: part.value, samples });
            }
            // Per micro-batch, because afterwards nobody can tell which one spoilt the sum.
            grad_norm = global_norm(&self.gradients);
            if !grad_norm.is_finite() {
                let (parameter, samples) = (self.first_non_finite(), task.samples(batch));
                return Err(Error::NonFiniteGradient { step, micro_batch, parameter, samples });
            }
            loss.add(part);
        }
        Ok((loss, grad_norm))
    }

    /// Clips and updates; returns the learning rate used.
    fn apply(&mut self, grad_norm: f64) -> f64 {
        let Self { config, parameters, moments, gradients, .. } = self;
        clip(gradients, grad_norm, config.optimizer.max_grad_norm);
        let learning_rate = config.optimizer.learning_rate * config.schedule.factor(self.step);
        self.step += 1;
        update(&config.optimizer, learning_rate, self.step, parameters, moments, gradients);
        learning_rate
    }

    fn first_non_finite(&self) -> String {
        let mut bad = self.gradients.iter().filter(|(_, gradient)| !ops::all_finite(gradient));
        bad.next().map_or_else(|| "all parameters together".to_owned(), |(name, _)| name.to_owned())
    }
}

/// The samples whose own value is not finite, or all of them when that is not known.
fn suspects(samples: Vec<String>, values: &[f64]) -> Vec<String> {
    let bad = |index: usize| values.get(index).is_some_and(|value| !value.is_finite());
    if !(0..samples.len()).any(bad) {
        return samples;
    }
    samples.into_iter().enumerate().filter(|(index, _)| bad(*index)).map(|(_, name)| name).collect()
}
