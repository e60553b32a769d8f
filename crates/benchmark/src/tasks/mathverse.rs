//! MathVerse (arXiv:2403.14624): `AI4Math/MathVerse` testmini, or VLMEvalKit's `MathVerse_MINI*.tsv`.
//!
//! Each problem is told in several versions, which are one cluster.
//!
//! Prompt (the file's) and score: open-compass/VLMEvalKit, `vlmeval/dataset/image_vqa.py` (`MathVerse`) and
//! `dataset/utils/mathverse.py`, after ZrrSkywalker/MathVerse.

use super::Draft;
use crate::item::{Comparing, Item};
use crate::prompt::{PAPER_CHOICE, PAPER_OPEN, Style, after};
use crate::table::Row;
use crate::task::{Figures, Hub, Reading, Task};
use crate::vlmevalkit::Kit;

pub(super) const TASK: Task = Task {
    name: "mathverse",
    title: "MathVerse",
    hubs: &[Hub { repo: "AI4Math/MathVerse", files: &["testmini.parquet"] }],
    keep: &["testmini"],
    skip: &["text_only"],
    item,
    figures: Figures::Accuracy,
};

fn item(row: &Row, reading: &mut Reading) -> Result<Option<Item>, String> {
    let ids = ["sample_index", "index"];
    let mut draft = Draft::new(row, &["query_wo", "question"], &ids, &["problem_version"])?
        .with_images(row, reading, &["image", "image_path"])?;
    draft.cluster = row.optional("problem_index");
    let (answer, query) = (row.text("answer")?, draft.question.clone());
    let asked = row.optional("question_for_eval").unwrap_or_else(|| query.clone());
    draft.kit = Some(Kit::Graded { asked, gold: answer.clone() });
    let is_choice = row.text("question_type")? == "multi-choice";
    let words = match (reading.style, is_choice) {
        (Style::Vlmevalkit, _) => query,
        (Style::Paper, true) => format!("{query}\n{PAPER_CHOICE}"),
        (Style::Paper, false) => format!("{query}\n{PAPER_OPEN}"),
    };
    if is_choice {
        let options = options(&draft.question);
        let parts = after(&draft.images, &words);
        return draft.chosen(parts, options, &answer);
    }
    draft.open(&words, vec![answer], Comparing::Mathematics)
}

/// The options in a question: `Choices:` and a line each, `A:3`.
fn options(question: &str) -> Vec<String> {
    let listed = question.rsplit_once("Choices:").map_or("", |(_, listed)| listed);
    let option = |line: &str| Some(line.trim().split_once(':')?.1.trim().to_owned());
    listed.lines().filter_map(option).collect()
}
