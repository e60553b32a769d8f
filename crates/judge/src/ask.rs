//! Asking many questions at once: rule or model, reading, repair.

use std::borrow::Cow;

use schema::{Content, Message, Role};
use serde::{Deserialize, Serialize};

use crate::Question;
use crate::respond::{Decoding, Failure, Prose, Request, Respond, Response};

/// Longest part of an unreadable reply that is shown to its author again, in characters.
const QUOTED: usize = 2000;

/// Who answers questions.
pub enum Judge<'a> {
    /// Rules alone: everything runs without a network and without a second model.
    Rules,
    /// A model.
    Model(Judging<'a>),
}

/// A model that judges, and how it is asked.
pub struct Judging<'a> {
    /// The model.
    pub model: &'a mut dyn Respond,
    /// How its replies are drawn.
    pub decoding: Decoding,
}

impl Judge<'_> {
    /// All that tells this judge's verdicts from another's.
    pub fn identity(&self) -> String {
        match self {
            Self::Rules => "rules".to_owned(),
            Self::Model(Judging { model, decoding }) => judge_identity(&model.identity(), decoding),
        }
    }
}

/// The identity of a judge by that of its model.
pub fn judge_identity(model: &str, decoding: &Decoding) -> String {
    format!("{model} {decoding:?}")
}

/// A verdict, and what it took.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Judged<V> {
    /// What was found.
    pub verdict: V,
    /// Who found it: `rules`, or a model.
    pub model: String,
    /// Tokens of the turns, those of a repair included.
    pub prompt_tokens: u64,
    /// Tokens of the replies.
    pub completion_tokens: u64,
    /// What they cost.
    pub cost: f64,
}

impl<V> Judged<V> {
    /// A verdict by rule, which is free.
    pub fn by_rule(verdict: V) -> Self {
        let model = "rules".to_owned();
        Self { verdict, model, prompt_tokens: 0, completion_tokens: 0, cost: 0.0 }
    }
}

/// Called with the number of a question and its verdict.
type Found<'a, Q> = dyn FnMut(usize, Result<Judged<<Q as Question>::Verdict>, Failure>) + 'a;

/// Answers every question; `done` is called exactly once for each, in any order. A reply that cannot be read is sent
/// back once with what is wrong with it.
pub fn judge_all<Q: Question>(judge: &mut Judge<'_>, questions: &[Q], done: &mut Found<'_, Q>) {
    let mut asked = Vec::new();
    for (index, question) in questions.iter().enumerate() {
        let is_by_rule = matches!(judge, Judge::Rules) || question.rule_suffices();
        match question.by_rule() {
            Some(verdict) if is_by_rule => done(index, Ok(Judged::by_rule(verdict))),
            None if matches!(judge, Judge::Rules) => {
                done(index, Err(Failure::NoJudge { question: Q::VERSION }));
            }
            _ => asked.push(index),
        }
    }
    if let Judge::Model(judging) = judge {
        let unread = first_round(judging, questions, &asked, done);
        repair(judging, questions, &unread, done);
    }
}

/// A reply that could not be read.
struct Unread {
    question: usize,
    response: Response,
    reason: String,
}

fn first_round<Q: Question>(
    judging: &mut Judging<'_>,
    questions: &[Q],
    asked: &[usize],
    done: &mut Found<'_, Q>,
) -> Vec<Unread> {
    let request = |&index: &usize| {
        let question = &questions[index];
        request(Q::VERSION, question, judging.decoding, Cow::Owned(question.prompt()))
    };
    let requests: Vec<Request<'_>> = asked.iter().map(request).collect();
    let mut unread = Vec::new();
    judging.model.respond(&requests, &mut |number, outcome| {
        let question = asked[number];
        match outcome {
            Err(failure) => done(question, Err(failure)),
            Ok(response) => match questions[question].read(&response.text) {
                Ok(verdict) => done(question, Ok(judged(verdict, &[&response]))),
                Err(reason) => unread.push(Unread { question, response, reason }),
            },
        }
    });
    unread.sort_by_key(|unread| unread.question);
    unread
}

fn repair<Q: Question>(
    judging: &mut Judging<'_>,
    questions: &[Q],
    unread: &[Unread],
    done: &mut Found<'_, Q>,
) {
    let version = format!("{}+repair", Q::VERSION);
    let request = |unread: &Unread| {
        let question = &questions[unread.question];
        let mut prompt = question.prompt();
        prompt.messages.extend(mending::<Q>(unread));
        request(&version, question, judging.decoding, Cow::Owned(prompt))
    };
    let requests: Vec<Request<'_>> = unread.iter().map(request).collect();
    judging.model.respond(&requests, &mut |number, outcome| {
        let Unread { question, response: first, .. } = &unread[number];
        let found = outcome.and_then(|second| match questions[*question].read(&second.text) {
            Ok(verdict) => Ok(judged(verdict, &[first, &second])),
            Err(reason) => {
                let prose = Prose { reason, excerpt: quoted(&second.text, 200) };
                Err(Failure::Unreadable(judged(prose, &[first, &second])))
            }
        });
        done(*question, found);
    });
}

