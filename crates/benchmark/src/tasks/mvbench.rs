//! MVBench (arXiv:2311.17005) over sampled frames: `OpenGVLab/MVBench`'s lists a task, or VLMEvalKit's `MVBench*.tsv`.

use super::Draft;
use crate::item::Item;
use crate::prompt::{PAPER_CHOICE, Style, after, letter};
use crate::table::Row;
use crate::task::{Figures, Hub, Reading, Task};

pub(super) const TASK: Task = Task {
    name: "mvbench",
    title: "MVBench",
    hubs: &[Hub { repo: "OpenGVLab/MVBench", files: &["json/"] }],
    keep: &["json/"],
    skip: &[],
    item,
    figures: Figures::Macro,
};

/// The benchmark's words.
const BEFORE: &str = "Carefully watch the video and pay attention to the cause and sequence of events, the detail and movement of objects, and the action and pose of persons. Based on your observations, select the best option that accurately addresses the question.\n";
const BEHIND: &str = "Only give the best option.";

fn item(row: &Row, reading: &mut Reading) -> Result<Option<Item>, String> {
    let mut draft = Draft::new(row, &["question"], &["index"], &["task_type", "data_type"])?;
    let stem = row.path.file_stem().map(|stem| stem.to_string_lossy().into_owned());
    if row.cell("index").is_none() {
        // Each file is one task.
        draft.subject = stem.unwrap_or_default();
        draft.id = format!("{}_{}", draft.subject, draft.id);
    }
    let video = row.text("video")?;
    let place = row.optional("prefix").map_or(video.clone(), |prefix| format!("{prefix}/{video}"));
    draft.images = reading.video(&row.path, &place)?;
    draft.cluster = Some(video);
    let options = row.list("candidates")?;
    let line = |(at, option): (usize, &String)| format!("({}) {option}\n", letter(at));
    let listed: String = options.iter().enumerate().map(line).collect();
    let asked = format!("Question: {}\nOptions:\n{listed}", draft.question);
    let words = match reading.style {
        Style::Paper => format!("{asked}{PAPER_CHOICE}"),
        Style::Vlmevalkit => format!("{BEFORE}{asked}{BEHIND}"),
    };
    let parts = after(&draft.images, &words);
    draft.chosen(parts, options, &row.text("answer")?)
}
