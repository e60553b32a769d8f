//! LiveBench (arXiv:2406.19314): `livebench/math`, `reasoning`, `language`, `data_analysis`,
//! `instruction_following` and `coding`, a parquet file each.
//!
//! Tasks that are scored by rule are; `tablereformat`, `olympiad`, `code_completion` and ifbench-like ones without
//! known checks are reported as items that cannot be asked.

use super::{Draft, livecodebench};
use crate::item::{Comparing, Item, Scoring, Wording};
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

fn item(row: &Row, _: &mut Reading) -> Result<Option<Item>, String> {
    let mut draft = Draft::new(row, &["turns"], &["question_id"], &["category"])?;
    let turns = row.list("turns")?;
    let [asked] = &turns[..] else {
        return Err(format!("{} turns, expected one", turns.len()));
    };
    draft.question.clone_from(asked);
    let task = row.text("task")?;
    // A category is the mean of its tasks, the score that of the categories.
    draft.subject = format!("{}/{task}", draft.subject);
    let parts = after(&[], asked);
    if row.cell("instruction_id_list").is_some() {
        let instructions = super::ifeval::instructions(row)?;
        let gold = format!("{} instructions", instructions.len());
        return draft.item(parts, gold, Scoring::Instructions(instructions));
    }
    if task == "LCB_generation" {
        let program = livecodebench::program(row)?;
        let gold = format!("{} tests", program.tests.len());
        return draft.item(parts, gold, Scoring::Program(program));
    }
    let gold = row.text("ground_truth")?;
    let scoring = scoring(&task, &gold).ok_or_else(|| format!("task {task:?} has no rule"))?;
    draft.item(parts, gold, scoring)
}

fn scoring(task: &str, gold: &str) -> Option<Scoring> {
    let golds = vec![gold.to_owned()];
    let words = |how| Some(Scoring::Words { golds: golds.clone(), how });
    match task {
        "AMPS_Hard" => Some(Scoring::Open { golds, how: Comparing::Mathematics }),
        "math_comp" | "zebra_puzzle" | "spatial" | "cta" => {
            let is_number = gold.trim().parse::<i64>().is_ok();
            let how = if is_number { Comparing::Mathematics } else { Comparing::Words };
            match gold.trim().len() == 1 && !is_number {
                // Letters are asked for repeated: AAAAA.
                true => words(Wording::Contained),
                false => Some(Scoring::Open { golds, how }),
            }
        }
        "web_of_lies_v2" | "web_of_lies_v3" => words(Wording::InPlace),
        "connections" => words(Wording::Groups),
        "typos" => words(Wording::Contained),
        "plot_unscrambling" => words(Wording::Order),
        _ => None,
    }
}
