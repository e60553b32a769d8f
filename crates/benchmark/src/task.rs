//! A benchmark: where its files are, how a row becomes an item, which figures it reports.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::frames::{FrameSource, Span};
use crate::image::{Image, ImageStore};
use crate::item::Item;
use crate::prompt::Style;
use crate::table::{Row, files, open};
use crate::turns::sources;
use crate::{Error, Flaw};

/// A benchmark.
#[derive(Clone, Copy, Debug)]
pub struct Task {
    /// Its name on the command line, and its folder's.
    pub name: &'static str,
    /// Its name in tables, with where it was published.
    pub title: &'static str,
    /// Where the hub has it; nowhere, where it is made by other means.
    pub hubs: &'static [Hub],
    /// Files that hold its items, by a part of their paths; all if there is none.
    pub keep: &'static [&'static str],
    /// Files that do not, by a part of their paths.
    pub skip: &'static [&'static str],
    /// Makes an item of a row; no item where the row is not asked.
    pub item: fn(&Row, &mut Reading) -> Result<Option<Item>, String>,
    /// Figures of its own.
    pub figures: Figures,
}

/// A data set of the Hugging Face hub.
#[derive(Clone, Copy, Debug)]
pub struct Hub {
    /// `owner/name`.
    pub repo: &'static str,
    /// Parts of the paths of the files that are needed.
    pub files: &'static [&'static str],
}

/// Figures that a benchmark reports beside its accuracy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Figures {
    /// Accuracy by subject is all.
    Accuracy,
    /// The mean of the subjects' accuracies.
    Macro,
    /// Means of means of the categories: non-live, live, several turns, and these three (BFCL v3).
    Bfcl,
    /// Accuracy of questions, of figures and of questions about all figures (HallusionBench).
    Consistency,
    /// Precision, recall and F1 of `yes` (POPE).
    Detection,
    /// Accuracy of single instructions (IFEval).
    Instructions,
    /// The judge's mean rating from 0 to 3 (MMBench-Video).
    Rating,
}

/// What reading rows needs.
#[derive(Debug)]
pub struct Reading<'a> {
    /// Whose words the prompts use.
    pub style: Style,
    /// Where images go.
    pub images: &'a mut ImageStore,
    /// Where frames of videos come from.
    pub frames: &'a FrameSource,
    /// Seed of the order of options and of pairs.
    pub seed: u64,
    beside: HashMap<PathBuf, HashMap<String, Row>>,
    sources: HashMap<PathBuf, Result<Arc<BTreeMap<String, String>>, String>>,
}

impl<'a> Reading<'a> {
    /// Nothing read so far.
    pub fn new(
        style: Style,
        images: &'a mut ImageStore,
        frames: &'a FrameSource,
        seed: u64,
    ) -> Self {
        Self { style, images, frames, seed, beside: HashMap::new(), sources: HashMap::new() }
    }

    /// The frames of a video that a table names.
    pub(crate) fn video(&self, table: &Path, name: &str) -> Result<Vec<Image>, String> {
        self.frames.frames(self.images, table, name, None)
    }

    /// The frames of a part of a video that a table names.
    pub(crate) fn part(
        &self,
        table: &Path,
        name: &str,
        span: Option<Span>,
    ) -> Result<Vec<Image>, String> {
        self.frames.frames(self.images, table, name, span)
    }

    /// The row of another file that has this text in a column.
    pub(crate) fn beside(&mut self, path: &Path, column: &str, id: &str) -> Result<Row, String> {
        if !self.beside.contains_key(path) {
            let rows = open(path).map_err(|error| error.to_string())?.flatten();
            let rows = rows.filter_map(|row| Some((row.optional(column)?, row))).collect();
            self.beside.insert(path.to_owned(), rows);
        }
        let found = self.beside[path].get(id).cloned();
        found.ok_or_else(|| format!("{}: no row with {column} {id:?}", path.display()))
    }

    /// The modules of a folder, by their names.
    pub(crate) fn sources(
        &mut self,
        folder: &Path,
    ) -> Result<Arc<BTreeMap<String, String>>, String> {
        let read = || sources(folder);
        self.sources.entry(folder.to_owned()).or_insert_with(read).clone()
    }
}

