//! A model of ours that is asked in words, in this process.

use anyhow::Result;
use judge::{Decoding, Done, Failure, Request, Respond, Response};
use preprocess::{Processor, Prompt};
use rollout::{GenerateConfig, Sampling};
use schema::{Completion, FinishReason};

use crate::args::ModelArgs;
use crate::commands::generate;
use crate::loaded::Loaded;
use crate::progress::Progress;

/// Completions in the running batch together: a killed run loses no more.
const BATCH: usize = 64;

/// An assembled model, its weights loaded when it is first asked.
pub(crate) struct LocalModel {
    args: ModelArgs,
    identity: String,
    processor: Processor,
    loaded: Option<Loaded>,
    progress: Progress,
}

impl LocalModel {
    /// Reads all but the weights.
    pub(crate) fn open(args: ModelArgs, progress: &Progress) -> Result<Self> {
        let processor = Processor::load(&args.model)?;
        let identity = generate::identity(&args);
        Ok(Self { args, identity, processor, loaded: None, progress: progress.clone() })
    }

    /// Completes requests in one running batch, those whose prompts can be read.
    fn complete(&mut self, batch: &[(usize, &Request<'_>)], done: &mut Done<'_>) {
        let (mut places, mut asked) = (Vec::with_capacity(batch.len()), Vec::new());
        for (index, request) in batch {
            match self.asked(request) {
                Ok(one) => {
                    places.push(*index);
                    asked.push(one);
                }
                Err(error) => done(*index, Err(failed(&error))),
            }
        }
        match self.responses(&asked) {
            Ok(responses) => {
                places.iter().zip(responses).for_each(|(&index, it)| done(index, Ok(it)));
            }
            Err(error) => places.iter().for_each(|&index| done(index, Err(failed(&error)))),
        }
    }

    /// The prompt, and how it is to be completed.
    fn asked(&mut self, request: &Request<'_>) -> Result<(rollout::Prompt, GenerateConfig)> {
        let prompt: Prompt = self.processor.prompt(&request.prompt, request.folder)?;
        let (length, limit) = (prompt.ids.len(), self.processor.context_length);
        anyhow::ensure!(length < limit, "the prompt has {length} tokens, the context {limit}");
        let Decoding { max_new_tokens, temperature, top_p, repetition_penalty, seed } =
            request.decoding;
        let sampling = Sampling {
            temperature: temperature as f32,
            top_k: 0,
            top_p: top_p as f32,
            repetition_penalty: repetition_penalty as f32,
            seed,
        };
        let loaded = self.loaded()?;
        let features = loaded.features(&prompt.images)?;
        let rows = (length + max_new_tokens as usize).min(limit);
        let cache_bytes = rollout::CACHE_BYTES.max(loaded.cache_bytes(rows));
        let config = GenerateConfig::new(&self.processor, sampling, max_new_tokens as usize);
        let prompt = rollout::Prompt::new(&prompt, features, request.stream);
        Ok((prompt, GenerateConfig { cache_bytes, ..config }))
    }

    fn responses(&self, asked: &[(rollout::Prompt, GenerateConfig)]) -> Result<Vec<Response>> {
        let Some(Loaded { vlm, .. }) = &self.loaded else { return Ok(vec![]) };
        let model = self.args.model.display().to_string();
        let groups = rollout::generate_each(vlm, &self.processor.tokenizer, asked)?;
        let response = |(completion, (prompt, _)): (Completion, &(rollout::Prompt, _))| Response {
            is_cut: completion.finish_reason == FinishReason::Length,
            model: model.clone(),
            prompt_tokens: prompt.ids.len() as u64,
            completion_tokens: completion.token_ids.len() as u64,
            cost: 0.0,
            text: completion.text,
        };
        Ok(groups.into_iter().flatten().zip(asked).map(response).collect())
    }

    fn loaded(&mut self) -> Result<&mut Loaded> {
        match &mut self.loaded {
            Some(loaded) => Ok(loaded),
            empty => Ok(empty.insert(Loaded::open(&self.args, &self.progress)?)),
        }
    }
}

impl Respond for LocalModel {
    fn identity(&self) -> String {
        self.identity.clone()
    }

    fn respond(&mut self, requests: &[Request<'_>], done: &mut Done<'_>) {
        let all: Vec<(usize, &Request<'_>)> = requests.iter().enumerate().collect();
        all.chunks(BATCH).for_each(|batch| self.complete(batch, done));
    }
}

fn failed(error: &anyhow::Error) -> Failure {
    Failure::Failed { reason: format!("{error:#}") }
}
