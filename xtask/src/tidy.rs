//! What the compiler does not check: the arrows between crates, and the size and form of files.
//!
//! ```text
//! ARCHITECTURE.md ─┐
//! cargo metadata ──┴─► arrows ─┐
//! crates/**/*.rs ────► source ─┼─► complaints, all at once
//! docs/keys.md ──────► keys ───┘
//! ```

mod arrows;
mod source;
mod rust;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

/// Prints all complaints.
///
/// # Errors
/// When there are any.
pub(crate) fn run(root: &Path) -> Result<()> {
    let mut complaints = arrows::complaints(root)?;
    complaints.extend(source::complaints(root)?);
    complaints.extend(crate::keys::complaint(root)?);
    for complaint in &complaints {
        println!("tidy: {complaint}");
    }
    match complaints.len() {
        0 => Ok(()),
        count => bail!("{count} complaints"),
    }
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| path.display().to_string())
}

/// All files below a folder, sorted; a folder that does not exist has none.
pub(crate) fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = vec![];
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = fs::read_dir(&folder) else { continue };
        for entry in entries {
            let path = entry?.path();
            if path.is_dir() { folders.push(path) } else { found.push(path) }
        }
    }
    found.sort_unstable();
    Ok(found)
}
