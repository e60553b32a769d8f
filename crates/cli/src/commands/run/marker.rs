//! `stage.json`: what a folder was made from, and whether it is finished.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use stages::hex;

use crate::output::write_atomic;

/// Name of the file in a stage's folder.
const FILE: &str = "stage.json";

/// Files up to this size are known by their content, larger ones by size and time of change.
const READ_WHOLE: u64 = 16 << 20;

/// The key of a result that is a checkpoint.
const CHECKPOINT: &str = "checkpoint";

/// What a stage leaves in its folder: first unfinished, then with its results.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Marker {
    /// The command.
    pub(super) command: String,
    /// Hash of the command, its settings and its inputs.
    pub(super) fingerprint: String,
    /// The keys as the recipe has them.
    pub(super) keys: BTreeMap<String, String>,
    /// Fingerprints of stages and files that went in.
    pub(super) inputs: BTreeMap<String, String>,
    /// Whether the command has ended well.
    pub(super) is_finished: bool,
    /// Seconds of the call that finished it.
    pub(super) seconds: f64,
    /// What the command printed as JSON.
    pub(super) result: Value,
}

impl Marker {
    /// The marker in a folder, if there is one that reads.
    pub(super) fn read(folder: &Path) -> Result<Option<Self>> {
        let path = folder.join(FILE);
        match std::fs::read(&path) {
            // A file of other make is as good as none: the stage runs, and its command looks after itself.
            Ok(bytes) => Ok(serde_json::from_slice(&bytes).ok()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| path.display().to_string()),
        }
    }

    /// Writes the marker; a kill leaves the old one or the new one.
    pub(super) fn write(&self, folder: &Path) -> Result<()> {
        std::fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
        write_atomic(&folder.join(FILE), format!("{:#}\n", serde_json::to_value(self)?).as_bytes())
    }

    /// Takes over what a command printed; a checkpoint in the folder is noted relative to it, so that the whole may
    /// be moved.
    pub(super) fn keep_result(&mut self, folder: &Path, mut result: Value) {
        let checkpoint = result.get(CHECKPOINT).and_then(Value::as_str).map(PathBuf::from);
        if let Some(inside) = checkpoint.as_ref().and_then(|path| path.strip_prefix(folder).ok()) {
            result[CHECKPOINT] = inside.display().to_string().into();
        }
        self.result = result;
    }

    /// The checkpoint that the stage ended with.
    pub(super) fn checkpoint(&self, folder: &Path) -> Option<PathBuf> {
        self.result.get(CHECKPOINT)?.as_str().map(|path| folder.join(path))
    }

    /// What differs between the marker and another, for people.
    pub(super) fn differences(&self, now: &Self) -> String {
        let mut text = String::new();
        let parts = [(&self.keys, &now.keys), (&self.inputs, &now.inputs)];
        for (before, after) in parts {
            let names = before.keys().chain(after.keys().filter(|key| !before.contains_key(*key)));
            for name in names.filter(|name| before.get(*name) != after.get(*name)) {
                let show = |map: &BTreeMap<String, String>| {
                    let value = map.get(name).map_or("none", String::as_str);
                    value.chars().take(40).collect::<String>()
                };
                let gap = if text.is_empty() { "" } else { "; " };
                // Writing into a text does not fail.
                let _ = write!(text, "{gap}{name}: {}, now {}", show(before), show(after));
            }
        }
        match text.is_empty() {
            true => "defaults of the command".to_owned(),
            false => text,
        }
    }
}

/// Hash of some text.
pub(super) fn hash(text: &str) -> String {
    hex(&Sha256::digest(text.as_bytes()))
}

/// Hash of what stands at a path: names, sizes, and the content of files that are not large.
pub(super) fn content(path: &Path) -> Result<String> {
    let mut hasher = Sha256::new();
    add(&mut hasher, path, Path::new("")).with_context(|| path.display().to_string())?;
    Ok(hex(&hasher.finalize()))
}

fn add(hasher: &mut Sha256, root: &Path, inside: &Path) -> std::io::Result<()> {
    let path = if inside.as_os_str().is_empty() { root.to_owned() } else { root.join(inside) };
    let found = std::fs::metadata(&path)?;
    if found.is_dir() {
        let mut names = std::fs::read_dir(&path)?
            .map(|entry| entry.map(|entry| entry.file_name()))
            .collect::<std::io::Result<Vec<_>>>()?;
        names.sort();
        return names.into_iter().try_for_each(|name| add(hasher, root, &inside.join(name)));
    }
    hasher.update(format!("{inside:?} {}\n", found.len()));
    if found.len() <= READ_WHOLE {
        hasher.update(std::fs::read(&path)?);
    } else {
        let time = found.modified()?.duration_since(UNIX_EPOCH).unwrap_or_default();
        hasher.update(format!("{time:?}"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_is_known_by_names_and_bytes_not_by_place() {
        let folder = tempfile::tempdir().unwrap();
        let [one, other] = ["one", "other"].map(|name| folder.path().join(name));
        for place in [&one, &other] {
            std::fs::create_dir_all(place.join("inner")).unwrap();
            std::fs::write(place.join("inner/a"), "x").unwrap();
        }
        assert_eq!(content(&one).unwrap(), content(&other).unwrap());
        std::fs::write(other.join("inner/a"), "y").unwrap();
        assert_ne!(content(&one).unwrap(), content(&other).unwrap());
        std::fs::rename(one.join("inner/a"), one.join("inner/b")).unwrap();
        assert_ne!(content(&one).unwrap(), content(&folder.path().join("one/inner")).unwrap());
        assert!(content(&one.join("missing")).is_err());
    }
}
