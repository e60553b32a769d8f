//! MMMU-Pro (arXiv:2409.02813): ten options, and the whole question as a picture; `MMMU/MMMU_Pro`, or VLMEvalKit's
//! `MMMU_Pro_10c.tsv` and `MMMU_Pro_V.tsv`.
//!
//! Prompt and score: open-compass/VLMEvalKit, `vlmeval/dataset/image_mcq.py` (`MMMUProDataset`, without `_COT`) and
//! `dataset/utils/multiple_choice.py`. The figure is the mean of the two settings, as in the paper.

use super::{Draft, mmmu};
use crate::item::Item;
use crate::prompt::{PAPER_CHOICE, Style, after, choice, interleave, listed};
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

/// VLMEvalKit's words where the question is a picture.
const PICTURED: &str = "Answer the following multiple-choice question in the image. Answer directly with the option letter from the given choices. ";

/// VLMEvalKit's words behind the options.
const DIRECT: &str = "Answer directly with the option letter from the given choices. ";

fn item(row: &Row, reading: &mut Reading) -> Result<Option<Item>, String> {
    // VLMEvalKit puts a placeholder where its table of pictures has a question.
    let stem = row.path.file_stem().unwrap_or_default().to_string_lossy();
    let is_pictured = row.cell("question").is_none() || stem.starts_with("MMMU_Pro_V");
    let question = if is_pictured { &["id", "index"][..] } else { &["question"] };
    let mut draft = Draft::new(row, question, &["id", "index"], &[])?;
    draft.subject = if is_pictured { "vision" } else { "standard" }.to_owned();
    draft.images = mmmu::images(row, reading)?;
    draft.cluster = Some(draft.id.trim_start_matches("test_").to_owned());
    let options = match row.cell("options") {
        Some(_) => row.list("options")?,
        None => row.lettered(),
    };
    if is_pictured && draft.images.is_empty() {
        return Err("no image, which holds the question".to_owned());
    }
    let parts = match (is_pictured, reading.style) {
        (true, Style::Paper) => after(&draft.images, PAPER_CHOICE),
        (true, Style::Vlmevalkit) => after(&draft.images, PICTURED),
        (false, Style::Paper) => {
            interleave(&draft.images, &choice(Style::Paper, None, &draft.question, &options))?
        }
        (false, Style::Vlmevalkit) => {
            let asked = format!("Question: {}\nOptions:\n{}", draft.question, listed(&options));
            interleave(&draft.images, &format!("{asked}{DIRECT}"))?
        }
    };
    draft.chosen(parts, options, &row.text("answer")?)
}
