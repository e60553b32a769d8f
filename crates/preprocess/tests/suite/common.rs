//! What several test files need: golden files, and samples in one line.

use std::path::{Path, PathBuf};

use schema::Sample;
use serde_json::Value;

/// Path of a golden file.
pub(crate) fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

/// A parsed golden file.
pub(crate) fn golden_json(name: &str) -> Value {
    serde_json::from_str(&std::fs::read_to_string(golden(name)).unwrap()).unwrap()
}

/// A text in a golden value.
pub(crate) fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

/// A sample from its JSON line.
pub(crate) fn sample(value: &Value) -> Sample {
    serde_json::from_value(value.clone()).unwrap()
}
