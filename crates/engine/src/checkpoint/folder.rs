//! One checkpoint folder on disk: all of it or none of it, and every byte accounted for.
//!
//! ```text
//! .checkpoint-20.partial/   file, file, …, checksums.json     each fsynced
//!        │ rename                                             the only moment at which it appears
//!        ▼
//! checkpoint-20/                                          one that was there is .checkpoint-20.replaced for that moment
//! ```

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::Error;

const CHECKSUMS: &str = "checksums.json";

/// Suffix of a folder whose successor is about to appear.
pub(super) const REPLACED: &str = "replaced";

/// Length and sum of one file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Checksum {
    bytes: u64,
    crc32c: u32,
}

/// A folder under construction, beside the place where it will appear.
///
/// Dropped before [`Self::commit`], it takes what it wrote with it.
pub(super) struct FolderWriter {
    destination: PathBuf,
    partial: PathBuf,
    checksums: BTreeMap<String, Checksum>,
}

impl FolderWriter {
    /// Starts the folder `destination`.
    pub(super) fn create(destination: &Path) -> Result<Self, Error> {
        let partial = hidden_sibling(destination, "partial");
        std::fs::create_dir(&partial).map_err(Error::io("create", &partial))?;
        Ok(Self { destination: destination.to_path_buf(), partial, checksums: BTreeMap::new() })
    }

    /// Writes one file of the folder and waits until the disk has it.
    pub(super) fn file(
        &mut self,
        name: &str,
        write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    ) -> Result<(), Error> {
        let path = self.partial.join(name);
        let checksum = write_synced(&path, write).map_err(Error::io("write", &path))?;
        self.checksums.insert(name.to_owned(), checksum);
        Ok(())
    }

    /// Makes the folder appear under its name, complete, in place of what was there.
    pub(super) fn commit(mut self) -> Result<(), Error> {
        let checksums = std::mem::take(&mut self.checksums);
        self.file(CHECKSUMS, |out| {
            serde_json::to_writer_pretty(&mut *out, &checksums)?;
            out.write_all(b"\n")
        })?;
        sync_folder(&self.partial)?;
        let replaced = hidden_sibling(&self.destination, REPLACED);
        if self.destination.exists() {
            rename(&self.destination, &replaced)?;
        }
        rename(&self.partial, &self.destination)?;
        sync_folder(self.destination.parent().unwrap_or(Path::new(".")))?;
        match replaced.exists() {
            true => std::fs::remove_dir_all(&replaced).map_err(Error::io("remove", &replaced)),
            false => Ok(()),
        }
    }
}

/// What a kill may leave of a folder that was about to be replaced: removed if its successor is there, else put back.
pub(super) fn settle_replaced(replaced: &Path, destination: &Path) -> Result<(), Error> {
    match destination.exists() {
        true => std::fs::remove_dir_all(replaced).map_err(Error::io("remove", replaced)),
        false => rename(replaced, destination),
    }
}

fn rename(from: &Path, to: &Path) -> Result<(), Error> {
    std::fs::rename(from, to).map_err(Error::io("rename to", to))
}

impl Drop for FolderWriter {
    fn drop(&mut self) {
        // After a commit there is nothing to remove; after a failure the error on its way matters more.
        drop(std::fs::remove_dir_all(&self.partial));
    }
}

/// `parent/.name.suffix`: a name that no search for checkpoints takes for one.
pub(super) fn hidden_sibling(path: &Path, suffix: &str) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.{suffix}"))
}

