//! The data set, item by item: what cannot be used is set aside with a reason, and the rest goes on.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use data::{Error as DataError, lines, num_image_tags, prompt_of};
use preprocess::ImageFile;
use reward::Why;
use schema::{Content, Role, Sample};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use stages::hex;

use crate::Error;

/// A question with a known answer.
#[derive(Clone, Debug)]
pub struct Item {
    /// Its line in the file, from 1.
    pub line: usize,
    /// The author's name for it, or its line.
    pub id: String,
    /// The turns up to the question.
    pub prompt: Sample,
    /// The known answer.
    pub gold: String,
    /// Names its content, images included: equal for equal items, wherever they stand.
    pub hash: String,
    /// The same without the answer.
    asked: String,
}

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

impl Item {
    /// The image sources of the prompt, in the order in which they are shown.
    pub fn images(&self) -> Vec<&str> {
        self.prompt.image_sources().collect()
    }

    /// The question as text.
    pub fn question(&self) -> String {
        let texts = self.prompt.messages.iter().filter(|m| m.role == Role::User);
        texts.map(|message| text_of(&message.content)).collect::<Vec<_>>().join("\n")
    }

    /// A number that the item's draws are counted by.
    pub fn stream(&self) -> u64 {
        u64::from_str_radix(&self.hash[..16], 16).expect("a hash is hexadecimal")
    }
}

/// What a file holds.
#[derive(Clone, Debug, Default)]
pub struct Items {
    /// What is used.
    pub items: Vec<Item>,
    /// What is not.
    pub quarantined: Vec<Quarantined>,
    /// Lines that are not blank.
    pub num_lines: usize,
}

impl Items {
    /// Reads a file, or its first `limit` lines.
    ///
    /// # Errors
    /// When the file cannot be read; bad lines are no error.
    pub fn read(path: &Path, limit: Option<usize>) -> Result<Self, Error> {
        let folder = path.parent().unwrap_or(Path::new(""));
        let mut items = Self::default();
        for line in lines::<Sample>(path)?.take(limit.unwrap_or(usize::MAX)) {
            items.num_lines += 1;
            let read = match line {
                Ok((line, sample)) => item(line, &sample, folder),
                Err(error) => Err(bad_line(error)?),
            };
            match read {
                Ok(item) => items.items.push(item),
                Err(flawed) => items.quarantined.push(flawed),
            }
        }
        items.set_contradictions_aside();
        items.set_duplicates_aside();
        items.quarantined.sort_by_key(|flawed| flawed.line);
        Ok(items)
    }

    /// Items that ask the same and have different answers: nobody knows which of them is right.
    fn set_contradictions_aside(&mut self) {
        let mut golds: HashMap<&str, (&str, usize)> = HashMap::new();
        let mut clashes: HashMap<String, usize> = HashMap::new();
        for item in &self.items {
            let (gold, line) = golds.entry(&item.asked).or_insert((&item.gold, item.line));
            if *gold != item.gold && !reward::verify(gold, &item.gold).equivalent {
                clashes.entry(item.asked.clone()).or_insert(*line);
            }
        }
        self.set_aside(|item| {
            let line = clashes.get(&item.asked)?;
            let reason = format!("the same question has different answers, first in line {line}");
            Some((Flaw::Contradiction, reason))
        });
    }

    fn set_duplicates_aside(&mut self) {
        let (mut ids, mut hashes) = (HashSet::new(), HashSet::new());
        self.set_aside(|item| {
            if !hashes.insert(item.hash.clone()) {
                return Some((Flaw::Duplicate, "the same item was there before".to_owned()));
            }
            let is_new = ids.insert(item.id.clone());
            (!is_new).then(|| (Flaw::DuplicateId, format!("the id {:?} was there before", item.id)))
        });
    }

    fn set_aside(&mut self, mut flaw: impl FnMut(&Item) -> Option<(Flaw, String)>) {
        let quarantined = &mut self.quarantined;
        self.items.retain(|item| {
            let found = flaw(item);
            if let Some((flaw, reason)) = &found {
                quarantined.push(item.quarantined(*flaw, reason.clone()));
            }
            found.is_none()
        });
    }
}

impl Item {
    /// The item as one that is not used.
    pub(crate) fn quarantined(&self, flaw: Flaw, reason: String) -> Quarantined {
        Quarantined { line: self.line, id: Some(self.id.clone()), flaw, reason }
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

fn item(line: usize, sample: &Sample, folder: &Path) -> Result<Item, Quarantined> {
    let id = sample.id.clone().unwrap_or_else(|| line.to_string());
    let refuse = |flaw, reason: String| Quarantined { line, id: sample.id.clone(), flaw, reason };
    let mut prompt = prompt_of(sample);
    prompt.answer = None;
    let has_question = prompt.messages.last().is_some_and(|last| {
        last.role == Role::User && !text_of(&last.content).replace("<image>", "").trim().is_empty()
    });
    if !has_question {
        return Err(refuse(Flaw::NoQuestion, "there is no question".to_owned()));
    }
    let gold = gold(sample).map_err(|(flaw, reason)| refuse(flaw, reason))?;
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
    let hash = hex(&asked.clone().chain_update(&gold).finalize());
    Ok(Item { line, id, prompt, gold, hash, asked: hex(&asked.finalize()) })
}

/// The known answer: the column, or what the assistant's turn answers.
fn gold(sample: &Sample) -> Result<String, (Flaw, String)> {
    let told = sample.messages.last().filter(|last| last.role == Role::Assistant);
    let told = told.map(|last| text_of(&last.content)).filter(|text| !text.trim().is_empty());
    let column = sample.answer.as_ref().filter(|answer| !answer.trim().is_empty());
    let gold = match (column, told) {
        (Some(answer), Some(told)) if differ(answer, &told) => {
            let reason =
                format!("the answer is {answer:?}, but the assistant's turn answers otherwise");
            return Err((Flaw::Contradiction, reason));
        }
        (Some(answer), _) => answer.clone(),
        (None, Some(told)) => told,
        (None, None) => return Err((Flaw::NoAnswer, "there is no known answer".to_owned())),
    };
    match reward::verify(&gold, &gold).why {
        Why::NoGold => Err((Flaw::NoAnswer, "the known answer says nothing".to_owned())),
        Why::TooLong => Err((Flaw::NoAnswer, "the known answer is too long to be one".to_owned())),
        _ => Ok(gold),
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
