//! The update: packs of prompts with their completions, and the clipped objective on them.

use advantage::Entry;
use engine::{Counts, Parameters, StepLoss, Task, TaskError};
use loss::{Completion, Objective, PolicyTerms, Reduction, Sampled as DrawnWith};
use model::pack::{Pack, Prefix};
use model::vlm::Images;
use tensor::Gradients;
use tensor::ops::LogProbs;

use super::GrpoConfig;
use super::group::{Group, Sampled, is_truncated};
use super::lesson::{Learned, Lesson, Tree};
use super::questions::Questions;
use crate::Error;
use crate::policy::{ImageInput, Policy, slots};
use crate::run::{engine_counts, loss_counts};

/// The algorithm: how completions become a loss.
pub(super) struct GrpoTask<'a> {
    pub policy: Policy,
    config: &'a GrpoConfig,
    questions: &'a Questions,
    /// Where the policy is measured against the one the run began with, or held near it.
    anchor: Option<Anchor>,
}

/// Two policies in one model: the values that train are swapped, and nothing else differs.
struct Anchor {
    reference: Parameters,
    current: Parameters,
}

impl<'a> GrpoTask<'a> {
    pub(super) fn new(
        config: &'a GrpoConfig,
        policy: Policy,
        questions: &'a Questions,
    ) -> Result<Self, Error> {
        let anchor = match config.measures_kl() {
            false => None,
            true => {
                let reference = policy.parameters()?;
                Some(Anchor { current: reference.clone(), reference })
            }
        };
        Ok(Self { policy, config, questions, anchor })
    }

    /// The completions of mixed groups, as the buffer takes them, less those that the loss is not to see; whole groups
    /// until the update is full.
    ///
    /// Their log-probs are the sampler's, which are those of the model at temperature 1; at another
    /// temperature they are computed anew.
    pub(super) fn entries(&mut self, groups: &[Group]) -> Result<Vec<Entry<Sampled>>, Error> {
        let mut entries = Vec::new();
        for group in groups.iter().filter(|group| group.is_effective()) {
            let is_over =
                entries.len() + self.config.num_seen(group) > self.config.num_completions();
            if is_over {
                break;
            }
            let log_probs = match self.config.rollout.temperature {
                1.0 => group.completions.iter().map(|c| c.logprobs.clone()).collect(),
                _ => {
                    let ids = group.completions.iter().map(|c| c.token_ids.as_slice());
                    self.log_probs(group.question, ids)?
                }
            };
            let completions = group.completions.iter().zip(log_probs).zip(&group.advantages);
            let seen = completions.filter(|((completion, _), _)| self.config.sees(completion));
            entries.extend(seen.map(|((completion, log_probs), &advantage)| Entry {
                payload: Sampled {
                    question: group.question,
                    token_ids: completion.token_ids.clone(),
                },
                advantage: advantage as f32,
                log_probs,
                step: group.origin.version + 1,
                group: group.origin.stream,
            }));
        }
        Ok(entries)
    }

    /// Sees to the log-probs that later updates on a rollout take their ratio to.
    pub(super) fn prepare(&mut self, lesson: &mut Lesson) -> Result<(), Error> {
        let is_repeated = self.config.updates_per_rollout() > 1;
        if !is_repeated || !self.config.corrects_importance() {
            return Ok(());
        }
        for entry in &lesson.mixed.entries[..lesson.mixed.num_fresh] {
            let Sampled { question, token_ids } = &entry.payload;
            lesson.before.extend(self.log_probs(*question, [token_ids.as_slice()].into_iter())?);
        }
        Ok(())
    }

    /// Log-probs of completions of one question under the policy as it is, without gradients.
    pub(super) fn log_probs<'b>(
        &mut self,
        question: usize,
        completions: impl Iterator<Item = &'b [u32]>,
    ) -> Result<Vec<Vec<f32>>, Error> {
        let completions: Vec<&[u32]> = completions.collect();
        let temperature = self.config.rollout.temperature;
        let (pack, scored) =
            score(&mut self.policy, self.questions, (question, &completions), temperature)?;
        Ok(pack.sequences.iter().map(|range| scored.log_prob[range.clone()].to_vec()).collect())
    }

    /// Log-probs of a pack under the reference: an adapter swap, not a second model.
    fn reference(&mut self, pack: &Pack, images: Images<'_>) -> Result<Option<Vec<f32>>, Error> {
        let Some(Anchor { reference, current }) = &self.anchor else { return Ok(None) };
        self.policy.publish(reference);
        let scored = self.policy.vlm.log_probs(pack, images, self.config.rollout.temperature);
        self.policy.publish(current);
        Ok(Some(scored?.log_prob))
    }
}

impl GrpoConfig {
    /// Whether the loss sees a completion.
    fn sees(&self, completion: &schema::Completion) -> bool {
        !(self.objective.mask_truncated_completions && is_truncated(completion))
    }

    /// Completions of a group that the loss sees: none where all are right or all wrong.
    pub(super) fn num_seen(&self, group: &Group) -> usize {
        let seen = || group.completions.iter().filter(|completion| self.sees(completion)).count();
        if group.is_effective() { seen() } else { 0 }
    }
}

/// Log-probs and entropies of completions of one question, without gradients.
pub(super) fn score(
    policy: &mut Policy,
    questions: &Questions,
    (question, completions): (usize, &[&[u32]]),
    temperature: f32,
) -> Result<(Pack, LogProbs), Error> {
    let (pack, input) = pack(policy, questions, &[(question, completions.to_vec())])?;
    let scored = policy.vlm.log_probs(&pack, input.borrow(), temperature)?;
    Ok((pack, scored))
}