fn write_synced(
    path: &Path,
    write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> io::Result<Checksum> {
    let file = OpenOptions::new().write(true).create_new(true).open(path)?;
    let mut out = Summed { inner: BufWriter::new(file), sum: Checksum { bytes: 0, crc32c: 0 } };
    write(&mut out)?;
    out.flush()?;
    out.inner.get_ref().sync_all()?;
    Ok(out.sum)
}

/// Counts and sums what passes through it.
struct Summed {
    inner: BufWriter<File>,
    sum: Checksum,
}

impl Write for Summed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.sum.bytes += written as u64;
        self.sum.crc32c = crc32c::crc32c_append(self.sum.crc32c, &bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// Waits until the entries of a folder are on disk; elsewhere than on Unix a folder cannot be opened.
fn sync_folder(path: &Path) -> Result<(), Error> {
    if cfg!(unix) {
        File::open(path).and_then(|folder| folder.sync_all()).map_err(Error::io("sync", path))?;
    }
    Ok(())
}

/// A finished folder, open for reading.
#[derive(Debug)]
pub(super) struct FolderReader {
    path: PathBuf,
    checksums: BTreeMap<String, Checksum>,
}

impl FolderReader {
    /// Reads the list of files and checks that each is there with its full length.
    pub(super) fn open(path: &Path) -> Result<Self, Error> {
        let list = path.join(CHECKSUMS);
        let text = std::fs::read(&list).map_err(unreadable(&list))?;
        let checksums: BTreeMap<String, Checksum> =
            serde_json::from_slice(&text).map_err(|error| Error::corrupt(&list, &error))?;
        for (name, checksum) in &checksums {
            if Path::new(name).file_name() != Some(name.as_ref()) {
                return Err(Error::corrupt(&list, &format!("{name:?} is no plain file name")));
            }
            let file = path.join(name);
            let metadata = std::fs::metadata(&file).map_err(unreadable(&file))?;
            check_length(&file, metadata.len(), checksum.bytes)?;
        }
        Ok(Self { path: path.to_path_buf(), checksums })
    }

    /// The names of all files but the list itself, sorted.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.checksums.keys().map(String::as_str)
    }

    /// Path of the file `name`, for messages.
    pub(super) fn path_of(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// The bytes of the file `name`, equal to those once written.
    pub(super) fn read(&self, name: &str) -> Result<Vec<u8>, Error> {
        let path = self.path_of(name);
        let Some(checksum) = self.checksums.get(name) else {
            return Err(Error::corrupt(&path, &format!("{CHECKSUMS} does not list it")));
        };
        let bytes = std::fs::read(&path).map_err(unreadable(&path))?;
        check_length(&path, bytes.len() as u64, checksum.bytes)?;
        let found = crc32c::crc32c(&bytes);
        if found != checksum.crc32c {
            let saved = checksum.crc32c;
            return Err(Error::corrupt(
                &path,
                &format!("crc32c is {found:08x}, saved was {saved:08x}"),
            ));
        }
        Ok(bytes)
    }
}

/// A file that is gone is damage; one that may not be read is not.
fn unreadable(path: &Path) -> impl FnOnce(io::Error) -> Error {
    move |error| match error.kind() {
        io::ErrorKind::NotFound => Error::corrupt(path, &"it is missing"),
        _ => Error::io("read", path)(error),
    }
}

fn check_length(path: &Path, found: u64, saved: u64) -> Result<(), Error> {
    if found == saved {
        return Ok(());
    }
    Err(Error::corrupt(path, &format!("{found} bytes, saved were {saved}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn save(path: &Path) {
        let mut folder = FolderWriter::create(path).unwrap();
        folder.file("a", |out| out.write_all(b"alpha")).unwrap();
        folder.file("b", |out| out.write_all(&[7; 100_000])).unwrap();
        folder.commit().unwrap();
    }

    #[test]
    fn files_come_back_as_written() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("checkpoint-1");
        save(&path);
        let folder = FolderReader::open(&path).unwrap();
        assert_eq!(folder.names().collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(folder.read("a").unwrap(), b"alpha");
        assert_eq!(folder.read("b").unwrap(), [7; 100_000]);
        assert_eq!(std::fs::read_dir(home.path()).unwrap().count(), 1, "no temporary folder stays");
    }

    type Damage = fn(&Path);

    #[test]
    fn damage_names_the_file() {
        let damages: [(&str, Damage); 4] = [
            ("a", |path| std::fs::write(path, "alphA").unwrap()),
            ("b", |path| std::fs::write(path, [7; 99]).unwrap()),
            ("b", |path| std::fs::remove_file(path).unwrap()),
            (CHECKSUMS, |path| std::fs::write(path, "{").unwrap()),
        ];
        for (name, damage) in damages {
            let home = tempfile::tempdir().unwrap();
            let path = home.path().join("checkpoint-1");
            save(&path);
            damage(&path.join(name));
            let read_all = || {
                let folder = FolderReader::open(&path)?;
                folder.names().try_for_each(|name| folder.read(name).map(drop))
            };
            let message = read_all().unwrap_err().to_string();
            assert!(message.contains(&format!("checkpoint-1/{name} is corrupt")), "{message}");
        }
    }

    #[test]
    fn a_list_that_points_outside_is_refused() {
        let home = tempfile::tempdir().unwrap();
        for name in ["../secret", "/etc/passwd", "..", ""] {
            let list = serde_json::json!({name: {"bytes": 0, "crc32c": 0}});
            std::fs::write(home.path().join(CHECKSUMS), list.to_string()).unwrap();
            let message = FolderReader::open(home.path()).unwrap_err().to_string();
            assert!(message.contains("no plain file name"), "{message}");
        }
    }

    #[test]
    fn a_failed_write_leaves_nothing_behind() {
        let home = tempfile::tempdir().unwrap();
        let mut folder = FolderWriter::create(&home.path().join("checkpoint-1")).unwrap();
        folder.file("a", |out| out.write_all(b"alpha")).unwrap();
        let full = io::ErrorKind::StorageFull;
        let error = folder.file("b", |_| Err(full.into())).unwrap_err();
        assert!(error.to_string().contains("cannot write"), "{error}");
        drop(folder);
        assert_eq!(std::fs::read_dir(home.path()).unwrap().count(), 0);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_full_disk_shows_at_the_flush() {
        let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
        let mut out = Summed { inner: BufWriter::new(full), sum: Checksum { bytes: 0, crc32c: 0 } };
        out.write_all(b"small enough for the buffer").unwrap();
        assert_eq!(out.flush().unwrap_err().kind(), io::ErrorKind::StorageFull);
    }
}
