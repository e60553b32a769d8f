//! A model of ours that is asked in words, in this process.

use anyhow::Result;
use judge::{Decoding, Done, Failure, Request, Respond, Response};
use preprocess::{Processor, Prompt};
use rollout::{GenerateConfig, Sampling};
use schema::FinishReason;

use crate::args::ModelArgs;
use crate::commands::generate;
use crate::loaded::Loaded;
use crate::progress::Progress;

/// Completions in the running batch together: a killed run loses no more.
const BATCH: usize = 64;

/// An assembled model, its weights loaded when it is first asked.
pub(crate) struct LocalModel {
    args: ModelArgs,
    processor: Processor,
    loaded: Option<Loaded>,
    progress: Progress,
}

impl LocalModel {
    /// Reads all but the weights.
    pub(crate) fn open(args: ModelArgs, progress: &Progress) -> Result<Self> {
        let processor = Processor::load(&args.model)?;
        Ok(Self { args, processor, loaded: None, progress: progress.clone() })
    }

    /// Completes requests of equal decoding, those whose prompts can be read.
    fn complete(&mut self, batch: &[(usize, &Request<'_>)], done: &mut Done<'_>) {
        let decoding = batch[0].1.decoding;
        let limit = self.processor.context_length;
        let mut places = Vec::with_capacity(batch.len());
        let mut prompts = Vec::with_capacity(batch.len());
        for (index, request) in batch {
            match self.prompt(request, limit) {
                Ok((length, prompt)) => {
                    places.push((*index, length));
                    prompts.push(prompt);
                }
                Err(error) => done(*index, Err(failed(&error))),
            }
        }
        match self.generate(&prompts, decoding, &places) {
            Ok(responses) => {
                for ((index, _), response) in places.iter().zip(responses) {
                    done(*index, Ok(response));
                }
            }
            Err(error) => {
                places.iter().for_each(|(index, _)| done(*index, Err(failed(&error))));
            }
        }
    }

    fn prompt(&mut self, request: &Request<'_>, limit: usize) -> Result<(usize, rollout::Prompt)> {
        let prompt: Prompt = self.processor.prompt(&request.prompt, request.folder)?;
        let length = prompt.ids.len();
        anyhow::ensure!(length < limit, "the prompt has {length} tokens, the context {limit}");
        let features = self.loaded()?.features(&prompt.images)?;
        Ok((length, rollout::Prompt::new(&prompt, features, request.stream)))
    }

    fn generate(
        &mut self,
        prompts: &[rollout::Prompt],
        decoding: Decoding,
        places: &[(usize, usize)],
    ) -> Result<Vec<Response>> {
        let Some(longest) = places.iter().map(|(_, length)| *length).max() else {
            return Ok(vec![]);
        };
        let sampling = Sampling {
            temperature: decoding.temperature as f32,
            top_k: 0,
            top_p: decoding.top_p as f32,
            repetition_penalty: decoding.repetition_penalty as f32,
            seed: decoding.seed,
        };
        let max_new_tokens = decoding.max_new_tokens as usize;
        let mut config = GenerateConfig::new(&self.processor, sampling, max_new_tokens);
        let rows = (longest + max_new_tokens).min(config.context_length);
        config.cache_bytes = config.cache_bytes.max(self.loaded()?.cache_bytes(rows));
        let model = self.args.model.display().to_string();
        let tokenizer = &self.processor.tokenizer;
        let vlm = &self.loaded.as_ref().expect("it was loaded above").vlm;
        let groups = rollout::generate(vlm, tokenizer, prompts, &config, &mut |_| {})?;
        let response =
            |(completion, (_, length)): (schema::Completion, &(usize, usize))| Response {
                is_cut: completion.finish_reason == FinishReason::Length,
                model: model.clone(),
                prompt_tokens: *length as u64,
                completion_tokens: completion.token_ids.len() as u64,
                cost: 0.0,
                text: completion.text,
            };
        Ok(groups.into_iter().flatten().zip(places).map(response).collect())
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
        generate::identity(&self.args)
    }

    fn respond(&mut self, requests: &[Request<'_>], done: &mut Done<'_>) {
        let mut order: Vec<(usize, &Request<'_>)> = requests.iter().enumerate().collect();
        // One running batch has one penalty; the sort is stable, so equals stay in order.
        order.sort_by(|(_, a), (_, b)| {
            a.decoding.repetition_penalty.total_cmp(&b.decoding.repetition_penalty)
        });
        for equal in order.chunk_by(|(_, a), (_, b)| a.decoding == b.decoding) {
            equal.chunks(BATCH).for_each(|batch| self.complete(batch, done));
        }
    }
}

fn failed(error: &anyhow::Error) -> Failure {
    Failure::Failed { reason: format!("{error:#}") }
}
