//! The numbers of a run, step by step: `metrics.jsonl` for programs, TensorBoard events for eyes.
//!
//! Both files only grow. A resume first cuts off what lies beyond the step it starts from, so that no
//! step appears twice.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use crate::Error;
use crate::tensorboard::EventFile;

/// One line of `metrics.jsonl`: `step`, then the metrics by name. A non-finite value is `null`.
pub(crate) type LogLine = Map<String, Value>;

/// The log files of a run, open for appending.
#[derive(Debug)]
pub(crate) struct MetricsLog {
    path: PathBuf,
    file: File,
    events: EventFile,
}

impl MetricsLog {
    /// Opens `folder/metrics.jsonl` and `folder/runs/`, without what they hold beyond `step`.
    ///
    /// `wall_time` is in seconds since 1970 and only stamps the head of a new event file.
    ///
    /// # Errors
    /// If a file cannot be written, or a line of `metrics.jsonl` is not an object with a `step`.
    pub(crate) fn open(folder: &Path, step: u64, wall_time: f64) -> Result<Self, Error> {
        let path = folder.join("metrics.jsonl");
        let mut options = OpenOptions::new();
        let file =
            options.create(true).append(true).open(&path).map_err(Error::io("open", &path))?;
        let bytes = std::fs::read(&path).map_err(Error::io("read", &path))?;
        let kept = bytes_until(&bytes, step, &path)?;
        file.set_len(kept as u64).map_err(Error::io("truncate", &path))?;
        let events = EventFile::open(&folder.join("runs"), step, wall_time)?;
        Ok(Self { path, file, events })
    }

    /// Appends the metrics of `step` to both files and returns the line.
    ///
    /// `wall_time` is in seconds since 1970 and reaches the event file only.
    pub(crate) fn append(
        &mut self,
        step: u64,
        wall_time: f64,
        metrics: &BTreeMap<String, f64>,
    ) -> Result<LogLine, Error> {
        let mut line = LogLine::new();
        line.insert("step".to_owned(), step.into());
        line.extend(metrics.iter().map(|(name, &value)| (name.clone(), value.into())));
        let mut text = Value::Object(line.clone()).to_string();
        text.push('\n');
        self.file.write_all(text.as_bytes()).map_err(Error::io("write", &self.path))?;
        self.events.scalars(
            step,
            wall_time,
            metrics.iter().map(|(name, &value)| (tag(name), value)),
        )?;
        Ok(line)
    }

    /// Waits until the disk has `metrics.jsonl`, so that a checkpoint never knows more steps than it.
    pub(crate) fn sync(&self) -> Result<(), Error> {
        self.file.sync_data().map_err(Error::io("sync", &self.path))
    }
}

/// transformers' tags: evaluation under `eval/`, all else under `train/`.
fn tag(name: &str) -> String {
    if name.starts_with("eval/") { name.to_owned() } else { format!("train/{name}") }
}

/// Length of the leading lines that belong to no step after `step`. A torn last line is not counted.
fn bytes_until(bytes: &[u8], step: u64, path: &Path) -> Result<usize, Error> {
    let mut kept = 0;
    for (index, line) in bytes.split_inclusive(|&byte| byte == b'\n').enumerate() {
        if !line.ends_with(b"\n") {
            break;
        }
        let line_step = serde_json::from_slice::<Value>(line)
            .ok()
            .and_then(|value| value.get("step")?.as_u64());
        let Some(line_step) = line_step else {
            return Err(Error::corrupt(
                path,
                &format!("line {} is no object with a step", index + 1),
            ));
        };
        if line_step > step {
            break;
        }
        kept += line.len();
    }
    Ok(kept)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write_steps(folder: &Path, from: u64, to: u64) {
        let mut log = MetricsLog::open(folder, from, 0.0).unwrap();
        for step in from + 1..=to {
            log.append(step, 0.0, &BTreeMap::from([("loss".to_owned(), 0.1 * step as f64)]))
                .unwrap();
        }
    }

    fn steps(folder: &Path) -> Vec<u64> {
        let text = std::fs::read_to_string(folder.join("metrics.jsonl")).unwrap();
        text.lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap()["step"].as_u64().unwrap())
            .collect()
    }

    #[test]
    fn a_resume_doubles_no_step() {
        let folder = tempfile::tempdir().unwrap();
        write_steps(folder.path(), 0, 5);
        write_steps(folder.path(), 3, 4);
        assert_eq!(steps(folder.path()), [1, 2, 3, 4]);
    }

    #[test]
    fn a_torn_last_line_is_dropped() {
        let folder = tempfile::tempdir().unwrap();
        write_steps(folder.path(), 0, 2);
        let path = folder.path().join("metrics.jsonl");
        let mut text = std::fs::read_to_string(&path).unwrap();
        text.push_str("{\"step\": 3, \"lo");
        std::fs::write(&path, text).unwrap();
        write_steps(folder.path(), 3, 4);
        assert_eq!(steps(folder.path()), [1, 2, 4]);
    }

    #[test]
    fn a_damaged_line_is_an_error_with_its_number() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.jsonl");
        std::fs::write(&path, "{\"step\": 1}\nnonsense\n{\"step\": 2}\n").unwrap();
        let message = MetricsLog::open(folder.path(), 9, 0.0).unwrap_err().to_string();
        assert!(message.contains("metrics.jsonl") && message.contains("line 2"), "{message}");
        assert_eq!(std::fs::read_to_string(&path).unwrap().lines().count(), 3, "nothing is lost");
    }

    #[test]
    fn step_stands_first_and_nan_is_null() {
        let folder = tempfile::tempdir().unwrap();
        let mut log = MetricsLog::open(folder.path(), 0, 0.0).unwrap();
        let metrics = BTreeMap::from([("kl".to_owned(), f64::NAN), ("a".to_owned(), 0.1)]);
        log.append(1, 0.0, &metrics).unwrap();
        let text = std::fs::read_to_string(folder.path().join("metrics.jsonl")).unwrap();
        assert_eq!(text, "{\"step\":1,\"a\":0.1,\"kl\":null}\n");
    }
}
