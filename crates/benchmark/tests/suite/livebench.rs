//! LiveBench's own functions on generated answers: `tests/golden/livebench.py` and `livebench_tables.py` made what is
//! expected.

use benchmark::{Item, LiveTask, Scoring, score};
use serde_json::Value;

use crate::fixture::item;

const TASKS: [LiveTask; 21] = [
    LiveTask::Contest,
    LiveTask::Aime,
    LiveTask::Proof,
    LiveTask::Amps,
    LiveTask::Integrals,
    LiveTask::Lies,
    LiveTask::LiesInPlace,
    LiveTask::Houses,
    LiveTask::ZebraWord,
    LiveTask::Zebra,
    LiveTask::Spatial,
    LiveTask::Mind,
    LiveTask::Navigation,
    LiveTask::Sudoku,
    LiveTask::Typos,
    LiveTask::ConnectionsBold,
    LiveTask::Connections,
    LiveTask::Plot,
    LiveTask::Columns,
    LiveTask::Join,
    LiveTask::Events,
];

/// Share of cases in which LiveBench asks SymPy and we the verifier that have to agree.
const AGREED: f64 = 0.97;

fn of_task(task: LiveTask, gold: &str, asked: &str) -> Item {
    let scoring = Scoring::LiveBench { task, gold: gold.to_owned() };
    Item { question: asked.to_owned(), gold: gold.to_owned(), ..item(scoring) }
}

/// The format and both readers, text around a table, values otherwise written.
#[test]
fn tables_score_as_livebench_scores_them() {
    let golden: Value =
        serde_json::from_str(include_str!("../golden/livebench_tables.json")).expect("JSON");
    let cases = golden["cases"].as_array().expect("cases");
    let score = |case: &&Value| {
        let text = |key: &str| case[key].as_str().expect("a text");
        let task = if text("task") == "Table" { LiveTask::Table } else { LiveTask::TableNewer };
        let item = of_task(task, text("gold"), text("asked"));
        score(&item, text("answer"), None).expect("a score").strict
    };
    let differing: Vec<String> = cases
        .iter()
        .filter(|case| Some(score(case)) != case["expected"].as_f64())
        .map(Value::to_string)
        .collect();
    assert!(differing.is_empty(), "{} differ:\n{}", differing.len(), differing.join("\n"));
    let num_right = cases.iter().filter(|case| case["expected"] == 1.0).count();
    assert!(num_right > cases.len() / 3, "{num_right} of {}", cases.len());
}

#[test]
fn answers_score_as_livebench_scores_them() {
    let golden: Value =
        serde_json::from_str(include_str!("../golden/livebench.json")).expect("JSON");
    let asked = golden["asked"].as_str().expect("a question");
    let (mut differing, mut expressions, mut num_expressions) = (Vec::new(), Vec::new(), 0);
    for case in golden["cases"].as_array().expect("cases") {
        let name = case["task"].as_str().expect("a task");
        let task =
            TASKS.into_iter().find(|task| format!("{task:?}") == name).expect("a task of ours");
        let gold = case["gold"].as_str().expect("a text");
        let answer = case["answer"].as_str().expect("a text");
        let found = score(&of_task(task, gold, asked), answer, None).expect("a score").strict;
        let is_same = (found - case["expected"].as_f64().expect("a number")).abs() < 1e-4;
        let is_expression = matches!(task, LiveTask::Amps | LiveTask::Integrals);
        num_expressions += usize::from(is_expression);
        match (is_same, is_expression) {
            (true, _) => {}
            (false, true) => expressions.push(format!("{found}: {case}")),
            (false, false) => differing.push(format!("{found}: {case}")),
        }
    }
    assert!(differing.is_empty(), "{} differ:\n{}", differing.len(), differing.join("\n"));
    let agreed = 1.0 - expressions.len() as f64 / num_expressions as f64;
    assert!(agreed >= AGREED, "{agreed:.3} of {num_expressions}:\n{}", expressions.join("\n"));
}
