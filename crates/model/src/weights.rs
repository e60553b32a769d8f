//! Weights in and out: checkpoints as Hugging Face and llama.cpp lay them out.
//!
//! A [`Checkpoint`] lists the tensors of a folder without reading them; each is then taken by name
//! with the shape that the configuration implies, and what is left over at the end is an error.
//! Nothing is held twice: a tensor is read when it is taken.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use gguf::Gguf;
use tensor::{DType, Device, Tensor, Weight};

use crate::error::Error;

mod file;
mod save;

use file::WeightFile;
pub(crate) use save::save_file_unsynced;
pub use save::{Staging, Stored, TensorSpec, save, save_file};

/// Names that checkpoints carry and no forward pass reads: tables that are recomputed, and heads
/// of other tasks (the prefixes are those that vLLM drops from InternVL-family checkpoints).
const IGNORED_PREFIXES: &[&str] = &[
    "action_embed",
    "temporal_embed",
    "track_embed",
    "box_token",
    "cg_criterion",
    "cg_model",
    "loc_encoder",
    "loc_decoder",
    "sam",
    "temporal_token",
    "track_token",
    "vision_model.head.",
];
const IGNORED_SUFFIXES: &[&str] =
    &["rotary_emb.inv_freq", "embeddings.mask_token", "embeddings.position_ids"];

/// One tensor of a checkpoint, as stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredTensor {
    /// Name, with the checkpoint's prefix (see [`Checkpoint::under`]).
    pub name: String,
    /// Shape, outermost dimension first.
    pub shape: Vec<usize>,
    /// The file's own name for the number format (`F32`, `BF16`, `Q4_1`, …).
    pub dtype: String,
    /// Bytes on disk.
    pub bytes: u64,
}

/// The tensors of a model folder or weight file, to be taken one by one.
#[derive(Debug)]
pub struct Checkpoint {
    path: PathBuf,
    files: Vec<WeightFile>,
    left: BTreeMap<String, Place>,
}

/// Where a tensor lies: the file's number, and what the file says of it, its own name included.
#[derive(Clone, Debug)]
struct Place {
    file: usize,
    stored: StoredTensor,
}

impl Checkpoint {
    /// Opens a folder (`model.safetensors`, a sharded set with its index, or a single `.gguf`) or
    /// one weight file. Reads headers only.
    ///
    /// # Errors
    /// When there are no weights, or a header is damaged or names a missing file.
    pub fn open(path: &Path) -> Result<Self, Error> {
        if !path.is_dir() {
            return Self::from_files(path, vec![WeightFile::open(path)?], &BTreeMap::new());
        }
        let single = path.join("model.safetensors");
        let index = path.join("model.safetensors.index.json");
        if index.is_file() {
            let map = read_index(&index)?;
            let mut names: Vec<&String> = map.values().collect();
            names.sort();
            names.dedup();
            let files = names.iter().map(|name| WeightFile::open(&path.join(name)));
            let files = files.collect::<Result<_, _>>()?;
            return Self::from_files(path, files, &map);
        }
        let file = if single.is_file() { single } else { only_gguf(path)? };
        Self::from_files(path, vec![WeightFile::open(&file)?], &BTreeMap::new())
    }

    fn from_files(
        path: &Path,
        files: Vec<WeightFile>,
        index: &BTreeMap<String, String>,
    ) -> Result<Self, Error> {
        let mut left = BTreeMap::new();
        for (number, file) in files.iter().enumerate() {
            for stored in file.tensors() {
                if index.get(&stored.name).is_none_or(|shard| file.path().ends_with(shard)) {
                    left.insert(stored.name.clone(), Place { file: number, stored });
                }
            }
        }
        match index.keys().find(|name| !left.contains_key(*name)) {
            Some(name) => {
                Err(Error::MissingTensor { name: name.clone(), path: path.join(&index[name]) })
            }
            None => Ok(Self { path: path.to_owned(), files, left }),
        }
    }

    /// The same checkpoint with `prefix` put before every name: a bare language model is opened
    /// `under("language_model.")`, so that model code knows one set of names.
    #[must_use]
    pub fn under(mut self, prefix: &str) -> Self {
        let left = std::mem::take(&mut self.left);
        self.left =
            left.into_iter().map(|(name, place)| (format!("{prefix}{name}"), place)).collect();
        self
    }

