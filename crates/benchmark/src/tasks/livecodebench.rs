//! LiveCodeBench (arXiv:2403.07974), code generation: `livecodebench/code_generation_lite`, `test*.jsonl`.
//!
//! Prompt and score: LiveCodeBench/LiveCodeBench, `lcb_runner/prompts/code_generation.py`
//! (`get_generic_question_template_answer`), `utils/extraction_utils.py` and `evaluation/testing_util.py`. Every test
//! is a process of its own here.

use std::io::Read;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::read::ZlibDecoder;
use schema::{Content, Message, Role};
use serde_json::Value;

use super::Draft;
use crate::code::{Program, Test};
use crate::item::{Item, Scoring};
use crate::prompt::after;
use crate::table::Row;
use crate::task::{Figures, Hub, Reading, Task};

pub(super) const TASK: Task = Task {
    name: "livecodebench",
    title: "LiveCodeBench",
    hubs: &[Hub { repo: "livecodebench/code_generation_lite", files: &["test"] }],
    keep: &["test"],
    skip: &[],
    item,
    figures: Figures::Accuracy,
};

/// Bytes of tests that are unpacked for one problem.
const MAX_TESTS: u64 = 1 << 30;

/// The benchmark's words; both styles.
const SYSTEM: &str = "You are an expert Python programmer. You will be given a question (problem specification) and will generate a correct Python program that matches the specification and passes all tests.";
const STARTER: &str = "You will use the following starter code to write the solution to the problem and enclose your code within delimiters.";
const READS: &str = "Read the inputs from stdin solve the problem and write the answer to stdout (do not directly test on the sample inputs). Enclose your code within delimiters as follows. Ensure that when the python program runs, it reads the inputs, runs the algorithm and writes output to STDOUT.";

fn item(row: &Row, _: &mut Reading) -> Result<Option<Item>, String> {
    let draft = Draft::new(row, &["question_content"], &["question_id"], &["difficulty"])?;
    let program = program(row)?;
    let format = match row.optional("starter_code") {
        Some(starter) => format!("{STARTER}\n```python\n{starter}\n```"),
        None => format!("{READS}\n```python\n# YOUR CODE HERE\n```"),
    };
    let words = format!(
        "### Question:\n{}\n\n### Format: {format}\n\n### Answer: (use the provided format with backticks)\n\n",
        draft.question
    );
    let gold = format!("{} tests", program.tests.len());
    let parts = after(&[], &words);
    let item = draft.item(parts, gold, Scoring::Program(program))?;
    let system = Message { role: Role::System, content: Content::Text(SYSTEM.to_owned()) };
    Ok(item.map(|mut item| {
        item.prompt.messages.insert(0, system);
        item
    }))
}

/// The tests of a problem, and whether they call a method.
pub(super) fn program(row: &Row) -> Result<Program, String> {
    let mut tests = tests(&row.text("public_test_cases")?)?;
    if let Some(private) = row.optional("private_test_cases") {
        let private = match private.trim_start().starts_with('[') {
            true => private,
            false => unpacked(&private)?,
        };
        tests.extend(self::tests(&private)?);
    }
    // LiveBench keeps it in the row that it took from here.
    let original = row.cell("original_json").and_then(|original| original["metadata"].as_str());
    let metadata = row.optional("metadata").or_else(|| original.map(str::to_owned));
    let metadata: Value =
        metadata.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or(Value::Null);
    let function = metadata["func_name"]
        .as_str()
        .map(|name| name.rsplit('.').next().unwrap_or(name).to_owned());
    match tests.is_empty() {
        true => Err("no tests".to_owned()),
        false => Ok(Program { tests, function, ..Program::default() }),
    }
}

fn tests(json: &str) -> Result<Vec<Test>, String> {
    let list: Vec<Value> = serde_json::from_str(json).map_err(|error| format!("tests: {error}"))?;
    let test = |test: &Value| {
        let text = |key: &str| test[key].as_str().map(str::to_owned);
        Some(Test { input: text("input")?, output: text("output")? })
    };
    list.iter().map(test).collect::<Option<_>>().ok_or("a test without input or output".to_owned())
}

/// Tests packed as base64, zlib and a pickle of one text.
fn unpacked(packed: &str) -> Result<String, String> {
    let bytes = STANDARD.decode(packed.trim()).map_err(|error| format!("tests: {error}"))?;
    let mut pickle = Vec::new();
    let mut reader = ZlibDecoder::new(&bytes[..]).take(MAX_TESTS);
    reader.read_to_end(&mut pickle).map_err(|error| format!("tests: {error}"))?;
    let text = pickled(&pickle).ok_or("tests: a pickle that is not of one text")?;
    String::from_utf8(text.to_vec()).map_err(|error| format!("tests: {error}"))
}

/// The text of a pickle that holds nothing else: the instructions before it, its length, its bytes.
fn pickled(pickle: &[u8]) -> Option<&[u8]> {
    let mut rest = pickle;
    loop {
        let (instruction, behind) = rest.split_first()?;
        let (skipped, width) = match instruction {
            0x80 => (1, 0),
            0x95 => (8, 0),
            0x8c => (0, 1),
            b'X' => (0, 4),
            0x8d => (0, 8),
            _ => return None,
        };
        if width == 0 {
            rest = behind.get(skipped..)?;
            continue;
        }
        let digits = behind.get(..width)?;
        let length =
            digits.iter().rev().fold(0usize, |sum, digit| (sum << 8) | usize::from(*digit));
        return behind[width..].get(..length);
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::ZlibEncoder;

    use super::*;

    #[test]
    fn tests_are_unpacked() {
        let json = r#"[{"input": "1", "output": "2"}]"#;
        let mut pickle = vec![0x80, 4, 0x95, 0, 0, 0, 0, 0, 0, 0, 0, b'X'];
        pickle.extend((json.len() as u32).to_le_bytes());
        pickle.extend(json.bytes());
        pickle.extend([0x94, b'.']);
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(&pickle).unwrap();
        let packed = STANDARD.encode(encoder.finish().unwrap());
        assert_eq!(unpacked(&packed).unwrap(), json);
        // A pickle may do anything: what is more than a text is not read.
        assert_eq!(pickled(b"\x80\x04cos\nsystem\n"), None);
        assert_eq!(pickled(b"\x80\x04X\xff\xff\xff\xff"), None);
        assert!(unpacked("AAAA").is_err());
    }
}
