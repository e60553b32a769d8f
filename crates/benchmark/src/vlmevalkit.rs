//! How VLMEvalKit scores, so that published numbers can be matched: its rules, and what it asks a model where they end.
//!
//! ```text
//! answer ─► rule ─┬─► score
//!                 └─► nothing found ─► the words for a model ─► its reply ─► rule … ─► score, or one drawn
//! ```
//!
//! From open-compass/VLMEvalKit at e8e78f05, thoughts cut off as with its `SPLIT_THINK`; the fork is Skywork's
//! (SkyworkAI/Skywork-R1V, `eval/vlmevalkit`), which reads the thought too. Where the kit draws an option at random,
//! the draw here depends on the item alone, so that a rerun says the same.

mod calls;
mod mathematics;
mod matching;
mod olympiad;
mod short;
mod words;

pub(crate) use matching::{Harness, Inferred, can_infer};
pub(crate) use mathematics::equal as mathvision_equal;
pub(crate) use olympiad::{Judger, final_answer};
pub(crate) use short::{agreement, relaxed};

use matching::{first_letter, first_word};
use mathematics::Compared as Extract;
pub use mathematics::Compared;

use crate::item::Item;
use crate::prompt::letter;
use crate::score::share;

/// Times that a model is asked for an option.
const TRIES: usize = 3;

/// Times that a model is asked for anything else; each is warmer by a half.
const WARMER_TRIES: usize = 5;

/// VLMEvalKit's way with an item.
#[derive(Clone, Debug, PartialEq)]
pub enum Kit {
    /// One of several options: by rule, else matched by a model, else drawn (`dataset/utils/multiple_choice.py`).
    Choice {
        /// The options' texts.
        options: Vec<String>,
        /// The place of the right one.
        answer: usize,
    },
    /// The first letter from A to D, wherever it stands (`dataset/utils/videomme.py`).
    FirstLetter {
        /// The place of the right option.
        answer: usize,
    },
    /// The first word, else as a choice (`dataset/utils/mvbench.py`).
    FirstWord {
        /// The options' texts.
        options: Vec<String>,
        /// The place of the right one.
        answer: usize,
    },
    /// Yes or no: the only one that is said, else matched by a model (`dataset/utils/yorn.py`).
    YesNo {
        /// Whether yes is right.
        yes: bool,
    },
    /// A number within 5 %, or a text (`dataset/utils/vqa_eval.py`, `relaxed_correctness`).
    Relaxed {
        /// The known answers.
        golds: Vec<String>,
    },
    /// Agreement with ten people (`dataset/utils/vqa_eval.py`, `process_line`).
    Consensus {
        /// What they answered.
        answers: Vec<String>,
    },
    /// Expressions in any order, within tolerances (`dataset/utils/olympiadbench.py`, `MathJudger`).
    Olympiad {
        /// The known answers, commas between them.
        gold: String,
        /// Tolerance of all, or of each.
        tolerances: Vec<f64>,
        /// Whether the question is in Chinese.
        is_chinese: bool,
    },
    /// Extracted by a model where the rule does not match, then compared by rule (`dataset/utils/mathvista.py`,
    /// `mathv.py`).
    Extracted {
        /// The question in the table's words.
        asked: String,
        /// How it is compared, and with what.
        compared: Compared,
    },
    /// Extracted by a model, and compared by one (`dataset/utils/mathverse.py`).
    Graded {
        /// The question for the comparison.
        asked: String,
        /// The known answer.
        gold: String,
    },
    /// Which of two responses a judgement prefers, read by a model (`dataset/vl_rewardbench.py`).
    Better {
        /// The place of the better one as shown, 0 or 1.
        better: usize,
    },
}

/// What the kit does next with a response.
#[derive(Clone, Debug, PartialEq)]
pub enum Next {
    /// It asks a model.
    Ask {
        /// The user's turn.
        prompt: String,
        /// The softmax temperature.
        temperature: f64,
    },
    /// It has a score.
    Score {
        /// From 0 to 1.
        score: f64,
        /// How it came about.
        how: String,
    },
}