/// Prompts with completions, and what their images contribute.
fn pack(
    policy: &mut Policy,
    questions: &Questions,
    trees: &[(usize, Vec<&[u32]>)],
) -> Result<(Pack, ImageInput), Error> {
    let (mut pack, mut num_features) = (Pack::new(), 0);
    let prompts = || trees.iter().map(|(question, _)| &questions.prompts[*question]);
    for ((_, branches), prompt) in trees.iter().zip(prompts()) {
        let slots = slots(&prompt.image_rows, &mut num_features);
        let places = prompt.places.as_deref();
        let prefix = Prefix { ids: &prompt.ids, images: &slots, places };
        pack.push_placed_tree(prefix, branches);
    }
    let input = policy.image_input(prompts().map(|prompt| prompt.images.as_slice()))?;
    Ok((pack, input))
}

impl Task for GrpoTask<'_> {
    type Batch = Vec<Tree>;

    /// What was rethought is learned beside the rollout and takes nothing of its mean.
    fn count(&self, batch: &Vec<Tree>) -> Counts {
        let reduction = self.config.reduction();
        let completions = batch.iter().flat_map(|tree| &tree.completions);
        let completions = completions.filter(|learned| !learned.is_rethought);
        let count = |learned: &Learned| {
            engine_counts(loss::Counts::sequence(learned.token_ids.len(), reduction))
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
        let trees: Vec<_> = batch.iter().map(|tree| (tree.question, tree.branches())).collect();
        let (pack, input) = pack(&mut self.policy, self.questions, &trees)?;
        let reference = self.reference(&pack, input.borrow())?;
        let mut update = Update::new(self.config, batch, &pack, reference.as_deref(), totals);
        let temperature = self.config.rollout.temperature;
        let (vlm, pass) = (&self.policy.vlm, self.policy.pass(temperature));
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
    config: &'a GrpoConfig,
    completions: Vec<&'a Learned>,
    pack: &'a Pack,
    reference: Option<&'a [f32]>,
    /// Of fresh completions, and of buffered ones.
    objectives: [Objective; 2],
    reduction: Reduction,
    totals: loss::Counts,
    loss: StepLoss,
    logged: PolicyTerms,
}

impl<'a> Update<'a> {
    fn new(
        config: &'a GrpoConfig,
        batch: &'a [Tree],
        pack: &'a Pack,
        reference: Option<&'a [f32]>,
        totals: &Counts,
    ) -> Self {
        Self {
            config,
            completions: batch.iter().flat_map(|tree| &tree.completions).collect(),
            pack,
            reference,
            objectives: [config.objective(), config.replay_objective()],
            reduction: config.reduction(),
            totals: loss_counts(totals),
            loss: StepLoss::default(),
            logged: PolicyTerms::default(),
        }
    }

    fn gradient(&mut self, scored: &LogProbs) -> Vec<f32> {
        let cap = self.config.objective.importance_sampling_cap();
        let mut gradient = Vec::with_capacity(scored.log_prob.len());
        for (learned, range) in self.completions.iter().zip(&self.pack.sequences) {
            let reference = self.reference.filter(|_| !learned.is_rethought);
            let completion = Completion {
                log_probs: &scored.log_prob[range.clone()],
                old: learned.old.as_deref(),
                reference: reference.map(|reference| &reference[range.clone()]),
                sampled: learned.sampled.as_deref().map(|log_probs| DrawnWith { log_probs, cap }),
                advantage: learned.advantage,
            };
            let mut objective = self.objectives[usize::from(learned.is_replayed)];
            if learned.is_rethought {
                objective.kl.beta = 0.0;
            }
            let policy = loss::grpo(&completion, &objective);
            let reduced = self.reduction.reduce(&policy.terms, &self.totals);
            self.loss.sample_values.push(reduced.value);
            gradient.extend(reduced.gradient);
            self.logged.num_clipped_low += policy.num_clipped_low;
            self.logged.num_clipped_high += policy.num_clipped_high;
            self.logged.num_capped += policy.num_capped;
            self.logged.kl += policy.kl;
            self.logged.importance += policy.importance;
        }
        gradient
    }

    fn finish(mut self, scored: &LogProbs) -> StepLoss {
        let num_tokens = self.totals.tokens.max(1) as f64;
        let counted = self.completions.iter().zip(&self.pack.sequences);
        let counted = counted.filter(|(learned, _)| !learned.is_rethought);
        let entropies = counted.flat_map(|(_, range)| &scored.entropy[range.clone()]);
        let entropy = entropies.map(|&value| f64::from(value)).sum::<f64>();
        let (low, high) = (self.logged.num_clipped_low, self.logged.num_clipped_high);
        let mut sums = vec![
            ("entropy", entropy),
            ("clip_ratio/low_mean", low as f64),
            ("clip_ratio/high_mean", high as f64),
            ("clip_ratio/region_mean", (low + high) as f64),
        ];
        let caps = self.config.objective.delta.or(self.config.buffer.replay_importance_cap);
        sums.extend(caps.map(|_| ("clip_ratio/capped_mean", self.logged.num_capped as f64)));
        sums.extend(self.reference.map(|_| ("kl", self.logged.kl)));
        if self.config.corrects_importance() {
            sums.push(("sampling/importance_sampling_ratio/mean", self.logged.importance));
        }
        let means = sums.into_iter().map(|(name, sum)| (name.to_owned(), sum / num_tokens));
        self.loss.metrics = means.collect();
        self.loss.value = self.loss.sample_values.iter().sum();
        self.loss
    }
}
