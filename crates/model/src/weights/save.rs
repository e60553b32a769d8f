//! Writing checkpoints so that a full disk or a kill leaves the previous one whole.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use half::{bf16, f16};
use serde_json::{Value, json};

use crate::error::Error;

/// Number format of a tensor on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stored {
    /// 32-bit float.
    F32,
    /// 16-bit IEEE float.
    F16,
    /// 16-bit brain float.
    Bf16,
}

impl Stored {
    /// The safetensors name.
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "F32",
            Self::F16 => "F16",
            Self::Bf16 => "BF16",
        }
    }

    /// The format of that safetensors name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::F32, Self::F16, Self::Bf16].into_iter().find(|stored| stored.name() == name)
    }

    /// PyTorch's name, as `torch_dtype` of a `config.json` has it.
    pub fn torch_name(self) -> &'static str {
        match self {
            Self::F32 => "float32",
            Self::F16 => "float16",
            Self::Bf16 => "bfloat16",
        }
    }

    /// Bytes an element takes.
    pub fn bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 | Self::Bf16 => 2,
        }
    }
}

/// A tensor to be written: everything but its values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorSpec {
    /// Name in the checkpoint.
    pub name: String,
    /// Shape, outermost dimension first.
    pub shape: Vec<usize>,
    /// Number format on disk.
    pub stored: Stored,
}

impl TensorSpec {
    /// A spec from its parts.
    pub fn new(name: impl Into<String>, shape: &[usize], stored: Stored) -> Self {
        Self { name: name.into(), shape: shape.to_vec(), stored }
    }

    /// Bytes on disk.
    pub fn bytes(&self) -> u64 {
        self.shape.iter().product::<usize>() as u64 * self.stored.bytes() as u64
    }
}

/// What the names of folders on their way begin with; the process id follows.
const PARTIAL: &str = ".partial-";

/// Files on their way into a folder. They are written beside it and moved in together by
/// [`Staging::commit`]; dropped without a commit, they vanish and the folder stays as it was.
#[derive(Debug)]
pub struct Staging {
    folder: PathBuf,
    partial: PathBuf,
}

impl Staging {
    /// Begins writing into `folder`, which need not exist yet.
    ///
    /// # Errors
    /// When the folder cannot be made.
    pub fn new(folder: &Path) -> Result<Self, Error> {
        // Unique, so that two threads may write into one folder.
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let partial = folder.join(format!("{PARTIAL}{}-{number}", std::process::id()));
        remove_abandoned(folder);
        fs::create_dir_all(&partial).map_err(Error::io(&partial))?;
        Ok(Self { folder: folder.to_owned(), partial })
    }

    /// Where to write meanwhile.
    pub fn path(&self) -> &Path {
        &self.partial
    }

    /// Moves the files into the folder, replacing those of the same name, and removes weight files
    /// of an earlier save that the new one does not have.
    ///
    /// # Errors
    /// When a file cannot be flushed to disk or moved.
    pub fn commit(self) -> Result<(), Error> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.partial).map_err(Error::io(&self.partial))? {
            let path = entry.map_err(Error::io(&self.partial))?.path();
            File::open(&path).and_then(|file| file.sync_all()).map_err(Error::io(&path))?;
            names.extend(path.file_name().map(ToOwned::to_owned));
        }
        for name in &names {
            let target = self.folder.join(name);
            fs::rename(self.partial.join(name), &target).map_err(Error::io(&target))?;
        }
        if names.iter().any(|name| is_weights(&name.to_string_lossy())) {
            for entry in fs::read_dir(&self.folder).map_err(Error::io(&self.folder))? {
                let path = entry.map_err(Error::io(&self.folder))?.path();
                let name = path.file_name().unwrap_or_default().to_owned();
                if is_weights(&name.to_string_lossy()) && !names.contains(&name) {
                    fs::remove_file(&path).map_err(Error::io(&path))?;
                }
            }
        }
        sync_folder(&self.folder)
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        // Best effort: what cannot be removed is named `.partial-…` and read by nobody.
        let _ = fs::remove_dir_all(&self.partial);
    }
}

