//! Draws a group of completions for each prompt of a rollout, keeping each completion as soon as it has ended.

use model::vlm::Vlm;
use preprocess::Processor;
use rollout::{GenerateConfig, Heard, generate_heard};
use schema::Completion;
use serde::{Deserialize, Serialize};

use super::GrpoConfig;
use super::flight::{Flight, Origin};
use crate::Error;

/// The prompts of one rollout.
pub(super) struct Ask {
    /// Steps that the policy that draws has taken.
    pub version: u64,
    /// Numbers of the questions.
    pub questions: Vec<usize>,
    /// Their prompts; the stream of each is its place in the run.
    pub prompts: Vec<rollout::Prompt>,
}

/// The completions of one prompt, not yet scored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Drawn {
    /// Which question.
    pub question: usize,
    /// Where they come from.
    pub origin: Origin,
    pub completions: Vec<Completion>,
}

/// How completions are drawn in a run.
pub(super) fn generation(config: &GrpoConfig, processor: &Processor) -> GenerateConfig {
    let drawing = &config.rollout;
    GenerateConfig {
        num_samples: drawing.num_generations,
        ..GenerateConfig::new(processor, config.sampling(), drawing.max_completion_length)
    }
}

/// What draws.
pub(super) struct Hand<'a> {
    pub vlm: &'a Vlm,
    pub processor: &'a Processor,
    pub config: &'a GenerateConfig,
    pub flight: &'a Flight,
}

impl Hand<'_> {
    /// The groups of a rollout, in the order of its prompts. Completions in flight are taken from there; `hear` is told
    /// how far the others are.
    pub(super) fn draw(
        &self,
        ask: &Ask,
        hear: &mut dyn FnMut(rollout::Progress),
    ) -> Result<Vec<Drawn>, Error> {
        let origin =
            |prompt: &rollout::Prompt| Origin { stream: prompt.stream, version: ask.version };
        let mut groups: Vec<Vec<Option<Completion>>> =
            ask.prompts.iter().map(|prompt| self.known(origin(prompt))).collect();
        let missing: Vec<rollout::Prompt> = ask
            .prompts
            .iter()
            .zip(&groups)
            .filter(|(_, group)| group.iter().any(Option::is_none))
            .map(|(prompt, group)| without(prompt, group))
            .collect();
        let mut kept = Ok(());
        let tokenizer = &self.processor.tokenizer;
        let drawn =
            generate_heard(self.vlm, tokenizer, &missing, self.config, &mut |heard| match heard {
                Heard::Progress(progress) => hear(progress),
                Heard::Completion { prompt, sample, completion } if kept.is_ok() => {
                    kept = self.flight.put(&name(sample), origin(&missing[prompt]), completion);
                }
                Heard::Completion { .. } | Heard::Token { .. } => {}
            })?;
        kept?;
        let gaps = groups.iter_mut().flatten().filter(|completion| completion.is_none());
        gaps.zip(drawn.into_iter().flatten()).for_each(|(gap, completion)| *gap = Some(completion));
        let of = |((&question, prompt), group): ((&usize, &rollout::Prompt), Vec<_>)| Drawn {
            question,
            origin: origin(prompt),
            completions: group.into_iter().map(|c: Option<_>| c.expect("known or drawn")).collect(),
        };
        Ok(ask.questions.iter().zip(&ask.prompts).zip(groups).map(of).collect())
    }

    /// The completions of a prompt that are in flight.
    fn known(&self, origin: Origin) -> Vec<Option<Completion>> {
        (0..self.config.num_samples).map(|sample| self.flight.get(&name(sample), origin)).collect()
    }
}

/// A prompt of which only what is missing is drawn.
fn without(prompt: &rollout::Prompt, group: &[Option<Completion>]) -> rollout::Prompt {
    let is_known = |&sample: &usize| group[sample].is_some();
    rollout::Prompt { known: (0..group.len()).filter(is_known).collect(), ..prompt.clone() }
}

/// Name of one of a group's completions among what is in flight.
fn name(sample: usize) -> String {
    format!("completion {sample}")
}
