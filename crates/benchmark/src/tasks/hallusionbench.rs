//! HallusionBench (arXiv:2310.14566): `lmms-lab/HallusionBench` image split, or VLMEvalKit's `HallusionBench.tsv`.
//!
//! Prompt (the bare question) and score: open-compass/VLMEvalKit, `vlmeval/dataset/image_yorn.py` and
//! `dataset/utils/yorn.py`.

use super::Draft;
use crate::item::{Item, Scoring};
use crate::prompt::{after, open};
use crate::table::Row;
use crate::task::{Figures, Hub, Reading, Task};
use crate::vlmevalkit::Kit;

pub(super) const TASK: Task = Task {
    name: "hallusionbench",
    title: "HallusionBench",
    hubs: &[Hub { repo: "lmms-lab/HallusionBench", files: &["image-"] }],
    keep: &["image"],
    skip: &["non_image"],
    item,
    figures: Figures::Consistency,
};

fn item(row: &Row, reading: &mut Reading) -> Result<Option<Item>, String> {
    let subjects = ["subcategory", "l2-category", "category"];
    let mut draft = Draft::new(row, &["question"], &["index"], &subjects)?.with_images(
        row,
        reading,
        &["image", "image_path"],
    )?;
    let [set, figure, question] = places(row)?;
    let group = format!("{}_{set}", draft.subject);
    draft.labels.insert("figure", format!("{group}_{figure}"));
    draft.labels.insert("question", format!("{group}_{question}"));
    if row.cell("index").is_none() {
        draft.id = format!("{}_{}_{figure}_{question}", row.text("category")?, group);
    }
    // Questions of a set share its figures.
    draft.cluster = Some(group);
    let yes = verdict(&row.any(&["gt_answer", "answer"])?)?;
    draft.kit = Some(Kit::YesNo { yes });
    let parts = after(&draft.images, &open(reading.style, &draft.question, ""));
    draft.item(parts, if yes { "Yes" } else { "No" }.to_owned(), Scoring::YesNo { yes })
}

/// Set, figure and question: columns of their own, or parts of the index.
fn places(row: &Row) -> Result<[String; 3], String> {
    if row.cell("set_id").is_some() {
        return Ok([row.text("set_id")?, row.text("figure_id")?, row.text("question_id")?]);
    }
    let index = row.text("index")?;
    let parts: Vec<&str> = index.split('_').collect();
    match parts[..] {
        [.., set, figure, question] if parts.len() >= 6 => {
            Ok([set, figure, question].map(str::to_owned))
        }
        _ => Err(format!("index {index:?}, expected kind_of_figure_set_figure_question")),
    }
}

pub(super) fn verdict(answer: &str) -> Result<bool, String> {
    match answer.trim().to_lowercase().as_str() {
        "yes" | "1" => Ok(true),
        "no" | "0" => Ok(false),
        _ => Err(format!("answer {answer:?}, expected yes or no")),
    }
}
