//! Named f32 arrays as a safetensors file, streamed: no second copy of the weights while saving.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::path::Path;

use safetensors::{Dtype, SafeTensors};
use serde_json::json;

use crate::Error;

/// One array to write: its name, its shape, its values.
pub(super) type Entry<'a> = (String, &'a [usize], &'a [f32]);

/// Writes the header and then each array's values, little-endian.
pub(super) fn write(out: &mut dyn Write, entries: &[Entry<'_>]) -> io::Result<()> {
    let mut header = serde_json::Map::new();
    header.insert("__metadata__".to_owned(), json!({"format": "pt"}));
    let mut start = 0;
    for (name, shape, values) in entries {
        let end = start + size_of_val(*values);
        header.insert(
            name.clone(),
            json!({"dtype": "F32", "shape": shape, "data_offsets": [start, end]}),
        );
        start = end;
    }
    let mut header = serde_json::to_vec(&header)?;
    // The format asks for a header that ends on a multiple of eight.
    header.resize(header.len().next_multiple_of(8), b' ');
    out.write_all(&(header.len() as u64).to_le_bytes())?;
    out.write_all(&header)?;
    entries.iter().try_for_each(|(_, _, values)| write_values(out, values))
}

fn write_values(out: &mut dyn Write, values: &[f32]) -> io::Result<()> {
    if cfg!(target_endian = "little") {
        return out.write_all(bytemuck::cast_slice(values));
    }
    values.iter().try_for_each(|value| out.write_all(&value.to_le_bytes()))
}

/// The arrays of a file, to be taken one by one.
pub(super) struct Reader<'a> {
    path: &'a Path,
    tensors: SafeTensors<'a>,
    taken: BTreeSet<String>,
}

impl<'a> Reader<'a> {
    /// Parses the header of `bytes`; `path` is for messages.
    pub(super) fn new(path: &'a Path, bytes: &'a [u8]) -> Result<Self, Error> {
        let tensors =
            SafeTensors::deserialize(bytes).map_err(|error| Error::corrupt(path, &error))?;
        Ok(Self { path, tensors, taken: BTreeSet::new() })
    }

    /// Copies the array `name` of exactly `shape`.
    pub(super) fn take(&mut self, name: &str, shape: &[usize]) -> Result<Vec<f32>, Error> {
        let expected = format!("F32 {shape:?}");
        let Ok(view) = self.tensors.tensor(name) else {
            return Err(self.mismatch(name, expected, "no such tensor".into()));
        };
        if view.dtype() != Dtype::F32 || view.shape() != shape {
            return Err(self.mismatch(
                name,
                expected,
                format!("{} {:?}", view.dtype(), view.shape()),
            ));
        }
        self.taken.insert(name.to_owned());
        // The bytes need not be aligned for f32 in memory, so they are not cast.
        let (values, _) = view.data().as_chunks::<4>();
        Ok(values.iter().map(|value| f32::from_le_bytes(*value)).collect())
    }

    /// Checks that no array was left.
    pub(super) fn finish(self) -> Result<(), Error> {
        match self.tensors.iter().find(|(name, _)| !self.taken.contains(*name)) {
            None => Ok(()),
            Some((name, view)) => {
                let found = format!("{} {:?}", view.dtype(), view.shape());
                Err(self.mismatch(name, "no such tensor".into(), found))
            }
        }
    }

    fn mismatch(&self, name: &str, expected: String, found: String) -> Error {
        Error::TensorMismatch {
            path: self.path.to_path_buf(),
            name: name.to_owned(),
            expected,
            found,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ODD: [f32; 3] = [f32::MIN_POSITIVE, -0.0, 1.0 / 3.0];

    fn file(entries: &[Entry<'_>]) -> Vec<u8> {
        let mut bytes = Vec::new();
        write(&mut bytes, entries).unwrap();
        bytes
    }

    #[test]
    fn values_come_back_bit_for_bit() {
        let bytes = file(&[
            ("b".into(), &[3], &ODD),
            ("a".into(), &[2, 0], &[]),
            ("c".into(), &[], &[7.0]),
        ]);
        let mut reader = Reader::new(Path::new("f"), &bytes).unwrap();
        let found = reader.take("b", &[3]).unwrap();
        assert!(found.iter().zip(ODD).all(|(found, saved)| found.to_bits() == saved.to_bits()));
        assert!(reader.take("a", &[2, 0]).unwrap().is_empty());
        assert_eq!(reader.take("c", &[]).unwrap(), [7.0]);
        reader.finish().unwrap();
    }

    #[test]
    fn missing_extra_and_misshapen_tensors_are_named() {
        let bytes = file(&[("a.weight".into(), &[3], &ODD)]);
        let path = Path::new("dir/f.safetensors");
        let take =
            |name: &str, shape: &[usize]| Reader::new(path, &bytes).unwrap().take(name, shape);
        let cases = [
            (
                take("b.weight", &[3]).unwrap_err(),
                "b.weight: expected F32 [3], found no such tensor",
            ),
            (
                take("a.weight", &[1, 3]).unwrap_err(),
                "a.weight: expected F32 [1, 3], found F32 [3]",
            ),
            (
                Reader::new(path, &bytes).unwrap().finish().unwrap_err(),
                "a.weight: expected no such tensor, found F32 [3]",
            ),
        ];
        for (error, expected) in cases {
            let message = error.to_string();
            assert!(
                message.contains(expected) && message.contains("dir/f.safetensors"),
                "{message}"
            );
        }
    }

    #[test]
    fn bytes_that_are_no_safetensors_are_an_error() {
        for bytes in [&b""[..], b"\xff\xff\xff\xff\xff\xff\xff\xff{}", b"\x02\0\0\0\0\0\0\0[]"] {
            assert!(Reader::new(Path::new("f"), bytes).is_err());
        }
    }
}
