//! The update: packs of prompts with their completions, and the clipped objective on them.

use std::collections::BTreeMap;

use advantage::{Entry, Mixed};
use engine::{Counts, Parameters, StepLoss, Task, TaskError};
use loss::{Completion, Objective, PolicyTerms, Reduction};
use model::pack::{Pack, Prefix};
use model::vlm::Images;
use tensor::Gradients;
use tensor::ops::LogProbs;

use super::GrpoConfig;
use super::group::{Group, Sampled};
use super::questions::Questions;
use crate::Error;
use crate::policy::{ImageInput, Policy, slots};
use crate::run::{engine_counts, loss_counts};

/// Completions of one prompt that an update sees together; the prompt's rows are computed once.
pub(super) struct Tree {
    pub question: usize,
    pub completions: Vec<Learned>,
}

/// A completion in an update.
pub(super) struct Learned {
    pub token_ids: Vec<u32>,
    pub advantage: f64,
    /// Log-probs it was drawn with; `None` where the policy is still the one that drew it.
    pub old: Option<Vec<f32>>,
}

/// The algorithm: how completions become a loss.
pub(super) struct GrpoTask<'a> {
    pub policy: Policy,
    questions: &'a Questions,
    objective: Objective,
    reduction: Reduction,
    temperature: f32,
    batch_size: usize,
    /// Where the loss holds the policy near the one the run began with.
    anchor: Option<Anchor>,
}

/// Two policies in one model: the values that train are swapped, and nothing else differs.
struct Anchor {
    reference: Parameters,
    current: Parameters,
}

impl<'a> GrpoTask<'a> {
    pub(super) fn new(
        config: &GrpoConfig,
        policy: Policy,
        questions: &'a Questions,
    ) -> Result<Self, Error> {
        let anchor = match config.objective.beta {
            0.0 => None,
            _ => {
                let reference = policy.parameters()?;
                Some(Anchor { current: reference.clone(), reference })
            }
        };
        Ok(Self {
            policy,
            questions,
            objective: config.objective(),
            reduction: config.reduction(),
            temperature: config.rollout.temperature,
            batch_size: config.batch.per_device_train_batch_size,
            anchor,
        })
    }

    /// The completions of mixed groups, as the buffer takes them.
    ///
    /// Their log-probs are the sampler's, which are those of the model at temperature 1; at another
    /// temperature they are computed anew.
    pub(super) fn entries(
        &mut self,
        groups: &[Group],
        step: u64,
    ) -> Result<Vec<Entry<Sampled>>, Error> {
        let mut entries = Vec::new();
        for group in groups.iter().filter(|group| group.is_effective()) {
            let log_probs = match self.temperature {
                1.0 => group.completions.iter().map(|c| c.logprobs.clone()).collect(),
                _ => self.log_probs(group)?,
            };
            let completions = group.completions.iter().zip(log_probs).zip(&group.advantages);
            entries.extend(completions.map(|((completion, log_probs), &advantage)| Entry {
                payload: Sampled {
                    question: group.question,
                    token_ids: completion.token_ids.clone(),
                },
                advantage: advantage as f32,
                log_probs,
                step,
            }));
        }
        Ok(entries)
    }

    /// The update's completions by prompt, in micro-batches that hold whole trees.
    pub(super) fn micro_batches(&self, mixed: &Mixed<Sampled>) -> Vec<Vec<Tree>> {
        let mut trees: BTreeMap<usize, Tree> = BTreeMap::new();
        for (index, entry) in mixed.entries.iter().enumerate() {
            let question = entry.payload.question;
            let tree =
                trees.entry(question).or_insert_with(|| Tree { question, completions: vec![] });
            tree.completions.push(Learned {
                token_ids: entry.payload.token_ids.clone(),
                advantage: f64::from(entry.advantage),
                old: (index >= mixed.num_fresh).then(|| entry.log_probs.clone()),
            });
        }
        let (mut batches, mut size) = (vec![Vec::new()], 0);
        for tree in trees.into_values() {
            size += tree.completions.len();
            if size > self.batch_size && batches.last().is_some_and(|batch| !batch.is_empty()) {
                batches.push(Vec::new());
                size = tree.completions.len();
            }
            batches.last_mut().expect("never empty").push(tree);
        }
        batches
    }

    /// Log-probs of a group's completions under the policy as it is, without gradients.
    pub(super) fn log_probs(&mut self, group: &Group) -> Result<Vec<Vec<f32>>, Error> {
        let completions = group.completions.iter().map(|completion| Learned {
            token_ids: completion.token_ids.clone(),
            advantage: 0.0,
            old: None,
        });
        let tree = Tree { question: group.question, completions: completions.collect() };
        let (pack, input) = self.pack(&[tree])?;
        let scored = self.policy.vlm.log_probs(&pack, input.borrow(), self.temperature)?;
        Ok(pack.sequences.iter().map(|range| scored.log_prob[range.clone()].to_vec()).collect())
    }

