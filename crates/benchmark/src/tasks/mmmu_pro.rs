//! MMMU-Pro (arXiv:2409.02813): ten options, and the whole question as a picture; `MMMU/MMMU_Pro`.

use super::{Draft, mmmu};
use crate::item::Item;
use crate::prompt::{PAPER_CHOICE, Style, after, choice, interleave};
use crate::table::Row;
use crate::task::{Figures, Hub, Reading, Task};

pub(super) const TASK: Task = Task {
    name: "mmmu_pro",
    title: "MMMU-Pro",
    hubs: &[Hub { repo: "MMMU/MMMU_Pro", files: &["standard (10 options)/", "vision/"] }],
    keep: &[],
    skip: &["4 options"],
    item,
    figures: Figures::Macro,
};

/// The benchmark's own words where the question is a picture.
const PICTURED: &str = "Write out the multiple-choice question in the image and then solve it. The last line of your response should be of the following format: 'Answer: $LETTER' (without quotes) where LETTER is one of options. Think step by step before answering.";

fn item(row: &Row, reading: &mut Reading) -> Result<Option<Item>, String> {
    let is_pictured = row.cell("question").is_none();
    let question = if is_pictured { &["id", "index"][..] } else { &["question"] };
    let mut draft = Draft::new(row, question, &["id", "index"], &[])?;
    // The score is the mean of the two settings.
    draft.subject = if is_pictured { "vision" } else { "standard" }.to_owned();
    draft.images = mmmu::images(row, reading)?;
    draft.cluster = Some(draft.id.trim_start_matches("test_").to_owned());
    let options = match row.cell("options") {
        Some(_) => row.list("options")?,
        None => row.lettered(),
    };
    let answer = row.text("answer")?;
    let parts = match (is_pictured, reading.style) {
        (true, Style::Paper) => after(&draft.images, PAPER_CHOICE),
        (true, Style::Vlmevalkit) => after(&draft.images, PICTURED),
        (false, style) => {
            interleave(&draft.images, &choice(style, None, &draft.question, &options))?
        }
    };
    if is_pictured && draft.images.is_empty() {
        return Err("no image, which holds the question".to_owned());
    }
    draft.chosen(parts, options, &answer)
}
