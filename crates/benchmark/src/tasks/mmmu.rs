//! MMMU (arXiv:2311.16502): Hugging Face `MMMU/MMMU`, or VLMEvalKit's `MMMU_DEV_VAL.tsv`.
//!
//! Images stand at their tags, also in options. Trap: the same responses score 50.67 by lmms-eval and 54.78 by
//! VLMEvalKit (open questions become two options; a guess where nothing is parsed); nothing is guessed here.

use super::Draft;
use crate::image::Image;
use crate::item::{Comparing, Item, Scoring};
use crate::prompt::{choice, interleave, open};
use crate::table::Row;
use crate::task::{Figures, Hub, Reading, Task};

pub(super) const TASK: Task = Task {
    name: "mmmu",
    title: "MMMU",
    hubs: &[Hub { repo: "MMMU/MMMU", files: &["validation-"] }],
    keep: &["validation"],
    skip: &["mmmu_pro"],
    item,
    figures: Figures::Accuracy,
};

const COLUMNS: [&str; 7] =
    ["image_1", "image_2", "image_3", "image_4", "image_5", "image_6", "image_7"];

fn item(row: &Row, reading: &mut Reading) -> Result<Option<Item>, String> {
    if row.optional("split").is_some_and(|split| split == "dev" || split == "test") {
        return Ok(None);
    }
    let mut draft = Draft::new(row, &["question"], &["id", "index"], &["category", "subject"])?;
    if draft.subject.is_empty() {
        draft.subject = subject(&draft.id);
    }
    draft.images = images(row, reading)?;
    let options = match row.cell("options") {
        Some(_) => row.list("options")?,
        None => row.lettered(),
    };
    let answer = row.text("answer")?;
    match options.is_empty() {
        false => {
            let words =
                choice(reading.style, row.optional("hint").as_deref(), &draft.question, &options);
            let parts = interleave(&draft.images, &words)?;
            draft.chosen(parts, options, &answer).map(Some).map(Option::flatten)
        }
        true => {
            let words = open(reading.style, &format!("Question: {}", draft.question), "\n");
            let parts = interleave(&draft.images, &words)?;
            let golds = crate::python::list(&answer).map_or(vec![answer.clone()], |list| {
                list.iter()
                    .map(|gold| gold.as_str().map_or(gold.to_string(), str::to_owned))
                    .collect()
            });
            draft.item(parts, answer, Scoring::Open { golds, how: Comparing::Mmmu })
        }
    }
}

/// `Art` of `validation_Art_1`.
fn subject(id: &str) -> String {
    let inner = id.split_once('_').and_then(|(_, rest)| rest.rsplit_once('_'));
    inner.map(|(subject, _)| subject.to_owned()).unwrap_or_default()
}

/// Images in columns of their own, or in one.
pub(super) fn images(row: &Row, reading: &mut Reading) -> Result<Vec<Image>, String> {
    let mut images = Vec::new();
    for column in COLUMNS {
        images.extend(reading.images.of(row, &[column])?);
    }
    if images.is_empty() {
        images = reading.images.of(row, &["image", "image_path"])?;
    }
    Ok(images)
}
