//! MMBench-Video (arXiv:2406.14515) over sampled frames: `opencompass/MMBench-Video`'s `MMBench-Video.tsv`.
//! A judge rates answers from 0 to 3; without one there is no score.

use super::Draft;
use crate::item::{Item, Scoring};
use crate::prompt::{PAPER_OPEN, Style, after};
use crate::table::Row;
use crate::task::{Figures, Hub, Reading, Task};

pub(super) const TASK: Task = Task {
    name: "mmbench_video",
    title: "MMBench-Video",
    hubs: &[Hub { repo: "opencompass/MMBench-Video", files: &["MMBench-Video.tsv"] }],
    keep: &[],
    skip: &[],
    item,
    figures: Figures::Rating,
};

/// The benchmark's words.
const BEFORE: &str = "You will be provided with some separate frames uniformly sampled from a video, the frames are provided in chronological order of the video.\nPlease analyze these images and provide the answer / answers to the following question / questions about the video content.\n";

fn item(row: &Row, reading: &mut Reading) -> Result<Option<Item>, String> {
    let mut draft = Draft::new(row, &["question"], &["index"], &["video_type"])?;
    let video = row.any(&["video_path", "video"])?;
    draft.images = reading.video(&row.path, &video)?;
    draft.cluster = Some(video);
    let words = match reading.style {
        Style::Paper => format!("{}\n{PAPER_OPEN}", draft.question),
        Style::Vlmevalkit => format!("{BEFORE}Question: {}\nAnswer: ", draft.question),
    };
    let parts = after(&draft.images, &words);
    draft.item(parts, row.text("answer")?, Scoring::Rated)
}
