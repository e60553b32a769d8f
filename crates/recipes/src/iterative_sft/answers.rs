//! What the policy answers to a data set: which samples it gets wrong, and how its reasoning looks.

use std::path::PathBuf;

use data::{Dataset, prompt_of};
use reward::{Opening, format_flaw, repetition_rate, verify};
use rollout::{GenerateConfig, Sampling};
use schema::{Completion, FinishReason};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::Error;
use crate::choice::Look;
use crate::config::{ModelConfig, RunConfig};
use crate::journal::{Journal, Numbered};
use crate::policy::Policy;
use crate::run::Notice;

/// Samples answered together: what a kill may cost.
const TOGETHER: usize = 32;

/// Length of the token runs whose repetition counts.
const REPEATED_TOKENS: usize = 3;

/// The policy's answer to one sample.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Answered {
    pub sample: usize,
    pub completion: String,
    pub correct: bool,
    /// Thought and answer have their form, and the completion ended by itself.
    pub complete: bool,
    /// Share of token triples that occurred before.
    pub repetition: f64,
    pub num_tokens: usize,
}

impl Numbered for Answered {
    fn number(&self) -> usize {
        self.sample
    }
}

impl Answered {
    fn new(sample: usize, gold: &str, opening: Opening, completion: Completion) -> Self {
        let Completion { text, token_ids, finish_reason, .. } = completion;
        Self {
            sample,
            correct: verify(gold, &opening.response(&text)).equivalent,
            complete: finish_reason == FinishReason::Stop && format_flaw(&text, opening).is_none(),
            repetition: repetition_rate(&token_ids, REPEATED_TOKENS),
            num_tokens: token_ids.len(),
            completion: text,
        }
    }

    /// For the figures.
    pub(super) fn look(&self, max_repetition: f64) -> Look {
        Look {
            correct: self.correct,
            complete: self.complete,
            repetitive: self.repetition > max_repetition,
            num_tokens: self.num_tokens,
        }
    }
}

/// The policy that a stage has trained: in memory, or read from its checkpoint when it is first asked.
pub(super) struct Trained {
    pub model: ModelConfig,
    pub run: RunConfig,
    pub policy: Option<Policy>,
}

impl Trained {
    fn policy(&mut self) -> Result<&mut Policy, Error> {
        let policy = match self.policy.take() {
            Some(policy) => policy,
            None => Policy::load(&self.model, &self.run)?,
        };
        Ok(self.policy.insert(policy))
    }
}

/// How samples are answered, and where the answers are kept.
pub(super) struct Asking {
    /// What shapes the answers.
    pub settings: Map<String, Value>,
    pub journal: PathBuf,
    pub sampling: Sampling,
    pub max_completion_length: usize,
    /// The first so many samples are asked.
    pub limit: usize,
}

impl Asking {
    /// The answers to all samples that have a known one, in their order. What stands in the journal is not asked
    /// again.
    ///
    /// # Errors
    /// A sample that cannot be rendered; a journal of other settings; a file that cannot be written.
    pub(super) fn answers(
        &self,
        dataset: &Dataset,
        trained: &mut Trained,
        notices: &mut dyn FnMut(&Notice),
    ) -> Result<Vec<Answered>, Error> {
        let mut journal: Journal<Answered> = Journal::open(&self.journal, &self.settings)?;
        let asked: Vec<usize> = (0..dataset.samples.len().min(self.limit))
            .filter(|&index| dataset.samples[index].answer.is_some())
            .collect();
        let missing: Vec<usize> =
            asked.iter().copied().filter(|index| !journal.entries.contains_key(index)).collect();
        for together in missing.chunks(TOGETHER) {
            for answered in self.ask(dataset, together, trained.policy()?)? {
                journal.add(answered)?;
            }
            notices(&Notice::Answered { done: journal.entries.len(), total: asked.len() });
        }
        Ok(journal.entries.into_values().collect())
    }

    fn ask(
        &self,
        dataset: &Dataset,
        samples: &[usize],
        policy: &mut Policy,
    ) -> Result<Vec<Answered>, Error> {
        let (mut prompts, mut openings) = (Vec::new(), Vec::new());
        for &index in samples {
            let place = dataset.place(index);
            let prompt = prompt_of(&dataset.samples[index]);
            let prompt = policy.processor.prompt(&prompt, dataset.folder());
            let prompt = prompt.map_err(Error::of_sample(&place))?;
            let features = policy.features(&prompt.images).map_err(Error::of_sample(&place))?;
            openings.push(match prompt.opens_thought() {
                true => Opening::InPrompt,
                false => Opening::InCompletion,
            });
            prompts.push(rollout::Prompt::new(&prompt, features, index as u64));
        }
        let (sampling, length) = (self.sampling.clone(), self.max_completion_length);
        let config = GenerateConfig::new(&policy.processor, sampling, length);
        let (vlm, tokenizer) = (&policy.vlm, &policy.processor.tokenizer);
        let groups = rollout::generate(vlm, tokenizer, &prompts, &config, &mut |_| {})?;
        let completions = groups.into_iter().flatten().zip(samples.iter().zip(openings));
        Ok(completions
            .map(|(completion, (&index, opening))| {
                let gold = dataset.samples[index].answer.as_deref().unwrap_or_default();
                Answered::new(index, gold, opening, completion)
            })
            .collect())
    }
}