/// The turns that send a reply back.
fn mending<Q: Question>(unread: &Unread) -> [Message; 2] {
    let reason = &unread.reason;
    let plea = format!(
        "That reply cannot be used: {reason}.\nReply again, in exactly this form and with nothing before or after it:\n{}",
        Q::FORM
    );
    // A reply may spell the tag for an image, for which there is none.
    let said = quoted(&unread.response.text, QUOTED).replace("<image>", "[image]");
    let turn = |role, text| Message { role, content: Content::Text(text) };
    [turn(Role::Assistant, said), turn(Role::User, plea)]
}

fn request<'a, Q: Question>(
    prompt_version: &'a str,
    question: &'a Q,
    decoding: Decoding,
    prompt: Cow<'a, schema::Sample>,
) -> Request<'a> {
    Request { prompt_version, prompt, folder: question.folder(), decoding, stream: 0 }
}

fn judged<V>(verdict: V, responses: &[&Response]) -> Judged<V> {
    Judged {
        verdict,
        model: responses.last().map_or_else(String::new, |last| last.model.clone()),
        prompt_tokens: responses.iter().map(|response| response.prompt_tokens).sum(),
        completion_tokens: responses.iter().map(|response| response.completion_tokens).sum(),
        cost: responses.iter().map(|response| response.cost).sum(),
    }
}

fn quoted(text: &str, length: usize) -> String {
    text.chars().take(length).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Correctness;
    use crate::respond::Done;

    /// Says in each round what it was told to say, one text for each round.
    struct Parrot(Vec<&'static str>, Vec<String>);

    impl Respond for Parrot {
        fn identity(&self) -> String {
            "parrot".to_owned()
        }

        fn respond(&mut self, requests: &[Request<'_>], done: &mut Done<'_>) {
            if requests.is_empty() {
                return;
            }
            let text = self.0.remove(0);
            for (index, request) in requests.iter().enumerate() {
                self.1.push(format!("{} {:?}", request.prompt_version, request.prompt.messages));
                let response = Response { text: text.to_owned(), cost: 1.0, ..Response::default() };
                done(index, Ok(response));
            }
        }
    }

    fn ask(says: &[&'static str]) -> (Result<(bool, f64), Failure>, Vec<String>) {
        let question = Correctness { question: "3 + 4?", gold: "7", response: "seven" };
        let mut parrot = Parrot(says.to_vec(), vec![]);
        let judging = Judging { model: &mut parrot, decoding: Decoding::greedy(64, 1) };
        let mut found = vec![];
        judge_all(&mut Judge::Model(judging), &[question], &mut |_, judged| found.push(judged));
        let found = found.pop().expect("one verdict");
        (found.map(|judged| (judged.verdict.correct, judged.cost)), parrot.1)
    }

    #[test]
    fn a_reply_in_prose_is_sent_back_once() {
        let good = r#"{"correct": true, "reason": "the same number"}"#;
        assert_eq!(ask(&[good]).0, Ok((true, 1.0)));
        let (mended, asked) = ask(&["It looks right to me!", good]);
        assert_eq!((mended, asked.len()), (Ok((true, 2.0)), 2));
        assert!(asked[1].starts_with("correctness/1+repair ") && asked[1].contains("looks right"));
        let (lost, asked) = ask(&["It looks right.", "As I said."]);
        let Err(Failure::Unreadable(lost)) = lost else { panic!("{lost:?}") };
        assert_eq!((lost.verdict.excerpt.as_str(), lost.cost, asked.len()), ("As I said.", 2.0, 2));
    }

    #[test]
    fn no_judge_is_asked_what_a_rule_settles() {
        let question = Correctness { question: "3 + 4?", gold: "7", response: r"\boxed{7}" };
        let mut parrot = Parrot(vec![], vec![]);
        let judging = Judging { model: &mut parrot, decoding: Decoding::greedy(64, 1) };
        let mut model = String::new();
        let mut done = |_, judged: Result<Judged<_>, Failure>| model = judged.unwrap().model;
        judge_all(&mut Judge::Model(judging), &[question], &mut done);
        assert_eq!(model, "rules");
    }
}
