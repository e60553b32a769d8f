//! Video-MME (arXiv:2405.21075) without subtitles, over sampled frames: `lmms-lab/Video-MME`, or VLMEvalKit's
//! `Video-MME.tsv`.

use super::Draft;
use crate::item::Item;
use crate::prompt::{PAPER_CHOICE, Style, after};
use crate::table::Row;
use crate::task::{Figures, Hub, Reading, Task};

pub(super) const TASK: Task = Task {
    name: "video_mme",
    title: "Video-MME",
    hubs: &[Hub { repo: "lmms-lab/Video-MME", files: &["test-"] }],
    keep: &[],
    skip: &[],
    item,
    figures: Figures::Accuracy,
};

/// The benchmark's words.
const BEFORE: &str = "These are the frames of a video. Select the best answer to the following multiple-choice question based on the video. Respond with only the letter (A, B, C, or D) of the correct option.\n";
const BEHIND: &str = "The best answer is:";

fn item(row: &Row, reading: &mut Reading) -> Result<Option<Item>, String> {
    let mut draft = Draft::new(row, &["question"], &["question_id", "index"], &["duration"])?;
    let video = row.any(&["videoID", "video_path", "video"])?;
    draft.images = reading.video(&row.path, &video)?;
    draft.cluster = Some(video);
    // Options come with their letters: `A. red`.
    let column = if row.cell("options").is_some() { "options" } else { "candidates" };
    let listed = row.list(column)?;
    let bare = |option: &String| match option.split_once(". ") {
        Some((letter, rest)) if letter.trim().len() == 1 => rest.to_owned(),
        _ => option.clone(),
    };
    let options: Vec<String> = listed.iter().map(bare).collect();
    let asked = format!("{}\n{}", draft.question, crate::prompt::listed(&options));
    let words = match reading.style {
        Style::Paper => format!("{asked}{PAPER_CHOICE}"),
        Style::Vlmevalkit => format!("{BEFORE}{asked}{BEHIND}"),
    };
    let parts = after(&draft.images, &words);
    draft.chosen(parts, options, &row.text("answer")?)
}
