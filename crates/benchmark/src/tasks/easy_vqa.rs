//! easy-VQA: its own folder, where `test/questions.json` lists question, answer and image, or samples of ours.
//!
//! Prompt: the bare question, or the paper's words; score: number or word. Data: vzhou842/easy-VQA.

use std::path::Path;

use super::{Draft, conversations};
use crate::item::{Comparing, Item};
use crate::prompt::open;
use crate::table::Row;
use crate::task::{Figures, Reading, Task};

pub(super) const TASK: Task = Task {
    name: "easy_vqa",
    title: "easy-VQA",
    hubs: &[],
    keep: &["test/questions", "held_out"],
    skip: &["train"],
    item,
    figures: Figures::Accuracy,
};

fn item(row: &Row, reading: &mut Reading) -> Result<Option<Item>, String> {
    if row.cell("messages").is_some() {
        return conversations::item(row, reading);
    }
    let mut draft = Draft::new(row, &["0"], &[], &[])?;
    let (answer, image) = (row.text("1")?, row.text("2")?);
    let folder = row.path.parent().unwrap_or(Path::new(""));
    draft.images = vec![reading.images.file(&folder.join("images").join(format!("{image}.png")))?];
    draft.subject =
        if ["yes", "no"].contains(&answer.as_str()) { "yes/no" } else { "open" }.to_owned();
    let words = open(reading.style, &draft.question, "");
    draft.open(&words, vec![answer], Comparing::Words)
}
