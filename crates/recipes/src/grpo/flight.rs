//! What was drawn and scored since the last checkpoint, so that a run that is killed draws and scores nothing twice.
//!
//! ```text
//! in_flight.jsonl     first line: the settings that shape what follows
//!                     {"what": "completion 0", "stream": 12, "version": 3, "value": {…}}  as soon as it has ended
//!                     {"what": "model", …}                                                as soon as a group has scores
//! ```
//!
//! A checkpoint holds all that was drawn before it, so the file is emptied after each. It is a cache: a line that is
//! torn, or that stands under other settings, costs a second draw of the same bits and nothing else.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::Error;

/// Name of the file in an output folder.
const FILE: &str = "in_flight.jsonl";

/// Where completions come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) struct Origin {
    /// The prompt's place in the run, which names its draws.
    pub stream: u64,
    /// Steps that the policy had taken that drew.
    pub version: u64,
}

/// An open `in_flight.jsonl`; threads share it.
pub(super) struct Flight {
    path: PathBuf,
    header: String,
    contents: Mutex<Contents>,
}

struct Contents {
    file: File,
    known: HashMap<(String, Origin), Value>,
}

#[derive(Deserialize)]
struct Line {
    what: String,
    #[serde(flatten)]
    origin: Origin,
    value: Value,
}

impl Flight {
    /// Opens the file of an output folder; what stands there counts if it was written under the same `settings`.
    pub(super) fn open(folder: &Path, settings: &str) -> Result<Self, Error> {
        let path = folder.join(FILE);
        let header = format!("{}\n", json!({ "settings": settings }));
        let open = || {
            let file = OpenOptions::new().create(true).append(true).open(&path)?;
            let (known, length) = read(&std::fs::read(&path)?, &header);
            file.set_len(length)?;
            if length == 0 {
                (&file).write_all(header.as_bytes())?;
            }
            Ok(Contents { file, known })
        };
        let contents = open().map_err(|source| Error::Io { path: path.clone(), source })?;
        Ok(Self { path, header, contents: Mutex::new(contents) })
    }

    /// What is known of some draws.
    pub(super) fn get<T: DeserializeOwned>(&self, what: &str, origin: Origin) -> Option<T> {
        let contents = self.contents();
        let value = contents.known.get(&(what.to_owned(), origin))?;
        serde_json::from_value(value.clone()).ok()
    }

    /// Keeps something of some draws. A killed process leaves it to the system, which writes it.
    pub(super) fn put<T: Serialize>(
        &self,
        what: &str,
        origin: Origin,
        value: &T,
    ) -> Result<(), Error> {
        let Origin { stream, version } = origin;
        let line = json!({"what": what, "stream": stream, "version": version, "value": value});
        let mut contents = self.contents();
        contents.file.write_all(format!("{line}\n").as_bytes()).map_err(|source| self.io(source))
    }

    /// Forgets everything: a checkpoint has it.
    pub(super) fn clear(&self) -> Result<(), Error> {
        let mut contents = self.contents();
        contents.known.clear();
        let emptied = contents.file.set_len(0);
        let written = emptied.and_then(|()| contents.file.write_all(self.header.as_bytes()));
        written.map_err(|source| self.io(source))
    }

    fn io(&self, source: std::io::Error) -> Error {
        Error::Io { path: self.path.clone(), source }
    }

    /// A panic elsewhere tears no line: each is written at once.
    fn contents(&self) -> MutexGuard<'_, Contents> {
        self.contents.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What stands in a file under this header, and how much of it is whole.
fn read(bytes: &[u8], header: &str) -> (HashMap<(String, Origin), Value>, u64) {
    let mut known = HashMap::new();
    let mut lines = bytes.split_inclusive(|&byte| byte == b'\n');
    if lines.next() != Some(header.as_bytes()) {
        return (known, 0);
    }
    let mut length = header.len();
    for line in lines.take_while(|line| line.ends_with(b"\n")) {
        let Ok(Line { what, origin, value }) = serde_json::from_slice(line) else { break };
        known.insert((what, origin), value);
        length += line.len();
    }
    (known, length as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_lines_under_the_same_settings_are_known_again() {
        let folder = tempfile::tempdir().unwrap();
        let origin = |stream| Origin { stream, version: 3 };
        let value = vec![0.1f32, -1.0 / 3.0];
        {
            let flight = Flight::open(folder.path(), "a").unwrap();
            flight.put("model", origin(1), &value).unwrap();
            flight.put("model", origin(2), &value).unwrap();
            assert_eq!(
                flight.get::<Vec<f32>>("model", origin(1)),
                None,
                "what is new is not asked"
            );
        }
        let path = folder.path().join(FILE);
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, &text[..text.len() - 4]).unwrap();
        let flight = Flight::open(folder.path(), "a").unwrap();
        assert_eq!(flight.get("model", origin(1)), Some(value.clone()), "to the bit");
        assert_eq!(flight.get::<Vec<f32>>("model", origin(2)), None, "torn");
        for other in [("custom", origin(1)), ("model", Origin { stream: 1, version: 4 })] {
            assert_eq!(flight.get::<Vec<f32>>(other.0, other.1), None);
        }
        flight.put("model", origin(2), &value).unwrap();
        drop(flight);
        assert!(
            Flight::open(folder.path(), "a").unwrap().get::<Value>("model", origin(2)).is_some()
        );
        let flight = Flight::open(folder.path(), "b").unwrap();
        assert_eq!(flight.get::<Value>("model", origin(1)), None, "other settings");
        flight.put("model", origin(5), &value).unwrap();
        flight.clear().unwrap();
        drop(flight);
        let flight = Flight::open(folder.path(), "b").unwrap();
        assert_eq!(flight.get::<Value>("model", origin(5)), None);
        assert_eq!(std::fs::read_to_string(&path).unwrap().lines().count(), 1);
    }
}
