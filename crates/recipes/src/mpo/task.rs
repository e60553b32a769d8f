//! The update: packs of pairs that share their prompt, and equation 2 on them.

use std::collections::BTreeMap;

use engine::{Counts, Parameters, StepLoss, Task, TaskError};
use loss::{MpoTerms, MpoWeights, RewardShift};
use model::pack::Pack;
use tensor::Gradients;
use tensor::ops::LogProbs;

use super::pairs::Pairs;
use super::reference::{Reference, sum};
use super::{MpoConfig, PreferenceConfig};
use crate::Error;
use crate::policy::Policy;
use crate::run::{engine_counts, loss_counts};

/// Numbers of the loss that do not change within a run.
#[derive(Clone, Copy)]
pub(super) struct Objective {
    pub beta: f64,
    pub weights: MpoWeights,
}

/// The algorithm: how pairs become a loss.
pub(super) struct MpoTask<'a> {
    pub policy: Policy,
    pub pairs: &'a Pairs,
    /// Under the policy the run began with, one for each pair.
    pub references: Vec<Reference>,
    /// δ; moves with every micro-batch, before the loss that uses it.
    pub shift: RewardShift,
    objective: Objective,
}

/// One pair under the policy.
struct Outcome {
    /// Implicit rewards `h` of chosen and rejected.
    rewards: (f64, f64),
    /// `log π_θ` of chosen and rejected.
    log_probs: (f64, f64),
    terms: MpoTerms,
}

impl<'a> MpoTask<'a> {
    /// A task without references; they are set before its first step.
    pub(super) fn new(config: &MpoConfig, policy: Policy, pairs: &'a Pairs) -> Self {
        let objective = Objective::new(&config.objective);
        Self { policy, pairs, references: vec![], shift: RewardShift::default(), objective }
    }

    /// Means over other pairs, without gradients; δ stays as it is. The loss comes as `loss`.
    pub(super) fn measure(
        &mut self,
        pairs: &Pairs,
        references: &[Reference],
    ) -> Result<BTreeMap<String, f64>, Error> {
        let mut sums = BTreeMap::new();
        let share = 1.0 / pairs.len() as f64;
        for (index, reference) in references.iter().enumerate() {
            let (pack, input) = pairs.pack(&[index], &mut self.policy)?;
            let scored = self.policy.vlm.log_probs(&pack, input.borrow(), 1.0)?;
            let view = View { pack: &pack, scored: &scored, references: &[*reference] };
            let outcome = view.outcome(0, &self.objective, self.shift);
            *sums.entry("loss".to_owned()).or_insert(0.0) += outcome.terms.total.value * share;
            outcome.add_to(&mut sums, share);
        }
        Ok(sums)
    }
}

impl Objective {
    pub(super) fn new(config: &PreferenceConfig) -> Self {
        Self { beta: config.beta, weights: config.weights() }
    }
}

/// The scored trees of a pack, with their references.
struct View<'a> {
    pack: &'a Pack,
    scored: &'a LogProbs,
    references: &'a [Reference],
}

impl View<'_> {
    /// Tree `index` as the losses take it.
    fn pair(&self, index: usize) -> loss::Pair<'_> {
        let branch = |branch: usize| {
            let range = self.pack.sequences[2 * index + branch].clone();
            &self.scored.log_prob[range]
        };
        let Reference { chosen, rejected } = self.references[index];
        loss::Pair {
            chosen: branch(0),
            rejected: branch(1),
            reference_chosen: chosen,
            reference_rejected: rejected,
        }
    }

    /// Implicit rewards of all trees.
    fn rewards(&self, beta: f64) -> Vec<f64> {
        let rewards = (0..self.references.len()).map(|index| self.pair(index).rewards(beta));
        rewards.flat_map(|(chosen, rejected)| [chosen, rejected]).collect()
    }

    fn outcome(&self, index: usize, objective: &Objective, shift: RewardShift) -> Outcome {
        let pair = self.pair(index);
        Outcome {
            rewards: pair.rewards(objective.beta),
            log_probs: (sum(pair.chosen), sum(pair.rejected)),
            terms: loss::mpo(&pair, objective.beta, shift.mean, objective.weights),
        }
    }
}

impl Outcome {
    /// Adds this pair's share to means under TRL's names.
    fn add_to(&self, sums: &mut BTreeMap<String, f64>, share: f64) {
        let Self { rewards: (chosen, rejected), log_probs, terms } = self;
        let values = [
            ("rewards/chosen", *chosen),
            ("rewards/rejected", *rejected),
            ("rewards/margins", chosen - rejected),
            ("rewards/accuracies", f64::from(u8::from(chosen > rejected))),
            ("logps/chosen", log_probs.0),
            ("logps/rejected", log_probs.1),
            ("loss/preference", terms.preference.value),
            ("loss/quality", terms.quality.value),
            ("loss/generation", terms.generation.value),
        ];
        for (name, value) in values {
            *sums.entry(name.to_owned()).or_insert(0.0) += value * share;
        }
    }
}

impl Task for MpoTask<'_> {
    type Batch = Vec<usize>;

    fn count(&self, batch: &Vec<usize>) -> Counts {
        let pairs = batch.iter().map(|&index| &self.pairs.pairs[index]);
        let count = |pair: &super::pairs::Pair| Counts {
            tokens: (pair.chosen.len() + pair.rejected.len()) as u64,
            ..engine_counts(loss::Counts::pair())
        };
        pairs.map(count).sum()
    }

    fn samples(&self, batch: &Vec<usize>) -> Vec<String> {
        batch.iter().map(|&index| self.pairs.places[index].clone()).collect()
    }

    fn forward_backward(
        &mut self,
        batch: &Vec<usize>,
        totals: &Counts,
        gradients: &mut Gradients,
    ) -> Result<StepLoss, TaskError> {
        let (pack, input) = self.pairs.pack(batch, &mut self.policy)?;
        let references: Vec<_> = batch.iter().map(|&index| self.references[index]).collect();
        let (totals, mut loss) = (loss_counts(totals), StepLoss::default());
        let (objective, mut shift) = (self.objective, self.shift);
        let dlogp = |scored: &LogProbs| {
            let view = View { pack: &pack, scored, references: &references };
            shift = shift.updated(&view.rewards(objective.beta));
            let mut gradient = Vec::with_capacity(scored.log_prob.len());
            for index in 0..references.len() {
                let outcome = view.outcome(index, &objective, shift);
                let term = totals.mean(outcome.terms.total);
                loss.sample_values.push(term.value);
                outcome.add_to(&mut loss.metrics, 1.0 / totals.pairs as f64);
                for (branch, slope) in [(0, term.chosen), (1, term.rejected)] {
                    let num_tokens = pack.sequences[2 * index + branch].len();
                    gradient.extend(std::iter::repeat_n(slope as f32, num_tokens));
                }
            }
            gradient
        };
        let (vlm, pass) = (&self.policy.vlm, self.policy.pass(1.0));
        vlm.forward_backward(&pack, input.borrow(), pass, dlogp, gradients)?;
        self.shift = shift;
        loss.value = loss.sample_values.iter().sum();
        Ok(loss)
    }

    fn publish(&mut self, parameters: &Parameters) -> Result<(), TaskError> {
        self.policy.publish(parameters);
        Ok(())
    }
}
