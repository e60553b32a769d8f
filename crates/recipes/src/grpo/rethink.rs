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

use rollout::sampler::Draw;
use rollout::{GenerateConfig, Heard, generate_heard};
use schema::Completion;

use super::GrpoConfig;
use super::config::RethinkingConfig;
use super::draw::generation;
use super::flight::{Flight, Origin};
use super::group::{Group, is_truncated, mean};
use super::lesson::Rethought;
use super::questions::Questions;
use crate::Error;
use crate::policy::Policy;

/// Name of a group's rethought responses among what is in flight.
const RETHOUGHT: &str = "rethought";

/// Name of a continuation among what is in flight.
const CONTINUATION: &str = "continuation";

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
            if !self.has_room(&head, policy) {
                continue;
            }
            doubted.push(Doubted { group: index, stream: FIRST_STREAM + stream, head, text });
        }
        Ok(doubted)
    }

    /// Whether something can follow a head: it is not too long, and spells no image and no end.
    fn has_room(&self, head: &[u32], policy: &Policy) -> bool {
        let is_special = |id: &u32| {
            policy.vlm.image_token == Some(*id) || policy.processor.stop_ids.contains(id)
        };
        head.len() < self.config.rollout.max_completion_length && !head.iter().any(is_special)
    }

    /// Continuations of the doubted responses that end right, by group.
    fn go_on(
        &self,
        rethinking: &RethinkingConfig,
        policy: &mut Policy,
        groups: &[Group],
        doubted: Vec<Doubted>,
    ) -> Result<Vec<Vec<Rethought>>, Error> {
        let completions = self.continuations(policy, groups, &doubted)?;
        let mut kept = vec![Vec::new(); groups.len()];
        for (doubted, completion) in doubted.into_iter().zip(completions) {
            let question = groups[doubted.group].question;
            let token_ids = [doubted.head, completion.token_ids.clone()].concat();
            let text = doubted.text + &completion.text;
            let is_right = self.questions.is_right(question, &text);
            let fits = token_ids.len() <= self.config.rollout.max_completion_length;
            let has_room = kept[doubted.group].len() < rethinking.max_per_prompt;
            if is_right && fits && has_room && !is_truncated(&completion) {
                kept[doubted.group].push(Rethought { question, token_ids });
            }
        }
        Ok(kept)
    }

    /// What follows each head; what is in flight is not drawn again, and what ends is kept at once.
    fn continuations(
        &self,
        policy: &mut Policy,
        groups: &[Group],
        doubted: &[Doubted],
    ) -> Result<Vec<Completion>, Error> {
        let origin = |doubted: &Doubted| Origin {
            stream: doubted.stream,
            version: groups[doubted.group].origin.version,
        };
        let mut completions: Vec<Option<Completion>> =
            doubted.iter().map(|doubted| self.flight.get(CONTINUATION, origin(doubted))).collect();
        let missing: Vec<usize> =
            (0..doubted.len()).filter(|&index| completions[index].is_none()).collect();
        let mut prompts = Vec::with_capacity(missing.len());
        for Doubted { group, stream, head, .. } in missing.iter().map(|&index| &doubted[index]) {
            let mut prompt = self.questions.prompt(groups[*group].question, *stream, policy)?;
            prompt.ids.extend(head);
            prompts.push(prompt);
        }
        let config = self.generation(policy);
        let (vlm, tokenizer) = (&policy.vlm, &policy.processor.tokenizer);
        let mut kept = Ok(());
        let drawn = generate_heard(vlm, tokenizer, &prompts, &config, &mut |heard| {
            if let Heard::Completion { prompt, completion, .. } = heard
                && kept.is_ok()
            {
                let origin = origin(&doubted[missing[prompt]]);
                kept = self.flight.put(CONTINUATION, origin, completion);
            }
        })?;
        kept?;
        for (index, completion) in missing.into_iter().zip(drawn.into_iter().flatten()) {
            completions[index] = Some(completion);
        }
        Ok(completions.into_iter().map(|found| found.expect("known or drawn")).collect())
    }

    /// One continuation each, in the room that a completion of the longest prompt has: what is longer is not kept.
    fn generation(&self, policy: &Policy) -> GenerateConfig {
        let config = generation(self.config, &policy.processor);
        let longest = self.questions.prompts.iter().map(|prompt| prompt.ids.len()).max();
        let room = longest.unwrap_or(0) + self.config.rollout.max_completion_length;
        let context_length = config.context_length.min(room);
        GenerateConfig { num_samples: 1, context_length, ..config }
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
