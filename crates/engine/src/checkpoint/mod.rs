//! Checkpoints of a run: written atomically, the last few kept, read back bit for bit.
//!
//! ```text
//! output_dir/checkpoint-20/
//!     trainable.safetensors    the parameters, under the names of the model's checkpoint
//!     optimizer.safetensors    exp_avg.<name> and exp_avg_sq.<name>
//!     trainer_state.json       step, config hash, last log lines, the recipe's own state
//!     …                        files of the recipe (a replay buffer)
//!     checksums.json           length and CRC-32C of each, written last
//! ```

mod contents;
mod folder;
mod safetensors_file;

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

pub(crate) use contents::{Loaded, TrainerState};
pub use contents::{SavedFile, TaskState};

use crate::{Engine, Error, LockedFile};
use folder::{FolderReader, REPLACED, hidden_sibling, settle_replaced};

const PREFIX: &str = "checkpoint-";

/// When checkpoints are written and how many stay.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CheckpointConfig {
    /// A checkpoint every so many steps; the last step of a run always has one.
    pub save_steps: u64,
    /// How many to keep, the newest ones; all of them if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub save_total_limit: Option<u64>,
}

impl CheckpointConfig {
    /// Checks the ranges.
    pub fn validate(&self) -> Result<(), Error> {
        let expected = "at least 1";
        if self.save_steps == 0 {
            return Err(Error::Config { key: "save_steps", value: "0".into(), expected });
        }
        if self.save_total_limit == Some(0) {
            return Err(Error::Config { key: "save_total_limit", value: "0".into(), expected });
        }
        Ok(())
    }
}

/// The checkpoints of one output folder, which no other process may write to meanwhile.
#[derive(Debug)]
pub struct Checkpoints {
    folder: PathBuf,
    config: CheckpointConfig,
    weights_file: String,
    _lock: LockedFile,
}

impl Checkpoints {
    /// Opens (and creates) an output folder and clears away what an interrupted save left.
    ///
    /// `weights_file` names the parameters' file: `trainable.safetensors`, `mlp1.safetensors`, ….
    ///
    /// # Errors
    /// If the config is invalid, the folder cannot be written, or another run holds it.
    pub fn open(
        folder: &Path,
        config: CheckpointConfig,
        weights_file: &str,
    ) -> Result<Self, Error> {
        config.validate()?;
        let lock = LockedFile::in_folder(folder, ".lock")?;
        remove_leftovers(folder)?;
        Ok(Self {
            folder: folder.to_path_buf(),
            config,
            weights_file: weights_file.to_owned(),
            _lock: lock,
        })
    }

    /// The output folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Whether a checkpoint is to be written after `step` of `max_steps`.
    pub fn is_due(&self, step: u64, max_steps: u64) -> bool {
        step.is_multiple_of(self.config.save_steps) || step == max_steps
    }

    /// Step and path of every checkpoint in the folder, oldest first, complete or not.
    pub fn list(&self) -> Result<Vec<(u64, PathBuf)>, Error> {
        list(&self.folder)
    }

    /// Writes `checkpoint-<step>`, in place of one that is there, and removes the oldest beyond `save_total_limit`.
    ///
    /// # Errors
    /// If writing fails, a full disk included: then every earlier checkpoint is still there.
    pub(crate) fn save(
        &self,
        engine: &Engine,
        state: &TrainerState,
        files: &[SavedFile],
    ) -> Result<PathBuf, Error> {
        let path = self.folder.join(format!("{PREFIX}{}", engine.step));
        contents::write(&path, &self.weights_file, engine, state, files)?;
        self.remove_oldest()?;
        Ok(path)
    }

    /// Reads and verifies the whole checkpoint at `path`, for parameters like those of `engine`.
    pub(crate) fn load(
        &self,
        path: &Path,
        engine: &Engine,
        config_hash: &str,
    ) -> Result<Loaded, Error> {
        contents::read(path, &self.weights_file, engine, config_hash)
    }

    /// Moves a damaged checkpoint out of the way, to `checkpoint-<step>.corrupt`.
    pub(crate) fn set_aside(&self, path: &Path) -> Result<PathBuf, Error> {
        let mut aside = path.as_os_str().to_owned();
        aside.push(".corrupt");
        let aside = PathBuf::from(aside);
        if aside.exists() {
            std::fs::remove_dir_all(&aside).map_err(Error::io("remove", &aside))?;
        }
        std::fs::rename(path, &aside).map_err(Error::io("rename to", &aside))?;
        Ok(aside)
    }

    /// An incomplete folder neither counts nor is removed, so a good one never makes room for it.
    fn remove_oldest(&self) -> Result<(), Error> {
        let Some(limit) = self.config.save_total_limit else { return Ok(()) };
        let mut complete = self.list()?;
        complete.retain(|(_, path)| FolderReader::open(path).is_ok());
        let num_surplus = complete.len().saturating_sub(limit as usize);
        for (_, path) in &complete[..num_surplus] {
            // Renamed first: a kill half-way through leaves no checkpoint with half its files.
            let doomed = hidden_sibling(path, "removed");
            std::fs::rename(path, &doomed).map_err(Error::io("rename to", &doomed))?;
            std::fs::remove_dir_all(&doomed).map_err(Error::io("remove", &doomed))?;
        }
        Ok(())
    }
}

/// Hash of a config, for [`crate::RunParts`]: of its resolved text, without what may differ between a run
/// and its continuation.
pub fn config_hash(text: &str) -> String {
    format!("{:08x}", crc32c::crc32c(text.as_bytes()))
}

/// The checkpoint of most steps in the folder of a run, complete or not.
pub fn newest_checkpoint(folder: &Path) -> Option<PathBuf> {
    list(folder).ok()?.pop().map(|(_, path)| path)
}

fn list(folder: &Path) -> Result<Vec<(u64, PathBuf)>, Error> {
    let mut found = Vec::new();
    for entry in entries(folder)? {
        let name = entry.file_name().unwrap_or_default().to_string_lossy();
        if let Some(step) = name.strip_prefix(PREFIX).and_then(|step| step.parse().ok()) {
            found.push((step, entry));
        }
    }
    found.sort();
    Ok(found)
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let read = || {
        std::fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<std::io::Result<_>>()
    };
    read().map_err(Error::io("list", folder))
}

fn remove_leftovers(folder: &Path) -> Result<(), Error> {
    for path in entries(folder)? {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let hidden = name.strip_prefix('.').filter(|name| name.starts_with(PREFIX));
        match hidden.and_then(|name| name.rsplit_once('.')) {
            Some((_, "partial" | "removed")) => {
                std::fs::remove_dir_all(&path).map_err(Error::io("remove", &path))?;
            }
            Some((name, REPLACED)) => settle_replaced(&path, &folder.join(name))?,
            _ => {}
        }
    }
    Ok(())
}
