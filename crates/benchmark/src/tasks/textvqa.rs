//! TextVQA (arXiv:1904.08920), VQA accuracy: `lmms-lab/textvqa` validation, or VLMEvalKit's `TextVQA_VAL.tsv`.
//!
//! Prompt and score: open-compass/VLMEvalKit, `vlmeval/dataset/image_vqa.py` (`ImageVQADataset`) and
//! `dataset/utils/vqa_eval.py`.

use super::Draft;
use crate::item::{Item, Scoring};
use crate::prompt::{after, open};
use crate::table::Row;
use crate::task::{Figures, Hub, Reading, Task};
use crate::vlmevalkit::Kit;

pub(super) const TASK: Task = Task {
    name: "textvqa",
    title: "TextVQA",
    hubs: &[Hub { repo: "lmms-lab/textvqa", files: &["validation-"] }],
    keep: &["validation"],
    skip: &[],
    item,
    figures: Figures::Accuracy,
};

/// VLMEvalKit's words.
const SHORT: &str = "\nAnswer the question using a single word or phrase.";

fn item(row: &Row, reading: &mut Reading) -> Result<Option<Item>, String> {
    let mut draft =
        Draft::new(row, &["question"], &["question_id", "index"], &["set_name", "split"])?
            .with_images(row, reading, &["image", "image_path"])?;
    let answers = match row.cell("answers") {
        Some(_) => row.list("answers")?,
        None => row.list("answer")?,
    };
    let parts = after(&draft.images, &open(reading.style, &draft.question, SHORT));
    draft.kit = Some(Kit::Consensus { answers: answers.clone() });
    let mut known = answers.clone();
    known.sort();
    known.dedup();
    draft.item(parts, known.join(" or "), Scoring::Consensus { answers })
}
