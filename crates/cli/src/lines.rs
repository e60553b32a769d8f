//! JSONL in, the same lines with more fields out.
//!
//! ```text
//! in.jsonl ─► line, sample ─► … ─► out.jsonl.<settings>.partial ─► out.jsonl
//!                                  a killed run goes on from here
//! ```

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use data::{Dataset, read_lines, retain};
use preprocess::{Processor, Prompt};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::output::suffixed;

/// An input file: each line as it stands, and as a checked sample.
pub(crate) struct Input {
    /// The checked samples.
    pub(crate) dataset: Dataset,
    /// The lines, in the same order.
    pub(crate) lines: Vec<Map<String, Value>>,
}

impl Input {
    /// Reads and checks a file, which must hold something.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let dataset = Dataset::read(path)?;
        ensure!(!dataset.samples.is_empty(), "{}: no lines", path.display());
        let lines = read_lines(path)?.into_iter().map(|(_, line)| line).collect();
        Ok(Self { dataset, lines })
    }

    /// As [`Self::read`], without lines that are no sample or cannot be shown; with them comes why.
    pub(crate) fn read_what_is_good(path: &Path) -> Result<(Self, Vec<data::Error>)> {
        let (dataset, bad) = Dataset::read_what_is_good(path)?;
        let kept: BTreeSet<usize> = (0..dataset.samples.len()).map(|at| dataset.line(at)).collect();
        let lines = data::lines::<Map<String, Value>>(path)?.filter_map(Result::ok);
        let lines = lines.filter(|(number, _)| kept.contains(number)).map(|(_, line)| line);
        Ok((Self { lines: lines.collect(), dataset }, bad))
    }

    /// Drops the lines that are not to be kept.
    pub(crate) fn keep(&mut self, is_kept: &[bool]) {
        retain(&mut self.lines, is_kept);
        self.dataset.keep(is_kept);
    }

    /// Number of lines.
    pub(crate) fn len(&self) -> usize {
        self.lines.len()
    }

    /// The prompt of a line; errors name the line.
    pub(crate) fn prompt(&self, processor: &Processor, index: usize) -> Result<Prompt> {
        let base = self.dataset.path.parent().unwrap_or(Path::new(""));
        let prompt = processor.prompt(&self.dataset.samples[index], base);
        prompt.with_context(|| self.dataset.place(index))
    }

    /// The line without the fields that the output is about to give it.
    pub(crate) fn without(&self, index: usize, fields: &[&str]) -> Map<String, Value> {
        let mut line = self.lines[index].clone();
        line.retain(|key, _| !fields.contains(&key.as_str()));
        line
    }
}

/// An output file that grows line by line and gets its name when it is complete.
pub(crate) struct Growing {
    path: PathBuf,
    partial: PathBuf,
    file: File,
    num_done: usize,
}

impl Growing {
    /// Opens the output for an input whose every line becomes `lines_each`. `settings` names all
    /// that shapes the lines: what an earlier run left under the same settings is taken over.
    pub(crate) fn open(path: &Path, settings: &str, lines_each: usize) -> Result<Self> {
        let hash = engine::config_hash(settings);
        let partial = suffixed(path, &format!(".{hash}.partial"));
        let open = || {
            let mut options = OpenOptions::new();
            let file = options.create(true).append(true).open(&partial)?;
            let text = std::fs::read(&partial)?;
            let ends: Vec<usize> =
                (0..text.len()).filter(|&at| text[at] == b'\n').map(|at| at + 1).collect();
            let num_done = ends.len() / lines_each;
            let kept = (num_done * lines_each).checked_sub(1).map_or(0, |last| ends[last]);
            file.set_len(kept as u64)?;
            Ok::<_, std::io::Error>((file, num_done))
        };
        let (file, num_done) =
            open().with_context(|| format!("cannot write {}", path.display()))?;
        Ok(Self { path: path.to_owned(), partial, file, num_done })
    }

    /// Input lines that are done already.
    pub(crate) fn num_done(&self) -> usize {
        self.num_done
    }

    /// Adds lines.
    pub(crate) fn append<T: Serialize>(
        &mut self,
        lines: impl IntoIterator<Item = T>,
    ) -> Result<()> {
        let mut text = Vec::new();
        for line in lines {
            serde_json::to_writer(&mut text, &line)?;
            text.push(b'\n');
        }
        self.file.write_all(&text).with_context(|| self.partial.display().to_string())
    }

    /// Gives the complete file its name.
    pub(crate) fn commit(self) -> Result<()> {
        let Self { path, partial, file, .. } = self;
        file.sync_all()
            .and_then(|()| std::fs::rename(&partial, &path))
            .with_context(|| format!("cannot write {}", path.display()))
    }
}

/// What a command says about the file it wrote.
#[derive(Serialize)]
pub(crate) struct Written<'a> {
    /// The file.
    pub(crate) output: &'a Path,
    /// Its lines.
    pub(crate) num_completions: usize,
    /// Tokens of those that this run added.
    pub(crate) num_new_tokens: usize,
}

impl std::fmt::Display for Written<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { output, num_completions, num_new_tokens } = self;
        write!(
            f,
            "{}: {num_completions} completions, {num_new_tokens} new tokens",
            output.display()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_growing_file_goes_on_from_its_last_whole_group() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out.jsonl");
        let mut first = Growing::open(&path, "a", 2).unwrap();
        first.append([1, 2, 3]).unwrap();
        drop(first);
        let other = Growing::open(&path, "b", 2).unwrap();
        assert_eq!(other.num_done(), 0);
        let mut again = Growing::open(&path, "a", 2).unwrap();
        assert_eq!(again.num_done(), 1);
        assert!(!path.exists());
        again.append([30, 40]).unwrap();
        again.commit().unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "1\n2\n30\n40\n");
    }

    #[test]
    fn a_line_cut_short_is_written_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out.jsonl");
        let partial = Growing::open(&path, "a", 1).unwrap().partial;
        std::fs::write(&partial, "1\n{\"tex").unwrap();
        let mut again = Growing::open(&path, "a", 1).unwrap();
        assert_eq!(again.num_done(), 1);
        again.append([2]).unwrap();
        again.commit().unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "1\n2\n");
    }
}
