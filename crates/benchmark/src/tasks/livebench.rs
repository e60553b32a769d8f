//! LiveBench (arXiv:2406.19314): `livebench/math`, `reasoning`, `language`, `data_analysis`,
//! `instruction_following` and `coding`, a parquet file each.
//!
//! Prompt: the file's first turn. Score: LiveBench/LiveBench, `livebench/gen_ground_truth_judgment.py` and
//! `livebench/process_results`, by task and, where the rule changed, by release date. Items of `tablereformat` (whose
//! rule is pandas' reading of tables), `code_generation` and `code_completion` (unit tests over BigCodeBench's
//! libraries), `agentic_coding` and IFBench's instructions are reported as items that cannot be asked.

use super::{Draft, livecodebench};
use crate::item::{Item, LiveTask, Scoring};
use crate::prompt::after;
use crate::table::Row;
use crate::task::{Figures, Hub, Reading, Task};

pub(super) const TASK: Task = Task {
    name: "livebench",
    title: "LiveBench",
    hubs: &[
        Hub { repo: "livebench/math", files: &["test-"] },
        Hub { repo: "livebench/reasoning", files: &["test-"] },
        Hub { repo: "livebench/language", files: &["test-"] },
        Hub { repo: "livebench/data_analysis", files: &["test-"] },
        Hub { repo: "livebench/instruction_following", files: &["test-"] },
        Hub { repo: "livebench/coding", files: &["test-"] },
    ],
    keep: &[],
    skip: &["judgment", "model_answer"],
    item,
    figures: Figures::Macro,
};

/// Release of the questions from which newer rules hold.
const NEWER: &str = "2024-11-25";

fn item(row: &Row, _: &mut Reading) -> Result<Option<Item>, String> {
    let mut draft = Draft::new(row, &["turns"], &["question_id"], &["category"])?;
    let turns = row.list("turns")?;
    let [asked] = &turns[..] else {
        return Err(format!("{} turns, expected one", turns.len()));
    };
    draft.question.clone_from(asked);
    let task = row.text("task")?;
    let parts = after(&[], asked);
    let is_of_instructions = draft.subject == "instruction_following";
    // A category is the mean of its tasks, the score that of the categories.
    draft.subject = format!("{}/{task}", draft.subject);
    if is_of_instructions || row.cell("instruction_id_list").is_some() {
        let instructions = super::ifeval::instructions(row)?;
        let gold = format!("{} instructions", instructions.len());
        return draft.item(parts, gold, Scoring::Followed(instructions));
    }
    if ["LCB_generation", "coding_completion"].contains(&task.as_str()) {
        let program = livecodebench::program(row)?;
        let gold = format!("{} tests", program.tests.len());
        return draft.item(parts, gold, Scoring::Program(program));
    }
    let kind = row.optional("subtask").unwrap_or_else(|| task.clone());
    let is_newer = released(row).is_none_or(|released| released.as_str() >= NEWER);
    let rule = rule(&task, &kind, is_newer);
    let rule = rule.ok_or_else(|| format!("task {task:?} of LiveBench has no rule here"))?;
    let gold = row.text("ground_truth")?;
    draft.item(parts, gold.clone(), Scoring::LiveBench { task: rule, gold })
}

/// The date of release, without a time.
fn released(row: &Row) -> Option<String> {
    Some(row.optional("livebench_release_date")?.chars().take(10).collect())
}

fn rule(task: &str, kind: &str, is_newer: bool) -> Option<LiveTask> {
    let parts: Vec<&str> = kind.split('_').collect();
    if ["amc", "smc"].contains(&parts[0]) || parts.get(1) == Some(&"amc") {
        return Some(LiveTask::Contest);
    }
    if [task, kind].iter().any(|name| name.to_lowercase().contains("amps_hard")) {
        return Some(LiveTask::Amps);
    }
    Some(match (parts[0], kind) {
        ("aime", _) => LiveTask::Aime,
        ("imo" | "usamo", _) => LiveTask::Proof,
        (_, "integrals_with_game") => LiveTask::Integrals,
        (_, "web_of_lies_v2") => LiveTask::Lies,
        (_, "web_of_lies_v3") => LiveTask::LiesInPlace,
        (_, "house_traversal") => LiveTask::Houses,
        _ if kind.contains("zebra_puzzle") => match is_newer {
            true => LiveTask::Zebra,
            false => LiveTask::ZebraWord,
        },
        (_, "spatial") => LiveTask::Spatial,
        (_, "theory_of_mind") => LiveTask::Mind,
        (_, "logic_with_navigation") => LiveTask::Navigation,
        (_, "sudoku") => LiveTask::Sudoku,
        (_, "typos") => LiveTask::Typos,
        (_, "connections") if is_newer => LiveTask::Connections,
        (_, "connections") => LiveTask::ConnectionsBold,
        (_, "plot_unscrambling") => LiveTask::Plot,
        (_, "cta") => LiveTask::Columns,
        (_, "tablejoin") => LiveTask::Join,
        (_, "consecutive_events") => LiveTask::Events,
        _ => return None,
    })
}
