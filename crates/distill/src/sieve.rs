//! A data set, line by line: what cannot be used is set aside with a reason, and the rest goes on.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use data::{Error as DataError, absolute, lines, num_image_tags, prompt_of, response_of};
use preprocess::ImageFile;
use rayon::iter::{IntoParallelIterator as _, ParallelIterator as _};
use reward::Why;
use schema::{Content, Role, Sample};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use stages::hex;

use crate::Error;

/// A line or an item that is not used, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quarantined {
    /// Its line in the file, from 1.
    pub line: usize,
    /// Its name, where it could be read.
    pub id: Option<String>,
    /// What is wrong with it, in a word, for counting.
    pub flaw: Flaw,
    /// The same in a sentence.
    pub reason: String,
}

/// What is wrong with an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Flaw {
    /// The line is no UTF-8.
    NotUtf8,
    /// The line is no sample.
    NotASample,
    /// No turn of the user's with anything in it.
    NoQuestion,
    /// No known answer, or one that is empty.
    NoAnswer,
    /// Nothing that the assistant says.
    NoResponse,
    /// Tags and images disagree in number.
    ImageCount,
    /// An image is missing, damaged or of an unknown kind.
    Image,
    /// The item's own answers differ, or those of two items that ask the same.
    Contradiction,
    /// The id was there before.
    DuplicateId,
    /// The same item was there before.
    Duplicate,
    /// A judge's reply could not be read, twice.
    JudgeProse,
}

/// What a sample is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needs {
    /// A question with an answer that a rule can check.
    Answer,
    /// A conversation that ends in something to learn; it may have such an answer.
    Response,
}

/// A sample that can be used.
#[derive(Clone, Debug)]
pub(crate) struct Kept {
    pub line: usize,
    /// The author's name for it, or its line.
    pub id: String,
    /// The whole conversation, its image paths absolute.
    pub sample: Sample,
    /// The turns up to the question.
    pub prompt: Sample,
    /// The known answer.
    pub gold: Option<String>,
    /// Names its content, images included.
    pub hash: String,
    /// The same without what answers it.
    asked: String,
}

/// What a file holds.
#[derive(Debug, Default)]
pub struct Sieved {
    pub(crate) kept: Vec<Kept>,
    /// What cannot be used, in the order of the file.
    pub quarantined: Vec<Quarantined>,
    /// Lines that are not blank.
    pub num_lines: usize,
}

impl Sieved {
    /// Reads a file, or its first `limit` lines. Of equal samples the first is kept; of those that ask the same and have
    /// different answers none.
    ///
    /// # Errors
    /// When the file cannot be read; bad lines are no error.
    pub fn read(path: &Path, limit: Option<usize>, needs: Needs) -> Result<Self, Error> {
        let folder = path.parent().unwrap_or(Path::new(""));
        let lines: Vec<_> = lines::<Sample>(path)?.take(limit.unwrap_or(usize::MAX)).collect();
        let mut sieved = Self { num_lines: lines.len(), ..Self::default() };
        // Every image is read.
        let read = lines.into_par_iter().map(|line| match line {
            Ok((line, sample)) => Ok(usable(line, sample, folder, needs)),
            Err(error) => bad_line(error).map(Err),
        });
        for line in read.collect::<Result<Vec<_>, Error>>()? {
            match line {
                Ok(kept) => sieved.kept.push(kept),
                Err(flawed) => sieved.quarantined.push(flawed),
            }
        }
        sieved.set_contradictions_aside();
        sieved.set_duplicates_aside();
        sieved.quarantined.sort_by_key(|flawed| flawed.line);
        Ok(sieved)
    }

    /// The samples that can be used, their image paths absolute.
    pub fn samples(self) -> impl Iterator<Item = Sample> {
        self.kept.into_iter().map(|kept| kept.sample)
    }

    /// Samples that ask the same and have different answers: nobody knows which of them is right.
    fn set_contradictions_aside(&mut self) {
        let mut golds: HashMap<&str, (&str, usize)> = HashMap::new();
        let mut clashes: HashMap<String, usize> = HashMap::new();
        for kept in &self.kept {
            let Some(gold) = &kept.gold else { continue };
            let (first, line) = golds.entry(&kept.asked).or_insert((gold, kept.line));
            if *first != gold && !reward::verify(first, gold).equivalent {
                clashes.entry(kept.asked.clone()).or_insert(*line);
            }
        }
        self.set_aside(|kept| {
            kept.gold.as_ref()?;
            let line = clashes.get(&kept.asked)?;
            let reason = format!("the same question has different answers, first in line {line}");
            Some((Flaw::Contradiction, reason))
        });
    }

    fn set_duplicates_aside(&mut self) {
        let (mut ids, mut hashes) = (HashSet::new(), HashSet::new());
        self.set_aside(|kept| {
            if !hashes.insert(kept.hash.clone()) {
                return Some((Flaw::Duplicate, "the same item was there before".to_owned()));
            }
            let is_new = ids.insert(kept.id.clone());
            (!is_new).then(|| (Flaw::DuplicateId, format!("the id {:?} was there before", kept.id)))
        });
    }

