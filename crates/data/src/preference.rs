//! Preference pairs: one prompt, a better and a worse response, in the columns of TRL, ms-swift, MMPR and open data sets.
//!
//! ```text
//! TRL        prompt?, chosen, rejected            each text or turns; no prompt: what both begin with
//! ms-swift   messages, rejected_response | rejected_messages       the chosen response ends `messages`
//!            query, response, rejected_response, system?, history?   or instruction, input?, output
//! MMPR       question, chosen, rejected, image
//! RLAIF-V    question, chosen, rejected, image with bytes, or image_path
//! LLaVA-Critic   conversations: a question with two responses, and the verdict
//! ```

use std::path::{Path, PathBuf};

use schema::{Message, Role, Sample};
use serde::Serialize;

use crate::dataset::{missing_image, retain};
use crate::jsonl::{python_lines, take_what_is_good};
use crate::{Error, Result};

mod columns;
mod critic;
mod flaw;

pub use columns::PairFault;
use columns::{Columns, Row};
pub use flaw::{Found, PairFlaw, PairReport};

/// Two responses to one prompt, the first of them preferred. Written as TRL's conversational columns.
#[derive(Clone, Debug, PartialEq)]
pub struct Preference {
    /// What was asked: the turns that lead to the response, with as many image tags as images; the known answer, the
    /// identity and the columns this program does not know come with it.
    pub prompt: Sample,
    /// The better response.
    pub chosen: String,
    /// The worse response.
    pub rejected: String,
    /// Score of the better response, where one is known.
    pub score_chosen: Option<f64>,
    /// Score of the worse response, where one is known.
    pub score_rejected: Option<f64>,
}

/// The usable pairs of one JSONL file, and what was found of the others.
#[derive(Clone, Debug)]
pub struct Preferences {
    /// The file.
    pub path: PathBuf,
    /// Its usable pairs; image paths are as the file has them.
    pub pairs: Vec<Preference>,
    /// What was left out, and why.
    pub report: PairReport,
    folder: PathBuf,
    lines: Vec<usize>,
}

impl Preferences {
    /// Reads a file whose image paths are relative to `folder`, or to the file's own folder.
    ///
    /// A line that holds no pair, or one that nothing can be learned from ([`PairFlaw`]), is left out and reported. Text
    /// without any image tag takes its images before the first user turn, as TRL and InternVL do.
    ///
    /// # Errors
    ///
    /// When the file itself cannot be read.
    pub fn read(path: impl AsRef<Path>, folder: Option<&Path>) -> Result<Self> {
        let (mut read, bad) = Self::read_what_is_good(path, folder)?;
        bad.iter().for_each(|error| read.report.leave_out_line(error));
        Ok(read)
    }

    /// As [`Self::read`], but lines that hold no pair are not in the report: with them comes why.
    ///
    /// # Errors
    ///
    /// When the file itself cannot be read.
    pub fn read_what_is_good(
        path: impl AsRef<Path>,
        folder: Option<&Path>,
    ) -> Result<(Self, Vec<Error>)> {
        let mut read = Self::none(path.as_ref(), folder);
        let bad = take_what_is_good(python_lines(path.as_ref())?, |line| read.add(line))?;
        Ok((read, bad))
    }

    fn none(path: &Path, folder: Option<&Path>) -> Self {
        let own = path.parent().unwrap_or(Path::new(""));
        let folder = folder.unwrap_or(own).to_owned();
        let report = PairReport::default();
        Self { path: path.to_owned(), pairs: vec![], report, folder, lines: vec![] }
    }

    fn add(&mut self, line: Result<(usize, Row)>) -> Result<()> {
        let (line, row) = line?;
        let pair = row.pair().map_err(|fault| fault.at(&self.path, line))?;
        match self.flaw(&pair) {
            Some(flaw) => self.report.leave_out(flaw, self.at(line)),
            None => self.push(pair, line),
        }
        Ok(())
    }

    /// Drops the pairs whose flag is not set; the report stays as it is.
    pub fn keep(&mut self, is_kept: &[bool]) {
        retain(&mut self.pairs, is_kept);
        retain(&mut self.lines, is_kept);
    }

    /// The folder that image paths are relative to.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// File and line of pair `index`, for messages.
    pub fn place(&self, index: usize) -> String {
        self.at(self.lines[index])
    }

    fn at(&self, line: usize) -> String {
        format!("{}:{line}", self.path.display())
    }

    fn push(&mut self, pair: Preference, line: usize) {
        self.report.num_kept += 1;
        self.pairs.push(pair);
        self.lines.push(line);
    }

    /// Why a pair cannot be used.
    fn flaw(&self, pair: &Preference) -> Option<PairFlaw> {
        pair.flaw()
            .or_else(|| missing_image(&pair.prompt, &self.folder).map(|_| PairFlaw::MissingImage))
    }
}

impl Preference {
    /// Why nothing can be learned from these responses, if so.
    pub fn flaw(&self) -> Option<PairFlaw> {
        let (chosen, rejected) = (self.chosen.trim(), self.rejected.trim());
        let is_bad = |score: Option<f64>| score.is_some_and(|score| !score.is_finite());
        let is_half_scored = self.score_chosen.is_some() != self.score_rejected.is_some();
        if chosen.is_empty() {
            Some(PairFlaw::EmptyChosen)
        } else if rejected.is_empty() {
            Some(PairFlaw::EmptyRejected)
        } else if chosen == rejected {
            Some(PairFlaw::Identical)
        } else if is_half_scored || is_bad(self.score_chosen) || is_bad(self.score_rejected) {
            Some(PairFlaw::Score)
        } else {
            None
        }
    }

    /// How much better the chosen response scored, where both scores are known.
    pub fn margin(&self) -> Option<f64> {
        Some(self.score_chosen? - self.score_rejected?)
    }

    /// The prompt followed by `response` as the assistant's turn.
    pub fn conversation(&self, response: &str) -> Sample {
        let mut sample = self.prompt.clone();
        sample.messages.push(answer(response));
        sample
    }
}

/// A response as a turn.
fn answer(text: &str) -> Message {
    Message { role: Role::Assistant, content: schema::Content::Text(text.to_owned()) }
}

impl Serialize for Preference {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Sample { id, messages, images, answer: known, completion: _, extra } = &self.prompt;
        let [chosen, rejected] = [&self.chosen, &self.rejected].map(|text| [answer(text)]);
        let (score_chosen, score_rejected) = (self.score_chosen, self.score_rejected);
        Columns {
            id,
            prompt: messages,
            images,
            chosen,
            rejected,
            score_chosen,
            score_rejected,
            answer: known,
            extra,
        }
        .serialize(serializer)
    }
}
