//! Forced rethinking: a response is cut before its answer, made to doubt, and goes on.
//!
//! ```text
//! y = y_1 ⊕ "\n\nWait, there might be a mistake." ⊕ y_2        kept where y is right
//! ```
//!
//! VL-Rethinker (arXiv:2504.08837), section 4, with the choices of its code: no response that was cut off or came near
//! the limit, no wrong one where most of its group is right, and only rethought responses that end right, a few of each
//! prompt. They are learned as they stand; a completion whose advantage is the coefficient and whose ratio is 1 has the
//! gradient of supervised fine-tuning with that weight.

use reward::verify;
use rollout::GenerateConfig;
use rollout::sampler::Draw;

use super::GrpoConfig;
use super::config::RethinkingConfig;
use super::draw::generation;
use super::flight::Flight;
use super::group::{Group, is_truncated, mean};
use super::lesson::Rethought;
use super::questions::Questions;
use crate::Error;
use crate::policy::Policy;

/// Name of a group's rethought responses among what is in flight.
const RETHOUGHT: &str = "rethought";

/// Streams of continuations, far from those of prompts.
const FIRST_STREAM: u64 = 1 << 60;

/// Streams of the choice of responses and triggers.
const FIRST_CHOICE: u64 = 1 << 62;

/// Share of right responses above which wrong ones are left alone.
const MOSTLY_RIGHT: f64 = 0.7;

/// Share of the longest completion above which a response is left alone.
const NEAR_LIMIT: f64 = 0.9;

/// A response that is made to go on.
struct Doubted {
    /// Which group, and which of its draws.
    group: usize,
    stream: u64,
    /// What stands before the continuation.
    head: Vec<u32>,
    text: String,
}

/// Makes responses think again.
pub(super) struct Rethinker<'a> {
    pub config: &'a GrpoConfig,
    pub questions: &'a Questions,
    pub flight: &'a Flight,
}

impl Rethinker<'_> {
    /// The rethought responses to some groups that are kept; none where the settings ask for none.
    pub(super) fn rethink(
        &self,
        policy: &mut Policy,
        groups: &[Group],
    ) -> Result<Vec<Rethought>, Error> {
        let Some(rethinking) = &self.config.rollout.rethinking else { return Ok(vec![]) };
        let mut kept: Vec<Option<Vec<Rethought>>> =
            groups.iter().map(|group| self.flight.get(RETHOUGHT, group.origin)).collect();
        let mut doubted = Vec::new();
        for (index, group) in groups.iter().enumerate().filter(|(index, _)| kept[*index].is_none())
        {
            doubted.extend(self.doubted(rethinking, policy, (index, group))?);
        }
        let mut new = self.go_on(rethinking, policy, groups, doubted)?;
        for ((index, kept), group) in kept.iter_mut().enumerate().zip(groups) {
            if kept.is_none() {
                let rethought = std::mem::take(&mut new[index]);
                self.flight.put(RETHOUGHT, group.origin, &rethought)?;
                *kept = Some(rethought);
            }
        }
        Ok(kept.into_iter().flatten().flatten().collect())
    }

    /// The responses of a group that are made to go on, cut, with their triggers.
    fn doubted(
        &self,
        rethinking: &RethinkingConfig,
        policy: &Policy,
        (index, group): (usize, &Group),
    ) -> Result<Vec<Doubted>, Error> {
        let longest = NEAR_LIMIT * self.config.rollout.max_completion_length as f64;
        let is_mostly_right = mean(group.rule().iter().copied()) > MOSTLY_RIGHT;
        let mut doubted = Vec::new();
        for (number, completion) in group.completions.iter().enumerate() {
            let stream = group.origin.stream * group.completions.len() as u64 + number as u64;
            let is_wrong = group.rule()[number] <= 0.0;
            let is_long = completion.token_ids.len() as f64 > longest;
            let luck = |position| self.choice(stream, position);
            if is_truncated(completion) || is_long || luck(0) >= rethinking.share {
                continue;
            }
            let Some(thought) = before_answer(&completion.text) else { continue };
            if is_mostly_right && is_wrong {
                continue;
            }
            let triggers = &rethinking.triggers;
            let text = format!("{thought}{}", triggers[below(luck(1), triggers.len())]);
            let head = policy.processor.completion(&text)?;
            doubted.push(Doubted { group: index, stream: FIRST_STREAM + stream, head, text });
        }
        Ok(doubted)
    }

    /// Continuations of the doubted responses that end right, by group.
    fn go_on(
        &self,
        rethinking: &RethinkingConfig,
        policy: &mut Policy,
        groups: &[Group],
        doubted: Vec<Doubted>,
    ) -> Result<Vec<Vec<Rethought>>, Error> {
        let mut prompts = Vec::with_capacity(doubted.len());
        for Doubted { group, stream, head, .. } in &doubted {
            let mut prompt = self.questions.prompt(groups[*group].question, *stream, policy)?;
            prompt.ids.extend(head);
            prompts.push(prompt);
        }
        let config =
            GenerateConfig { num_samples: 1, ..generation(self.config, &policy.processor) };
        let (vlm, tokenizer) = (&policy.vlm, &policy.processor.tokenizer);
        let answers = rollout::generate(vlm, tokenizer, &prompts, &config, &mut |_| {})?;
        let mut kept = vec![Vec::new(); groups.len()];
        for (doubted, completion) in doubted.into_iter().zip(answers.into_iter().flatten()) {
            let question = groups[doubted.group].question;
            let token_ids = [doubted.head, completion.token_ids.clone()].concat();
            let text = doubted.text + &completion.text;
            let response = self.questions.opening(question).response(&text).into_owned();
            let is_right = verify(&self.questions.answers[question], &response).equivalent;
            let fits = token_ids.len() <= self.config.rollout.max_completion_length;
            let has_room = kept[doubted.group].len() < rethinking.max_per_prompt;
            if is_right && fits && has_room && !is_truncated(&completion) {
                kept[doubted.group].push(Rethought { question, token_ids });
            }
        }
        Ok(kept)
    }

    /// A number in [0, 1) that a response keeps whatever else is drawn.
    fn choice(&self, stream: u64, position: u64) -> f64 {
        Draw { stream: FIRST_CHOICE + stream, position }.uniform(self.config.run.seed)
    }
}

/// What a response says before its answer: up to the end of the thought, or up to the box where no thought ends.
fn before_answer(text: &str) -> Option<&str> {
    let end = text.rfind("</think>").or_else(|| text.rfind("\\boxed"))?;
    Some(text[..end].trim_end())
}

fn below(luck: f64, count: usize) -> usize {
    ((luck * count as f64) as usize).min(count - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_response_is_cut_before_its_answer() {
        for (text, want) in [
            ("3 + 4 = 7\n</think>\n\n\\boxed{7}", Some("3 + 4 = 7")),
            ("a \\boxed{1}, no.\n</think> \\boxed{7}", Some("a \\boxed{1}, no.")),
            ("So it is \\boxed{7}.", Some("So it is")),
            ("</think>\\boxed{7}", Some("")),
            ("nothing", None),
        ] {
            assert_eq!(before_answer(text), want, "{text}");
        }
        assert_eq!([0.0, 0.34, 0.999_999_9].map(|luck| below(luck, 3)), [0, 1, 2]);
    }
}
