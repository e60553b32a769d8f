//! MathVista (arXiv:2310.02255): `AI4Math/MathVista` testmini, or VLMEvalKit's `MathVista_MINI.tsv`.
//!
//! Numbers are rounded to the item's precision. VLMEvalKit compares floats exactly, and never finds a text right.
//!
//! Prompt (the benchmark's query) and score: open-compass/VLMEvalKit, `vlmeval/dataset/image_vqa.py` (`MathVista`) and
//! `dataset/utils/mathvista.py`; rounding: lupantech/MathVista, `evaluation/calculate_score.py`.

use super::{Draft, place_of};
use crate::item::{Comparing, Item};
use crate::prompt::{PAPER_CHOICE, PAPER_OPEN, Style, after, choice};
use crate::table::Row;
use crate::task::{Figures, Hub, Reading, Task};
use crate::vlmevalkit::{Compared, Kit};

pub(super) const TASK: Task = Task {
    name: "mathvista",
    title: "MathVista",
    hubs: &[Hub { repo: "AI4Math/MathVista", files: &["testmini-"] }],
    keep: &["testmini"],
    skip: &[],
    item,
    figures: Figures::Accuracy,
};

fn item(row: &Row, reading: &mut Reading) -> Result<Option<Item>, String> {
    let mut draft = Draft::new(row, &["question", "query"], &["pid", "index"], &["task"])?
        .with_images(row, reading, &["decoded_image", "image", "image_path"])?;
    if let Some(task) = row.cell("metadata").and_then(|metadata| metadata["task"].as_str()) {
        draft.subject = task.to_owned();
    }
    let answer = row.text("answer")?;
    let is_choice = row.text("question_type")? == "multi_choice";
    // VLMEvalKit's question is the benchmark's query, which lists the options and gives a hint.
    let query = row.optional("query").unwrap_or_else(|| draft.question.clone());
    if is_choice {
        let options = row.list("choices")?;
        let answer = row.optional("answer_option").unwrap_or(answer);
        let right = place_of(&answer, &options)?;
        let compared = Compared::VistaOption { options: options.clone(), answer: right };
        draft.kit = Some(Kit::Extracted { asked: query.clone(), compared });
        let words = match (reading.style, row.cell("query")) {
            (Style::Vlmevalkit, _) => query,
            (Style::Paper, Some(_)) => choice(Style::Paper, None, &draft.question, &options),
            (Style::Paper, None) => format!("{query}\n{PAPER_CHOICE}"),
        };
        let parts = after(&draft.images, &words);
        return draft.chosen(parts, options, &answer);
    }
    let kit_compares = match row.text("answer_type")?.as_str() {
        "integer" => Compared::Integer(answer.clone()),
        "float" => Compared::Float(answer.clone()),
        _ => Compared::Never,
    };
    draft.kit = Some(Kit::Extracted { asked: query.clone(), compared: kit_compares });
    let words = match reading.style {
        Style::Vlmevalkit => query,
        Style::Paper => format!("{query}\n{PAPER_OPEN}"),
    };
    let how = comparing(row, &answer)?;
    draft.open(&words, vec![answer], how)
}

fn comparing(row: &Row, answer: &str) -> Result<Comparing, String> {
    let decimals = answer.split_once('.').map_or(0, |(_, decimals)| decimals.len());
    Ok(match row.text("answer_type")?.as_str() {
        "integer" => Comparing::Rounded(0),
        "float" => {
            let precision = row.optional("precision").and_then(|digits| digits.parse::<f64>().ok());
            Comparing::Rounded(precision.map_or(decimals, |digits| digits as usize).min(9) as u8)
        }
        "text" => Comparing::Words,
        _ => Comparing::Mathematics,
    })
}