/// Removes what killed processes left behind, where the system can tell that they are gone.
fn remove_abandoned(folder: &Path) {
    let alive =
        |pid: &str| !Path::new("/proc/self").exists() || Path::new("/proc").join(pid).exists();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let pid = name.strip_prefix(PARTIAL).and_then(|rest| rest.split('-').next());
        if pid.is_some_and(|pid| !alive(pid)) {
            // Best effort, as in `Drop`.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// Whether a file belongs to a folder's weights: `model.safetensors`, its shards, its index.
fn is_weights(name: &str) -> bool {
    name == "model.safetensors"
        || name == "model.safetensors.index.json"
        || (name.starts_with("model-") && name.ends_with(".safetensors"))
}

/// Writes weights into `folder` as `model.safetensors`, or as shards of at most `max_shard_bytes`
/// with their index. `values` is asked for each tensor once, in order, so no more than one need
/// be in memory. Put a [`Staging`] folder here to replace an earlier checkpoint safely.
///
/// # Errors
/// When writing fails or `values` does.
pub fn save(
    folder: &Path,
    tensors: &[TensorSpec],
    max_shard_bytes: u64,
    mut values: impl FnMut(&str) -> Result<Vec<f32>, Error>,
) -> Result<(), Error> {
    let shards = split(tensors, max_shard_bytes);
    if let [all] = shards.as_slice() {
        return write_file(&folder.join("model.safetensors"), all, &mut values);
    }
    let mut weight_map = BTreeMap::new();
    for (number, shard) in shards.iter().enumerate() {
        let file = format!("model-{:05}-of-{:05}.safetensors", number + 1, shards.len());
        write_file(&folder.join(&file), shard, &mut values)?;
        weight_map.extend(shard.iter().map(|spec| (spec.name.clone(), file.clone())));
    }
    let total: u64 = tensors.iter().map(TensorSpec::bytes).sum();
    let index = json!({ "metadata": { "total_size": total }, "weight_map": weight_map });
    let path = folder.join("model.safetensors.index.json");
    fs::write(&path, format!("{index:#}\n")).map_err(Error::io(&path))
}

/// Writes one safetensors file atomically: beside its place first, flushed to disk, then moved.
///
/// # Errors
/// When writing fails or `values` does; what was at `path` is then still there.
pub fn save_file(
    path: &Path,
    tensors: &[TensorSpec],
    values: impl FnMut(&str) -> Result<Vec<f32>, Error>,
) -> Result<(), Error> {
    let sync = |file: &Path| File::open(file).and_then(|file| file.sync_all());
    save_beside(path, tensors, values, sync)?;
    sync_folder(folder_of(path))
}

/// As [`save_file`] without waiting for the disk: for what can be computed again, as a power cut
/// may damage it.
pub(crate) fn save_file_unsynced(
    path: &Path,
    tensors: &[TensorSpec],
    values: impl FnMut(&str) -> Result<Vec<f32>, Error>,
) -> Result<(), Error> {
    save_beside(path, tensors, values, |_| Ok(()))
}

fn save_beside(
    path: &Path,
    tensors: &[TensorSpec],
    mut values: impl FnMut(&str) -> Result<Vec<f32>, Error>,
    sync: impl FnOnce(&Path) -> std::io::Result<()>,
) -> Result<(), Error> {
    let staging = Staging::new(folder_of(path))?;
    let partial = staging.path().join(path.file_name().unwrap_or_default());
    write_file(&partial, tensors, &mut values)?;
    sync(&partial).map_err(Error::io(&partial))?;
    fs::rename(&partial, path).map_err(Error::io(path))
}

fn folder_of(path: &Path) -> &Path {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    parent.unwrap_or_else(|| Path::new("."))
}

/// Consecutive tensors, as many to a shard as fit; at least one shard, at least one tensor each.
fn split(tensors: &[TensorSpec], max_bytes: u64) -> Vec<&[TensorSpec]> {
    let mut shards = Vec::new();
    let (mut begin, mut bytes) = (0, 0);
    for (i, spec) in tensors.iter().enumerate() {
        if i > begin && bytes + spec.bytes() > max_bytes {
            shards.push(&tensors[begin..i]);
            (begin, bytes) = (i, 0);
        }
        bytes += spec.bytes();
    }
    shards.push(&tensors[begin..]);
    shards
}

fn write_file(
    path: &Path,
    tensors: &[TensorSpec],
    values: &mut dyn FnMut(&str) -> Result<Vec<f32>, Error>,
) -> Result<(), Error> {
    let file = File::create(path).map_err(Error::io(path))?;
    let mut out = BufWriter::with_capacity(1 << 20, file);
    let header = header(tensors);
    let size = (header.len() as u64).to_le_bytes();
    out.write_all(&size).and_then(|()| out.write_all(&header)).map_err(Error::io(path))?;
    for spec in tensors {
        let values = values(&spec.name)?;
        if values.len() != spec.shape.iter().product::<usize>() {
            let reason = format!("`{}`: {} values for {:?}", spec.name, values.len(), spec.shape);
            return Err(Error::input("tensor to save", reason));
        }
        write_values(&mut out, &values, spec.stored).map_err(Error::io(path))?;
    }
    out.flush().map_err(Error::io(path))
}

fn header(tensors: &[TensorSpec]) -> Vec<u8> {
    let mut map = serde_json::Map::new();
    map.insert("__metadata__".into(), json!({ "format": "pt" }));
    let mut begin = 0;
    for spec in tensors {
        let end = begin + spec.bytes();
        let entry: Value = json!({
            "dtype": spec.stored.name(), "shape": spec.shape, "data_offsets": [begin, end]
        });
        map.insert(spec.name.clone(), entry);
        begin = end;
    }
    let mut text = Value::Object(map).to_string().into_bytes();
    // Padded so that the data starts aligned, as readers that map the file expect.
    text.resize(text.len().next_multiple_of(8), b' ');
    text
}

fn write_values(out: &mut impl Write, values: &[f32], stored: Stored) -> std::io::Result<()> {
    for part in values.chunks(1 << 16) {
        let bytes: Vec<u8> = match stored {
            Stored::F32 => part.iter().flat_map(|v| v.to_le_bytes()).collect(),
            Stored::F16 => part.iter().flat_map(|&v| f16::from_f32(v).to_le_bytes()).collect(),
            Stored::Bf16 => part.iter().flat_map(|&v| bf16::from_f32(v).to_le_bytes()).collect(),
        };
        out.write_all(&bytes)?;
    }
    Ok(())
}

/// Makes renames in a folder durable. Not every system lets a folder be opened; there it is a
/// no-op and the renames are as durable as that system makes them.
fn sync_folder(folder: &Path) -> Result<(), Error> {
    match File::open(folder) {
        Ok(handle) => handle.sync_all().map_err(Error::io(folder)),
        Err(_) => Ok(()),
    }
}
