//! Reading golden files: safetensors for arrays, JSON for everything else.

use std::fs;
use std::path::{Path, PathBuf};

use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};

/// A safetensors file of reference arrays, held in memory.
#[derive(Debug)]
pub struct Golden {
    path: PathBuf,
    bytes: Vec<u8>,
}

impl Golden {
    /// Reads a safetensors file.
    ///
    /// # Panics
    /// When the file cannot be read or is not safetensors; the message names it.
    pub fn open(path: impl AsRef<Path>) -> Self {
        let golden = Self { path: path.as_ref().to_owned(), bytes: read(path.as_ref()) };
        golden.file();
        golden
    }

    /// The names of the arrays, sorted.
    pub fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.file().names().into_iter().map(str::to_owned).collect();
        names.sort_unstable();
        names
    }

    /// The shape of an array.
    pub fn shape(&self, name: &str) -> Vec<usize> {
        self.view(name).shape().to_vec()
    }

    /// The values of an `F32` array, row-major.
    pub fn f32(&self, name: &str) -> Vec<f32> {
        self.values(name, Dtype::F32, |bytes: [u8; 4]| f32::from_le_bytes(bytes))
    }

    /// The values of an `I32` array, row-major: token ids.
    pub fn i32(&self, name: &str) -> Vec<i32> {
        self.values(name, Dtype::I32, |bytes: [u8; 4]| i32::from_le_bytes(bytes))
    }

    /// The values of an `I64` array, row-major: token ids, grids.
    pub fn i64(&self, name: &str) -> Vec<i64> {
        self.values(name, Dtype::I64, |bytes: [u8; 8]| i64::from_le_bytes(bytes))
    }

    fn values<const N: usize, T>(&self, name: &str, dtype: Dtype, of: fn([u8; N]) -> T) -> Vec<T> {
        let view = self.view(name);
        assert_eq!(view.dtype(), dtype, "{name} in {}", self.path.display());
        let (chunks, _) = view.data().as_chunks::<N>();
        chunks.iter().map(|&bytes| of(bytes)).collect()
    }

    fn view(&self, name: &str) -> TensorView<'_> {
        match self.file().tensor(name) {
            Ok(view) => view,
            Err(error) => panic!("{name} in {}: {error}", self.path.display()),
        }
    }

    fn file(&self) -> SafeTensors<'_> {
        match SafeTensors::deserialize(&self.bytes) {
            Ok(file) => file,
            Err(error) => panic!("{}: {error}", self.path.display()),
        }
    }
}

/// Reads a JSON file.
///
/// # Panics
/// When the file cannot be read or parsed; the message names it.
pub fn json(path: impl AsRef<Path>) -> serde_json::Value {
    let path = path.as_ref();
    match serde_json::from_slice(&read(path)) {
        Ok(value) => value,
        Err(error) => panic!("{}: {error}", path.display()),
    }
}

fn read(path: &Path) -> Vec<u8> {
    match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) => panic!("{}: {error}", path.display()),
    }
}
