//! What a judge is asked about a response, and what it said, word by word.

use benchmark::{Item, Scoring, kit_answer};
use judge::{Correctness, Question, read_json, without_tags};
use schema::{Content, Message, Role, Sample};
use serde::{Deserialize, Serialize};

/// A judge's ruling.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Ruling {
    /// From 0 to 1; nothing where the judge gave none.
    pub score: Option<f64>,
    /// Why, in its words, or why there is none.
    pub reason: String,
    /// Its reply as it was.
    pub reply: String,
    /// The judge: model and how its replies are drawn.
    #[serde(default)]
    pub judge: String,
    /// Seed of its draws.
    #[serde(default)]
    pub seed: u64,
    /// What it was asked.
    #[serde(default)]
    pub prompt: String,
}

impl Ruling {
    /// Of an empty response, which no judge is asked about.
    pub(crate) fn of_nothing() -> Self {
        let reason = "an empty response".to_owned();
        Self { score: Some(0.0), reason, ..Self::default() }
    }
}

/// What a judge is asked.
#[derive(Clone, Debug)]
pub enum Inquiry {
    /// Whether the response reaches the known answer.
    Correct {
        /// The question.
        question: String,
        /// The known answer.
        gold: String,
        /// The response.
        response: String,
    },
    /// How near the response comes to the known answer, from 0 to 3 (MMBench-Video).
    Near {
        /// The question.
        question: String,
        /// The known answer.
        gold: String,
        /// The response.
        response: String,
    },
}

/// MMBench-Video's words for its judge.
const NEAR: &str = "\nAs an AI assistant, your task is to evaluate a candidate answer in comparison to a given correct answer.\nThe question itself, the correct 'groundtruth' answer, and the candidate answer will be provided to you.\nYour assessment should range from 0 to 3, based solely on the semantic similarity between the groundtruth and the candidate answer, disregarding any grammatical differences.\nA rating of 0 suggests no similarity, implying the candidate answer is entirely incorrect.\nA rating of 1 suggests low similarity, meaning the candidate answer is largely incorrect.\nA rating of 2 suggests high similarity, meaning the candidate answer is largely correct.\nLastly, a rating of 3 indicates complete similarity, which means the candidate answer is entirely correct.\nYour response should be a single integer from 0, 1, 2, or 3.\n";

impl Inquiry {
    /// What is asked about a response to an item: whether it is right, or how near it comes. Nothing where a program
    /// decides.
    pub(crate) fn about(item: &Item, response: &str) -> Option<Self> {
        let (question, gold) = (item.question.clone(), item.gold.clone());
        let response = response.to_owned();
        match &item.scoring {
            Scoring::Rated => {
                Some(Self::Near { question, gold, response: kit_answer(&response).to_owned() })
            }
            Scoring::Choice { options, .. } => {
                let question = format!("{question}\n{}", listed(options, "\n"));
                Some(Self::Correct { question, gold, response })
            }
            Scoring::Instructions(_)
            | Scoring::Calls(_)
            | Scoring::Turns(_)
            | Scoring::Program(_)
            | Scoring::Suite(_)
            | Scoring::Preference { .. }
            | Scoring::Followed(_)
            | Scoring::LiveBench { .. } => None,
            _ => Some(Self::Correct { question, gold, response }),
        }
    }

    fn correctness(&self) -> Option<Correctness<'_>> {
        match self {
            Self::Correct { question, gold, response } => {
                Some(Correctness { question, gold, response })
            }
            Self::Near { .. } => None,
        }
    }
}

fn listed(options: &[String], between: &str) -> String {
    let option = |(place, option): (usize, &String)| format!("{}. {option}", letter(place));
    options.iter().enumerate().map(option).collect::<Vec<_>>().join(between)
}

fn letter(place: usize) -> char {
    char::from(b'A' + place.min(25) as u8)
}

fn turn(role: Role, text: String) -> Message {
    Message { role, content: Content::Text(text) }
}

impl Question for Inquiry {
    type Verdict = Ruling;
    const VERSION: &'static str = "evaluation/2";
    const FORM: &'static str = Correctness::FORM;

    fn prompt(&self) -> Sample {
        let messages = match self {
            Self::Correct { question, gold, response } => {
                return Correctness { question, gold, response }.prompt();
            }
            Self::Near { question, gold, response } => vec![
                turn(Role::System, NEAR.to_owned()),
                turn(
                    Role::User,
                    without_tags(&format!(
                        "Question: {question}\nGroundtruth answer: {gold}\nCandidate answer: {response}\nYour response: "
                    )),
                ),
            ],
        };
        Sample { messages, ..Sample::default() }
    }

    fn read(&self, reply: &str) -> Result<Ruling, String> {
        let (score, reason) = match self {
            Self::Correct { .. } => {
                let found: judge::Correct = read_json(reply)?;
                (f64::from(u8::from(found.correct)), found.reason)
            }
            Self::Near { .. } => {
                let text = kit_answer(reply);
                let rating = text.trim_matches(['.', ' ']).parse::<u8>().ok();
                let rating = rating.filter(|rating| *rating <= 3);
                let rating = rating.ok_or("it is not one of 0, 1, 2 and 3")?;
                (f64::from(rating) / 3.0, format!("rated {rating} of 3"))
            }
        };
        Ok(Ruling { score: Some(score), reason, reply: reply.to_owned(), ..Ruling::default() })
    }

    /// The rule's scores stand beside the judge's anyway.
    fn by_rule(&self) -> Option<Ruling> {
        let found = self.correctness()?.by_rule()?;
        let score = Some(f64::from(u8::from(found.correct)));
        Some(Ruling { score, reason: found.reason, ..Ruling::default() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_are_read_strictly() {
        let (question, gold, response) =
            ("Q".to_owned(), "A".to_owned(), "<think>x</think>a".to_owned());
        let correct = Inquiry::Correct {
            question: question.clone(),
            gold: gold.clone(),
            response: response.clone(),
        };
        let ruling = correct.read(r#"{"correct": true, "reason": "same"}"#).unwrap();
        assert_eq!((ruling.score, ruling.reason.as_str()), (Some(1.0), "same"));
        assert!(correct.read("Yes").is_err());
        let near = Inquiry::Near {
            question: question.clone(),
            gold,
            response: kit_answer(&response).to_owned(),
        };
        assert_eq!(near.read("2").unwrap().score, Some(2.0 / 3.0));
        assert!(near.read("4").is_err() && near.read("2 or 3").is_err());
    }
}
