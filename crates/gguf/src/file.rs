//! A GGUF file: header, metadata, the list of tensors, and their content on demand.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use crate::block::BlockType;
use crate::names::{hf_name, rotary_heads_key};
use crate::source::Source;
use crate::value::{Value, read_value};
use crate::{Error, Result};

const MAGIC: &[u8; 4] = b"GGUF";
const MAX_DIMENSIONS: u32 = 4;
const DEFAULT_ALIGNMENT: u32 = 32;
/// The smallest tensor entry: an empty name, one dimension, type and offset.
const MIN_TENSOR_ENTRY: u64 = 8 + 4 + 8 + 4 + 8;
/// The smallest metadata entry: an empty key, a type and one byte.
const MIN_METADATA_ENTRY: u64 = 8 + 4 + 1;

/// A tensor as the file's list has it.
#[derive(Clone, Debug, PartialEq)]
pub struct TensorInfo {
    /// The name in the file, such as `blk.0.attn_q.weight`.
    pub name: String,
    /// The shape in row-major order: a linear layer is `[out, in]`.
    pub shape: Vec<usize>,
    /// How the weights are stored.
    pub block_type: BlockType,
    /// Bytes in the file.
    pub bytes: u64,
    offset: u64,
}

impl TensorInfo {
    /// Number of weights.
    pub fn num_weights(&self) -> usize {
        self.shape.iter().product()
    }
}

/// An open GGUF file, whose header has been read and checked; tensors are read when asked for.
#[derive(Debug)]
pub struct Gguf {
    path: PathBuf,
    file: Mutex<File>,
    metadata: BTreeMap<String, Value>,
    tensors: Vec<TensorInfo>,
}

