//! Which two responses of a prompt make a pair.
//!
//! ```text
//!                        chosen                               rejected
//! score   well formed, right where that is known       well formed, τ or more below
//! rule    well formed and right                        well formed and wrong
//! format  well formed, right where that is known       malformed or cut off
//! ```
//!
//! Two more kinds come from elsewhere: DropoutNTP pairs from `sample`, those of other images from `other_image`.
//!
//! R1V2 (arXiv:2504.16656) has the scores and, beside them, the rules; MPO (arXiv:2411.10442) has the
//! pairs of right and wrong, the pairs of forms apart, and the cap with its uniform draw.

use data::Order;
use reward::{Opening, after_thought, extract_answer, format_flaw, verify};
use serde::{Deserialize, Serialize};

use super::config::BuildConfig;
use super::entry::Response;
use super::statistics::Statistics;

/// What sets chosen and rejected apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PairKind {
    /// A difference of scores.
    Score,
    /// Right and wrong.
    Rule,
    /// Form.
    Format,
    /// The image, which the continuation of the rejected response did not see.
    Dropout,
    /// The image: the rejected response is right for another.
    OtherImage,
}

/// A pair of responses, by their places among the candidates.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Picked {
    pub chosen: usize,
    pub rejected: usize,
    pub kind: PairKind,
}

/// A response with what is known of it.
#[derive(Clone, Debug)]
pub(super) struct Candidate<'a> {
    pub text: &'a str,
    pub score: Option<f64>,
    /// It ended by itself and has its form.
    pub is_well_formed: bool,
    /// `None` where the answer is not known.
    pub is_correct: Option<bool>,
    /// Its final answer in lower case, where it has one.
    answer: Option<String>,
}

/// What a response is judged by.
#[derive(Clone, Copy, Debug)]
pub(super) struct Known<'a> {
    pub gold: Option<&'a str>,
    pub opening: Opening,
    pub require_format: bool,
    pub min_thought_length: usize,
}

/// The distinct responses of a prompt that say something, judged by the rules and counted.
pub(super) fn candidates<'a>(
    responses: &'a [Response],
    known: &Known<'_>,
    statistics: &mut Statistics,
) -> Vec<Candidate<'a>> {
    let mut candidates: Vec<Candidate<'a>> = Vec::new();
    for response in responses {
        statistics.num_responses += 1;
        let text = response.text.trim();
        if text.is_empty() {
            statistics.num_empty += 1;
        } else if candidates.iter().any(|candidate| candidate.text.trim() == text) {
            statistics.num_repeated += 1;
        } else {
            candidates.push(known.judge(response, statistics));
        }
    }
    candidates
}

impl Known<'_> {
    fn judge<'a>(&self, response: &'a Response, statistics: &mut Statistics) -> Candidate<'a> {
        let text = response.text.as_str();
        let whole = self.opening.response(text);
        let has_form = (!self.require_format || format_flaw(text, self.opening).is_none())
            && thought_length(&whole) >= self.min_thought_length;
        let is_correct = self.gold.map(|gold| verify(gold, &whole).equivalent);
        let answer = after_thought(&whole).and_then(extract_answer).map(str::to_lowercase);
        statistics.num_truncated += usize::from(!response.is_complete());
        statistics.num_malformed += usize::from(response.is_complete() && !has_form);
        statistics.num_correct += usize::from(is_correct == Some(true));
        let is_well_formed = response.is_complete() && has_form;
        Candidate { text, score: response.score, is_well_formed, is_correct, answer }
    }
}

/// Characters between a response's thought tags, space around them left out.
fn thought_length(response: &str) -> usize {
    let thought = response.split_once("</think>").map_or("", |(thought, _)| thought);
    thought.trim_start().trim_start_matches("<think>").trim().chars().count()
}

impl Candidate<'_> {
    /// Whether the rules let it be chosen.
    fn is_good(&self, config: &BuildConfig) -> bool {
        self.is_well_formed && (!config.require_correct || self.is_correct != Some(false))
    }

    /// How much better than another it scored.
    fn gap(&self, other: &Self) -> Option<f64> {
        Some(self.score? - other.score?)
    }
}

/// All differences of scores between well-formed responses, as they are above 0.
pub(super) fn gaps(candidates: &[Candidate<'_>]) -> Vec<f64> {
    let all = each_two(candidates).filter(|(a, b)| a.is_well_formed && b.is_well_formed);
    all.filter_map(|(a, b)| a.gap(b)).filter(|gap| *gap > 0.0).collect()
}

fn each_two<'a, 'b>(
    candidates: &'a [Candidate<'b>],
) -> impl Iterator<Item = (&'a Candidate<'b>, &'a Candidate<'b>)> {
    candidates.iter().flat_map(move |a| candidates.iter().map(move |b| (a, b)))
}

