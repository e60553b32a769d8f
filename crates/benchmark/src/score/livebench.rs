//! LiveBench's rules (LiveBench/LiveBench, `livebench/process_results` and `gen_ground_truth_judgment.py`).
//!
//! Their scores count both strictly and leniently: they forgive form by themselves.

mod closest;
mod data;
mod language;
mod mathematics;
mod reasoning;
mod reformat;

use std::sync::LazyLock;

use regex::Regex;

use super::Marks;
use crate::item::LiveTask;
use reformat::Reader;

pub(crate) use reformat::is_asked_for;

static SOLUTION: LazyLock<Regex> = LazyLock::new(|| pattern(r"<solution>(.*?)</solution>"));
static MISOPENED: LazyLock<Regex> = LazyLock::new(|| pattern(r"</solution>(.*?)</solution>"));
static SOLUTION_OF_LINES: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"(?is)<solution>(.*?)</solution>"));

fn pattern(pattern: &str) -> Regex {
    Regex::new(pattern).expect("a pattern that compiles")
}

/// Scores an answer to a task, `asked` being the question.
pub(super) fn marks(answer: &str, task: LiveTask, gold: &str, asked: &str) -> Marks {
    let score = match task {
        _ if answer.is_empty() => 0.0,
        LiveTask::Contest => mathematics::contest(gold, answer, asked),
        LiveTask::Aime => mathematics::aime(gold, answer),
        LiveTask::Proof => mathematics::proof(gold, answer),
        LiveTask::Amps => mathematics::amps(gold, answer),
        LiveTask::Integrals => mathematics::integrals(gold, answer),
        LiveTask::Lies => reasoning::lies(gold, answer),
        LiveTask::LiesInPlace => reasoning::lies_in_place(gold, answer),
        LiveTask::Houses => reasoning::houses(gold, answer),
        LiveTask::ZebraWord => reasoning::zebra_word(gold, answer),
        LiveTask::Zebra => reasoning::zebra(gold, answer),
        LiveTask::Spatial => reasoning::spatial(gold, answer),
        LiveTask::Mind => reasoning::mind(gold, answer),
        LiveTask::Navigation => reasoning::navigation(gold, answer),
        LiveTask::Sudoku => reasoning::sudoku(gold, answer),
        LiveTask::Typos => language::typos(gold, answer),
        LiveTask::ConnectionsBold => language::connections_in_bold(gold, answer),
        LiveTask::Connections => language::connections(gold, answer),
        LiveTask::Plot => language::plot(gold, answer),
        LiveTask::Columns => data::columns(gold, answer),
        LiveTask::Join => data::join(gold, answer),
        LiveTask::Events => data::events(gold, answer),
        LiveTask::Table => reformat::reformatted(gold, answer, asked, Reader::First),
        LiveTask::TableNewer => reformat::reformatted(gold, answer, asked, Reader::Second),
    };
    let said = solutions(answer).pop().or_else(|| boxed(answer));
    let said = said.or_else(|| answer.lines().last().map(str::to_owned));
    let why = match score {
        0.0 => "not the known answer".to_owned(),
        1.0 => "right".to_owned(),
        part => format!("{:.0} % of it right", 100.0 * part),
    };
    Marks { strict: score, lenient: score, prediction: said, why, ..Marks::default() }
}

/// What stands between the tags for solutions, on one line each.
fn solutions(answer: &str) -> Vec<String> {
    found(&SOLUTION, answer)
}

/// As [`solutions`], or between two closing tags.
fn solutions_or_misopened(answer: &str) -> Vec<String> {
    let found_well = solutions(answer);
    if found_well.is_empty() { found(&MISOPENED, answer) } else { found_well }
}

/// The last solution, which may have several lines.
fn solution_of_lines(answer: &str) -> Option<String> {
    found(&SOLUTION_OF_LINES, answer).pop()
}

fn found(pattern: &Regex, text: &str) -> Vec<String> {
    pattern.captures_iter(text).map(|found| found[1].to_owned()).collect()
}

/// `last_boxed_only_string` and `remove_boxed`: what stands in the last box or frame, dollars aside.
fn boxed(text: &str) -> Option<String> {
    if let Some((_, behind)) = text.rsplit_once("\\boxed ") {
        return Some(behind.split('$').next().unwrap_or_default().to_owned());
    }
    let start = text.rfind("\\boxed").or_else(|| text.rfind("\\fbox"))?;
    let command = &text[start..];
    let inside = command.strip_prefix("\\boxed{").or_else(|| command.strip_prefix("\\fbox{"))?;
    let mut depth = 1usize;
    for (place, c) in inside.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return Some(inside[..place].replace('$', ""));
        }
    }
    None
}

/// As [`boxed`], without what sets it upright.
fn boxed_text(text: &str) -> Option<String> {
    boxed(text).map(|boxed| boxed.replace("\\text{", "").replace(['}', '\\'], ""))
}

/// Half for all, half for the share.
fn half_for_all(num_right: usize, num: usize) -> f64 {
    let share = num_right as f64 / num.max(1) as f64;
    f64::midpoint(if num_right == num { 1.0 } else { 0.0 }, share)
}

/// The edit distance of two sequences.
fn distance<T: PartialEq>(a: &[T], b: &[T]) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, left) in a.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, right) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(left != right);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests;
