//! Draws a group of completions for each prompt of a rollout, keeping each as soon as it has ended.

use model::vlm::Vlm;
use preprocess::Processor;
use rollout::{GenerateConfig, Heard, generate_heard};
use schema::Completion;
use serde::{Deserialize, Serialize};

use super::GrpoConfig;
use super::flight::{Flight, Origin};
use crate::Error;

/// Name of a group's completions among what is in flight.
const COMPLETIONS: &str = "completions";

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
    /// The groups of a rollout, in the order of its prompts. Groups in flight are taken from there; `hear` is told how
    /// far the others are.
    pub(super) fn draw(
        &self,
        ask: &Ask,
        hear: &mut dyn FnMut(rollout::Progress),
    ) -> Result<Vec<Drawn>, Error> {
        let origin =
            |prompt: &rollout::Prompt| Origin { stream: prompt.stream, version: ask.version };
        let mut groups: Vec<Option<Vec<Completion>>> =
            ask.prompts.iter().map(|prompt| self.flight.get(COMPLETIONS, origin(prompt))).collect();
        let missing: Vec<rollout::Prompt> = ask
            .prompts
            .iter()
            .zip(&groups)
            .filter(|(_, group)| group.is_none())
            .map(|(prompt, _)| prompt.clone())
            .collect();
        let mut kept = Ok(());
        let tokenizer = &self.processor.tokenizer;
        let drawn =
            generate_heard(self.vlm, tokenizer, &missing, self.config, &mut |heard| match heard {
                Heard::Progress(progress) => hear(progress),
                Heard::Group { prompt, completions } if kept.is_ok() => {
                    kept = self.flight.put(COMPLETIONS, origin(&missing[prompt]), &completions);
                }
                Heard::Group { .. } => {}
            })?;
        kept?;
        let gaps = groups.iter_mut().filter(|group| group.is_none());
        gaps.zip(drawn).for_each(|(gap, group)| *gap = Some(group));
        let all = ask.questions.iter().zip(&ask.prompts).zip(groups);
        let of = |((&question, prompt), group): ((&usize, &rollout::Prompt), Option<_>)| Drawn {
            question,
            origin: origin(prompt),
            completions: group.expect("known or drawn"),
        };
        Ok(all.map(of).collect())
    }
}
