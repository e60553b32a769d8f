//! Images of cells as files: base64, bytes, paths, and references to another row's.

use std::collections::HashMap;
use std::io::Cursor;
use std::path::{Component, Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use image::{ImageFormat, ImageReader};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::table::{Row, open};
use crate::{Error, python};

/// Texts up to this length in a column of images refer to another row, as VLMEvalKit has it.
const MAX_REFERENCE: usize = 64;

/// An image that can be opened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Image {
    /// Its file in the store, named by its content: what is asked does not depend on where things lie.
    pub name: String,
    /// SHA-256 of its bytes, in hexadecimal.
    pub sha256: String,
}

/// Where the images of benchmarks are kept as files, named by their content.
#[derive(Debug)]
pub struct ImageStore {
    folder: PathBuf,
    /// Images of the rows read so far, by index.
    by_index: HashMap<String, Vec<Image>>,
}

impl ImageStore {
    /// A store in a folder, which is made.
    ///
    /// # Errors
    /// When the folder cannot be made.
    pub fn new(folder: &Path) -> Result<Self, Error> {
        std::fs::create_dir_all(folder).map_err(Error::io(folder))?;
        let folder = std::path::absolute(folder).map_err(Error::io(folder))?;
        Ok(Self { folder, by_index: HashMap::new() })
    }

    /// The images of the first of these columns that has any; none where all are empty.
    ///
    /// # Errors
    /// When an image cannot be read.
    pub(crate) fn of(&mut self, row: &Row, columns: &[&str]) -> Result<Vec<Image>, String> {
        let Some((column, cell)) =
            columns.iter().find_map(|column| Some((*column, row.cell(column)?)))
        else {
            return Ok(Vec::new());
        };
        let images =
            self.cell(row, cell).map_err(|reason| format!("column `{column}`: {reason}"))?;
        if let Some(index) = row.optional("index") {
            self.by_index.insert(index, images.clone());
        }
        Ok(images)
    }

    /// Forgets the rows of earlier files.
    pub(crate) fn next_file(&mut self) {
        self.by_index.clear();
    }

    fn cell(&mut self, row: &Row, cell: &Value) -> Result<Vec<Image>, String> {
        match cell {
            Value::Array(list) => {
                let images = list.iter().map(|one| self.cell(row, one));
                Ok(images.collect::<Result<Vec<_>, _>>()?.concat())
            }
            Value::Object(image) => match image.get("bytes").or(image.get("path")) {
                Some(Value::Null) | None => {
                    let path = image.get("path").and_then(Value::as_str);
                    Ok(vec![self.beside(row, path.ok_or("neither bytes nor a path")?)?])
                }
                Some(bytes) => self.cell(row, bytes),
            },
            Value::String(text) => self.text(row, text.trim()),
            other => self.reference(row, &other.to_string()),
        }
    }

    fn text(&mut self, row: &Row, text: &str) -> Result<Vec<Image>, String> {
        if let Some((_, encoded)) = text.strip_prefix("data:").and_then(|url| url.split_once(',')) {
            return Ok(vec![self.encoded(encoded)?]);
        }
        if let Some(list) = python::list(text) {
            return self.cell(row, &Value::Array(list));
        }
        match text.len() > MAX_REFERENCE && is_base64(text) {
            true => Ok(vec![self.encoded(text)?]),
            false => self.reference(row, text),
        }
    }

    /// A path, or the index of the row that has the image.
    fn reference(&mut self, row: &Row, text: &str) -> Result<Vec<Image>, String> {
        if let Some(images) = self.by_index.get(text) {
            return Ok(images.clone());
        }
        let is_index = text.len() <= MAX_REFERENCE && row.cell("index").is_some();
        if is_index && !text.contains(['.', '/']) {
            return self.later(row, text);
        }
        Ok(vec![self.beside(row, text)?])
    }

    /// The images of a row that comes later in the file.
    fn later(&mut self, row: &Row, index: &str) -> Result<Vec<Image>, String> {
        let rows = open(&row.path).map_err(|error| error.to_string())?;
        let is_meant = |later: &Row| later.optional("index").as_deref() == Some(index);
        let later = rows.flatten().find(is_meant);
        let cell = later.as_ref().and_then(|later| later.cell("image"));
        match cell {
            Some(Value::String(text)) if text.len() > MAX_REFERENCE => self.text(row, text),
            _ => Err(format!("row `{index}`, which is referred to, has no image")),
        }
    }

    /// The folder of the files.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    fn encoded(&self, base64: &str) -> Result<Image, String> {
        let text: String = base64.chars().filter(|c| !c.is_whitespace()).collect();
        self.save(&STANDARD.decode(text).map_err(|error| format!("no base64: {error}"))?)
    }

    /// Keeps the bytes of an image as a file.
    fn save(&self, bytes: &[u8]) -> Result<Image, String> {
        let format = format(bytes)?;
        let sha256 = sha256(bytes);
        let end = format.extensions_str().first().unwrap_or(&"image");
        let name = format!("{sha256}.{end}");
        let path = self.folder.join(&name);
        if !path.is_file() {
            let partial = path.with_extension("partial");
            let written =
                std::fs::write(&partial, bytes).and_then(|()| std::fs::rename(&partial, &path));
            written.map_err(|error| format!("{}: {error}", path.display()))?;
        }
        Ok(Image { name, sha256 })
    }

    /// An image file beside the table.
    fn beside(&self, row: &Row, name: &str) -> Result<Image, String> {
        let folder = row.path.parent().unwrap_or(Path::new(""));
        let name = inside(name)?;
        let places = [folder.join(name), folder.join("images").join(name)];
        let found = places.iter().find(|path| path.is_file());
        self.file(found.ok_or_else(|| format!("{}: no such image", places[0].display()))?)
    }

    /// An image file.
    pub(crate) fn file(&self, path: &Path) -> Result<Image, String> {
        let named = |reason: String| format!("{}: {reason}", path.display());
        let bytes = std::fs::read(path).map_err(|error| named(error.to_string()))?;
        self.save(&bytes).map_err(named)
    }
}

fn format(bytes: &[u8]) -> Result<ImageFormat, String> {
    let unreadable = |reason: String| format!("an image that cannot be read: {reason}");
    let reader = ImageReader::new(Cursor::new(bytes)).with_guessed_format();
    let reader = reader.map_err(|error| unreadable(error.to_string()))?;
    let format = reader.format().ok_or_else(|| unreadable("of no known format".to_owned()))?;
    reader.into_dimensions().map_err(|error| unreadable(error.to_string()))?;
    Ok(format)
}

/// SHA-256 in hexadecimal.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A path that a row names, if it stays in the folder: tables come from strangers.
pub(crate) fn inside(name: &str) -> Result<&Path, String> {
    let stays = |part: Component<'_>| matches!(part, Component::Normal(_) | Component::CurDir);
    match Path::new(name).components().all(stays) {
        true => Ok(Path::new(name)),
        false => Err(format!("{name}: it leads out of the folder")),
    }
}

fn is_base64(text: &str) -> bool {
    let letter = |c: char| c.is_ascii_alphanumeric() || "+/=\r\n".contains(c);
    text.chars().all(letter)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_name_nothing_outside() {
        for name in ["a.png", "./a.png", "images/b/a.png"] {
            assert_eq!(inside(name), Ok(Path::new(name)));
        }
        for name in ["/etc/a.png", "../a.png", "images/../../a.png"] {
            assert!(inside(name).unwrap_err().contains("out of the folder"), "{name}");
        }
    }
}
