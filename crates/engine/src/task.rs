//! The whole contract between an algorithm and the engine.

use std::collections::BTreeMap;
use std::iter::Sum;
use std::ops::{Add, AddAssign};

use tensor::Gradients;

use crate::{Parameters, TaskError};

/// What an algorithm supplies: how to count a micro-batch, and its forward and backward pass.
///
/// The engine counts *all* micro-batches of a step before the first backward pass. Each one's loss is
/// divided by those totals, so losses and gradients simply add up, and accumulating in many parts equals
/// one big batch up to rounding order.
pub trait Task {
    /// One micro-batch, already on the host.
    type Batch;

    /// Tokens, sequences and pairs that normalise the loss; read from the masks alone.
    fn count(&self, batch: &Self::Batch) -> Counts;

    /// Names of the samples in a micro-batch, for error messages ("train.jsonl:17"). Called on failure only.
    fn samples(&self, batch: &Self::Batch) -> Vec<String>;

    /// Runs the model on one micro-batch and adds its gradients to `gradients`.
    ///
    /// `totals` are the counts over all micro-batches of the step. A name that `gradients` lacks is frozen.
    ///
    /// # Errors
    /// Whatever keeps the pass from finishing. The step stops before its update.
    fn forward_backward(
        &mut self,
        batch: &Self::Batch,
        totals: &Counts,
        gradients: &mut Gradients,
    ) -> Result<StepLoss, TaskError>;

    /// Takes over the parameters after an update or a resume.
    ///
    /// # Errors
    /// If the model does not accept them.
    fn publish(&mut self, parameters: &Parameters) -> Result<(), TaskError>;
}

/// What the losses of a step are divided by.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Counts {
    /// Tokens with a loss.
    pub tokens: u64,
    /// Sequences with a loss.
    pub sequences: u64,
    /// Pairs of a chosen and a rejected completion.
    pub pairs: u64,
    /// Sum of whatever weights the loss gives its tokens or sequences.
    pub weight: f64,
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.tokens += other.tokens;
        self.sequences += other.sequences;
        self.pairs += other.pairs;
        self.weight += other.weight;
    }
}

impl Add for Counts {
    type Output = Self;

    fn add(mut self, other: Self) -> Self {
        self += other;
        self
    }
}

impl Sum for Counts {
    fn sum<I: Iterator<Item = Self>>(counts: I) -> Self {
        counts.fold(Self::default(), Self::add)
    }
}

/// The loss of one micro-batch, already divided by the step's totals.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StepLoss {
    /// The loss. Over the micro-batches of a step it adds up.
    pub value: f64,
    /// Named metrics that add up in the same way.
    pub metrics: BTreeMap<String, f64>,
    /// Each sample's part of `value`, in the order of [`Task::samples`], or empty when not known. Lets the
    /// message about a non-finite loss name the one sample instead of all.
    pub sample_values: Vec<f64>,
}

impl StepLoss {
    /// A loss without metrics.
    pub fn new(value: f64) -> Self {
        Self { value, ..Self::default() }
    }

    /// Adds the value and the metrics of another micro-batch. `sample_values` stay those of `self`.
    pub(crate) fn add(&mut self, other: Self) {
        self.value += other.value;
        for (name, value) in other.metrics {
            *self.metrics.entry(name).or_insert(0.0) += value;
        }
    }
}