    fn set_aside(&mut self, mut flaw: impl FnMut(&Kept) -> Option<(Flaw, String)>) {
        let quarantined = &mut self.quarantined;
        self.kept.retain(|kept| {
            let found = flaw(kept);
            if let Some((flaw, reason)) = &found {
                let (line, id) = (kept.line, Some(kept.id.clone()));
                quarantined.push(Quarantined { line, id, flaw: *flaw, reason: reason.clone() });
            }
            found.is_none()
        });
    }
}

/// A line that is none of ours; errors of the file itself are passed on.
fn bad_line(error: DataError) -> Result<Quarantined, Error> {
    let (line, flaw) = match &error {
        DataError::NotUtf8 { line, .. } => (*line, Flaw::NotUtf8),
        DataError::Json { line, .. } => (*line, Flaw::NotASample),
        _ => return Err(error.into()),
    };
    Ok(Quarantined { line, id: None, flaw, reason: error.to_string() })
}

fn usable(line: usize, sample: Sample, folder: &Path, needs: Needs) -> Result<Kept, Quarantined> {
    let id = sample.id.clone().unwrap_or_else(|| line.to_string());
    let refuse = |flaw, reason: String| Quarantined { line, id: sample.id.clone(), flaw, reason };
    let mut prompt = prompt_of(&sample);
    prompt.answer = None;
    if !asks(&prompt, needs) {
        return Err(refuse(Flaw::NoQuestion, "there is no question".to_owned()));
    }
    let gold = gold(&sample, needs).map_err(|(flaw, reason)| refuse(flaw, reason))?;
    let (tags, listed) = (num_image_tags(&prompt.messages), prompt.images.len());
    if tags != listed {
        let reason = format!("the text has {tags} image tags, but \"images\" has {listed} entries");
        return Err(refuse(Flaw::ImageCount, reason));
    }
    let mut asked = Sha256::new();
    asked.update(serde_json::to_vec(&prompt.messages).expect("turns have a JSON form"));
    for image in prompt.image_sources() {
        let file = ImageFile::load(image, folder);
        asked.update(file.map_err(|error| refuse(Flaw::Image, error.to_string()))?.sha256());
    }
    let answered = match needs {
        Needs::Answer => gold.clone(),
        Needs::Response => told(&sample),
    };
    let sample = absolute(sample, folder);
    let hash = hex(&asked.clone().chain_update(answered.unwrap_or_default()).finalize());
    Ok(Kept { line, id, prompt, gold, hash, asked: hex(&asked.finalize()), sample })
}

/// Whether a prompt ends in a question: in words, or, where a response is learned, by a picture alone.
fn asks(prompt: &Sample, needs: Needs) -> bool {
    let Some(last) = prompt.messages.last().filter(|last| last.role == Role::User) else {
        return false;
    };
    let has_words = !text_of(&last.content).replace("<image>", "").trim().is_empty();
    has_words || (needs == Needs::Response && prompt.image_sources().next().is_some())
}

/// What the assistant's last turn says, if anything.
fn told(sample: &Sample) -> Option<String> {
    response_of(sample).filter(|text| !text.trim().is_empty())
}

/// The known answer: the column, or what the assistant's turn answers where an answer is needed.
fn gold(sample: &Sample, needs: Needs) -> Result<Option<String>, (Flaw, String)> {
    let told = told(sample);
    if needs == Needs::Response && told.is_none() {
        return Err((Flaw::NoResponse, "the assistant says nothing".to_owned()));
    }
    let column = match needs {
        // A turn stands in for a column without a word.
        Needs::Answer => sample.answer.clone().filter(|answer| !answer.trim().is_empty()),
        Needs::Response => sample.answer.clone(),
    };
    if let (Some(answer), Some(told)) = (&column, &told)
        && differ(answer, told)
    {
        let reason =
            format!("the answer is {answer:?}, but the assistant's turn answers otherwise");
        return Err((Flaw::Contradiction, reason));
    }
    let gold = match needs {
        Needs::Answer => column.or(told),
        Needs::Response => column,
    };
    let no_answer = |reason: &str| Err((Flaw::NoAnswer, reason.to_owned()));
    match (gold, needs) {
        (None, Needs::Answer) => no_answer("there is no known answer"),
        (None, Needs::Response) => Ok(None),
        (Some(gold), _) => match (reward::verify(&gold, &gold).why, needs) {
            (Why::NoGold, _) => no_answer("the known answer says nothing"),
            (Why::TooLong, Needs::Answer) => no_answer("the known answer is too long to be one"),
            // Prose: nothing contradicts it.
            (Why::TooLong, Needs::Response) => Ok(None),
            _ => Ok(Some(gold)),
        },
    }
}

/// Whether a turn boxes another answer; one without a box may say it in words.
fn differ(answer: &str, told: &str) -> bool {
    reward::last_boxed(told).is_some() && !reward::verify(answer, told).equivalent
}

/// The words of a turn, its tags left in.
pub(crate) fn text_of(content: &Content) -> String {
    content.texts().collect::<Vec<_>>().join("\n")
}
