//! What a checkpoint holds, to and from an [`Engine`].

use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tensor::Tensor;

use super::folder::{FolderReader, FolderWriter};
use super::safetensors_file::{self, Entry, Reader};
use crate::metrics::LogLine;
use crate::optimizer::Moments;
use crate::{Engine, Error};

const OPTIMIZER_FILE: &str = "optimizer.safetensors";
const STATE_FILE: &str = "trainer_state.json";

/// `trainer_state.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TrainerState {
    /// Updates made.
    pub(crate) global_step: u64,
    /// Updates of the whole run.
    pub(crate) max_steps: u64,
    /// Tokens with a loss since the start of the run.
    pub(crate) num_tokens_seen: u64,
    /// Hash of the config that shaped the run; a resume under another one is refused.
    pub(crate) config_hash: String,
    /// The last lines of `metrics.jsonl`.
    pub(crate) log_history: Vec<LogLine>,
    /// Whatever the recipe needs to go on: its place in the data, its counters.
    pub(crate) task_state: Value,
}

/// A file that the recipe keeps in its checkpoints.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SavedFile {
    /// Its name in the folder, without a path.
    pub name: String,
    /// Its contents.
    pub bytes: Vec<u8>,
}

/// What a recipe adds to a checkpoint.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TaskState {
    /// Small state, kept in `trainer_state.json`. Floats survive exactly; a NaN becomes `null`.
    pub value: Value,
    /// Large state, a file each.
    pub files: Vec<SavedFile>,
}

/// Writes everything into the new folder `path`.
pub(super) fn write(
    path: &Path,
    weights_file: &str,
    engine: &Engine,
    state: &TrainerState,
    files: &[SavedFile],
) -> Result<(), Error> {
    let mut folder = FolderWriter::create(path)?;
    let weights: Vec<Entry<'_>> =
        engine.parameters.iter().map(|(name, values)| entry(name.to_owned(), values)).collect();
    folder.file(weights_file, |out| safetensors_file::write(out, &weights))?;
    let means = engine.moments.iter().map(|(name, moments)| entry(mean_name(name), &moments.mean));
    let squares =
        engine.moments.iter().map(|(name, moments)| entry(square_name(name), &moments.square));
    let moments: Vec<Entry<'_>> = means.chain(squares).collect();
    folder.file(OPTIMIZER_FILE, |out| safetensors_file::write(out, &moments))?;
    for file in files {
        folder.file(&file.name, |out| out.write_all(&file.bytes))?;
    }
    folder.file(STATE_FILE, |out| {
        serde_json::to_writer_pretty(&mut *out, state)?;
        out.write_all(b"\n")
    })?;
    folder.commit()
}

fn entry(name: String, values: &Tensor) -> Entry<'_> {
    (name, values.shape(), values.as_slice())
}

/// PyTorch's names for AdamW's moments.
fn mean_name(name: &str) -> String {
    format!("exp_avg.{name}")
}

fn square_name(name: &str) -> String {
    format!("exp_avg_sq.{name}")
}

/// A checkpoint read into memory, verified, and known to fit the engine.
#[derive(Debug)]
pub(crate) struct Loaded {
    state: TrainerState,
    files: Vec<SavedFile>,
    parameters: Vec<Tensor>,
    moments: Vec<Moments>,
}

/// Reads all of the folder `path`; `engine` tells which tensors must be there, and stays as it is.
pub(super) fn read(
    path: &Path,
    weights_file: &str,
    engine: &Engine,
    config_hash: &str,
) -> Result<Loaded, Error> {
    let folder = FolderReader::open(path)?;
    let state = read_state(&folder)?;
    if state.config_hash != config_hash {
        let (saved, current) = (state.config_hash, config_hash.to_owned());
        return Err(Error::ConfigChanged { path: path.to_path_buf(), saved, current });
    }
    let parameters = read_parameters(&folder, weights_file, engine)?;
    let moments = read_moments(&folder, engine)?;
    let own = [weights_file, OPTIMIZER_FILE, STATE_FILE];
    let files = folder
        .names()
        .filter(|name| !own.contains(name))
        .map(|name| Ok(SavedFile { name: name.to_owned(), bytes: folder.read(name)? }))
        .collect::<Result<_, Error>>()?;
    Ok(Loaded { state, files, parameters, moments })
}

fn read_state(folder: &FolderReader) -> Result<TrainerState, Error> {
    let bytes = folder.read(STATE_FILE)?;
    serde_json::from_slice(&bytes)
        .map_err(|error| Error::corrupt(&folder.path_of(STATE_FILE), &error))
}

fn read_parameters(
    folder: &FolderReader,
    weights_file: &str,
    engine: &Engine,
) -> Result<Vec<Tensor>, Error> {
    let (path, bytes) = (folder.path_of(weights_file), folder.read(weights_file)?);
    let mut reader = Reader::new(&path, &bytes)?;
    let parameters = engine
        .parameters
        .iter()
        .map(|(name, values)| take(&mut reader, name, values))
        .collect::<Result<_, _>>()?;
    reader.finish()?;
    Ok(parameters)
}

fn read_moments(folder: &FolderReader, engine: &Engine) -> Result<Vec<Moments>, Error> {
    let (path, bytes) = (folder.path_of(OPTIMIZER_FILE), folder.read(OPTIMIZER_FILE)?);
    let mut reader = Reader::new(&path, &bytes)?;
    let mut moments = Vec::new();
    for (name, like) in engine.parameters.iter() {
        let mean = take(&mut reader, &mean_name(name), like)?;
        moments.push(Moments { mean, square: take(&mut reader, &square_name(name), like)? });
    }
    reader.finish()?;
    Ok(moments)
}

fn take(reader: &mut Reader<'_>, name: &str, like: &Tensor) -> Result<Tensor, Error> {
    Ok(Tensor::from_vec(reader.take(name, like.shape())?, like.shape()))
}

impl Engine {
    /// Continues where the checkpoint was written, and returns what is not the engine's in it. Cannot
    /// fail: the checkpoint was read for this engine.
    pub(crate) fn restore(&mut self, loaded: Loaded) -> (TrainerState, Vec<SavedFile>) {
        for ((_, values), saved) in self.parameters.iter_mut().zip(loaded.parameters) {
            *values = saved;
        }
        for (moments, saved) in self.moments.values_mut().zip(loaded.moments) {
            *moments = saved;
        }
        self.step = loaded.state.global_step;
        self.num_tokens_seen = loaded.state.num_tokens_seen;
        (loaded.state, loaded.files)
    }
}
