//! Samples to micro-batches, in an order that a resume can take up.

use std::collections::BTreeSet;

use data::Order;

use super::SftConfig;

/// Samples, as indices, in micro-batches.
#[derive(Clone)]
pub(super) struct Batches {
    order: Order,
    /// Tokens of each sample.
    lengths: Vec<usize>,
    per_micro_batch: usize,
    micro_batches: usize,
    /// Tokens of a pack, where packs are filled by tokens.
    budget: Option<usize>,
}

impl Batches {
    /// Of samples of so many tokens each.
    pub(super) fn new(config: &SftConfig, lengths: Vec<usize>) -> Self {
        let (batch, samples) = (&config.batch, &config.samples);
        let order = match samples.shuffle_dataset {
            true => Order::shuffled(lengths.len(), config.run.seed),
            false => Order::sequential(lengths.len()),
        };
        Self {
            order,
            lengths,
            per_micro_batch: batch.per_device_train_batch_size,
            micro_batches: batch.gradient_accumulation_steps,
            budget: samples.packing.then_some(samples.max_length),
        }
    }

    /// Samples drawn since the start of the run.
    pub(super) fn position(&self) -> u64 {
        self.order.position()
    }

    /// Goes on as if `position` samples had been drawn.
    pub(super) fn seek(&mut self, position: u64) {
        self.order.seek(position);
    }

    /// Passes over the data set so far.
    pub(super) fn epoch(&self) -> f64 {
        self.position() as f64 / self.lengths.len() as f64
    }

    /// The samples that the next steps will draw.
    pub(super) fn upcoming(&self, num_steps: u64) -> BTreeSet<usize> {
        let mut ahead = self.clone();
        let mut samples = BTreeSet::new();
        for _ in 0..num_steps {
            samples.extend(ahead.step().into_iter().flatten());
            if samples.len() == self.lengths.len() {
                break;
            }
        }
        samples
    }

    /// The micro-batches of one step.
    pub(super) fn step(&mut self) -> Vec<Vec<usize>> {
        match self.budget {
            None => {
                let mut micro = || self.order.by_ref().take(self.per_micro_batch).collect();
                (0..self.micro_batches).map(|_| micro()).collect()
            }
            // Each pack is a micro-batch of its own.
            Some(budget) => {
                let num_packs = self.micro_batches * self.per_micro_batch;
                (0..num_packs).map(|_| self.fill(budget)).collect()
            }
        }
    }

    /// The next samples that fit into `budget` tokens together; at least one.
    fn fill(&mut self, budget: usize) -> Vec<usize> {
        let (mut pack, mut num_tokens) = (Vec::new(), 0);
        loop {
            let position = self.order.position();
            let Some(index) = self.order.next() else { return pack };
            num_tokens += self.lengths[index];
            if num_tokens > budget && !pack.is_empty() {
                self.order.seek(position);
                return pack;
            }
            pack.push(index);
        }
    }
}
