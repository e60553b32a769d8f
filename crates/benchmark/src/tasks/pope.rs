//! POPE (arXiv:2305.10355): `lmms-lab/POPE`, or VLMEvalKit's `POPE.tsv`.
//!
//! Prompt (the bare question) and score: open-compass/VLMEvalKit, `vlmeval/dataset/image_yorn.py` and
//! `dataset/utils/yorn.py`.

use super::Draft;
use super::hallusionbench::verdict;
use crate::item::{Item, Scoring};
use crate::prompt::{after, open};
use crate::table::Row;
use crate::task::{Figures, Hub, Reading, Task};
use crate::vlmevalkit::Kit;

pub(super) const TASK: Task = Task {
    name: "pope",
    title: "POPE",
    hubs: &[Hub { repo: "lmms-lab/POPE", files: &["test-"] }],
    keep: &["test"],
    skip: &[],
    item,
    figures: Figures::Detection,
};

fn item(row: &Row, reading: &mut Reading) -> Result<Option<Item>, String> {
    let mut draft = Draft::new(row, &["question"], &["id", "index"], &["category"])?.with_images(
        row,
        reading,
        &["image", "image_path"],
    )?;
    let yes = verdict(&row.text("answer")?)?;
    draft.kit = Some(Kit::YesNo { yes });
    let parts = after(&draft.images, &open(reading.style, &draft.question, ""));
    draft.item(parts, if yes { "Yes" } else { "No" }.to_owned(), Scoring::YesNo { yes })
}
