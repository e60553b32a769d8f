//! One weight file: its header, checked as untrusted input, and its tensors, read when asked for.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};

use gguf::Gguf;
use half::{bf16, f16};
use serde::Deserialize;

use super::StoredTensor;
use crate::error::Error;

/// The safetensors format's own bound on its header.
const MAX_HEADER_BYTES: u64 = 100_000_000;
/// Bytes converted at a time, so that a tensor is never held in both formats.
const CHUNK_BYTES: usize = 1 << 20;

/// A header entry as the file spells it.
#[derive(Clone, Debug, Deserialize)]
struct Entry {
    dtype: String,
    shape: Vec<usize>,
    data_offsets: (u64, u64),
}

/// An opened weight file of either format.
#[derive(Debug)]
pub(super) enum WeightFile {
    Safetensors(Safetensors),
    /// Under Hugging Face's names and row order, which the reader restores.
    Gguf(Gguf),
}

impl WeightFile {
    /// Opens a file and checks its header; the format follows from the extension.
    pub(super) fn open(path: &Path) -> Result<Self, Error> {
        if path.extension().is_some_and(|extension| extension == "gguf") {
            return Ok(Self::Gguf(Gguf::open(path)?));
        }
        Safetensors::open(path).map(Self::Safetensors)
    }

    pub(super) fn path(&self) -> &Path {
        match self {
            Self::Safetensors(file) => &file.path,
            Self::Gguf(file) => file.path(),
        }
    }

    /// The tensors, named and described, in no particular order.
    pub(super) fn tensors(&self) -> Vec<StoredTensor> {
        match self {
            Self::Safetensors(file) => file.tensors().collect(),
            Self::Gguf(file) => file.hf_tensors().map(describe_gguf).collect(),
        }
    }

    /// Reads rows (along the outermost dimension; a scalar is one) of a tensor that [`WeightFile::tensors`] lists.
    pub(super) fn read_rows(&self, name: &str, rows: Range<usize>) -> Result<Vec<f32>, Error> {
        match self {
            Self::Safetensors(file) => file.read_rows(name, rows),
            Self::Gguf(file) => Ok(file.read_hf_rows(name, rows)?),
        }
    }
}

fn describe_gguf((name, info): (String, &gguf::TensorInfo)) -> StoredTensor {
    let dtype = info.block_type.name().to_owned();
    StoredTensor { name, shape: info.shape.clone(), dtype, bytes: info.bytes }
}

/// An opened safetensors file.
#[derive(Debug)]
pub(super) struct Safetensors {
    path: PathBuf,
    file: RefCell<File>,
    /// Where the data begins.
    base: u64,
    entries: BTreeMap<String, Entry>,
}

impl Safetensors {
    fn open(path: &Path) -> Result<Self, Error> {
        let mut file = File::open(path).map_err(Error::io(path))?;
        let length = file.metadata().map_err(Error::io(path))?.len();
        let damaged = |reason: String| Error::DamagedWeights { path: path.to_owned(), reason };
        let mut size = [0; 8];
        if length < 8 {
            return Err(damaged(format!("{length} bytes is too short for a header")));
        }
        file.read_exact(&mut size).map_err(Error::io(path))?;
        let header_bytes = u64::from_le_bytes(size);
        if header_bytes > MAX_HEADER_BYTES || header_bytes > length - 8 {
            let reason = format!("header of {header_bytes} bytes in a file of {length}");
            return Err(damaged(reason));
        }
        // Bounded by MAX_HEADER_BYTES just above, so the cast and the allocation are safe.
        let mut header = vec![0; header_bytes as usize];
        file.read_exact(&mut header).map_err(Error::io(path))?;
        let entries = parse_header(&header).map_err(|error| damaged(format!("header: {error}")))?;
        check_layout(&entries, length - 8 - header_bytes).map_err(damaged)?;
        Ok(Self {
            path: path.to_owned(),
            file: RefCell::new(file),
            base: 8 + header_bytes,
            entries,
        })
    }

