//! Completions of many prompts at once: one running batch over one key/value cache.
//!
//! This file says what is asked for; the running batch is `batch`, the rules that end a completion
//! are `sequence`.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::cache::KvCache;
use model::vlm::Vlm;
use preprocess::{Processor, Tokenizer};
use schema::Completion;
use serde::{Deserialize, Serialize};

use crate::Error;
use crate::batch::{Batch, rows_of_all};
use crate::drawing::Drawing;
use crate::prompt::Prompt;
use crate::sampler::Sampling;

/// Key/value cache that [`GenerateConfig::new`] allows: half a gibibyte.
pub const CACHE_BYTES: usize = 1 << 29;

/// What is generated and when it ends.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GenerateConfig {
    /// How tokens are chosen.
    pub sampling: Sampling,
    /// Completions for each prompt: the size of a group.
    pub num_samples: usize,
    /// The most tokens of a completion.
    pub max_new_tokens: usize,
    /// The most tokens of prompt and completion together.
    pub context_length: usize,
    /// Tokens that end a completion.
    pub stop_ids: Vec<u32>,
    /// Texts that end a completion; the text is cut before them, the tokens are all kept.
    pub stop_strings: Vec<String>,
    /// Tokens that are never chosen. The image token always is among them.
    pub banned_ids: Vec<u32>,
    /// Memory for keys and values.
    pub cache_bytes: usize,
}

impl GenerateConfig {
    /// One completion for each prompt, with the model's own stop tokens and context.
    pub fn new(processor: &Processor, sampling: Sampling, max_new_tokens: usize) -> Self {
        Self {
            sampling,
            num_samples: 1,
            max_new_tokens,
            context_length: processor.context_length,
            stop_ids: processor.stop_ids.clone(),
            stop_strings: Vec::new(),
            banned_ids: Vec::new(),
            cache_bytes: CACHE_BYTES,
        }
    }

    /// Refuses values outside their range, naming the key and the value.
    pub fn validate(&self) -> Result<(), Error> {
        let counts = [
            ("num_samples", self.num_samples),
            ("max_new_tokens", self.max_new_tokens),
            ("context_length", self.context_length),
        ];
        for (key, count) in counts {
            if count == 0 {
                return Err(Error::Setting { key, value: 0.0, expected: "at least 1" });
            }
        }
        self.sampling.validate()
    }

    /// The most tokens that may follow a prompt of `length`.
    pub(crate) fn limit(&self, length: usize) -> usize {
        self.max_new_tokens.min(self.context_length.saturating_sub(length))
    }
}

/// How far generation is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Tokens drawn.
    pub num_tokens: usize,
    /// Completions that have ended.
    pub num_done: usize,
    /// Completions asked for.
    pub num_total: usize,
    /// Completions in the running batch.
    pub num_running: usize,
}

/// Generates `num_samples` completions of every prompt, less those it knows; results stand in the order of the prompts.
///
/// `progress` is called after every step of the batch. For the same seed, stream and settings a
/// prompt's completions are the same whatever else is in the batch.
///
/// # Errors
///
/// Before anything runs: a setting out of range, a prompt that is empty, longer than the context or
/// too large for the cache, features that do not match the image rows. Later: logits that are not
/// finite.
pub fn generate(
    vlm: &Vlm,
    tokenizer: &Tokenizer,
    prompts: &[Prompt],
    config: &GenerateConfig,
    progress: &mut dyn FnMut(Progress),
) -> Result<Vec<Vec<Completion>>, Error> {
    generate_heard(vlm, tokenizer, prompts, config, &mut |heard| {
        if let Heard::Progress(so_far) = heard {
            progress(so_far);
        }
    })
}

/// What [`generate_heard`] tells while it runs.
#[derive(Clone, Copy, Debug)]
pub enum Heard<'a> {
    /// After every step of the batch.
    Progress(Progress),
    /// A token has been drawn.
    Token {
        /// Which of the prompts.
        prompt: usize,
        /// Which of its samples, from 0.
        sample: usize,
        /// The token.
        id: u32,
    },
    /// A completion has ended: nothing more will happen to it.
    Completion {
        /// Which of the prompts.
        prompt: usize,
        /// Which of its samples, from 0.
        sample: usize,
        /// The completion.
        completion: &'a Completion,
    },
}

/// As [`generate`], telling of each completion as soon as it has ended, so that it can be kept.
///
/// # Errors
///
/// As [`generate`].
pub fn generate_heard(
    vlm: &Vlm,
    tokenizer: &Tokenizer,
    prompts: &[Prompt],
    config: &GenerateConfig,
    hear: &mut dyn FnMut(Heard<'_>),
) -> Result<Vec<Vec<Completion>>, Error> {
    let drawing = Arc::new(Drawing::new(config.clone(), tokenizer, vlm)?);
    let drawn: Vec<_> = prompts.iter().map(|prompt| (prompt, drawing.clone())).collect();
    run(vlm, &drawn, hear)
}

/// As [`generate`], each prompt with settings of its own, in the memory of the most generous.
///
/// # Errors
///
/// As [`generate`].
pub fn generate_each(
    vlm: &Vlm,
    tokenizer: &Tokenizer,
    asked: &[(Prompt, GenerateConfig)],
) -> Result<Vec<Vec<Completion>>, Error> {
    let mut drawn = Vec::with_capacity(asked.len());
    for (prompt, config) in asked {
        drawn.push((prompt, Arc::new(Drawing::new(config.clone(), tokenizer, vlm)?)));
    }
    run(vlm, &drawn, &mut |_| {})
}

/// Runs one batch of prompts, each with how it is drawn, to its end.
fn run(
    vlm: &Vlm,
    drawn: &[(&Prompt, Arc<Drawing<'_>>)],
    hear: &mut dyn FnMut(Heard<'_>),
) -> Result<Vec<Vec<Completion>>, Error> {
    let cache_bytes = drawn.iter().map(|(_, drawing)| drawing.config.cache_bytes).max();
    let num_rows = cache_bytes.unwrap_or(0) / KvCache::bytes_per_row(vlm.llm.config());
    let mut batch = Batch::new(vlm, num_rows.min(rows_of_all(drawn)));
    for (prompt, drawing) in drawn {
        batch.add((*prompt).clone(), drawing)?;
    }
    batch.share_opening()?;
    let mut groups = vec![BTreeMap::new(); drawn.len()];
    let mut goes_on = true;
    while goes_on {
        goes_on = batch.step()?;
        hear(Heard::Progress(batch.progress()));
        let news = batch.news();
        for (prompt, sample, id) in news.drawn {
            hear(Heard::Token { prompt, sample, id });
        }
        for (prompt, sample, completion) in news.finished {
            hear(Heard::Completion { prompt, sample, completion: &completion });
            groups[prompt].insert(sample, completion);
        }
    }
    Ok(groups.into_iter().map(|group| group.into_values().collect()).collect())
}
