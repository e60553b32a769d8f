//! What was found out so far, item by item, so that a kill costs one batch.
//!
//! ```text
//! responses.jsonl     first line: the settings that shape what follows; then a line for each item
//! ```

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};

use engine::LockedFile;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::Error;
use crate::whole_lines::whole_lines;

/// What a journal holds.
pub(crate) trait Numbered {
    /// The item's number: of two lines about one item the later counts.
    fn number(&self) -> usize;
}

/// An open journal.
pub(crate) struct Journal<E> {
    path: PathBuf,
    file: LockedFile,
    /// What is known, by number.
    pub entries: BTreeMap<usize, E>,
}

impl<E: Numbered + Serialize + DeserializeOwned> Journal<E> {
    /// Opens a journal; a line that a kill has torn is dropped.
    ///
    /// # Errors
    /// When another process holds it, or it was begun under other `settings`.
    pub(crate) fn open(path: &Path, settings: &Map<String, Value>) -> Result<Self, Error> {
        let folder = path.parent().unwrap_or(Path::new(""));
        let io = |source| Error::Io { path: path.to_owned(), source };
        let file = std::fs::create_dir_all(folder)
            .and_then(|()| OpenOptions::new().create(true).append(true).open(path))
            .map_err(io)?;
        let file = LockedFile::new(file, path)?;
        let bytes = std::fs::read(path).map_err(io)?;
        let mut journal =
            Self { path: path.to_owned(), file, entries: BTreeMap::<usize, E>::new() };
        match whole_lines::<E>(&bytes) {
            Some(whole) => {
                compare(path, &header(whole.header)?, settings)?;
                journal.file.set_len(whole.length).map_err(io)?;
                let entries = whole.lines.into_iter().map(|entry| (entry.number(), entry));
                journal.entries.extend(entries);
            }
            None => {
                journal.file.set_len(0).map_err(io)?;
                journal.write(settings)?;
            }
        }
        Ok(journal)
    }

    /// What another's journal knows, if it was begun under these settings; it is not locked and stays as it is.
    ///
    /// # Errors
    /// When it cannot be read, or one of `settings` was another.
    pub(crate) fn read(
        path: &Path,
        settings: &Map<String, Value>,
    ) -> Result<BTreeMap<usize, E>, Error> {
        let io = |source| Error::Io { path: path.to_owned(), source };
        let bytes = std::fs::read(path).map_err(io)?;
        let Some(whole) = whole_lines::<E>(&bytes) else { return Ok(BTreeMap::new()) };
        let mut saved = header(whole.header)?;
        saved.retain(|key, _| settings.contains_key(key));
        compare(path, &saved, settings)?;
        Ok(whole.lines.into_iter().map(|entry| (entry.number(), entry)).collect())
    }

    /// Adds what one item gave, and waits until the disk has it.
    pub(crate) fn add(&mut self, entry: E) -> Result<(), Error> {
        self.write(&entry)?;
        self.entries.insert(entry.number(), entry);
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

/// Keys that shape what a policy draws.
pub(crate) const DRAWING_KEYS: [&str; 9] = [
    "model_name_or_path",
    "adapter_name_or_path",
    "dtype",
    "seed",
    "num_generations",
    "max_completion_length",
    "temperature",
    "top_k",
    "top_p",
];

/// Keys that name a model, and what its content is called: another model may lie at the same path.
const MODEL_KEYS: [(&str, &str); 3] = [
    ("model_name_or_path", "model_content"),
    ("adapter_name_or_path", "adapter_content"),
    ("reward_model", REWARD_MODEL_CONTENT),
];

/// What the content of `reward_model` is called.
pub(crate) const REWARD_MODEL_CONTENT: &str = "reward_model_content";

/// The settings of these names, as what heads a journal; with models, what their folders hold.
///
/// # Errors
/// When a model's file cannot be read.
pub(crate) fn only(config: &impl Serialize, keys: &[&str]) -> Result<Map<String, Value>, Error> {
    let all = serde_json::to_value(config).expect("plain text and numbers");
    let known = keys.iter().filter_map(|&key| Some((key.to_owned(), all.get(key)?.clone())));
    let mut settings: Map<String, Value> = known.collect();
    for (key, content) in MODEL_KEYS {
        let Some(path) = settings.get(key).and_then(Value::as_str).map(PathBuf::from) else {
            continue;
        };
        let found = stages::fingerprint(&path).map_err(|source| Error::Io { path, source })?;
        settings.extend(found.map(|found| (content.to_owned(), found.into())));
    }
    Ok(settings)
}

/// The settings that a journal was begun under.
fn header(line: &[u8]) -> Result<Map<String, Value>, Error> {
    serde_json::from_slice(line).map_err(|error| Error::State {
        what: "journal",
        reason: format!("its first line holds no settings: {error}"),
    })
}

/// A journal goes on only under the settings that it began with.
fn compare(
    path: &Path,
    saved: &Map<String, Value>,
    current: &Map<String, Value>,
) -> Result<(), Error> {
    let show = |map: &Map<String, Value>, key: &str| {
        map.get(key).map_or("none".to_owned(), ToString::to_string)
    };
    let keys = saved.keys().chain(current.keys().filter(|key| !saved.contains_key(*key)));
    let differences: Vec<String> = keys
        .filter(|key| !is_same(saved.get(*key), current.get(*key)))
        .map(|key| format!("{key}: {}, now {}", show(saved, key), show(current, key)))
        .collect();
    match differences.is_empty() {
        true => Ok(()),
        false => {
            Err(Error::Changed { checkpoint: path.to_owned(), differences: differences.join("; ") })
        }
    }
}

/// Whether two values are equal, or two spellings of one path.
fn is_same(a: Option<&Value>, b: Option<&Value>) -> bool {
    let file = |value: Option<&Value>| std::fs::canonicalize(value?.as_str()?).ok();
    a == b || file(a).is_some_and(|a| Some(a) == file(b))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn another_model_at_the_same_path_is_another_setting() {
        let folder = tempfile::tempdir().unwrap();
        let weights = folder.path().join("model.safetensors");
        let config = json!({"reward_model": folder.path(), "model_name_or_path": "http://one/"});
        let of = |bytes: &[u8]| {
            std::fs::write(&weights, bytes).unwrap();
            only(&config, &["reward_model", "model_name_or_path"]).unwrap()
        };
        let (first, second) = (of(b"one"), of(b"two"));
        assert_eq!(first.len(), 3, "{first:?}");
        compare(Path::new("journal"), &of(b"one"), &first).unwrap();
        let error = compare(Path::new("journal"), &first, &second).unwrap_err().to_string();
        assert!(error.contains("reward_model_content: "), "{error}");
    }

    #[test]
    fn two_spellings_of_a_path_are_one_setting() {
        let folder = tempfile::tempdir().unwrap();
        let spelled = |tail: &str| json!({"dataset": folder.path().join(tail), "seed": 1});
        let compared = |a: Value, b: Value| {
            let map = |value: Value| value.as_object().unwrap().clone();
            compare(Path::new("journal"), &map(a), &map(b))
        };
        compared(spelled(""), spelled(".")).unwrap();
        let error = compared(spelled("a"), spelled("./b")).unwrap_err().to_string();
        assert!(error.contains("dataset: "), "{error}");
    }
}
