//! Keeps a second process out of a folder.

use std::fs::File;
use std::path::Path;

use anyhow::{Context as _, Result, bail};

/// The lock of a folder, which is made if it is not there, by a file of this name; held until it is dropped.
pub(crate) fn lock(folder: &Path, name: &str) -> Result<File> {
    let path = folder.join(name);
    let open = || {
        std::fs::create_dir_all(folder)?;
        File::create(&path)
    };
    let file = open().with_context(|| format!("cannot write {}", path.display()))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(error) => bail!("{}: another run holds it ({error})", folder.display()),
    }
}
