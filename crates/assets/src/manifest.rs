//! `asset.json`: where the files of an asset came from, and their SHA-256 sums.

use std::fs::{self, File};
use std::io::Read;
use std::path::Path;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{Error, Result};

pub(crate) const MANIFEST: &str = "asset.json";

/// What is in an asset's folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Manifest {
    /// In words: repository and commit, or wheel.
    pub(crate) source: String,
    /// Sorted by name.
    pub(crate) files: Vec<FileEntry>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FileEntry {
    pub(crate) name: String,
    pub(crate) bytes: u64,
    pub(crate) sha256: String,
}

impl Manifest {
    /// Describes the files that are in `folder` now.
    pub(crate) fn describe(
        folder: &Path,
        source: String,
        mut hashing: impl FnMut(&str),
    ) -> Result<Self> {
        let mut names = Vec::new();
        list_files(folder, "", &mut names)?;
        names.sort();
        let describe = |name: String| {
            hashing(&name);
            let path = folder.join(&name);
            let bytes = fs::metadata(&path).map_err(Error::io(&path))?.len();
            Ok(FileEntry { sha256: sha256_of(&path)?, bytes, name })
        };
        let files =
            names.into_iter().filter(|n| n != MANIFEST).map(describe).collect::<Result<_>>()?;
        Ok(Self { source, files })
    }

    pub(crate) fn write(&self, folder: &Path) -> Result<()> {
        let path = folder.join(MANIFEST);
        let text = serde_json::to_vec_pretty(self).expect("strings and numbers have a JSON form");
        fs::write(&path, text).map_err(Error::io(&path))
    }

    /// The manifest of a folder; `None` when there is none, or none that can be read.
    pub(crate) fn read(folder: &Path) -> Option<Self> {
        serde_json::from_slice(&fs::read(folder.join(MANIFEST)).ok()?).ok()
    }

    /// Bytes of all files.
    pub(crate) fn bytes(&self) -> u64 {
        self.files.iter().map(|f| f.bytes).sum()
    }

    /// The first file that is missing or of another size.
    pub(crate) fn wrong_size(&self, folder: &Path) -> Option<String> {
        self.files.iter().find_map(|file| match fs::metadata(folder.join(&file.name)) {
            Ok(found) if found.len() == file.bytes => None,
            Ok(found) => {
                Some(format!("{} has {} bytes, expected {}", file.name, found.len(), file.bytes))
            }
            Err(_) => Some(format!("{} is missing", file.name)),
        })
    }

    /// The first file whose content has changed.
    pub(crate) fn wrong_content(
        &self,
        folder: &Path,
        mut hashing: impl FnMut(&str),
    ) -> Result<Option<String>> {
        for file in &self.files {
            hashing(&file.name);
            let found = sha256_of(&folder.join(&file.name))?;
            if found != file.sha256 {
                return Ok(Some(format!(
                    "{} has SHA-256 {found}, expected {}",
                    file.name, file.sha256
                )));
            }
        }
        Ok(None)
    }
}

/// The SHA-256 sum of a file in lower-case hexadecimal.
pub(crate) fn sha256_of(path: &Path) -> Result<String> {
    let mut file = File::open(path).map_err(Error::io(path))?;
    let (mut hash, mut buffer) = (Sha256::new(), vec![0; 1 << 18]);
    loop {
        match file.read(&mut buffer).map_err(Error::io(path))? {
            0 => return Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()),
            len => hash.update(&buffer[..len]),
        }
    }
}

/// Names of all files below `folder`, with `/` between folders.
fn list_files(folder: &Path, prefix: &str, names: &mut Vec<String>) -> Result<()> {
    for entry in fs::read_dir(folder).map_err(Error::io(folder))? {
        let entry = entry.map_err(Error::io(folder))?;
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        if entry.path().is_dir() {
            list_files(&entry.path(), &format!("{name}/"), names)?;
        } else {
            names.push(name);
        }
    }
    Ok(())
}
