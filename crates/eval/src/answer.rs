//! One completion with everything that was found out about it: a line of `completions.jsonl`.

use std::path::Path;

use reward::{Opening, Why, format_flaw, repetition_rate, verify};
use schema::{Completion, FinishReason};
use serde::{Deserialize, Serialize};

use crate::Error;
use crate::question::Question;

/// Length of the token runs whose repetition is counted.
const REPEATED_TOKENS: usize = 3;

/// A judged completion.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    /// The question's id.
    pub id: String,
    /// Which of the question's completions this is, from 0.
    pub sample: usize,
    /// The question.
    pub question: String,
    /// Its images as the data set names them.
    pub images: Vec<String>,
    /// The known answer.
    pub gold: String,
    /// What the model said, its thought included.
    pub completion: String,
    /// The answer found in it.
    pub prediction: Option<String>,
    /// The verdict.
    pub correct: bool,
    /// What decided the verdict.
    pub why: Why,
    /// Whether thought and answer have their form.
    pub well_formed: bool,
    /// Tokens of the completion.
    pub num_tokens: usize,
    /// Why it ended.
    pub finish_reason: FinishReason,
    /// Share of its token triples that occurred before.
    pub repetition: f64,
}

/// Judges one completion of a question.
pub(crate) fn judge(question: &Question, sample: usize, completion: Completion) -> Answer {
    let opening = match question.prompt.opens_thought() {
        true => Opening::InPrompt,
        false => Opening::InCompletion,
    };
    let verdict = verify(&question.gold, &opening.response(&completion.text));
    Answer {
        id: question.id.clone(),
        sample,
        question: question.text.clone(),
        images: question.images.clone(),
        gold: question.gold.clone(),
        prediction: verdict.prediction,
        correct: verdict.equivalent,
        why: verdict.why,
        well_formed: format_flaw(&completion.text, opening).is_none(),
        num_tokens: completion.token_ids.len(),
        finish_reason: completion.finish_reason,
        repetition: repetition_rate(&completion.token_ids, REPEATED_TOKENS),
        completion: completion.text,
    }
}

/// Reads a `completions.jsonl` that an evaluation wrote.
///
/// # Errors
///
/// Names the file and line that is not one of its lines.
pub fn read_answers(path: &Path) -> Result<Vec<Answer>, Error> {
    Ok(data::read_lines(path)?.into_iter().map(|(_, answer)| answer).collect())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Answers to questions q0, q1, …: right where `verdicts` has a 1.
    pub(crate) fn answers(verdicts: &str) -> Vec<Answer> {
        let answer = |(i, verdict): (usize, char)| Answer {
            id: format!("q{i}"),
            sample: 0,
            question: "1+1".to_owned(),
            images: Vec::new(),
            gold: "2".to_owned(),
            completion: "2".to_owned(),
            prediction: Some("2".to_owned()),
            correct: verdict == '1',
            why: Why::Number,
            well_formed: i % 2 == 0,
            num_tokens: 10 + i,
            finish_reason: if i == 0 { FinishReason::Length } else { FinishReason::Stop },
            repetition: 0.25,
        };
        verdicts.chars().enumerate().map(answer).collect()
    }

    fn question(gold: &str, prompt: &str) -> Question {
        let prompt = preprocess::Prompt {
            text: prompt.to_owned(),
            ids: Vec::new(),
            image_rows: Vec::new(),
            places: None,
            images: Vec::new(),
        };
        let (id, text) = ("a".to_owned(), "1+1".to_owned());
        Question { id, text, images: Vec::new(), gold: gold.to_owned(), prompt }
    }

    #[test]
    fn a_thought_may_begin_in_the_prompt() {
        let said = "One and one.\n</think>\n\n\\boxed{2}";
        let cases = [
            ("<assistant>\n<think>\n", said.to_owned(), true, true),
            ("<assistant>\n", format!("<think>\n{said}"), true, true),
            ("<assistant>\n", "2".to_owned(), true, false),
            ("<assistant>\n<think>\n", "2".to_owned(), false, false),
        ];
        for (prompt, text, correct, well_formed) in cases {
            let token_ids = vec![1, 2, 3, 1, 2, 3];
            let finish_reason = FinishReason::Stop;
            let completion =
                Completion { text: text.clone(), token_ids, logprobs: Vec::new(), finish_reason };
            let answer = judge(&question("2", prompt), 1, completion);
            let found = (answer.correct, answer.well_formed, answer.num_tokens, answer.sample);
            assert_eq!(found, (correct, well_formed, 6, 1), "{prompt:?} {text:?}");
            assert_eq!(answer.repetition, 0.25);
        }
    }
}
