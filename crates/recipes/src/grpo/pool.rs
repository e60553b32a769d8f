//! The offline warm start: which prompts the policy answers both right and wrong before any training.
//!
//! ```text
//! prompts ─► G rollouts of the start policy ─► prompt_pool.jsonl ─► those with 0 < right < G train
//! ```
//!
//! R1V2 (arXiv:2504.16656), section 3.3.2: the *filtered prompt pool*. The file is written as the pass goes on, so that
//! a kill costs one batch of prompts, and another run may be given it.

use std::collections::BTreeSet;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::GrpoConfig;
use super::draw::generation;
use super::questions::Questions;
use crate::Error;
use crate::journal::{DRAWING_KEYS, Journal, Numbered, only};
use crate::policy::Policy;
use crate::run::Notice;

/// Name of the file in an output folder.
pub const POOL_FILE: &str = "prompt_pool.jsonl";

/// Prompts drawn together: what a kill may cost.
const PROMPTS_AT_ONCE: usize = 16;

/// Streams of the pass, far from those of the run.
const FIRST_STREAM: u64 = 1 << 50;

/// What the start policy made of one question.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Line {
    /// The question's number in the data set.
    question: usize,
    /// Right answers.
    correct: usize,
    /// Answers.
    of: usize,
}

impl Line {
    fn is_mixed(&self) -> bool {
        0 < self.correct && self.correct < self.of
    }
}

impl Numbered for Line {
    fn number(&self) -> usize {
        self.question
    }
}

/// Leaves those questions that teach something, where the settings ask for a pool.
///
/// # Errors
/// A pool that cannot be read or does not cover the questions; one without a single mixed question.
pub(super) fn restrict(
    config: &GrpoConfig,
    questions: &mut Questions,
    policy: &mut Policy,
    notices: &mut dyn FnMut(&Notice),
) -> Result<(), Error> {
    let (path, lines) = match &config.rollout.prompt_pool {
        Some(path) => (path.clone(), given(path, questions)?),
        None if config.rollout.warm_start => {
            let path = config.run.output_dir.join(POOL_FILE);
            let lines = Pass { config, questions, policy }.run(&path, notices)?;
            (path, lines)
        }
        None => return Ok(()),
    };
    let mixed = lines.iter().filter(|line| line.is_mixed());
    let kept: BTreeSet<usize> = mixed.map(|line| line.question).collect();
    notices(&Notice::Pool { path: path.clone(), kept: kept.len(), of: questions.len() });
    if kept.is_empty() {
        return Err(Error::EmptyPool { path });
    }
    questions.keep(&kept);
    Ok(())
}

/// The lines of a finished pool of the same questions.
fn given(path: &Path, questions: &Questions) -> Result<Vec<Line>, Error> {
    let lines = Journal::<Line>::read(path, &identity(questions))?;
    match (lines.len(), questions.len()) {
        (found, wanted) if found < wanted => {
            let reason = format!("its pass ended after {found} of {wanted}");
            Err(Error::Pool { path: path.to_owned(), reason })
        }
        _ => Ok(lines.into_values().collect()),
    }
}

/// What a pool says of its questions.
fn identity(questions: &Questions) -> Map<String, Value> {
    let hash = questions.identity().hash().to_owned();
    let values = [("num_questions", questions.len().into()), ("questions", hash.into())];
    values.map(|(key, value)| (key.to_owned(), value)).into_iter().collect()
}

/// A pass over all questions.
struct Pass<'a> {
    config: &'a GrpoConfig,
    questions: &'a Questions,
    policy: &'a mut Policy,
}

impl Pass<'_> {
    /// Goes on where an interrupted pass under the same settings ended.
    fn run(&mut self, path: &Path, notices: &mut dyn FnMut(&Notice)) -> Result<Vec<Line>, Error> {
        let keys = [&DRAWING_KEYS[..], &["repetition_penalty"]].concat();
        let mut settings = only(self.config, &keys)?;
        settings.extend(identity(self.questions));
        let mut journal = Journal::<Line>::open(path, &settings)?;
        let missing =
            (0..self.questions.len()).filter(|index| !journal.entries.contains_key(index));
        let missing: Vec<usize> = missing.collect();
        for questions in missing.chunks(PROMPTS_AT_ONCE) {
            self.draw(questions)?.into_iter().try_for_each(|line| journal.add(line))?;
            let (done, total) = (journal.entries.len(), self.questions.len());
            notices(&Notice::Sampled { done, total });
        }
        Ok(journal.entries.into_values().collect())
    }

    fn draw(&mut self, questions: &[usize]) -> Result<Vec<Line>, Error> {
        let mut prompts = Vec::with_capacity(questions.len());
        for &question in questions {
            let stream = FIRST_STREAM + question as u64;
            prompts.push(self.questions.prompt(question, stream, self.policy)?);
        }
        let config = generation(self.config, &self.policy.processor);
        let (vlm, tokenizer) = (&self.policy.vlm, &self.policy.processor.tokenizer);
        let groups = rollout::generate(vlm, tokenizer, &prompts, &config, &mut |_| {})?;
        let line = |(&question, group): (&usize, Vec<schema::Completion>)| {
            let right = group.iter().filter(|c| self.questions.is_right(question, &c.text));
            Line { question, correct: right.count(), of: group.len() }
        };
        Ok(questions.iter().zip(groups).map(line).collect())
    }
}
