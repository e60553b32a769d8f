//! Keeps a second process out of what one is writing.

use std::fs::{File, TryLockError};
use std::ops::{Deref, DerefMut};
use std::path::Path;

use crate::Error;

/// A file that no other process may lock until this is dropped, or the process ends however it does.
#[derive(Debug)]
pub struct LockedFile(File);

impl LockedFile {
    /// The lock of a folder, which is made if it is not there, by a file of this name.
    ///
    /// # Errors
    /// If another process holds it, or the file cannot be made.
    pub fn in_folder(folder: &Path, name: &str) -> Result<Self, Error> {
        let path = folder.join(name);
        let file = std::fs::create_dir_all(folder).and_then(|()| File::create(&path));
        Self::new(file.map_err(Error::io("create", &path))?, &path)
    }

    /// Locks the open file at `path`.
    ///
    /// # Errors
    /// If another process holds it, or the file system knows no locks.
    pub fn new(file: File, path: &Path) -> Result<Self, Error> {
        match file.try_lock() {
            Ok(()) => Ok(Self(file)),
            Err(TryLockError::WouldBlock) => {
                Err(Error::InUse { path: path.parent().unwrap_or(path).to_owned() })
            }
            Err(TryLockError::Error(source)) => Err(Error::io("lock", path)(source)),
        }
    }
}

impl Deref for LockedFile {
    type Target = File;

    fn deref(&self) -> &File {
        &self.0
    }
}

impl DerefMut for LockedFile {
    fn deref_mut(&mut self) -> &mut File {
        &mut self.0
    }
}

impl Drop for LockedFile {
    /// Closing would not do: a child that another thread is starting holds the file too until it runs its program.
    fn drop(&mut self) {
        // What cannot be unlocked is freed when the last of its holders ends.
        let _ = self.0.unlock();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_ends_when_dropped_even_while_another_holds_the_file() {
        let home = tempfile::tempdir().unwrap();
        let lock = LockedFile::in_folder(home.path(), ".lock").unwrap();
        let inherited = lock.try_clone().unwrap();
        let error = LockedFile::in_folder(home.path(), ".lock").unwrap_err();
        assert!(matches!(&error, Error::InUse { path } if path == home.path()), "{error}");
        drop(lock);
        LockedFile::in_folder(home.path(), ".lock").unwrap();
        drop(inherited);
    }
}
