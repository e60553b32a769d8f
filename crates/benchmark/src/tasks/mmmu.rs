//! MMMU (arXiv:2311.16502): Hugging Face `MMMU/MMMU`, or VLMEvalKit's `MMMU_DEV_VAL.tsv`.
//!
//! Images stand at their tags, also in options. Trap: the same responses score 50.67 by lmms-eval and 54.78 by
//! VLMEvalKit (open questions become two options; a guess where nothing is parsed); strictly and leniently, nothing is
//! guessed here.
//!
//! Prompt and score: open-compass/VLMEvalKit, `vlmeval/dataset/image_mcq.py` (`MMMUDataset`) and
//! `dataset/utils/multiple_choice.py` (`MMMU_preproc`); leniently also MMMU-Benchmark/MMMU, `mmmu/utils/eval_utils.py`.

use super::Draft;
use crate::image::Image;
use crate::item::{Comparing, Item, Scoring};
use crate::prompt::{Style, choice, interleave, open};
use crate::table::Row;
use crate::task::{Figures, Hub, Reading, Task};
use crate::vlmevalkit::Kit;

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
            draft.chosen(parts, options, &answer)
        }
        true => {
            let words = match reading.style {
                Style::Paper => open(Style::Paper, &draft.question, ""),
                Style::Vlmevalkit => format!("Question: {}\n", draft.question),
            };
            // VLMEvalKit makes two options of it.
            let options = vec![answer.clone(), "Other Answers".to_owned()];
            draft.kit = Some(Kit::Choice { options, answer: 0 });
            let parts = interleave(&draft.images, &words)?;
            let golds = crate::python::list(&answer).map_or(vec![answer.clone()], |list| {
                list.iter()
                    .map(|gold| gold.as_str().map_or(gold.to_string(), str::to_owned))
                    .collect()
            });
            draft.item(parts, answer, Scoring::Open { golds, how: Comparing::Mathematics })
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
