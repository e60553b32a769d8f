//! The best checkpoint so far, and a copy of it that stays.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::Error;

/// Name of the folder that holds the best checkpoint.
pub const BEST_FOLDER: &str = "best";

/// How a run stands: the best checkpoint so far, and how long ago it was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Standing {
    pub best: Option<Best>,
    /// Checkpoints since the best.
    pub num_since: u64,
}

/// The best checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Best {
    pub step: u64,
    pub value: f64,
}

impl Standing {
    /// The standing after another checkpoint, which is the best one if it is better than the best before. Of equally
    /// good ones the first stays the best; one whose value is no number never is.
    pub(crate) fn after(self, step: u64, value: f64, is_better: impl Fn(f64) -> bool) -> Self {
        match self.best {
            _ if !value.is_finite() => Self { num_since: self.num_since + 1, ..self },
            Some(best) if !is_better(best.value) => Self { num_since: self.num_since + 1, ..self },
            _ => Self { best: Some(Best { step, value }), num_since: 0 },
        }
    }
}

/// Makes `best` in the output folder the checkpoint of `step`; returns it when it was another before.
///
/// Checkpoints are never written to once they are there, so links to their files are copies.
pub(crate) fn keep_best(output_dir: &Path, step: u64) -> Result<Option<PathBuf>, Error> {
    let (best, from) =
        (output_dir.join(BEST_FOLDER), output_dir.join(format!("checkpoint-{step}")));
    if step_of(&best) == Some(step) || !from.is_dir() {
        return Ok(None);
    }
    copy_checkpoint(&from, &best)?;
    Ok(Some(best))
}

/// Makes `to` a copy of a checkpoint, in place of what was there.
pub(crate) fn copy_checkpoint(from: &Path, to: &Path) -> Result<(), Error> {
    let name = to.file_name().unwrap_or_default().to_string_lossy();
    let partial = to.with_file_name(format!(".{name}.partial"));
    let copy = || -> std::io::Result<()> {
        for stale in [partial.as_path(), to] {
            if stale.exists() {
                std::fs::remove_dir_all(stale)?;
            }
        }
        std::fs::create_dir(&partial)?;
        for entry in std::fs::read_dir(from)? {
            let entry = entry?;
            let copied = partial.join(entry.file_name());
            if std::fs::hard_link(entry.path(), &copied).is_err() {
                std::fs::copy(entry.path(), &copied)?;
            }
        }
        std::fs::rename(&partial, to)
    };
    copy().map_err(|source| Error::Io { path: to.to_owned(), source })
}

/// The step of a checkpoint folder, if it is one.
fn step_of(folder: &Path) -> Option<u64> {
    let text = std::fs::read(folder.join("trainer_state.json")).ok()?;
    let state: serde_json::Value = serde_json::from_slice(&text).ok()?;
    state["global_step"].as_u64()
}
