//! A pair on its way, and what names it.

use std::path::Path;

use data::Preference;
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use crate::statistics::Dropped;

/// A pair with its origin; image paths are absolute.
#[derive(Clone, Debug)]
pub(crate) struct Pair {
    pub(crate) preference: Preference,
    /// File and line, or prompt and responders.
    pub(crate) place: String,
    /// Names the content of its images; empty without any.
    pub(crate) images: String,
    /// Names all its content.
    pub(crate) hash: String,
    /// Why it is no longer on its way.
    pub(crate) dropped: Option<(Dropped, String)>,
}

/// A line of the file of what was dropped.
#[derive(Serialize)]
pub(crate) struct Left<'a> {
    pub(crate) place: &'a str,
    pub(crate) why: Dropped,
    pub(crate) reason: &'a str,
}

impl Pair {
    /// A pair from a place; one whose images cannot be read is dropped at once.
    pub(crate) fn new(preference: Preference, place: String) -> Self {
        let mut pair =
            Self { preference, place, images: String::new(), hash: String::new(), dropped: None };
        match images(&pair.preference.prompt.images) {
            Ok(images) => pair.images = images,
            Err(reason) => pair.dropped = Some((Dropped::BadLine, reason)),
        }
        pair.name();
        pair
    }

    /// Names the content, after it has changed.
    pub(crate) fn name(&mut self) {
        let Preference { prompt, chosen, rejected, .. } = &self.preference;
        let messages = serde_json::to_string(&prompt.messages).expect("turns have a JSON form");
        let mut hash = Sha256::new();
        for part in [&messages, &self.images, chosen.trim(), rejected.trim()] {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
        self.hash = hex(&hash.finalize());
    }

    pub(crate) fn is_open(&self) -> bool {
        self.dropped.is_none()
    }

    pub(crate) fn drop(&mut self, why: Dropped, reason: impl Into<String>) {
        self.dropped = Some((why, reason.into()));
    }
}

/// The content of images: their bytes count, not their names.
fn images(sources: &[String]) -> Result<String, String> {
    let mut hash = Sha256::new();
    for source in sources {
        match source.strip_prefix("data:") {
            Some(content) => hash.update(content.split(',').next_back().unwrap_or("")),
            None => {
                let bytes = std::fs::read(Path::new(source));
                hash.update(bytes.map_err(|error| format!("{source}: {error}"))?);
            }
        }
    }
    Ok(if sources.is_empty() { String::new() } else { hex(&hash.finalize()) })
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
