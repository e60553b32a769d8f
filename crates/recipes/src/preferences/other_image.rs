//! Pairs that only the image tells apart: the rejected response is right for another image of the same question.
//!
//! A policy's own mistakes are few and often show in the text alone; these cost no sample and teach a reward model to
//! look. They are ours, not the papers'.

use std::collections::BTreeMap;

use data::{Order, prompt_of};
use reward::{Opening, verify};
use schema::Sample;

use super::entry::Entry;
use super::select::Candidate;

/// Other images that are tried for one prompt; where most answers are the same, fewer pairs come of it.
const MOST_TRIED: usize = 32;

/// A right, well-formed response.
#[derive(Clone, Copy)]
struct Right<'a> {
    prompt: usize,
    text: &'a str,
    opening: Opening,
}

/// Chosen and rejected text for each prompt, at most `most` pairs of it.
pub(super) fn other_image_pairs<'a>(
    judged: &[(&Entry, Vec<Candidate<'a>>)],
    samples: &[Sample],
    (most, seed): (usize, u64),
) -> BTreeMap<usize, Vec<(&'a str, &'a str)>> {
    if most == 0 {
        return BTreeMap::new();
    }
    let mut rings: BTreeMap<String, Vec<Right<'a>>> = BTreeMap::new();
    for (entry, candidates) in judged {
        let right = candidates.iter().find(|c| c.is_well_formed && c.is_correct == Some(true));
        let Some(right) = right else { continue };
        let sample = &samples[entry.prompt];
        let question = serde_json::to_string(&prompt_of(sample).messages).expect("plain text");
        let opening = entry.opening();
        let right = Right { prompt: entry.prompt, text: right.text, opening };
        rings.entry(question).or_default().push(right);
    }
    let mut pairs = BTreeMap::new();
    for ring in rings.values() {
        let order = Order::shuffled(ring.len(), seed).epoch(0);
        for (place, &index) in order.iter().enumerate() {
            let right = ring[index];
            let gold = samples[right.prompt].answer.as_deref();
            let is_wrong = |other: &Right<'_>| {
                gold.is_some_and(|gold| {
                    !verify(gold, &other.opening.response(other.text)).equivalent
                })
            };
            let others = (1..ring.len()).map(|next| ring[order[(place + next) % order.len()]]);
            let wrong = others.take(MOST_TRIED).filter(is_wrong).take(most);
            pairs.insert(right.prompt, wrong.map(|other| (right.text, other.text)).collect());
        }
    }
    pairs
}

#[cfg(test)]
mod tests {
    use schema::FinishReason;
    use serde_json::json;

    use super::super::entry::Response;
    use super::super::select::{Known, candidates};
    use super::super::statistics::Statistics;
    use super::*;

    /// A question with its answer, and what was said.
    fn asked(question: &str, answer: &str, said: &[&str], prompt: usize) -> (Sample, Entry) {
        let messages = [json!({"role": "user", "content": question})];
        let sample = json!({"messages": messages, "images": ["a.png"], "answer": answer});
        let response = |&text: &&str| Response {
            text: format!("so\n</think>\n\\boxed{{{text}}}"),
            finish_reason: FinishReason::Stop,
            score: None,
        };
        let responses = said.iter().map(response).collect();
        let entry = Entry { responses, ..Entry::new(prompt, true) };
        (serde_json::from_value(sample).unwrap(), entry)
    }

    #[test]
    fn what_is_right_for_another_image_of_the_same_question_is_rejected() {
        let asked = [
            asked("How many? <image>", "3", &["4", "3"], 0),
            asked("How many? <image>", "5", &["5"], 1),
            asked("How many? <image>", "3", &["3"], 2),
            asked("How many? <image>", "7", &["8"], 3),
            asked("Which? <image>", "9", &["9"], 4),
        ];
        let samples: Vec<Sample> = asked.iter().map(|(sample, _)| sample.clone()).collect();
        let mut statistics = Statistics::default();
        let judged: Vec<(&Entry, Vec<Candidate<'_>>)> = asked
            .iter()
            .map(|(sample, entry)| {
                let gold = sample.answer.as_deref();
                let opening = entry.opening();
                let known = Known { gold, opening, require_format: true, min_thought_length: 0 };
                (entry, candidates(&entry.responses, &known, &mut statistics))
            })
            .collect();
        let answer = |text: &str| text[text.len() - 2..text.len() - 1].to_owned();
        let of = |most: usize| {
            let pairs = other_image_pairs(&judged, &samples, (most, 1)).into_iter();
            let each = pairs.flat_map(|(prompt, pairs)| {
                pairs.into_iter().map(move |(a, b)| (prompt, answer(a), answer(b)))
            });
            each.collect::<Vec<_>>()
        };
        assert_eq!(of(0), []);
        let said = |prompt, chosen: &str, rejected: &str| (prompt, chosen.into(), rejected.into());
        assert_eq!(of(1), [said(0, "3", "5"), said(1, "5", "3"), said(2, "3", "5")]);
        assert_eq!(of(9).iter().filter(|(prompt, ..)| *prompt == 1).count(), 2);
    }
}
