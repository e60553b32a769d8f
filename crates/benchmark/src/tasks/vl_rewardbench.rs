//! VL-RewardBench (arXiv:2411.17451) for a model that judges in words: `MMInstruction/VL-RewardBench`, or
//! VLMEvalKit's `VL-RewardBench.tsv`. A reward model that scores is measured by `reward eval`.
//!
//! Prompt: vl-rewardbench/VL_RewardBench, `prompt.py`, or open-compass/VLMEvalKit, `vlmeval/dataset/vl_rewardbench.py`,
//! which breaks lines elsewhere. Score: the pattern of the benchmark's `inference_hf.py`, or a model that reads the
//! judgement, as in the kit. The kit swaps the two responses where their lengths add up to an odd number; the
//! benchmark draws, and here seed and item decide.

use super::{Draft, shuffled};
use crate::item::{Item, Scoring, picture, text};
use crate::prompt::{Style, after};
use crate::table::Row;
use crate::task::{Figures, Hub, Reading, Task};
use crate::vlmevalkit::Kit;

pub(super) const TASK: Task = Task {
    name: "vl_rewardbench",
    title: "VL-RewardBench",
    hubs: &[Hub { repo: "MMInstruction/VL-RewardBench", files: &["test-"] }],
    keep: &[],
    skip: &[],
    item,
    figures: Figures::Macro,
};

const CATEGORIES: [&str; 3] = ["general", "hallucination", "reasoning"];

/// What the names of sources and items begin with, in lower case, and their category (arXiv:2411.17451, table 2).
/// Items of POVID are `hallucination_pair-…`.
const PREFIXES: [(&str, &str); 7] = [
    ("povid", "hallucination"),
    ("hallucination", "hallucination"),
    ("rlaif", "hallucination"),
    ("rlhf", "hallucination"),
    ("mmmu", "reasoning"),
    ("mathverse", "reasoning"),
    ("olympiadbench", "reasoning"),
];

/// The category of an item of VL-RewardBench: its column where that says one, else what its id begins with, else what
/// its source does; all others are general. The published `query_source` is often empty, or says where a picture is
/// from.
pub fn category(id: &str, source: &str) -> &'static str {
    let (id, source) = (id.to_lowercase(), source.to_lowercase());
    let own = CATEGORIES.into_iter().find(|own| *own == source);
    let begun = |name: &str| PREFIXES.iter().find(|(prefix, _)| name.starts_with(prefix));
    own.unwrap_or_else(|| {
        begun(&id).or(begun(&source)).map_or("general", |(_, category)| *category)
    })
}

fn item(row: &Row, reading: &mut Reading) -> Result<Option<Item>, String> {
    let ids = ["id", "index"];
    let mut draft = Draft::new(row, &["query", "question"], &ids, &["query_source", "category"])?
        .with_images(row, reading, &["image", "image_path"])?;
    draft.subject = category(&draft.id, &draft.subject).to_owned();
    let (responses, ranks) = (row.list("response")?, ranks(row)?);
    let preferred = match (&responses[..], &ranks[..]) {
        ([a, _], [0, 1]) => a.clone(),
        ([_, b], [1, 0]) => b.clone(),
        _ => {
            return Err(format!(
                "{} responses ranked {ranks:?}, expected 2 and 0, 1",
                responses.len()
            ));
        }
    };
    let shown = match reading.style {
        Style::Paper => shuffled(responses, &draft.id, reading.seed),
        Style::Vlmevalkit => swapped(responses),
    };
    let better = usize::from(shown[0] != preferred);
    draft.kit = Some(Kit::Better { better });
    let parts = match reading.style {
        Style::Paper => {
            let asked = draft.question.replace("<image>\n", "");
            let words = text(filled(&PAPER, [&asked, &shown[0], &shown[1]]));
            [words].into_iter().chain(draft.images.iter().map(picture)).collect()
        }
        Style::Vlmevalkit => {
            after(&draft.images, &filled(&KIT, [&draft.question, &shown[0], &shown[1]]))
        }
    };
    draft.item(parts, format!("Answer {}", better + 1), Scoring::Preference { better })
}

/// The benchmark's words around question and answers; the space at the beginning is its own.
const PAPER: [&str; 4] = [
    " You are a highly capable multimodal AI assistant tasked with evaluating answers to visual questions. Please analyze the following image and question, then determine which of the two provided answers is better.\n\nQuestion: ",
    "\n\nAnswer 1: ",
    "\n\nAnswer 2: ",
    "\n\nPlease evaluate both answers based on the following criteria:\n1. Accuracy: How well does the answer align with the visual information in the image?\n2. Completeness: Does the answer fully address all aspects of the question?\n3. Clarity: Is the answer easy to understand and well-articulated?\n4. Relevance: Does the answer directly relate to the question and the image?\n\nAfter your evaluation, please:\n1. Explain your reasoning for each criterion.\n2. Provide an overall judgment on which answer is better (Answer 1 or Answer 2). For example: Overall Judgment: Answer X is better.\n\nYour response should be structured and detailed, demonstrating your understanding of both the visual and textual elements of the task.",
];

/// VLMEvalKit's, in which a line ends after the first sentence and a space is lost before the example.
const KIT: [&str; 4] = [
    "You are a highly capable multimodal AI assistant tasked with evaluating answers to visual questions.\nPlease analyze the following image and question, then determine which of the two provided answers is better.\n\nQuestion: ",
    PAPER[1],
    PAPER[2],
    "\n\nPlease evaluate both answers based on the following criteria:\n1. Accuracy: How well does the answer align with the visual information in the image?\n2. Completeness: Does the answer fully address all aspects of the question?\n3. Clarity: Is the answer easy to understand and well-articulated?\n4. Relevance: Does the answer directly relate to the question and the image?\n\nAfter your evaluation, please:\n1. Explain your reasoning for each criterion.\n2. Provide an overall judgment on which answer is better (Answer 1 or Answer 2).For example: Overall Judgment: Answer X is better.\n\nYour response should be structured and detailed, demonstrating your understanding of both the visual and textual elements of the task.",
];

/// The words with question and answers between them.
fn filled(words: &[&str; 4], between: [&str; 3]) -> String {
    let between = between.into_iter().chain([""]);
    words.iter().zip(between).flat_map(|(words, text)| [*words, text]).collect()
}

/// The responses in VLMEvalKit's order.
fn swapped(mut responses: Vec<String>) -> Vec<String> {
    let length: usize = responses.iter().map(|response| response.chars().count()).sum();
    if length % 2 == 1 {
        responses.reverse();
    }
    responses
}

fn ranks(row: &Row) -> Result<Vec<i64>, String> {
    let ranks = row.list("human_ranking").or_else(|_| row.list("answer"))?;
    let rank = |rank: &String| rank.parse().map_err(|_| format!("rank {rank:?} is no number"));
    ranks.iter().map(rank).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_rows_have_a_category() {
        for (id, source, expected) in [
            ("RLAIF-V-123", "COCO", "hallucination"),
            ("RLHF-V-9", "", "hallucination"),
            ("hallucination_pair-77", "", "hallucination"),
            ("mathverse_7", "", "reasoning"),
            ("mmmu_pro_3", "MMMU", "reasoning"),
            ("LLaVA-12", "LCS-558K", "general"),
            ("WildVision-4", "", "general"),
            ("4", "reasoning", "reasoning"),
            ("4", "povid", "hallucination"),
        ] {
            assert_eq!(category(id, source), expected, "{id} {source}");
        }
    }
}