impl Gguf {
    /// Opens a file and reads its header.
    ///
    /// # Errors
    ///
    /// When the file cannot be read, is not little-endian GGUF version 2 or 3, is truncated anywhere (tensor content
    /// included), or holds a tensor in a format this crate does not decode.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let io = |source| Error::Io { path: path.to_owned(), source };
        let file = File::open(path).map_err(io)?;
        let len = file.metadata().map_err(io)?.len();
        let source = Source::new(BufReader::with_capacity(1 << 16, &file), len);
        let (metadata, tensors) = read_header(source, len)
            .map_err(|reason| Error::Format { path: path.to_owned(), reason })?;
        Ok(Self { path: path.to_owned(), file: Mutex::new(file), metadata, tensors })
    }

    /// Where the file is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The metadata value of `key`.
    pub fn metadata(&self, key: &str) -> Option<&Value> {
        self.metadata.get(key)
    }

    /// All metadata, sorted by key.
    pub fn all_metadata(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.metadata.iter().map(|(key, value)| (key.as_str(), value))
    }

    /// The tensors in the file's order.
    pub fn tensors(&self) -> &[TensorInfo] {
        &self.tensors
    }

    /// The model's architecture (`general.architecture`), such as `llama`, the prefix of its metadata keys.
    ///
    /// # Errors
    ///
    /// When the key is absent or no string.
    pub fn architecture(&self) -> Result<&str> {
        self.str("general.architecture")
    }

    /// An integer that must be there.
    ///
    /// # Errors
    ///
    /// When the key is absent or its value is no integer that fits.
    pub fn u32(&self, key: &str) -> Result<u32> {
        let value = self.require(key)?;
        value.as_u32().ok_or_else(|| self.wrong_type(key, value, "a 32-bit unsigned integer"))
    }

    /// A float that must be there.
    ///
    /// # Errors
    ///
    /// When the key is absent or its value is no float.
    pub fn f32(&self, key: &str) -> Result<f32> {
        let value = self.require(key)?;
        value.as_f32().ok_or_else(|| self.wrong_type(key, value, "a float"))
    }

    /// A string that must be there.
    ///
    /// # Errors
    ///
    /// When the key is absent or its value is no string.
    pub fn str(&self, key: &str) -> Result<&str> {
        let value = self.require(key)?;
        value.as_str().ok_or_else(|| self.wrong_type(key, value, "a string"))
    }

    /// Reads a tensor by the file's own name: its row-major shape and its weights.
    ///
    /// # Errors
    ///
    /// When there is no such tensor or reading fails.
    pub fn read(&self, name: &str) -> Result<(Vec<usize>, Vec<f32>)> {
        let missing = || Error::MissingTensor { path: self.path.clone(), name: name.to_owned() };
        let tensor = self.tensors.iter().find(|t| t.name == name).ok_or_else(missing)?;
        Ok((tensor.shape.clone(), self.read_rows(tensor, 0..tensor.shape[0])?))
    }

    /// The tensors that Hugging Face's implementation has too, under its names, in the file's order.
    pub fn hf_tensors(&self) -> impl Iterator<Item = (String, &TensorInfo)> {
        self.tensors.iter().filter_map(|tensor| Some((hf_name(&tensor.name)?, tensor)))
    }

    /// Reads a tensor by Hugging Face's name (`model.layers.0.self_attn.q_proj.weight`), in Hugging Face's row order:
    /// its row-major shape and its weights.
    ///
    /// # Errors
    ///
    /// As [`Gguf::read_hf_rows`].
    pub fn read_hf(&self, name: &str) -> Result<(Vec<usize>, Vec<f32>)> {
        let shape = self.hf_tensor(name)?.shape.clone();
        let weights = self.read_hf_rows(name, 0..shape[0])?;
        Ok((shape, weights))
    }

    /// Reads some rows of a tensor by Hugging Face's name, in Hugging Face's row order.
    ///
    /// Files of architecture `llama` keep the rows of the query and key projections in the order of interleaved rotary
    /// embedding: weight pairs side by side. Hugging Face rotates halves, so the rows are put back.
    ///
    /// # Errors
    ///
    /// When there is no such tensor, reading fails, or the rows do not divide into heads.
    ///
    /// # Panics
    ///
    /// If the tensor has no such rows.
    pub fn read_hf_rows(&self, name: &str, rows: Range<usize>) -> Result<Vec<f32>> {
        let tensor = self.hf_tensor(name)?;
        let Some(key) = rotary_heads_key(self.architecture()?, &tensor.name) else {
            return self.read_rows(tensor, rows);
        };
        let (all, num_heads) = (tensor.shape[0], self.num_heads(key)?);
        if num_heads == 0 || !all.is_multiple_of(2 * num_heads) {
            let (path, name) = (self.path.clone(), name.to_owned());
            return Err(Error::Heads { path, name, rows: all, num_heads });
        }
        let head = all / num_heads;
        let first = rows.start / head * head;
        let weights = self.read_rows(tensor, first..rows.end.next_multiple_of(head))?;
        let columns = tensor.num_weights() / all;
        let mut out = Vec::with_capacity(rows.len() * columns);
        for row in rows {
            let from = row_of_pairs(row, head) - first;
            out.extend_from_slice(&weights[from * columns..][..columns]);
        }
        Ok(out)
    }

    fn hf_tensor(&self, name: &str) -> Result<&TensorInfo> {
        let missing = || Error::MissingTensor { path: self.path.clone(), name: name.to_owned() };
        Ok(self.hf_tensors().find(|(hf, _)| hf == name).ok_or_else(missing)?.1)
    }

    /// The number of heads under `key`; a file without grouped queries has no count of its own for keys and values.
    fn num_heads(&self, key: &str) -> Result<usize> {
        let key = if self.metadata.contains_key(key) { key } else { "llama.attention.head_count" };
        Ok(self.u32(key)? as usize)
    }

    fn read_rows(&self, tensor: &TensorInfo, rows: Range<usize>) -> Result<Vec<f32>> {
        let io = |source| Error::Io { path: self.path.clone(), source };
        let at = |row: usize| tensor.bytes * row as u64 / tensor.shape[0] as u64;
        let len = at(rows.end) - at(rows.start);
        let len = usize::try_from(len).map_err(|e| io(std::io::Error::other(e)))?;
        let mut bytes = vec![0; len];
        {
            let mut file = self.file.lock().expect("no reader panics while it holds the file");
            file.seek(SeekFrom::Start(tensor.offset + at(rows.start))).map_err(io)?;
            file.read_exact(&mut bytes).map_err(io)?;
        }
        Ok(tensor.block_type.dequantize(&bytes))
    }

    fn require(&self, key: &str) -> Result<&Value> {
        self.metadata(key)
            .ok_or_else(|| Error::MissingKey { path: self.path.clone(), key: key.to_owned() })
    }

    pub(crate) fn wrong_type(&self, key: &str, value: &Value, expected: &'static str) -> Error {
        Error::WrongType {
            path: self.path.clone(),
            key: key.to_owned(),
            found: value.type_name(),
            expected,
        }
    }
}

/// Where row `(head, half, pair)` lies in a file that orders rows by `(head, pair, half)`; a head has so many rows.
fn row_of_pairs(row: usize, head: usize) -> usize {
    let (begin, within) = (row / head * head, row % head);
    let (half, pair) = (within / (head / 2), within % (head / 2));
    begin + 2 * pair + half
}

type Header = (BTreeMap<String, Value>, Vec<TensorInfo>);

