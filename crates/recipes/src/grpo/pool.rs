//! The offline warm start: which prompts the policy answers both right and wrong before any training.
//!
//! ```text
//! prompts ─► G rollouts of the start policy ─► prompt_pool.jsonl ─► those with 0 < right < G train
//! ```
//!
//! R1V2 (arXiv:2504.16656), section 3.3.2: the *filtered prompt pool*. The file is written as the pass goes on, so that
//! a kill costs one batch of prompts, and another run may be given it.

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use reward::verify;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::GrpoConfig;
use super::draw::generation;
use super::questions::Questions;
use crate::Error;
use crate::policy::Policy;
use crate::run::{Notice, settings_hash};

/// Name of the file in an output folder.
pub const POOL_FILE: &str = "prompt_pool.jsonl";

/// Prompts drawn together: what a kill may cost.
const PROMPTS_AT_ONCE: usize = 16;

/// Streams of the pass, far from those of the run.
const FIRST_STREAM: u64 = 1 << 50;

/// The first line.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Header {
    num_questions: usize,
    /// Hash of the settings that the pass was made under.
    settings: String,
}

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
        Some(path) => (path.clone(), given(path, questions.len())?),
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

/// The lines of a finished pool.
fn given(path: &Path, num_questions: usize) -> Result<Vec<Line>, Error> {
    let bytes =
        std::fs::read(path).map_err(|source| Error::Io { path: path.to_owned(), source })?;
    let broken = |reason| Error::Pool { path: path.to_owned(), reason };
    let (header, lines, _) =
        read(&bytes).ok_or_else(|| broken("its first line is none of a pool".to_owned()))?;
    let covered: BTreeSet<usize> = lines.iter().map(|line| line.question).collect();
    match (header.num_questions == num_questions, covered.len() == num_questions) {
        (true, true) => Ok(lines),
        (false, _) => Err(broken(format!(
            "it is of {} questions, the data set has {num_questions}",
            header.num_questions
        ))),
        (true, false) => {
            Err(broken(format!("its pass ended after {} of {num_questions}", covered.len())))
        }
    }
}

/// Header and whole lines of a pool, and their bytes.
fn read(bytes: &[u8]) -> Option<(Header, Vec<Line>, u64)> {
    let mut lines = bytes.split_inclusive(|&byte| byte == b'\n').filter(|l| l.ends_with(b"\n"));
    let first = lines.next()?;
    let header = serde_json::from_slice(first).ok()?;
    let (mut read, mut length) = (vec![], first.len());
    for line in lines {
        let Ok(parsed) = serde_json::from_slice(line) else { break };
        read.push(parsed);
        length += line.len();
    }
    Some((header, read, length as u64))
}

/// A pass over all questions.
struct Pass<'a> {
    config: &'a GrpoConfig,
    questions: &'a Questions,
    policy: &'a mut Policy,
}

impl Pass<'_> {
    fn run(&mut self, path: &Path, notices: &mut dyn FnMut(&Notice)) -> Result<Vec<Line>, Error> {
        let io = |source| Error::Io { path: path.to_owned(), source };
        std::fs::create_dir_all(&self.config.run.output_dir).map_err(io)?;
        let (mut file, mut lines) = self.open(path)?;
        let known: BTreeSet<usize> = lines.iter().map(|line| line.question).collect();
        let missing: Vec<usize> =
            (0..self.questions.len()).filter(|question| !known.contains(question)).collect();
        for questions in missing.chunks(PROMPTS_AT_ONCE) {
            let new = self.draw(questions)?;
            let text: String = new.iter().map(|line| format!("{}\n", json!(line))).collect();
            file.write_all(text.as_bytes()).map_err(io)?;
            lines.extend(new);
            notices(&Notice::Sampled { done: lines.len(), total: self.questions.len() });
        }
        Ok(lines)
    }

    /// The file with what an interrupted pass under the same settings left of it.
    fn open(&self, path: &Path) -> Result<(File, Vec<Line>), Error> {
        let header =
            Header { num_questions: self.questions.len(), settings: settings_hash(self.config)? };
        let open = || {
            let mut file = OpenOptions::new().create(true).append(true).open(path)?;
            let (lines, length) = match read(&std::fs::read(path)?) {
                Some((found, lines, length)) if found == header => (lines, length),
                _ => (vec![], 0),
            };
            file.set_len(length)?;
            if length == 0 {
                file.write_all(format!("{}\n", json!(header)).as_bytes())?;
            }
            Ok((file, lines))
        };
        open().map_err(|source| Error::Io { path: PathBuf::from(path), source })
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
            let (gold, opening) =
                (&self.questions.answers[question], self.questions.opening(question));
            let is_right = |completion: &&schema::Completion| {
                verify(gold, &opening.response(&completion.text)).equivalent
            };
            Line { question, correct: group.iter().filter(is_right).count(), of: group.len() }
        };
        Ok(questions.iter().zip(groups).map(line).collect())
    }
}