    /// Removes `prefix` from the names that begin with it.
    #[must_use]
    pub fn without(mut self, prefix: &str) -> Self {
        let left = std::mem::take(&mut self.left);
        let strip = |name: String| name.strip_prefix(prefix).map_or(name.clone(), str::to_owned);
        self.left = left.into_iter().map(|(name, place)| (strip(name), place)).collect();
        self
    }

    /// Replaces what names begin with: the first of the pairs (old, new) that fits. A name that is
    /// there already stays, and the other is left over at the end.
    pub fn rename(&mut self, prefixes: &[(&str, &str)]) {
        for (name, place) in std::mem::take(&mut self.left) {
            let renamed = prefixes
                .iter()
                .find_map(|(old, new)| name.strip_prefix(old).map(|rest| format!("{new}{rest}")));
            let renamed = renamed.filter(|renamed| !self.left.contains_key(renamed));
            self.left.insert(renamed.unwrap_or(name), place);
        }
    }

    /// The folder or file this was opened from.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether a tensor is there and not yet taken.
    pub fn contains(&self, name: &str) -> bool {
        self.left.contains_key(name)
    }

    /// Whether any tensor under a prefix is there and not yet taken.
    pub fn has_prefix(&self, prefix: &str) -> bool {
        self.left.keys().any(|name| name.starts_with(prefix))
    }

    /// The GGUF file this was opened from, whose metadata says what `config.json` says elsewhere.
    pub fn gguf(&self) -> Option<&Gguf> {
        match self.files.as_slice() {
            [WeightFile::Gguf(file)] => Some(file),
            _ => None,
        }
    }

    /// The tensors not yet taken, in order of name.
    pub fn tensors(&self) -> Vec<StoredTensor> {
        let named = |(name, place): (&String, &Place)| StoredTensor {
            name: name.clone(),
            ..place.stored.clone()
        };
        self.left.iter().map(named).collect()
    }

    /// Whether a card, where weights go to one, has room for those not yet taken. Main memory is not asked: it swaps.
    ///
    /// # Errors
    /// When it has not, with the bytes wanted and free, or does not hold this type.
    pub(crate) fn check_room(&self, dtype: DType) -> Result<(), Error> {
        let device = Device::current();
        let Device::Cuda(card) = &device else { return Ok(()) };
        if matches!(dtype, DType::Int8 | DType::Int4) {
            let reason = format!("{device} holds weights as float32 or bfloat16, not as {dtype:?}");
            return Err(Error::input("dtype", reason));
        }
        let values = |place: &Place| place.stored.shape.iter().product::<usize>();
        let wanted = dtype.bytes(self.left.values().map(values).sum());
        let free = card.memory().free;
        if wanted > free {
            let reason = format!("{device} has {free} bytes free, the weights take {wanted}");
            return Err(Error::input("memory", reason));
        }
        Ok(())
    }

    /// The stored shape of a tensor, for sizes that the configuration may misstate (vocabulary).
    ///
    /// # Errors
    /// When the tensor is missing.
    pub fn shape(&self, name: &str) -> Result<Vec<usize>, Error> {
        Ok(self.place(name)?.stored.shape.clone())
    }

    /// Takes a tensor of the given shape as f32 values.
    ///
    /// # Errors
    /// When it is missing, has another shape, is stored in an unknown format or cannot be read.
    pub fn take(&mut self, name: &str, shape: &[usize]) -> Result<Vec<f32>, Error> {
        let values = self.read(name, shape)?;
        self.left.remove(name);
        Ok(values)
    }

