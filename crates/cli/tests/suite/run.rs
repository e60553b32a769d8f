//! Running the binary.

use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

/// How a run ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Where the binary is.
pub(crate) fn binary_path() -> &'static str {
    env!("CARGO_BIN_EXE_sightline")
}

/// The binary, kept from the network and the user's cache.
pub(crate) fn binary(arguments: &[&str]) -> Command {
    let mut command = Command::new(binary_path());
    command.args(arguments).env("HF_HUB_OFFLINE", "1").env("SIGHTLINE_CACHE", "/nonexistent");
    command
}

/// Runs the binary to its end.
pub(crate) fn run(arguments: &[&str]) -> Ended {
    let output = binary(arguments).stdin(Stdio::null()).output().expect("the binary starts");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
    let ended = Ended {
        code: output.status.code().unwrap_or(-1),
        stdout: text(output.stdout),
        stderr: text(output.stderr),
    };
    assert!(!ended.stderr.contains("panicked"), "{arguments:?}: {ended:?}");
    ended
}

/// Runs the binary, which must succeed; what it printed.
#[track_caller]
pub(crate) fn succeed(arguments: &[&str]) -> String {
    let ended = run(arguments);
    assert_eq!(ended.code, 0, "{arguments:?}: {ended:?}");
    ended.stdout
}

/// As [`succeed`] with `--json`.
#[track_caller]
pub(crate) fn succeed_json(arguments: &[&str]) -> Value {
    let text = succeed(&[arguments, &["--json"]].concat());
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// Runs the binary, which must fail with this code and say all of this in one line of error.
#[track_caller]
pub(crate) fn fail(arguments: &[&str], code: i32, words: &[&str]) {
    let ended = run(arguments);
    assert_eq!(ended.code, code, "{arguments:?}: {ended:?}");
    let error = ended.stderr.split_once("error: ").map_or("", |(_, error)| error);
    for word in words {
        assert!(error.contains(word), "{arguments:?}: no {word:?} in {:?}", ended.stderr);
    }
}

/// A path as an argument.
pub(crate) fn text(path: &Path) -> &str {
    path.to_str().expect("test paths are text")
}

/// The lines of a JSONL file.
pub(crate) fn lines(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    text.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect()
}

/// Writes a JSONL file.
pub(crate) fn write_lines(path: &Path, lines: &[Value]) {
    let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
    std::fs::write(path, text).expect("a test file");
}
