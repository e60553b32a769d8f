//! IFEval (arXiv:2311.07911): `google/IFEval`.
//!
//! Prompt: the file's; score: google-research/google-research, `instruction_following_eval/evaluation_lib.py` and
//! `instructions.py`.

use serde_json::Value;

use super::Draft;
use crate::ifeval::check_known;
use crate::item::{Item, Scoring};
use crate::prompt::after;
use crate::table::Row;
use crate::task::{Figures, Hub, Reading, Task};

pub(super) const TASK: Task = Task {
    name: "ifeval",
    title: "IFEval",
    hubs: &[Hub { repo: "google/IFEval", files: &["ifeval_input_data.jsonl"] }],
    keep: &[],
    skip: &[],
    item,
    figures: Figures::Instructions,
};

fn item(row: &Row, _: &mut Reading) -> Result<Option<Item>, String> {
    let mut draft = Draft::new(row, &["prompt"], &["key"], &[])?;
    let instructions = instructions(row)?;
    draft.subject = group(&instructions);
    let parts = after(&[], &draft.question);
    draft.item(parts, names(&instructions).join(", "), Scoring::Instructions(instructions))
}

/// Instructions with what they need; what they do not is null in the file.
pub(super) fn instructions(row: &Row) -> Result<Vec<(String, Value)>, String> {
    let names = row.list("instruction_id_list")?;
    let needs = match row.cell("kwargs") {
        Some(Value::Array(needs)) => needs.clone(),
        Some(Value::String(text)) => crate::python::list(text).unwrap_or_default(),
        _ => {
            return Err(row
                .text("kwargs")
                .err()
                .unwrap_or("column `kwargs` is no list".to_owned()));
        }
    };
    if names.len() != needs.len() || names.is_empty() {
        return Err(format!("{} instructions, but {} `kwargs`", names.len(), needs.len()));
    }
    let instructions: Vec<(String, Value)> = names.into_iter().zip(needs).collect();
    check_known(&instructions)?;
    Ok(instructions)
}

fn names(instructions: &[(String, Value)]) -> Vec<&str> {
    instructions.iter().map(|(name, _)| name.as_str()).collect()
}

/// The group of the first instruction: `length_constraints`.
fn group(instructions: &[(String, Value)]) -> String {
    let (first, _) = &instructions[0];
    first.split(':').next().unwrap_or_default().to_owned()
}
