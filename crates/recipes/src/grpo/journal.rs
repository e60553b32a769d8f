//! Every completion that was sampled, with its rewards, as lines of `completions.jsonl`.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::Questions;
use super::group::Group;
use crate::Error;

/// An open `completions.jsonl`.
pub(super) struct Journal {
    path: PathBuf,
    file: File,
}

impl Journal {
    /// Opens the file of an output folder; lines of steps after `step` are dropped, as the run takes
    /// those steps again.
    pub(super) fn open(folder: &Path, step: u64) -> Result<Self, Error> {
        let path = folder.join("completions.jsonl");
        let io = |source| Error::Io { path: path.clone(), source };
        let kept = keep_until(&path, step).map_err(io)?;
        let partial = path.with_extension("jsonl.partial");
        std::fs::write(&partial, kept).map_err(io)?;
        std::fs::rename(&partial, &path).map_err(io)?;
        let file = OpenOptions::new().append(true).open(&path).map_err(io)?;
        Ok(Self { path, file })
    }

    /// Appends the groups of a step, one line a completion.
    pub(super) fn append(
        &mut self,
        step: u64,
        groups: &[Group],
        questions: &Questions,
    ) -> Result<(), Error> {
        let mut text = String::new();
        for group in groups {
            for (index, completion) in group.completions.iter().enumerate() {
                let line = json!({
                    "step": step,
                    "sample": questions.places[group.question],
                    "answer": questions.answers[group.question],
                    "completion": completion.text,
                    "finish_reason": completion.finish_reason,
                    "rule": group.rule[index],
                    "format": group.format[index],
                    "reward": group.rewards[index],
                    "advantage": group.advantages[index],
                });
                text.push_str(&line.to_string());
                text.push('\n');
            }
        }
        let io = |source| Error::Io { path: self.path.clone(), source };
        self.file.write_all(text.as_bytes()).map_err(io)
    }
}

/// The whole lines of steps up to `step`.
fn keep_until(path: &Path, step: u64) -> std::io::Result<String> {
    let mut kept = String::new();
    if !path.exists() || step == 0 {
        return Ok(kept);
    }
    for line in BufReader::new(File::open(path)?).lines() {
        let line = line?;
        let parsed: Option<Value> = serde_json::from_str(&line).ok();
        if parsed.and_then(|line| line["step"].as_u64()).is_some_and(|at| at <= step) {
            kept.push_str(&line);
            kept.push('\n');
        }
    }
    Ok(kept)
}
