//! Every completion that was sampled, with its rewards, as lines of `completions.jsonl`.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::group::Group;
use super::questions::Questions;
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
        let open = || {
            let file = OpenOptions::new().create(true).append(true).open(&path)?;
            file.set_len(bytes_until(&std::fs::read(&path)?, step))?;
            Ok(file)
        };
        match open() {
            Ok(file) => Ok(Self { path, file }),
            Err(source) => Err(Error::Io { path, source }),
        }
    }

    /// Appends the groups of a step, one line a completion, and waits until the disk has them, so that
    /// no checkpoint is ahead of its journal.
    pub(super) fn append(
        &mut self,
        step: u64,
        groups: &[Group],
        questions: &Questions,
    ) -> Result<(), Error> {
        let text: String = groups.iter().flat_map(|group| lines(step, group, questions)).collect();
        self.file
            .write_all(text.as_bytes())
            .and_then(|()| self.file.sync_data())
            .map_err(|source| Error::Io { path: self.path.clone(), source })
    }
}

fn lines(step: u64, group: &Group, questions: &Questions) -> impl Iterator<Item = String> {
    group.completions.iter().enumerate().map(move |(index, completion)| {
        let mut line = json!({
            "step": step,
            "sample": everywhere(&questions.places[group.question]),
            "answer": questions.answers[group.question],
            "completion": completion.text,
            "num_tokens": completion.token_ids.len(),
            "finish_reason": completion.finish_reason,
        });
        for component in &group.components {
            line[component.name] = component.rewards[index].into();
        }
        line["reward"] = group.rewards[index].into();
        line["advantage"] = group.advantages[index].into();
        format!("{line}\n")
    })
}

/// A place that is the same from any folder: a report is written later and elsewhere.
fn everywhere(place: &str) -> String {
    std::path::absolute(place).map_or(place.to_owned(), |path| path.display().to_string())
}

/// Length of the whole lines of steps up to `step`, which stand first. A kill may have torn the last.
fn bytes_until(bytes: &[u8], step: u64) -> u64 {
    let is_kept = |line: &&[u8]| {
        let parsed: Option<Value> = serde_json::from_slice(line).ok();
        line.ends_with(b"\n")
            && parsed.and_then(|line| line["step"].as_u64()).is_some_and(|at| at <= step)
    };
    let lines = bytes.split_inclusive(|&byte| byte == b'\n');
    lines.take_while(is_kept).map(|line| line.len() as u64).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_later_steps_and_torn_ones_go() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("completions.jsonl");
        let lines = [r#"{"step":1,"a":"é"}"#, r#"{"step":2}"#, r#"{"step":2}"#, r#"{"step":3}"#];
        let whole = lines.map(|line| format!("{line}\n")).concat();
        let torn = &whole.as_bytes()[..16];
        assert!(std::str::from_utf8(torn).is_err());
        for (before, step, num_kept) in [
            (whole.as_bytes(), 2, 3),
            (whole.as_bytes(), 9, 4),
            (whole.as_bytes(), 0, 0),
            (torn, 9, 0),
            (&whole.as_bytes()[..whole.len() - 1], 9, 3),
        ] {
            std::fs::write(&path, before).expect("written");
            Journal::open(folder.path(), step).expect("opened");
            let kept = std::fs::read_to_string(&path).expect("read");
            assert_eq!(kept.lines().collect::<Vec<_>>(), lines[..num_kept], "up to step {step}");
        }
    }
}