/// A benchmark as read.
#[derive(Clone, Debug, Default)]
pub struct Loaded {
    /// The items that can be asked.
    pub items: Vec<Item>,
    /// The rows that cannot.
    pub flaws: Vec<Flaw>,
    /// How often each name was given.
    names: HashMap<String, usize>,
}

impl Task {
    /// Reads the first `limit` items below a folder, or all: from its own folder there, else from
    /// VLMEvalKit's table of its name.
    ///
    /// # Errors
    /// When there is no file, a file is not of its format, or not one item can be asked.
    pub fn load(
        &self,
        folder: &Path,
        reading: &mut Reading,
        limit: Option<usize>,
    ) -> Result<Loaded, Error> {
        let mut loaded = Loaded::default();
        let limit = limit.unwrap_or(usize::MAX);
        'files: for path in self.files(folder)? {
            reading.images.next_file();
            for row in open(&path)? {
                if loaded.items.len() + loaded.flaws.len() >= limit {
                    break 'files;
                }
                loaded.add(self, row, reading);
            }
        }
        match loaded.flaws.first() {
            Some(first) if loaded.items.is_empty() => Err(Error::NoItems {
                task: self.name,
                num_items: loaded.flaws.len(),
                first: first.to_string(),
            }),
            None if loaded.items.is_empty() => Err(self.no_files(folder)),
            _ => Ok(loaded),
        }
    }

    /// The files of the benchmark below a folder.
    fn files(&self, folder: &Path) -> Result<Vec<PathBuf>, Error> {
        let own = folder.join(self.name);
        let found = match own.is_dir() {
            true => files(&own)?,
            // What comes from the hub makes the folder.
            false if !folder.exists() => Vec::new(),
            false => files(folder)?.into_iter().filter(|path| self.is_named(path)).collect(),
        };
        let base = if own.is_dir() { own } else { folder.to_owned() };
        let kept = found.into_iter().filter(|path| self.keeps(path, &base));
        let mut kept: Vec<PathBuf> = kept.collect();
        // The same items in two formats are counted once.
        if let Some(first) = kept.first().and_then(|path| path.extension()).map(ToOwned::to_owned) {
            kept.retain(|path| path.extension() == Some(&first));
        }
        match kept.is_empty() {
            true => Err(self.no_files(folder)),
            false => Ok(kept),
        }
    }

    /// Whether a table is called as the benchmark is: `MMMU_DEV_VAL.tsv`.
    fn is_named(&self, path: &Path) -> bool {
        let plain = |text: &str| text.to_lowercase().replace(['-', '_', ' '], "");
        let stem = path.file_stem().map(|stem| plain(&stem.to_string_lossy())).unwrap_or_default();
        stem.starts_with(&plain(self.name))
    }

    fn keeps(&self, path: &Path, base: &Path) -> bool {
        let path = path.strip_prefix(base).unwrap_or(path).to_string_lossy().to_lowercase();
        let has = |parts: &[&str]| parts.iter().any(|part| path.contains(part));
        let is_table = path.ends_with(".tsv");
        !has(self.skip) && (is_table || self.keep.is_empty() || has(self.keep))
    }

    fn no_files(&self, folder: &Path) -> Error {
        let repos: Vec<&str> = self.hubs.iter().map(|hub| hub.repo).collect();
        let expected = match repos.is_empty() {
            true => "its files".to_owned(),
            false => {
                format!("the files of {}, or VLMEvalKit's {}*.tsv", repos.join(", "), self.name)
            }
        };
        Error::NoFiles { task: self.name, folder: folder.to_owned(), expected }
    }
}

impl Loaded {
    /// A name that no other item has: files of one benchmark may use a name twice.
    fn named_once(&mut self, id: String) -> String {
        let num = self.names.entry(id.clone()).or_insert(0);
        *num += 1;
        if *num == 1 { id } else { format!("{id}~{num}") }
    }

    fn add(&mut self, task: &Task, row: Result<Row, Flaw>, reading: &mut Reading) {
        let row = match row {
            Ok(row) => row,
            Err(flaw) => return self.flaws.push(flaw),
        };
        match (task.item)(&row, reading) {
            Ok(Some(mut item)) => {
                item.place = row.place;
                item.id = self.named_once(item.id);
                self.items.push(item);
            }
            Ok(None) => {}
            Err(reason) => self.flaws.push(Flaw { place: row.place, reason }),
        }
    }
}