/// What the kit's rules alone make of a response.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Ruled {
    /// A score.
    Score(f64),
    /// No option: without a model it is wrong, and with one it is asked.
    Open,
    /// Nothing: the kit asks a model about the item whatever the response is.
    NeedsModel,
}

impl Kit {
    /// What its rules make of an answer.
    pub(crate) fn rule(&self, answer: &str) -> Ruled {
        let choice = |found: Option<Inferred>, right: usize| match found {
            Some(found) => Ruled::Score(share(found == Inferred::Option(right))),
            None => Ruled::Open,
        };
        match self {
            _ if answer.is_empty() && !self.needs_model() => Ruled::Score(0.0),
            Self::Choice { options, answer: right } => {
                choice(can_infer(answer, options, Harness::Upstream), *right)
            }
            Self::FirstLetter { answer: right } => {
                Ruled::Score(share(first_letter(answer) == Some(*right)))
            }
            Self::FirstWord { options, answer: right } => match first_word(answer, *right) {
                true => Ruled::Score(1.0),
                false => choice(can_infer(answer, options, Harness::Upstream), *right),
            },
            Self::YesNo { yes } => match words::yes_or_no(answer) {
                Some(said) => Ruled::Score(share(said == *yes)),
                None => Ruled::Open,
            },
            Self::Relaxed { golds } => {
                Ruled::Score(share(golds.iter().any(|gold| relaxed(gold, answer))))
            }
            Self::Consensus { answers } => Ruled::Score(agreement(answer, answers)),
            Self::Olympiad { gold, tolerances, is_chinese } => {
                let said = final_answer(answer, *is_chinese);
                Ruled::Score(share(Judger::new(tolerances).judge(said, gold)))
            }
            Self::Extracted { .. } | Self::Graded { .. } | Self::Better { .. } => Ruled::NeedsModel,
        }
    }

    /// What the fork's rules make of a whole response; nothing where it has none of its own.
    pub(crate) fn fork_rule(&self, response: &str) -> Option<Ruled> {
        let Self::Choice { options, answer } = self else { return None };
        Some(match can_infer(response, options, Harness::Fork) {
            Some(found) => Ruled::Score(share(found == Inferred::Option(*answer))),
            None => Ruled::Open,
        })
    }

    /// Whether the kit has no score without a model.
    pub fn needs_model(&self) -> bool {
        matches!(self, Self::Extracted { .. } | Self::Graded { .. } | Self::Better { .. })
    }

    /// Whether the fork has a way of its own with it.
    pub fn has_fork(&self) -> bool {
        matches!(self, Self::Choice { .. })
    }

    /// What the kit does with an answer after the replies it got so far; `draw` decides where it would draw.
    pub fn next(&self, item: &Item, answer: &str, replies: &[String], draw: u64) -> Next {
        let asked = Asked { question: &item.question, answer, replies, draw };
        match (self, self.rule(answer)) {
            (_, Ruled::Score(score)) => by_rule(score),
            (
                Self::Choice { options, answer: right }
                | Self::FirstWord { options, answer: right },
                _,
            ) => asked.choice(options, *right, Harness::Upstream),
            (Self::YesNo { yes }, _) => asked.yes_no(*yes),
            (Self::Extracted { asked: words, compared }, _) => asked.extracted(words, compared),
            (Self::Graded { asked: words, gold }, _) => asked.graded(words, gold),
            (Self::Better { better }, _) => asked.better(*better),
            _ => by_rule(0.0),
        }
    }

    /// As [`Self::next`], of the fork, which reads the whole response; nothing where it has no way of its own.
    pub fn fork_next(
        &self,
        item: &Item,
        response: &str,
        replies: &[String],
        draw: u64,
    ) -> Option<Next> {
        let Self::Choice { options, answer: right } = self else { return None };
        if let Some(Ruled::Score(score)) = self.fork_rule(response) {
            return Some(by_rule(score));
        }
        // Only the model is spared the thought.
        let answer = response.split_once("</think>").map_or(response, |(_, answer)| answer);
        let asked = Asked { question: &item.question, answer, replies, draw };
        Some(asked.choice(options, *right, Harness::Fork))
    }
}

