//! What was sampled and scored, prompt by prompt, so that a kill costs one batch.
//!
//! ```text
//! responses.jsonl     first line: the settings that shape what follows; then a line for each prompt
//! ```

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::Write;
use std::path::{Path, PathBuf};

use schema::FinishReason;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::Error;
use crate::whole_lines::whole_lines;

/// Name of the journal in an output folder.
const FILE: &str = "responses.jsonl";

/// One sampled response.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Response {
    pub text: String,
    pub finish_reason: FinishReason,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub score: Option<f64>,
}

impl Response {
    pub(super) fn is_complete(&self) -> bool {
        self.finish_reason == FinishReason::Stop
    }
}

/// The rejected side of a DropoutNTP pair.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Dropout {
    /// The whole of the chosen response.
    pub chosen: String,
    /// Its first half, continued without the image.
    pub rejected: Response,
}

/// What one prompt gave.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Entry {
    /// The prompt's number in the data set.
    pub prompt: usize,
    /// Whether the prompt ends inside an opened thought.
    pub opens_thought: bool,
    pub responses: Vec<Response>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dropout: Option<Dropout>,
    /// Why there are no scores, where there should be some.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub score_error: Option<String>,
}

/// An open journal.
pub(super) struct Journal {
    path: PathBuf,
    /// Locked: the system releases it however the process ends.
    file: File,
    /// What is known, by prompt.
    pub entries: BTreeMap<usize, Entry>,
}

impl Journal {
    /// Opens the journal of an output folder; a line that a kill has torn is dropped.
    ///
    /// # Errors
    /// When another process holds it, or it was begun under other `settings`.
    pub(super) fn open(folder: &Path, settings: &Map<String, Value>) -> Result<Self, Error> {
        let path = folder.join(FILE);
        let io = |source| Error::Io { path: path.clone(), source };
        let file = std::fs::create_dir_all(folder)
            .and_then(|()| OpenOptions::new().create(true).append(true).open(&path))
            .map_err(io)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(engine::Error::InUse { path: folder.to_owned() }.into());
            }
            Err(TryLockError::Error(source)) => return Err(io(source)),
        }
        let bytes = std::fs::read(&path).map_err(io)?;
        let whole = whole_lines::<Entry>(&bytes);
        let mut journal = Self { path: path.clone(), file, entries: BTreeMap::new() };
        match whole {
            Some(whole) => {
                check_settings(&path, whole.header, settings)?;
                journal.file.set_len(whole.length).map_err(io)?;
                let entries = whole.lines.into_iter().map(|entry| (entry.prompt, entry));
                journal.entries.extend(entries);
            }
            None => {
                journal.file.set_len(0).map_err(io)?;
                journal.write(settings)?;
            }
        }
        Ok(journal)
    }

    /// Adds what one prompt gave, and waits until the disk has it.
    pub(super) fn add(&mut self, entry: Entry) -> Result<(), Error> {
        self.write(&entry)?;
        self.entries.insert(entry.prompt, entry);
        Ok(())
    }

    fn write(&mut self, value: &impl Serialize) -> Result<(), Error> {
        let text = serde_json::to_string(value).expect("plain text and finite numbers") + "\n";
        self.file
            .write_all(text.as_bytes())
            .and_then(|()| self.file.sync_data())
            .map_err(|source| Error::Io { path: self.path.clone(), source })
    }
}

/// A journal goes on only under the settings that it began with.
fn check_settings(path: &Path, line: &[u8], current: &Map<String, Value>) -> Result<(), Error> {
    let saved: Map<String, Value> = serde_json::from_slice(line).map_err(|error| Error::State {
        what: FILE,
        reason: format!("its first line holds no settings: {error}"),
    })?;
    let show = |map: &Map<String, Value>, key: &str| {
        map.get(key).map_or("none".to_owned(), ToString::to_string)
    };
    let keys = saved.keys().chain(current.keys().filter(|key| !saved.contains_key(*key)));
    let differences: Vec<String> = keys
        .filter(|key| saved.get(*key) != current.get(*key))
        .map(|key| format!("{key}: {}, now {}", show(&saved, key), show(current, key)))
        .collect();
    match differences.is_empty() {
        true => Ok(()),
        false => {
            Err(Error::Changed { checkpoint: path.to_owned(), differences: differences.join("; ") })
        }
    }
}
