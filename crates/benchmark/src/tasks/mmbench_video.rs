//! MMBench-Video (arXiv:2406.14515) over sampled frames: `opencompass/MMBench-Video`'s `MMBench-Video.tsv`.
//! A judge rates answers from 0 to 3; without one there is no score.
//!
//! Prompt (one question at a time) and the judge's words: open-compass/VLMEvalKit, `vlmeval/dataset/mmbench_video.py`
//! and `dataset/utils/mmbench_video.py`. What the judge gives no rating is left out, as in the kit's `coarse_valid`.

use super::Draft;
use crate::item::{Item, Scoring, picture, text};
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

fn item(row: &Row, reading: &mut Reading) -> Result<Option<Item>, String> {
    let mut draft = Draft::new(row, &["question"], &["index"], &["video_type"])?;
    let video = row.any(&["video_path", "video"])?;
    draft.images = reading.video(&row.path, &video)?;
    draft.cluster = Some(video);
    let parts = match reading.style {
        Style::Paper => after(&draft.images, &format!("{}\n{PAPER_OPEN}", draft.question)),
        Style::Vlmevalkit => {
            let asked = text(format!("Question: {}\nAnswer: ", draft.question));
            let frames = draft.images.iter().map(picture);
            [text(before(draft.images.len()))].into_iter().chain(frames).chain([asked]).collect()
        }
    };
    draft.item(parts, row.text("answer")?, Scoring::Rated)
}

/// The benchmark's words before the frames.
fn before(num_frames: usize) -> String {
    format!(
        "\nYou will be provided with {num_frames} separate frames uniformly sampled from a video, the frames are provided in chronological order of the video.\nPlease analyze these images and provide the answer to the question about the video content.\nPlease directly reply with your response to the only question.\n"
    )
}
