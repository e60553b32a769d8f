//! What a command reads beside its data set, looked for before anything else is done: what cannot run has no plan.

use std::path::Path;

use ::data::{Dataset, Preferences};
use ::model::weights::Checkpoint;
use anyhow::{Result, bail, ensure};
use engine::newest_checkpoint;
use recipes::Error;
use recipes::config::{ModelConfig, RunConfig};
use recipes::policy::weights_file;

/// Values of `resume_from_checkpoint` that are no path.
const RESUMED: [&str; 3] = ["latest", "latest-valid", "never"];

/// That the checkpoints are there which a recipe begins with and goes on from.
pub(crate) fn check_checkpoints(model: &ModelConfig, run: &RunConfig) -> Result<()> {
    model.adapter_name_or_path.as_deref().map_or(Ok(()), check_adapter)?;
    let resumed = &run.resume_from_checkpoint;
    let is_there = RESUMED.contains(&resumed.as_str()) || Path::new(resumed).is_dir();
    ensure!(is_there, "resume_from_checkpoint: no checkpoint at {resumed}");
    Ok(())
}

/// That a path is a checkpoint, or its file of trained values.
pub(crate) fn check_adapter(path: &Path) -> Result<()> {
    let (place, file) = (path.display(), weights_file(path));
    if file.is_file() {
        Checkpoint::open(&file)?;
        return Ok(());
    }
    ensure!(path.is_dir(), "{place}: no such file or folder");
    match newest_checkpoint(path) {
        Some(newest) => bail!("{place}: no checkpoint; the newest in it is {}", newest.display()),
        None => {
            let name = file.file_name().unwrap_or_default().display();
            bail!("{place}: no checkpoint, there is no {name} in it")
        }
    }
}

/// That a file of questions which nothing is learned from holds some.
pub(crate) fn check_questions(path: Option<&Path>) -> Result<()> {
    path.map_or(Ok(()), |path| check_count(path, Dataset::read(path)?.samples.len()))
}

/// That a file of pairs which nothing is learned from holds some.
pub(crate) fn check_pairs(path: Option<&Path>, images: Option<&Path>) -> Result<()> {
    path.map_or(Ok(()), |path| check_count(path, Preferences::read(path, images)?.pairs.len()))
}

fn check_count(path: &Path, num: usize) -> Result<()> {
    match num {
        0 => Err(Error::Empty { path: path.to_owned() }.into()),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folder_of_a_run_is_told_from_its_checkpoints() {
        let folder = tempfile::tempdir().unwrap();
        let run = folder.path();
        let said = || check_adapter(run).unwrap_err().to_string();
        assert!(said().ends_with("no checkpoint, there is no trainable.safetensors in it"));
        for name in ["checkpoint-9", "checkpoint-10", "checkpoint-x", "best"] {
            std::fs::create_dir(run.join(name)).unwrap();
        }
        assert!(said().ends_with("checkpoint-10"), "{}", said());
        let gone = check_adapter(&run.join("gone")).unwrap_err().to_string();
        assert!(gone.ends_with("gone: no such file or folder"), "{gone}");
        std::fs::write(run.join("data.jsonl"), "{}\n").unwrap();
        assert!(check_adapter(&run.join("data.jsonl")).is_err());
    }
}
