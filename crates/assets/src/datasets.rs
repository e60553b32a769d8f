//! Benchmarks' files from the hub: listed, downloaded whole or not at all, and then found where they were put.

use std::borrow::Cow;
use std::fs;
use std::path::Path;

use crate::catalog::{HubFile, HubSource};
use crate::error::Attempt;
use crate::fetch::Assets;
use crate::hub::Hub;
use crate::progress::{Progress, Reporter};
use crate::{Error, Result};

/// The largest file of a benchmark that is fetched.
const MAX_BYTES: u64 = 16 << 30;

/// Files of a data set of the hub.
#[derive(Clone, Copy, Debug)]
pub struct Dataset {
    /// What it is called here.
    pub name: &'static str,
    /// `owner/name` on the hub.
    pub repo: &'static str,
    /// Parts of the paths of the files that are needed.
    pub files: &'static [&'static str],
}

impl Assets {
    /// Fetches the files of a data set into a folder, which appears when all are there.
    ///
    /// # Errors
    /// When the hub cannot be asked or lacks the files, or a download fails.
    pub fn fetch_dataset(
        &self,
        dataset: Dataset,
        folder: &Path,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<()> {
        let settings = self.settings();
        let source = format!("hub datasets/{}", dataset.repo);
        let unavailable = |reason: String| Error::Unavailable {
            asset: dataset.name,
            attempts: vec![Attempt { source: source.clone(), reason }],
        };
        if settings.offline || settings.hub_offline {
            return Err(unavailable("not asked, offline".to_owned()));
        }
        let hub = Hub::new(settings);
        let repo = format!("datasets/{}", dataset.repo);
        let names = hub.files(&repo).map_err(&unavailable)?;
        let is_needed = |name: &String| dataset.files.iter().any(|part| name.contains(part));
        let files: Vec<HubFile> = names.into_iter().filter(is_needed).map(file).collect();
        if files.is_empty() {
            return Err(unavailable(format!("no file with {}", dataset.files.join(" or "))));
        }
        let staging = folder.with_extension("partial");
        let partials = folder.with_extension("downloads");
        for path in [&staging, &partials] {
            fs::create_dir_all(path).map_err(Error::io(path))?;
        }
        let mut reporter = Reporter { asset: dataset.name, callback: progress };
        let wanted = HubSource { repo: repo.into(), revision: "main", files: files.into() };
        hub.download(&wanted, &staging, &partials, &mut reporter).map_err(&unavailable)?;
        fs::rename(&staging, folder).map_err(Error::io(folder))?;
        fs::remove_dir_all(&partials).map_err(Error::io(&partials))
    }
}

fn file(name: String) -> HubFile {
    HubFile { name: Cow::Owned(name), required: true, max_bytes: MAX_BYTES }
}
