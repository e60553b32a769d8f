//! Responses of the policy, and continuations that do not see the image.

use std::path::Path;

use data::{Dataset, prompt_of};
use rollout::GenerateConfig;
use schema::Completion;

use super::entry::{Dropout, Entry, Response};
use super::score::Scoring;
use super::select::{best, candidates, first_half};
use super::{PreferencesConfig, Statistics, known};
use crate::Error;
use crate::journal::Journal;
use crate::policy::Policy;
use crate::run::Notice;

/// Prompts sampled together: what a kill may cost.
const PROMPTS_AT_ONCE: usize = 32;

/// The draws of a continuation are named by its prompt's number and this.
const DROPOUT_STREAM: u64 = 1 << 40;

/// DropoutNTP's sampling (arXiv:2411.10442): temperature, `top_k`, and the most tokens.
const DROPOUT_SAMPLING: (f32, usize, usize) = (0.7, 50, 2048);

/// The best response to a prompt, to be continued from its middle without the image.
struct HalfResponse {
    chosen: String,
    /// Ids of the prompt without its images.
    prompt: Vec<u32>,
    /// Ids of the first half.
    half: Vec<u32>,
}

/// What answers and what scores.
pub(super) struct Sampling<'a, 's> {
    pub config: &'a PreferencesConfig,
    pub dataset: &'a Dataset,
    pub policy: Policy,
    pub scoring: Scoring<'a, 's>,
}

impl Sampling<'_, '_> {
    /// Samples and scores every prompt that the journal lacks; one that is longer than the context is entered empty.
    pub(super) fn fill(
        &mut self,
        journal: &mut Journal<Entry>,
        notices: &mut dyn FnMut(&Notice),
    ) -> Result<(), Error> {
        let total = self.dataset.samples.len();
        let missing: Vec<usize> =
            (0..total).filter(|prompt| !journal.entries.contains_key(prompt)).collect();
        for prompts in missing.chunks(PROMPTS_AT_ONCE) {
            for entry in self.entries(prompts, notices)? {
                journal.add(entry)?;
            }
            notices(&Notice::Sampled { done: journal.entries.len(), total });
        }
        let count = missing.iter().filter(|prompt| journal.entries[*prompt].is_too_long()).count();
        if count > 0 {
            let max_length = self.policy.processor.context_length;
            notices(&Notice::TooLong { count, max_length });
        }
        Ok(())
    }

    fn entries(
        &mut self,
        prompts: &[usize],
        notices: &mut dyn FnMut(&Notice),
    ) -> Result<Vec<Entry>, Error> {
        let mut entries = self.respond(prompts, notices)?;
        for entry in &mut entries {
            self.scoring.score(entry, notices)?;
        }
        if self.config.build.dropout_ntp {
            self.drop_images(&mut entries)?;
        }
        Ok(entries)
    }

    /// The sampled responses of some prompts.
    fn respond(
        &mut self,
        prompts: &[usize],
        notices: &mut dyn FnMut(&Notice),
    ) -> Result<Vec<Entry>, Error> {
        let (mut inputs, mut entries, mut too_long) = (Vec::new(), Vec::new(), Vec::new());
        for &prompt in prompts {
            let place = self.dataset.place(prompt);
            let sample = prompt_of(&self.dataset.samples[prompt]);
            let rendered = match self.policy.processor.prompt(&sample, self.dataset.folder()) {
                Err(preprocess::Error::TooLong { .. }) => {
                    too_long.push(Entry::new(prompt, false));
                    continue;
                }
                rendered => rendered.map_err(Error::of_sample(&place))?,
            };
            let features = self.policy.features(&rendered.images);
            let features = features.map_err(Error::of_sample(&place))?;
            inputs.push(rollout::Prompt::new(&rendered, features, prompt as u64));
            entries.push(Entry::new(prompt, rendered.opens_thought()));
        }
        let build = &self.config.build;
        let sampling = build.sampling(self.config.run.seed);
        let config = GenerateConfig {
            num_samples: build.num_generations,
            ..GenerateConfig::new(&self.policy.processor, sampling, build.max_completion_length)
        };
        let mut progress = |progress: rollout::Progress| {
            notices(&Notice::Rollout { done: progress.num_done, total: progress.num_total });
        };
        let completions = self.generate(&inputs, &config, &mut progress)?;
        for (entry, group) in entries.iter_mut().zip(completions) {
            entry.responses = group.into_iter().map(response).collect();
        }
        entries.extend(too_long);
        Ok(entries)
    }

    fn generate(
        &self,
        prompts: &[rollout::Prompt],
        config: &GenerateConfig,
        progress: &mut dyn FnMut(rollout::Progress),
    ) -> Result<Vec<Vec<Completion>>, Error> {
        let (vlm, tokenizer) = (&self.policy.vlm, &self.policy.processor.tokenizer);
        Ok(rollout::generate(vlm, tokenizer, prompts, config, progress)?)
    }

    /// Continues half of the best response of each prompt that has an image and no known answer.
    fn drop_images(&self, entries: &mut [Entry]) -> Result<(), Error> {
        let (mut inputs, mut halves) = (Vec::new(), Vec::new());
        for (index, entry) in entries.iter().enumerate() {
            let Some(HalfResponse { chosen, prompt, half }) = self.half_response(entry)? else {
                continue;
            };
            let stream = DROPOUT_STREAM + entry.prompt as u64;
            inputs.push(rollout::Prompt::text([prompt, half.clone()].concat(), stream));
            halves.push((index, chosen, half));
        }
        let (temperature, top_k, length) = DROPOUT_SAMPLING;
        let sampling = rollout::Sampling {
            temperature,
            top_k,
            top_p: 1.0,
            ..self.config.build.sampling(self.config.run.seed)
        };
        let length = length.min(self.config.build.max_completion_length);
        let config = GenerateConfig::new(&self.policy.processor, sampling, length);
        let completions = self.generate(&inputs, &config, &mut |_| {})?;
        for ((index, chosen, half), group) in halves.into_iter().zip(completions) {
            for Completion { token_ids, finish_reason, .. } in group {
                let ids = [half.as_slice(), &token_ids].concat();
                let text = self.policy.processor.tokenizer.decode(&ids)?;
                let rejected = Response { text, finish_reason, score: None };
                entries[index].dropout = Some(Dropout { chosen: chosen.clone(), rejected });
            }
        }
        Ok(())
    }

    /// What is continued for a prompt, if anything is.
    fn half_response(&self, entry: &Entry) -> Result<Option<HalfResponse>, Error> {
        let sample = &self.dataset.samples[entry.prompt];
        let known = known(&self.config.build, None, entry);
        let candidates = candidates(&entry.responses, &known, &mut Statistics::default());
        let prompt = prompt_of(sample);
        if prompt.image_sources().next().is_none() {
            return Ok(None);
        }
        let blind = prompt.without_images();
        let best = best(&candidates).map(|index| candidates[index].text);
        let Some(chosen) = best.filter(|_| sample.answer.is_none()) else { return Ok(None) };
        let half = first_half(chosen);
        if half.is_empty() {
            return Ok(None);
        }
        let prompt = self.policy.processor.prompt(&blind, Path::new(""))?;
        let half = self.policy.processor.tokenizer.encode(half)?;
        Ok(Some(HalfResponse { chosen: chosen.to_owned(), prompt: prompt.ids, half }))
    }
}

fn response(completion: Completion) -> Response {
    let Completion { text, finish_reason, .. } = completion;
    Response { text, finish_reason, score: None }
}
