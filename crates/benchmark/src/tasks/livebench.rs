//! LiveBench (arXiv:2406.19314): `livebench/math`, `reasoning`, `language`, `data_analysis`,
//! `instruction_following` and `coding`, a parquet file each.
//!
//! Prompt: the file's first turn. Score: LiveBench/LiveBench, `livebench/gen_ground_truth_judgment.py` and
//! `livebench/process_results`, by task and, where the rule changed, by release date. Items of `agentic_coding`, which
//! need Docker and the repositories they are about, and IFBench's instructions are reported as items that cannot be
//! asked.

use std::time::Duration;

use super::{Draft, livecodebench};
use crate::code::Program;
use crate::item::{Item, LiveTask, Scoring};
use crate::prompt::after;
use crate::score::livebench::is_asked_for;
use crate::suite::Suite;
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

/// That from which tables are asked for and read otherwise.
const NEWER_TABLES: &str = "2025-04-25";

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
    match task.as_str() {
        "LCB_generation" | "coding_completion" => {
            let begun = row.optional("partial_solution");
            let tests = livecodebench::program(row)?;
            let program = Program { begun, is_bare_allowed: true, ..tests };
            let gold = format!("{} tests", program.tests.len());
            draft.item(parts, gold, Scoring::Program(program))
        }
        "code_generation" | "code_completion" => {
            draft.item(parts, "unit tests".to_owned(), Scoring::Suite(suite(row)?))
        }
        "agentic_coding" => Err("agentic coding needs Docker and a repository".to_owned()),
        _ => {
            let rule = rule_of(row, &task, asked)?;
            let gold = row.text("ground_truth")?;
            draft.item(parts, gold.clone(), Scoring::LiveBench { task: rule, gold })
        }
    }
}

/// The unit tests of a problem; LiveBench adds three seconds to what the known solution takes, and two to end in.
fn suite(row: &Row) -> Result<Suite, String> {
    let expected = row.text("expected_time")?;
    let seconds: Option<f64> = expected.parse().ok();
    let seconds = seconds.filter(|seconds| (0.0..=3600.0).contains(seconds));
    let seconds = seconds.ok_or_else(|| format!("column `expected_time` is {expected}"))?;
    Ok(Suite {
        tests: row.text("tests")?,
        function: row.text("entry_point")?,
        opening: row.text("code_prompt")?,
        begun: row.optional("partial_solution"),
        time: Duration::from_secs_f64(seconds + 5.0),
    })
}

fn rule_of(row: &Row, task: &str, asked: &str) -> Result<LiveTask, String> {
    let kind = row.optional("subtask").unwrap_or_else(|| task.to_owned());
    let is_from = |date| released(row).is_none_or(|released| released.as_str() >= date);
    if kind == "tablereformat" {
        let is_newer = is_from(NEWER_TABLES);
        return match (is_asked_for(asked, is_newer), is_newer) {
            (false, _) => Err("the question names no format that is known".to_owned()),
            (true, false) => Ok(LiveTask::Table),
            (true, true) => Ok(LiveTask::TableNewer),
        };
    }
    rule(task, &kind, is_from(NEWER))
        .ok_or_else(|| format!("task {task:?} of LiveBench has no rule here"))
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
