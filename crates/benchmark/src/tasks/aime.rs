//! AIME 2024 and 2025: answers are integers from 0 to 999; `HuggingFaceH4/aime_2024`, `Maxwell-Jia/AIME_2024`.
//!
//! Prompt: deepseek-ai/DeepSeek-R1, `README.md`, "Usage Recommendations"; score: the verifier that rewards.

use super::Draft;
use crate::item::{Comparing, Item};
use crate::prompt::R1_MATHEMATICS;
use crate::table::Row;
use crate::task::{Figures, Hub, Reading, Task};

pub(super) const TASK: Task = Task {
    name: "aime_2024",
    title: "AIME 2024",
    hubs: &[Hub { repo: "HuggingFaceH4/aime_2024", files: &[".parquet"] }],
    keep: &[],
    skip: &[],
    item,
    figures: Figures::Accuracy,
};

pub(super) const TASK_2025: Task = Task {
    name: "aime_2025",
    title: "AIME 2025",
    hubs: &[Hub { repo: "opencompass/AIME2025", files: &[".jsonl"] }],
    ..TASK
};

/// Both styles: neither the papers nor VLMEvalKit have words of their own.
fn item(row: &Row, _: &mut Reading) -> Result<Option<Item>, String> {
    let draft = Draft::new(row, &["problem", "Problem", "question"], &["id", "ID"], &["year"])?;
    let answer = row.any(&["answer", "Answer"])?;
    let words = format!("{}\n\n{R1_MATHEMATICS}", draft.question);
    // Written 025 in places.
    let plain = answer.trim_start_matches('0');
    let gold = if plain.is_empty() { "0" } else { plain };
    draft.open(&words, vec![gold.to_owned()], Comparing::Mathematics)
}
