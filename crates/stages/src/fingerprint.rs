//! What a model's file or folder holds, named by content: another model at the same path is another one.
//!
//! Tables and texts count whole. Of weights, which may be many gigabytes, the header counts and some blocks of every
//! tensor: training moves nearly all values of a tensor that it moves at all.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use crate::hex;

/// Bytes that are read at once.
const BLOCK: u64 = 4096;

/// Blocks of a tensor that count; a smaller one counts whole.
const TENSOR_BLOCKS: u64 = 16;

/// Blocks of a header, or of a file that holds no tensors, that count.
const FILE_BLOCKS: u64 = 8192;

/// Ends of the names of files that shape what a model says.
const EXTENSIONS: [&str; 6] = ["safetensors", "json", "jinja", "txt", "model", "gguf"];

/// Files beside a model that say how it was made, and how long that took.
const RECORDS: [&str; 3] = ["stage.json", "trainer_state.json", "checksums.json"];

/// A longer header is no header of tensors; the limit of safetensors' own readers.
const MAX_HEADER: u64 = 100_000_000;

/// Names the content of a file, or of a folder's files that make a model: names, sizes and content count, not times.
/// `None` where nothing is there, as at a server's address.
///
/// # Errors
/// When something is there and cannot be read.
pub fn fingerprint(path: &Path) -> io::Result<Option<String>> {
    if !path.exists() {
        return Ok(None);
    }
    let mut hash = Sha256::new();
    for file in files(path)? {
        add_file(&mut hash, &file)?;
    }
    Ok(Some(hex(&hash.finalize()[..16])))
}

fn files(path: &Path) -> io::Result<Vec<PathBuf>> {
    if path.is_file() {
        return Ok(vec![path.to_owned()]);
    }
    let entries = std::fs::read_dir(path)?.map(|entry| Ok(entry?.path()));
    let mut files = entries.collect::<io::Result<Vec<PathBuf>>>()?;
    files.retain(|file| file.is_file() && is_of_model(file));
    files.sort_unstable();
    Ok(files)
}

fn is_of_model(file: &Path) -> bool {
    let is_record =
        file.file_name().is_some_and(|name| RECORDS.iter().any(|record| name == *record));
    let end = file.extension().and_then(|end| end.to_str());
    !is_record && end.is_some_and(|end| EXTENSIONS.contains(&end))
}

fn add_file(hash: &mut Sha256, path: &Path) -> io::Result<()> {
    let mut file = File::open(path)?;
    let size = file.metadata()?.len();
    let name = path.file_name().unwrap_or_default().as_encoded_bytes();
    for part in [&(name.len() as u64).to_le_bytes()[..], name, &size.to_le_bytes()] {
        hash.update(part);
    }
    let tensors = match path.extension().is_some_and(|end| end == "safetensors") {
        true => tensors(&mut file, size)?,
        false => vec![],
    };
    let header = 0..tensors.first().map_or(size, |first| first.start);
    add_blocks(hash, &mut file, header, FILE_BLOCKS)?;
    tensors.into_iter().try_for_each(|tensor| add_blocks(hash, &mut file, tensor, TENSOR_BLOCKS))
}

/// Where the tensors of a file lie, in their order; none where it is no such file.
fn tensors(file: &mut File, size: u64) -> io::Result<Vec<Range<u64>>> {
    let mut length = [0; 8];
    if size < 8 {
        return Ok(vec![]);
    }
    file.read_exact(&mut length)?;
    let length = u64::from_le_bytes(length);
    if length > MAX_HEADER.min(size - 8) {
        return Ok(vec![]);
    }
    let mut header = vec![0; length as usize];
    file.read_exact(&mut header)?;
    let header: Map<String, Value> = serde_json::from_slice(&header).unwrap_or_default();
    let place = |tensor: &Value| {
        let at = |index: usize| tensor["data_offsets"][index].as_u64();
        let (from, to) = (at(0)?.checked_add(8 + length)?, at(1)?.checked_add(8 + length)?);
        (from <= to && to <= size).then_some(from..to)
    };
    let mut places: Vec<Range<u64>> = header.values().filter_map(place).collect();
    places.sort_unstable_by_key(|place| place.start);
    Ok(places)
}

/// Up to `most` blocks of a range, from its first to its last, equally far apart.
fn add_blocks(hash: &mut Sha256, file: &mut File, range: Range<u64>, most: u64) -> io::Result<()> {
    let length = range.end - range.start;
    let mut block = [0; BLOCK as usize];
    let num_blocks = length.div_ceil(BLOCK).min(most);
    for number in 0..num_blocks {
        let from = match length <= most * BLOCK {
            true => number * BLOCK,
            false => (length - BLOCK) * number / (most - 1),
        };
        let size = BLOCK.min(length - from) as usize;
        file.seek(SeekFrom::Start(range.start + from))?;
        file.read_exact(&mut block[..size])?;
        hash.update(&block[..size]);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file of two tensors, of which the second has these values.
    fn weights(size: usize, second: u8) -> Vec<u8> {
        let end = size + 8;
        let header = format!(
            r#"{{"a":{{"dtype":"U8","shape":[8],"data_offsets":[0,8]}},"b":{{"dtype":"U8","shape":[{size}],"data_offsets":[8,{end}]}}}}"#
        );
        let mut file = (header.len() as u64).to_le_bytes().to_vec();
        file.extend(header.bytes());
        file.extend([1; 8]);
        file.extend(vec![second; size]);
        file
    }

    #[test]
    fn a_model_is_named_by_what_it_holds() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, bytes: &[u8]| {
            std::fs::write(folder.path().join(name), bytes).unwrap();
            fingerprint(folder.path()).unwrap().unwrap()
        };
        let first = write("model.safetensors", &weights(1 << 20, 1));
        assert_eq!(write("model.safetensors", &weights(1 << 20, 1)), first, "written again");
        for other in ["training.log", "trainer_state.json"] {
            assert_eq!(write(other, b"x"), first, "no file of a model");
        }
        let mut seen = vec![first];
        for (name, bytes) in [
            ("model.safetensors", weights(1 << 20, 2)),
            ("model.safetensors", weights(1 << 10, 2)),
            ("config.json", b"{}".to_vec()),
            ("config.json", b"[]".to_vec()),
            ("broken.safetensors", b"12345678".to_vec()),
        ] {
            let now = write(name, &bytes);
            assert!(!seen.contains(&now), "{name}");
            seen.push(now);
        }
        let file = fingerprint(&folder.path().join("config.json")).unwrap();
        assert!(file.is_some_and(|file| !seen.contains(&file)));
        assert_eq!(fingerprint(Path::new("http://localhost/score")).unwrap(), None);
    }

    #[test]
    fn the_last_value_of_a_large_tensor_counts() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.safetensors");
        let mut bytes = weights(123_457, 1);
        let of = |bytes: &[u8]| {
            std::fs::write(&path, bytes).unwrap();
            fingerprint(&path).unwrap()
        };
        let before = of(&bytes);
        *bytes.last_mut().unwrap() = 9;
        assert_ne!(of(&bytes), before);
    }
}