fn by_rule(score: f64) -> Next {
    Next::Score { score, how: "by rule".to_owned() }
}

/// A response in the hands of the kit.
struct Asked<'a> {
    question: &'a str,
    answer: &'a str,
    replies: &'a [String],
    draw: u64,
}

impl Asked<'_> {
    /// The option that a model matches in three tries, else one that is drawn.
    fn choice(&self, options: &[String], right: usize, harness: Harness) -> Next {
        let found = self.replies.iter().find_map(|reply| can_infer(reply, options, harness));
        let num = self.replies.len();
        let (found, how) = match found {
            Some(found) => (found, format!("matched in {num} tries")),
            None if num < TRIES => {
                let prompt = calls::option(self.question, options, self.answer);
                return Next::Ask { prompt, temperature: 0.0 };
            }
            None => {
                let drawn = (self.draw % (options.len() as u64 + 1)) as usize;
                let found = (drawn < options.len()).then_some(Inferred::Option(drawn));
                (found.unwrap_or(Inferred::Neither), format!("not matched in {num} tries, drawn"))
            }
        };
        let name = match found {
            Inferred::Option(place) => letter(place),
            Inferred::Neither => 'Z',
        };
        Next::Score {
            score: share(found == Inferred::Option(right)),
            how: format!("{name}: {how}"),
        }
    }

    fn yes_no(&self, yes: bool) -> Next {
        let num = self.replies.len();
        match self.replies.iter().find_map(|reply| words::yes_or_no(reply)) {
            Some(said) => {
                let name = if said { "Yes" } else { "No" };
                Next::Score {
                    score: share(said == yes),
                    how: format!("{name}: matched in {num} tries"),
                }
            }
            None if num < WARMER_TRIES => {
                let prompt = calls::yes_no(self.question, self.answer);
                Next::Ask { prompt, temperature: 0.5 * num as f64 }
            }
            None => Next::Score { score: 0.0, how: format!("Unknown: not matched in {num} tries") },
        }
    }

    fn extracted(&self, question: &str, compared: &Extract) -> Next {
        if let Some(score) = compared.prefetch(self.answer) {
            return by_rule(score);
        }
        match self.replies {
            [] => Next::Ask {
                prompt: calls::extraction(question, self.answer, compared.is_mathvista()),
                temperature: 0.0,
            },
            [reply, ..] => Next::Score {
                score: share(compared.is_right(reply)),
                how: format!("extracted {}", shown(reply)),
            },
        }
    }

    fn graded(&self, question: &str, gold: &str) -> Next {
        let Some((extracted, grades)) = self.replies.split_first() else {
            return Next::Ask { prompt: calls::verse_extraction(self.answer), temperature: 0.0 };
        };
        let how = |verdict: &str| format!("extracted {}, {verdict}", shown(extracted));
        if extracted.trim() == gold.trim() {
            return Next::Score { score: 1.0, how: how("the same") };
        }
        let grade = grades.iter().find_map(|reply| match reply.trim() {
            "0" => Some(0.0),
            "1" => Some(1.0),
            _ => None,
        });
        match grade {
            Some(score) => Next::Score { score, how: how(&format!("judged {score}")) },
            None if grades.len() < WARMER_TRIES => Next::Ask {
                prompt: calls::verse_score(question, gold, extracted),
                temperature: 0.5 * grades.len() as f64,
            },
            None => Next::Score { score: 0.0, how: how("not judged in 5 tries") },
        }
    }

    fn better(&self, better: usize) -> Next {
        let Some(reply) = self.replies.first() else {
            return Next::Ask { prompt: calls::better(self.answer), temperature: 0.0 };
        };
        let reply = reply.to_lowercase();
        let said = ["answer 1", "answer 2"].iter().position(|name| reply.contains(name));
        let how = said.map_or("no preference".to_owned(), |said| format!("prefers {}", said + 1));
        Next::Score { score: share(said == Some(better)), how }
    }
}

/// The beginning of a reply.
fn shown(reply: &str) -> String {
    format!("{:?}", reply.trim().chars().take(80).collect::<String>())
}

#[cfg(test)]
mod tests;
