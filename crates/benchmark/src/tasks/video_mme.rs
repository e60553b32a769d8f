//! Video-MME (arXiv:2405.21075) without subtitles, over sampled frames: `lmms-lab/Video-MME`, or VLMEvalKit's
//! `Video-MME.tsv`.
//!
//! Prompt and score: open-compass/VLMEvalKit, `vlmeval/dataset/videomme.py` and `dataset/utils/videomme.py`, where the
//! first capital letter from A to D is the answer, and nothing is asked of a model that could change a score.

use super::{Draft, place_of};
use crate::item::{Item, picture, text};
use crate::prompt::{PAPER_CHOICE, Style, after};
use crate::table::Row;
use crate::task::{Figures, Hub, Reading, Task};
use crate::vlmevalkit::Kit;

pub(super) const TASK: Task = Task {
    name: "video_mme",
    title: "Video-MME",
    hubs: &[Hub { repo: "lmms-lab/Video-MME", files: &["test-"] }],
    keep: &[],
    skip: &[],
    item,
    figures: Figures::Accuracy,
};

/// VLMEvalKit's words between frames and question.
const FRAMES: &str = "\nThese are the frames of a video. Select the best answer to the following multiple-choice question based on the video. Respond with only the letter (A, B, C, or D) of the correct option.\n";

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
    let answer = row.text("answer")?;
    draft.kit = Some(Kit::FirstLetter { answer: place_of(&answer, &options)? });
    let asked = format!("{}\n{}", draft.question, listed.join("\n"));
    let parts = match reading.style {
        Style::Paper => after(&draft.images, &format!("{asked}\n{PAPER_CHOICE}")),
        Style::Vlmevalkit => {
            let words = [text(FRAMES), text(format!("Question: {asked}\nAnswer: "))];
            draft.images.iter().map(picture).chain(words).collect()
        }
    };
    draft.chosen(parts, options, &answer)
}