    fn pack(&mut self, batch: &[Tree]) -> Result<(Pack, ImageInput), Error> {
        let (mut pack, mut num_features) = (Pack::new(), 0);
        let prompts = || batch.iter().map(|tree| &self.questions.prompts[tree.question]);
        for (tree, prompt) in batch.iter().zip(prompts()) {
            let slots = slots(&prompt.image_rows, &mut num_features);
            let branches: Vec<_> =
                tree.completions.iter().map(|learned| learned.token_ids.as_slice()).collect();
            let places = prompt.places.as_deref();
            let prefix = Prefix { ids: &prompt.ids, images: &slots, places };
            pack.push_placed_tree(prefix, &branches);
        }
        let input = self.policy.image_input(prompts().map(|prompt| prompt.images.as_slice()))?;
        Ok((pack, input))
    }

    /// Log-probs of a pack under the reference: an adapter swap, not a second model.
    fn reference(&mut self, pack: &Pack, images: Images<'_>) -> Result<Option<Vec<f32>>, Error> {
        let Some(Anchor { reference, current }) = &self.anchor else { return Ok(None) };
        self.policy.publish(reference);
        let scored = self.policy.vlm.log_probs(pack, images, self.temperature);
        self.policy.publish(current);
        Ok(Some(scored?.log_prob))
    }
}

impl Task for GrpoTask<'_> {
    type Batch = Vec<Tree>;

    fn count(&self, batch: &Vec<Tree>) -> Counts {
        let completions = batch.iter().flat_map(|tree| &tree.completions);
        let count = |learned: &Learned| {
            engine_counts(loss::Counts::sequence(learned.token_ids.len(), self.reduction))
        };
        completions.map(count).sum()
    }

    fn samples(&self, batch: &Vec<Tree>) -> Vec<String> {
        let place = |tree: &Tree| {
            let place = &self.questions.places[tree.question];
            (1..=tree.completions.len()).map(move |n| format!("{place} (completion {n})"))
        };
        batch.iter().flat_map(place).collect()
    }

    fn forward_backward(
        &mut self,
        batch: &Vec<Tree>,
        totals: &Counts,
        gradients: &mut Gradients,
    ) -> Result<StepLoss, TaskError> {
        let (pack, input) = self.pack(batch)?;
        let reference = self.reference(&pack, input.borrow())?;
        let mut update = Update::new(self, batch, &pack, reference.as_deref(), totals);
        let (vlm, pass) = (&self.policy.vlm, self.policy.pass(self.temperature));
        let dlogp = |scored: &LogProbs| update.gradient(scored);
        let scored = vlm.forward_backward(&pack, input.borrow(), pass, dlogp, gradients)?;
        Ok(update.finish(&scored))
    }

    fn publish(&mut self, parameters: &Parameters) -> Result<(), TaskError> {
        self.policy.publish(parameters);
        if let Some(anchor) = &mut self.anchor {
            anchor.current = parameters.clone();
        }
        Ok(())
    }
}

/// The loss of one micro-batch: from log-probs to their gradient.
struct Update<'a> {
    completions: Vec<&'a Learned>,
    pack: &'a Pack,
    reference: Option<&'a [f32]>,
    objective: Objective,
    reduction: Reduction,
    totals: loss::Counts,
    loss: StepLoss,
    logged: PolicyTerms,
}

impl<'a> Update<'a> {
    fn new(
        task: &GrpoTask<'_>,
        batch: &'a [Tree],
        pack: &'a Pack,
        reference: Option<&'a [f32]>,
        totals: &Counts,
    ) -> Self {
        Self {
            completions: batch.iter().flat_map(|tree| &tree.completions).collect(),
            pack,
            reference,
            objective: task.objective,
            reduction: task.reduction,
            totals: loss_counts(totals),
            loss: StepLoss::default(),
            logged: PolicyTerms::default(),
        }
    }

    fn gradient(&mut self, scored: &LogProbs) -> Vec<f32> {
        let mut gradient = Vec::with_capacity(scored.log_prob.len());
        for (learned, range) in self.completions.iter().zip(&self.pack.sequences) {
            let completion = Completion {
                log_probs: &scored.log_prob[range.clone()],
                old: learned.old.as_deref(),
                reference: self.reference.map(|reference| &reference[range.clone()]),
                advantage: learned.advantage,
            };
            let policy = loss::grpo(&completion, &self.objective);
            let reduced = self.reduction.reduce(&policy.terms, &self.totals);
            self.loss.sample_values.push(reduced.value);
            gradient.extend(reduced.gradient);
            self.logged.num_clipped_low += policy.num_clipped_low;
            self.logged.num_clipped_high += policy.num_clipped_high;
            self.logged.kl += policy.kl;
        }
        gradient
    }

    fn finish(mut self, scored: &LogProbs) -> StepLoss {
        let num_tokens = self.totals.tokens.max(1) as f64;
        let entropy = scored.entropy.iter().map(|&value| f64::from(value)).sum::<f64>();
        let (low, high) = (self.logged.num_clipped_low, self.logged.num_clipped_high);
        let mut sums = vec![
            ("entropy", entropy),
            ("clip_ratio/low_mean", low as f64),
            ("clip_ratio/high_mean", high as f64),
            ("clip_ratio/region_mean", (low + high) as f64),
        ];
        sums.extend(self.reference.map(|_| ("kl", self.logged.kl)));
        let means = sums.into_iter().map(|(name, sum)| (name.to_owned(), sum / num_tokens));
        self.loss.metrics = means.collect();
        self.loss.value = self.loss.sample_values.iter().sum();
        self.loss
    }
}