    /// Reads a tensor that stays to be taken.
    ///
    /// # Errors
    /// As [`Checkpoint::take`].
    pub fn read(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>, Error> {
        let place = self.place_of_shape(name, shape)?;
        let rows = shape.first().copied().unwrap_or(1);
        self.files[place.file].read_rows(&place.stored.name, 0..rows)
    }

    /// Checks, without reading values, that the tensors left are exactly these.
    ///
    /// # Errors
    /// When one is missing or misshapen, or others are left.
    pub fn check(&self, tensors: &[(String, Vec<usize>)]) -> Result<(), Error> {
        for (name, shape) in tensors {
            self.place_of_shape(name, shape)?;
        }
        let known: BTreeSet<&str> = tensors.iter().map(|(name, _)| name.as_str()).collect();
        self.only(|name| known.contains(name))
    }

    /// Takes a tensor (see [`Checkpoint::take`]).
    ///
    /// # Errors
    /// As [`Checkpoint::take`].
    pub fn take_tensor(&mut self, name: &str, shape: &[usize]) -> Result<Tensor, Error> {
        Ok(Tensor::from_vec(self.take(name, shape)?, shape).to(&Device::current()))
    }

    /// Takes a matrix `[outputs, inputs]` straight into packed form, some rows at a time.
    ///
    /// # Errors
    /// As [`Checkpoint::take`].
    pub fn take_weight(
        &mut self,
        name: &str,
        outputs: usize,
        inputs: usize,
        dtype: DType,
    ) -> Result<Weight, Error> {
        let place = self.place_of_shape(name, &[outputs, inputs])?;
        let file = &self.files[place.file];
        let read = |rows| file.read_rows(&place.stored.name, rows);
        let weight = Weight::pack_rows([outputs, inputs], dtype, read)?;
        self.left.remove(name);
        Ok(weight)
    }

    /// Drops a tensor that the caller knows to be redundant (a tied head stored twice).
    pub fn skip(&mut self, name: &str) {
        self.left.remove(name);
    }

    /// Drops every tensor under a prefix (another model's half of the checkpoint).
    pub fn skip_prefix(&mut self, prefix: &str) {
        self.left.retain(|name, _| !name.starts_with(prefix));
    }

    /// Ends the reading: every tensor must have been taken.
    ///
    /// # Errors
    /// [`Error::UnusedTensors`], naming them.
    pub fn finish(self) -> Result<(), Error> {
        self.only(|_| false)
    }

    /// All that is left must be known, or be among the names that are ignored.
    fn only(&self, known: impl Fn(&str) -> bool) -> Result<(), Error> {
        let unused = self.left.keys().filter(|name| !ignored(name) && !known(name));
        let unused: Vec<&str> = unused.map(String::as_str).collect();
        if unused.is_empty() {
            return Ok(());
        }
        let mut names = unused.iter().take(8).copied().collect::<Vec<_>>();
        if unused.len() > names.len() {
            names.push("…");
        }
        let (num, names, path) = (unused.len(), names.join(", "), self.path.clone());
        Err(Error::UnusedTensors { num, names, path })
    }

    fn place_of_shape(&self, name: &str, shape: &[usize]) -> Result<&Place, Error> {
        let place = self.place(name)?;
        if place.stored.shape == shape {
            return Ok(place);
        }
        Err(Error::Shape {
            name: name.to_owned(),
            path: self.files[place.file].path().to_owned(),
            expected: shape.to_vec(),
            found: place.stored.shape.clone(),
        })
    }

    fn place(&self, name: &str) -> Result<&Place, Error> {
        self.left
            .get(name)
            .ok_or_else(|| Error::MissingTensor { name: name.to_owned(), path: self.path.clone() })
    }
}

fn ignored(name: &str) -> bool {
    IGNORED_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
        || IGNORED_SUFFIXES.iter().any(|suffix| name.ends_with(suffix))
}

/// Reads a shard index: tensor name to file name. File names are kept inside the folder.
fn read_index(path: &Path) -> Result<BTreeMap<String, String>, Error> {
    #[derive(serde::Deserialize)]
    struct Index {
        weight_map: BTreeMap<String, String>,
    }
    let text = std::fs::read(path).map_err(Error::io(path))?;
    let index: Index = serde_json::from_slice(&text)
        .map_err(|source| Error::Json { path: path.to_owned(), source })?;
    let escapes = |file: &&String| Path::new(file).file_name() != Some(file.as_ref());
    match index.weight_map.values().find(escapes) {
        Some(file) => Err(Error::DamagedWeights {
            path: path.to_owned(),
            reason: format!("shard `{file}` is not a plain file name"),
        }),
        None => Ok(index.weight_map),
    }
}

/// The single `.gguf` file of a folder.
fn only_gguf(folder: &Path) -> Result<PathBuf, Error> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(Error::io(folder))? {
        let path = entry.map_err(Error::io(folder))?.path();
        if path.extension().is_some_and(|extension| extension == "gguf") {
            found.push(path);
        }
    }
    match found.len() {
        1 => Ok(found.remove(0)),
        _ => Err(Error::NoWeights { path: folder.to_owned() }),
    }
}