fn read_header(mut source: Source<impl Read>, file_len: u64) -> Result<Header, String> {
    let magic: [u8; 4] = source.array("magic")?;
    if &magic != MAGIC {
        return Err(format!("it starts with {magic:?}, not with \"GGUF\""));
    }
    let version = source.u32("version")?;
    if !(2..=3).contains(&version) {
        let hint = if (2..=3).contains(&version.swap_bytes()) { " (it is big-endian)" } else { "" };
        return Err(format!("its version is {version}{hint}, expected 2 or 3"));
    }
    let num_tensors = source.u64("number of tensors")?;
    let num_metadata = source.u64("number of metadata entries")?;
    let num_metadata = source.expect_items("metadata", num_metadata, MIN_METADATA_ENTRY)?;
    let mut metadata = BTreeMap::new();
    for _ in 0..num_metadata {
        let key = source.string("metadata key")?;
        let value = read_value(&mut source, &key)?;
        if metadata.insert(key.clone(), value).is_some() {
            return Err(format!("metadata key {key:?} appears twice"));
        }
    }
    let num_tensors = source.expect_items("tensor list", num_tensors, MIN_TENSOR_ENTRY)?;
    let mut tensors =
        (0..num_tensors).map(|_| read_tensor_info(&mut source)).collect::<Result<Vec<_>, _>>()?;
    place_tensors(&mut tensors, alignment(&metadata)?, source.position(), file_len)?;
    Ok((metadata, tensors))
}

fn read_tensor_info(source: &mut Source<impl Read>) -> Result<TensorInfo, String> {
    let name = source.string("tensor name")?;
    let num_dimensions = source.u32(&name)?;
    if !(1..=MAX_DIMENSIONS).contains(&num_dimensions) {
        return Err(format!(
            "tensor {name:?} has {num_dimensions} dimensions, expected 1 to {MAX_DIMENSIONS}"
        ));
    }
    // The file lists the fastest-moving dimension first.
    let mut shape =
        (0..num_dimensions).map(|_| source.u64(&name)).collect::<Result<Vec<_>, _>>()?;
    let columns = shape[0];
    shape.reverse();
    let id = source.u32(&name)?;
    let block_type = BlockType::from_id(id)
        .ok_or_else(|| format!("tensor {name:?} has the unsupported type {id}"))?;
    let (len, size) = (block_type.block_len() as u64, block_type.block_bytes() as u64);
    let num_weights = shape.iter().try_fold(1u64, |n, &d| n.checked_mul(d)).filter(|&n| n > 0);
    let num_weights =
        num_weights.ok_or_else(|| format!("tensor {name:?} has the impossible shape {shape:?}"))?;
    if !columns.is_multiple_of(len) {
        return Err(format!(
            "tensor {name:?}: rows of {columns} are not whole {} blocks of {len}",
            block_type.name()
        ));
    }
    let bytes = (num_weights / len).checked_mul(size);
    let bytes =
        bytes.ok_or_else(|| format!("tensor {name:?} has the impossible shape {shape:?}"))?;
    let shape = shape
        .iter()
        .map(|&d| usize::try_from(d).map_err(|e| e.to_string()))
        .collect::<Result<_, _>>()?;
    Ok(TensorInfo { name, shape, block_type, bytes, offset: source.u64("tensor offset")? })
}

fn alignment(metadata: &BTreeMap<String, Value>) -> Result<u64, String> {
    let Some(value) = metadata.get("general.alignment") else {
        return Ok(DEFAULT_ALIGNMENT.into());
    };
    let alignment = value.as_u32().filter(|a| a.is_power_of_two());
    alignment
        .map(u64::from)
        .ok_or_else(|| format!("general.alignment is {value:?}, expected a power of two"))
}

/// Turns offsets into positions in the file and checks that each tensor lies in it, named once.
fn place_tensors(
    tensors: &mut [TensorInfo],
    alignment: u64,
    header_len: u64,
    file_len: u64,
) -> Result<(), String> {
    let start = header_len.next_multiple_of(alignment);
    let mut names = std::collections::BTreeSet::new();
    for tensor in &mut *tensors {
        let (name, offset, bytes) = (&tensor.name, tensor.offset, tensor.bytes);
        if !offset.is_multiple_of(alignment) {
            return Err(format!(
                "tensor {name:?} lies at {offset}, which is not a multiple of {alignment}"
            ));
        }
        let begin = start.checked_add(offset);
        match begin.and_then(|b| b.checked_add(bytes)) {
            Some(end) if end <= file_len => tensor.offset = end - bytes,
            _ => {
                return Err(format!(
                    "tensor {name:?}: {bytes} bytes at {offset} pass the end, {file_len} bytes"
                ));
            }
        }
    }
    match tensors.iter().find(|t| !names.insert(&t.name)) {
        Some(twice) => Err(format!("tensor {:?} appears twice", twice.name)),
        None => Ok(()),
    }
}