/// What picks pairs, the same for all prompts.
pub(super) struct Picker<'a> {
    pub config: &'a BuildConfig,
    /// The least difference of scores; `None` where only the rule decides.
    pub threshold: Option<f64>,
    pub seed: u64,
}

impl Picker<'_> {
    /// The pairs of prompt number `prompt`, those of forms last.
    pub(super) fn pick(
        &self,
        prompt: usize,
        candidates: &[Candidate<'_>],
        statistics: &mut Statistics,
    ) -> Vec<Picked> {
        let (mut picked, mut forms) = (vec![], vec![]);
        for chosen in 0..candidates.len() {
            for rejected in 0..candidates.len() {
                let (good, bad) = (&candidates[chosen], &candidates[rejected]);
                let kind = match self.threshold {
                    Some(threshold) => self.by_score(threshold, good, bad, statistics),
                    None => self.by_rule(good, bad, statistics),
                };
                picked.extend(kind.map(|kind| Picked { chosen, rejected, kind }));
                if good.is_good(self.config) && !bad.is_well_formed {
                    forms.push(Picked { chosen, rejected, kind: PairKind::Format });
                }
            }
        }
        let (most, most_forms) = (self.config.max_pairs_per_prompt, self.config.max_format_pairs);
        statistics.num_over_cap += picked.len().saturating_sub(most);
        let mut all = self.draw(&picked, most, 2 * prompt as u64);
        all.extend(self.draw(&forms, most_forms, 2 * prompt as u64 + 1));
        all
    }

    fn by_score(
        &self,
        threshold: f64,
        good: &Candidate<'_>,
        bad: &Candidate<'_>,
        statistics: &mut Statistics,
    ) -> Option<PairKind> {
        if !good.is_well_formed || !bad.is_well_formed {
            return None;
        }
        let gap = good.gap(bad).filter(|gap| *gap > 0.0)?;
        statistics.num_compared += 1;
        if gap < threshold {
            statistics.num_below_threshold += 1;
            return None;
        }
        if !good.is_good(self.config) {
            statistics.num_chosen_wrong += 1;
            return None;
        }
        Some(PairKind::Score)
    }

    fn by_rule(
        &self,
        good: &Candidate<'_>,
        bad: &Candidate<'_>,
        statistics: &mut Statistics,
    ) -> Option<PairKind> {
        let differ = good.is_correct == Some(true) && bad.is_correct == Some(false);
        if !differ || !good.is_well_formed || !bad.is_well_formed {
            return None;
        }
        statistics.num_compared += 1;
        // The verdict on an answer that holds the right one may be wrong.
        let answers = good.answer.as_ref().zip(bad.answer.as_ref());
        if answers.is_some_and(|(right, wrong)| wrong.contains(right.as_str())) {
            statistics.num_answer_in_rejected += 1;
            return None;
        }
        Some(PairKind::Rule)
    }

    /// `most` of `picked`, each subset as likely as any other, in their own order.
    fn draw(&self, picked: &[Picked], most: usize, stream: u64) -> Vec<Picked> {
        let mut order = Order::shuffled(picked.len(), self.seed).epoch(stream);
        order.truncate(most);
        order.sort_unstable();
        order.into_iter().map(|index| picked[index]).collect()
    }
}

/// The best of the responses for a DropoutNTP pair: the highest score among the well formed, or the
/// first of them where there are no scores.
pub(super) fn best(candidates: &[Candidate<'_>]) -> Option<usize> {
    let well_formed = (0..candidates.len()).filter(|&index| candidates[index].is_well_formed);
    let score = |index: &usize| candidates[*index].score.unwrap_or(f64::NEG_INFINITY);
    well_formed.rev().max_by(|a, b| score(a).total_cmp(&score(b)))
}

/// The first half of a response's words, as it spells them.
pub(super) fn first_half(text: &str) -> &str {
    let mut ends = Vec::new();
    let mut in_word = false;
    for (at, character) in text.char_indices() {
        if in_word && character.is_whitespace() {
            ends.push(at);
        }
        in_word = !character.is_whitespace();
    }
    if in_word {
        ends.push(text.len());
    }
    match ends.len() / 2 {
        0 => "",
        half => &text[..ends[half - 1]],
    }
}

/// The value below which a share `quantile` of `values` lies, between two of them in proportion.
pub(super) fn quantile(values: &mut [f64], quantile: f64) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let place = quantile * values.len().checked_sub(1)? as f64;
    let (low, high) = (values[place.floor() as usize], values[place.ceil() as usize]);
    Some(low + (high - low) * place.fract())
}

#[cfg(test)]
mod tests;
