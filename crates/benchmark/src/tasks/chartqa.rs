//! ChartQA (arXiv:2203.10244), relaxed accuracy: `lmms-lab/ChartQA`, or VLMEvalKit's `ChartQA_TEST.tsv`.
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
    name: "chartqa",
    title: "ChartQA",
    hubs: &[Hub { repo: "lmms-lab/ChartQA", files: &["test-"] }],
    keep: &["test"],
    skip: &[],
    item,
    figures: Figures::Accuracy,
};

/// VLMEvalKit's words.
const SHORT: &str = "\nAnswer the question using a single word or phrase.";

fn item(row: &Row, reading: &mut Reading) -> Result<Option<Item>, String> {
    let mut draft = Draft::new(row, &["question"], &["index"], &["type", "split", "category"])?
        .with_images(row, reading, &["image", "image_path"])?;
    let answer = row.text("answer")?;
    let golds = row.list("answer").unwrap_or_else(|_| vec![answer]);
    draft.kit = Some(Kit::Relaxed { golds: golds.clone() });
    let parts = after(&draft.images, &open(reading.style, &draft.question, SHORT));
    draft.item(parts, golds.join(" or "), Scoring::Relaxed { golds })
}