    fn tensors(&self) -> impl Iterator<Item = StoredTensor> {
        self.entries.iter().map(|(name, entry)| StoredTensor {
            name: name.clone(),
            shape: entry.shape.clone(),
            dtype: entry.dtype.clone(),
            bytes: entry.data_offsets.1 - entry.data_offsets.0,
        })
    }

    fn read_rows(&self, name: &str, rows: Range<usize>) -> Result<Vec<f32>, Error> {
        let entry = &self.entries[name];
        let convert: fn(&[u8], &mut Vec<f32>) = match entry.dtype.as_str() {
            "F32" => |bytes, out| {
                out.extend(
                    bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])),
                );
            },
            "F16" => |bytes, out| {
                out.extend(
                    bytes.chunks_exact(2).map(|b| f16::from_le_bytes([b[0], b[1]]).to_f32()),
                );
            },
            "BF16" => |bytes, out| {
                out.extend(
                    bytes.chunks_exact(2).map(|b| bf16::from_le_bytes([b[0], b[1]]).to_f32()),
                );
            },
            other => {
                return Err(Error::DType {
                    name: name.to_owned(),
                    path: self.path.clone(),
                    dtype: other.to_owned(),
                });
            }
        };
        let (begin, end) = entry.data_offsets;
        let all_rows = entry.shape.first().map_or(1, |&rows| rows.max(1));
        let row_bytes = (end - begin) / all_rows as u64;
        let values = entry.shape.iter().product::<usize>() / all_rows * rows.len();
        let mut values = Vec::with_capacity(values);
        let place = (begin + rows.start as u64 * row_bytes, begin + rows.end as u64 * row_bytes);
        self.stream(place, |chunk| convert(chunk, &mut values))?;
        Ok(values)
    }

    fn stream(&self, (begin, end): (u64, u64), mut sink: impl FnMut(&[u8])) -> Result<(), Error> {
        let mut file = self.file.borrow_mut();
        file.seek(SeekFrom::Start(self.base + begin)).map_err(Error::io(&self.path))?;
        let mut left = end - begin;
        let mut buffer = vec![0; CHUNK_BYTES.min(left as usize)];
        while left > 0 {
            let part = &mut buffer[..CHUNK_BYTES.min(left as usize)];
            file.read_exact(part).map_err(Error::io(&self.path))?;
            sink(part);
            left -= part.len() as u64;
        }
        Ok(())
    }
}

fn parse_header(header: &[u8]) -> Result<BTreeMap<String, Entry>, serde_json::Error> {
    let mut raw: BTreeMap<String, serde_json::Value> = serde_json::from_slice(header)?;
    raw.remove("__metadata__");
    raw.into_iter().map(|(name, value)| Ok((name, Entry::deserialize(value)?))).collect()
}

/// The tensors must fill the data exactly: no gap, no overlap, nothing past the end.
fn check_layout(entries: &BTreeMap<String, Entry>, data_bytes: u64) -> Result<(), String> {
    let mut order: Vec<(&String, &Entry)> = entries.iter().collect();
    order.sort_by_key(|(_, entry)| entry.data_offsets);
    let mut cursor = 0;
    for (name, entry) in order {
        let (begin, end) = entry.data_offsets;
        if begin != cursor || end < begin {
            return Err(format!("tensor `{name}` spans bytes {begin}..{end}, expected {cursor}"));
        }
        if end > data_bytes {
            return Err(format!(
                "truncated: tensor `{name}` ends at byte {end} of the data, the file has {data_bytes}"
            ));
        }
        if let Some(size) = element_bytes(&entry.dtype) {
            let count = entry.shape.iter().try_fold(size, |n, &d| n.checked_mul(d as u64));
            if count != Some(end - begin) {
                let shape = &entry.shape;
                return Err(format!(
                    "tensor `{name}` of shape {shape:?} takes {} bytes",
                    end - begin
                ));
            }
        }
        cursor = end;
    }
    match data_bytes - cursor {
        0 => Ok(()),
        extra => Err(format!("{extra} bytes follow the last tensor")),
    }
}

/// Bytes of an element of the formats we read; other formats fail when they are taken.
fn element_bytes(dtype: &str) -> Option<u64> {
    match dtype {
        "F32" => Some(4),
        "F16" | "BF16" => Some(2),
        _ => None,
    }
}
