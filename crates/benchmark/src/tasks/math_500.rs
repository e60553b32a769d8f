//! MATH-500 (arXiv:2305.20050): `HuggingFaceH4/MATH-500`.
//!
//! Prompt: deepseek-ai/DeepSeek-R1, `README.md`, "Usage Recommendations"; score: the verifier that rewards.

use super::Draft;
use crate::item::{Comparing, Item};
use crate::prompt::R1_MATHEMATICS;
use crate::table::Row;
use crate::task::{Figures, Hub, Reading, Task};

pub(super) const TASK: Task = Task {
    name: "math_500",
    title: "MATH-500",
    hubs: &[Hub { repo: "HuggingFaceH4/MATH-500", files: &["test.jsonl"] }],
    keep: &["test"],
    skip: &[],
    item,
    figures: Figures::Accuracy,
};

fn item(row: &Row, _: &mut Reading) -> Result<Option<Item>, String> {
    let draft = Draft::new(row, &["problem"], &["unique_id"], &["subject"])?;
    let words = format!("{}\n\n{R1_MATHEMATICS}", draft.question);
    draft.open(&words, vec![format!("${}$", row.text("answer")?)], Comparing::Mathematics)
}
