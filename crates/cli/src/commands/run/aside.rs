//! What was made under other settings gets another name: nothing mixes, nothing is lost, nothing is bought twice.

use std::path::{Path, PathBuf};
use std::{fs, io};

use anyhow::{Context as _, Result};

/// Renames the folder of a changed stage, and says to what. In its place is one with the databases of the old.
pub(super) fn set_aside(folder: &Path, command: &str) -> Result<PathBuf> {
    let beside = |end: &str| {
        let mut name = folder.as_os_str().to_owned();
        name.push(end);
        PathBuf::from(name)
    };
    let mut places = (1..).map(|number| beside(&format!(".changed-{number}")));
    let place = places.find(|path| !path.exists()).context("no free name")?;
    let kept = beside(".kept");
    let swap = || {
        // A kill while databases are copied leaves the folder as it was, and this beside it.
        if kept.exists() {
            fs::remove_dir_all(&kept)?;
        }
        fs::create_dir(&kept)?;
        copy_databases(command, folder, &kept)?;
        fs::rename(folder, &place)?;
        fs::rename(&kept, folder)
    };
    swap().with_context(|| format!("cannot set {} aside", folder.display()))?;
    Ok(place)
}

/// Copies the databases that hold in a folder and those in it.
fn copy_databases(command: &str, from: &Path, to: &Path) -> io::Result<()> {
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (name, path) = (entry.file_name(), entry.path());
        if entry.file_type()?.is_dir() {
            copy_databases(command, &path, &to.join(name))?;
        } else if holds(command, &name.to_string_lossy()) {
            fs::create_dir_all(to)?;
            fs::copy(path, to.join(name))?;
        }
    }
    Ok(())
}

/// Whether a file is a database, or its log, that holds under other settings and inputs. Its keys are then hashes of all
/// that shapes what is kept: in a ledger of the request as it is sent, in a store of prompt, decoding, the bytes of
/// images and the model, one in this process by size and time of its files. Two stores know some images and reward
/// models by their paths alone, under which others may stand by now: that of `preferences build`, and that of `reward
/// data`.
fn holds(command: &str, name: &str) -> bool {
    match name.split_once(".sqlite") {
        Some((stem, "" | "-wal" | "-shm")) => {
            stem != "verdicts" && (stem, command) != ("stages", "reward data")
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The files that a stage goes on with.
    fn kept(command: &str, files: &[&str]) -> Vec<String> {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("stage");
        for file in files {
            fs::create_dir_all(folder.join(file).parent().unwrap()).unwrap();
            fs::write(folder.join(file), *file).unwrap();
        }
        // Of a call that was killed.
        fs::create_dir(root.path().join("stage.kept")).unwrap();
        fs::write(root.path().join("stage.kept/torn.sqlite"), "").unwrap();
        let place = set_aside(&folder, command).unwrap();
        assert_eq!(place, root.path().join("stage.changed-1"));
        assert!(files.iter().all(|file| place.join(file).exists()));
        assert!(!root.path().join("stage.kept").exists() && !folder.join("torn.sqlite").exists());
        let here = files.iter().filter(|file| folder.join(file).exists());
        let here: Vec<String> = here.map(|file| (*file).to_owned()).collect();
        assert!(here.iter().all(|file| fs::read_to_string(folder.join(file)).unwrap() == *file));
        assert_eq!(set_aside(&folder, command).unwrap(), root.path().join("stage.changed-2"));
        here
    }

    #[test]
    fn databases_of_a_changed_stage_stay_wherever_they_are() {
        let databases =
            ["stages.sqlite", "judge.sqlite", "judge.sqlite-wal", "round-1/data/judge.sqlite"];
        let others = ["stage.json", "items.jsonl", "stage-1/sft/metrics.jsonl", "old.sqlite.zip"];
        assert_eq!(kept("iterative-sft", &[databases, others].concat()), databases);
        assert_eq!(kept("sft", &["stage.json"]), [""; 0]);
    }

    #[test]
    fn stores_that_know_images_by_their_paths_do_not() {
        let files = ["stages.sqlite", "stages.sqlite-wal", "responder-0.sqlite"];
        assert_eq!(kept("reward data", &files), ["responder-0.sqlite"]);
        assert_eq!(kept("mpo", &["round-1/verdicts.sqlite", "judge.sqlite"]), ["judge.sqlite"]);
    }
}
