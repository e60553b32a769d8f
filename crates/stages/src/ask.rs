//! Asking for what the store does not hold.

use judge::{Failure, Judge, Judged, Prose, Question, Request, Respond, Response, judge_all};
use serde::{Deserialize, Serialize};

use crate::store::{Entry, key};
use crate::{Error, Store};

/// Which stage asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stage {
    /// Its name.
    pub name: &'static str,
    /// The seed of its draws.
    pub seed: u64,
}

/// A question or request about an item.
#[derive(Clone, Debug)]
pub struct Keyed<'a, T> {
    /// Names the item's content, images included.
    pub content: &'a str,
    /// What is asked about it.
    pub value: T,
}

/// Called with the number of a question and its verdict.
pub type Found<'a, Q> = dyn FnMut(usize, Result<<Q as Question>::Verdict, Failure>) + 'a;

/// Called with the number of a request and its response.
pub type Responded<'a> = dyn FnMut(usize, Result<Response, Failure>) + 'a;

impl Store {
    /// Answers every question, from the store or else by the judge; `found` is called exactly once for each, in any
    /// order, and what is new is kept before it is: a verdict, or that the judge's replies are in no form.
    ///
    /// # Errors
    /// When the store cannot be read or written.
    pub fn ask<Q: Question>(
        &self,
        stage: Stage,
        judge: &mut Judge<'_>,
        questions: Vec<Keyed<'_, Q>>,
        found: &mut Found<'_, Q>,
    ) -> Result<(), Error> {
        let identity = judge.identity();
        let (mut places, mut asked) = (vec![], vec![]);
        for (number, Keyed { content, value }) in questions.into_iter().enumerate() {
            let key = question_key(stage.name, &identity, content, &value);
            match self.get::<Kept<Q::Verdict>>(&key)? {
                Some(kept) => found(number, kept.found()),
                None => {
                    places.push((number, key, content));
                    asked.push(value);
                }
            }
        }
        let mut broken = None;
        judge_all(judge, &asked, &mut |place, judged| {
            let (number, key, item) = &places[place];
            let kept = Kept::of(judged).inspect(|kept| {
                let asked = (key.as_str(), *item, Q::VERSION);
                let entry = match kept {
                    Kept::Verdict(judged) => entry(stage, asked, judged),
                    Kept::Unreadable { unreadable } => entry(stage, asked, unreadable),
                };
                broken = broken.take().or(self.put(&entry, kept).err());
            });
            found(*number, kept.and_then(Kept::found));
        });
        broken.map_or(Ok(()), Err)
    }

    /// Has a model respond to every request that the store holds no response to; `done` is called as `found` is in
    /// [`Self::ask`].
    ///
    /// # Errors
    /// When the store cannot be read or written.
    pub fn respond(
        &self,
        stage: &'static str,
        model: &mut dyn Respond,
        requests: Vec<Keyed<'_, Request<'_>>>,
        done: &mut Responded<'_>,
    ) -> Result<(), Error> {
        let identity = model.identity();
        let (mut places, mut asked) = (vec![], vec![]);
        for (number, Keyed { content, value }) in requests.into_iter().enumerate() {
            let key = request_key(stage, &identity, content, &value);
            match self.get(&key)? {
                Some(response) => done(number, Ok(response)),
                None => {
                    places.push((number, key, content));
                    asked.push(value);
                }
            }
        }
        let mut broken = None;
        model.respond(&asked, &mut |place, outcome| {
            let (number, key, item) = &places[place];
            if let Ok(response) = &outcome {
                let entry = Entry {
                    key,
                    stage,
                    item,
                    prompt_version: asked[place].prompt_version,
                    model: &response.model,
                    seed: asked[place].decoding.seed,
                    prompt_tokens: response.prompt_tokens,
                    completion_tokens: response.completion_tokens,
                    cost: response.cost,
                };
                broken = broken.take().or(self.put(&entry, response).err());
            }
            done(*number, outcome);
        });
        broken.map_or(Ok(()), Err)
    }
}

/// What is kept of a question.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Kept<V> {
    /// Its verdict.
    Verdict(Judged<V>),
    /// That its judge does not keep to the form: asked again, the judge would say the same.
    Unreadable { unreadable: Judged<Prose> },
}

impl<V> Kept<V> {
    /// What is kept of an outcome; a failure or a stop is not, since another time may be better.
    fn of(judged: Result<Judged<V>, Failure>) -> Result<Self, Failure> {
        match judged {
            Ok(judged) => Ok(Self::Verdict(judged)),
            Err(Failure::Unreadable(unreadable)) => Ok(Self::Unreadable { unreadable }),
            Err(failure) => Err(failure),
        }
    }

    fn found(self) -> Result<V, Failure> {
        match self {
            Self::Verdict(judged) => Ok(judged.verdict),
            Self::Unreadable { unreadable } => Err(Failure::Unreadable(unreadable)),
        }
    }
}

/// What a judge took for a question with this key, about this item, in this version.
fn entry<'a, V>(
    stage: Stage,
    (key, item, prompt_version): (&'a str, &'a str, &'a str),
    judged: &'a Judged<V>,
) -> Entry<'a> {
    Entry {
        key,
        stage: stage.name,
        item,
        prompt_version,
        model: &judged.model,
        seed: stage.seed,
        prompt_tokens: judged.prompt_tokens,
        completion_tokens: judged.completion_tokens,
        cost: judged.cost,
    }
}

/// The key of a verdict.
pub fn question_key<Q: Question>(stage: &str, judge: &str, content: &str, question: &Q) -> String {
    let prompt = serde_json::to_string(&question.prompt()).expect("a prompt has a JSON form");
    key(&[stage, Q::VERSION, judge, content, &prompt])
}

/// The key of a response.
pub fn request_key(stage: &str, model: &str, content: &str, request: &Request<'_>) -> String {
    let decoding = serde_json::to_string(&request.decoding).expect("numbers have a JSON form");
    let prompt = serde_json::to_string(&request.prompt).expect("a prompt has a JSON form");
    key(&[stage, request.prompt_version, model, &decoding, content, &prompt])
}
