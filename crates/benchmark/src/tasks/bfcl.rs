//! BFCL v3 (gorilla.cs.berkeley.edu), one turn by syntax tree, irrelevance, and several turns by execution:
//! `gorilla-llm/Berkeley-Function-Calling-Leaderboard`, `BFCL_v3_*.json`, `possible_answer/` and
//! `multi_turn_func_doc/` beside them, and for several turns the `func_source_code/` of gorilla.
//!
//! Prompt and score: ShishirPatil/gorilla, `berkeley-function-call-leaderboard/bfcl_eval/constants/default_prompts.py`
//! (the prompt of version 3, `_DEFAULT_SYSTEM_PROMPT`), `model_handler/utils.py`, `utils.py` (the note on the language)
//! and `eval_checker/ast_eval/ast_checker.py`. Functions are listed as JSON.

mod functions;
mod turns;

use std::path::Path;

use schema::{Content, Message, Role};
use serde_json::Value;

use self::functions::described;
use super::Draft;
use crate::item::{Expected, Item, Language, Scoring};
use crate::python::Call;
use crate::table::Row;
use crate::task::{Figures, Hub, Reading, Task};

pub(super) const TASK: Task = Task {
    name: "bfcl",
    title: "BFCL",
    hubs: &[Hub {
        repo: "gorilla-llm/Berkeley-Function-Calling-Leaderboard",
        files: &["BFCL_v3_", "multi_turn_func_doc"],
    }],
    keep: &["bfcl_"],
    // What the leaderboard does not count, and what version 4 adds.
    skip: &[
        "possible_answer",
        "exec_",
        "rest",
        "sql",
        "chatable",
        "composite",
        "func_doc",
        "memory",
        "web_search",
        "format_sensitivity",
    ],
    item,
    figures: Figures::Bfcl,
};

/// The benchmark's words for models that are prompted; both styles.
const SYSTEM: &str = "You are an expert in composing functions. You are given a question and a set of possible functions. Based on the question, you will need to make one or more function/tool calls to achieve the purpose.\nIf none of the functions can be used, point it out. If the given question lacks the parameters required by the function, also point it out.\nYou should only return the function calls in your response.\n\nIf you decide to invoke any of the function(s), you MUST put it in the format of [func_name1(params_name1=params_value1, params_name2=params_value2...), func_name2(params)]\nYou SHOULD NOT include any other text in the response.\n\nAt each turn, you should try your best to complete the tasks requested by the user within the current turn. Continue to output functions to call until you have fulfilled the user's request to the best of your ability. Once you have no more functions to call, the system will consider the current turn complete and proceed to the next turn or task.\n\nHere is a list of functions in JSON format that you can invoke.\n";

fn item(row: &Row, reading: &mut Reading) -> Result<Option<Item>, String> {
    let mut draft = Draft::new(row, &["question"], &["id"], &[])?;
    let stem = row.path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let category = ["BFCL_v3_", "BFCL_v4_"]
        .iter()
        .fold(stem.as_str(), |stem, start| stem.trim_start_matches(start));
    draft.subject = category.to_owned();
    let (messages, gold, scoring) = match category.contains("multi_turn") {
        true => several_turns(row, &draft.id, reading)?,
        false => one_turn(row, &draft.id, category, reading)?,
    };
    draft.question = asked(&messages);
    let item = draft.item(Vec::new(), gold, scoring)?;
    Ok(item.map(|mut item| {
        item.prompt.messages = messages;
        item
    }))
}

/// What is said last.
fn asked(messages: &[Message]) -> String {
    match messages.last().map(|message| &message.content) {
        Some(Content::Text(text)) => text.clone(),
        _ => String::new(),
    }
}

fn several_turns(
    row: &Row,
    id: &str,
    reading: &mut Reading,
) -> Result<(Vec<Message>, String, Scoring), String> {
    let truth = truth(row, id, reading)?;
    let (messages, turns) = turns::read(row, &truth, reading)?;
    let calls = turns.expected.iter().enumerate();
    let gold = calls.map(|(place, calls)| format!("turn {}: {}", place + 1, calls.join(", ")));
    let gold = gold.collect::<Vec<_>>().join("\n");
    Ok((messages, gold, Scoring::Turns(turns)))
}

fn one_turn(
    row: &Row,
    id: &str,
    category: &str,
    reading: &mut Reading,
) -> Result<(Vec<Message>, String, Scoring), String> {
    let language = language(category);
    let functions = match row.cell("function") {
        Some(Value::Array(functions)) => functions.clone(),
        _ => return Err("column `function` is no list".to_owned()),
    };
    let said = only_turn(row)?;
    // Nothing is the right call to an irrelevant function, and any to a relevant one.
    let is_irrelevant = category.contains("irrelevance");
    let is_any = category.contains("relevance") && !is_irrelevant;
    let calls = match is_irrelevant || is_any {
        true => Vec::new(),
        false => expected(&truth(row, id, reading)?)?,
    };
    let gold = if is_any { "any call".to_owned() } else { spelled(&calls) };
    let messages = messages(system(&described(&functions, language)), said);
    let is_ordered = !category.contains("parallel");
    let expected = Expected { functions, calls, is_ordered, is_any, language };
    Ok((messages, gold, Scoring::Calls(expected)))
}

/// The benchmark's words with the functions that there are.
fn system(described: &[Value]) -> String {
    format!("{SYSTEM}{}\n", Value::from(described))
}

fn spelled(calls: &[Call]) -> String {
    let one = |call: &Call| format!("{}({})", call.name, Value::Object(call.arguments.clone()));
    match calls.is_empty() {
        true => "no call".to_owned(),
        false => calls.iter().map(one).collect::<Vec<_>>().join(", "),
    }
}

fn language(category: &str) -> Language {
    match category {
        _ if category.contains("javascript") => Language::JavaScript,
        _ if category.contains("java") => Language::Java,
        _ => Language::Python,
    }
}

/// The messages of the first turn, with the benchmark's words before the item's own instruction.
fn messages(system: String, turns: Vec<(Role, String)>) -> Vec<Message> {
    let turn = |role, text: String| Message { role, content: Content::Text(text) };
    let (own, said): (Vec<_>, Vec<_>) =
        turns.into_iter().partition(|(role, _)| *role == Role::System);
    let own = own.into_iter().map(|(_, text)| format!("\n\n{text}"));
    let system = system + &own.collect::<String>();
    let said = said.into_iter().map(|(role, text)| turn(role, text));
    [turn(Role::System, system)].into_iter().chain(said).collect()
}

/// The messages of the only turn: `[[{"role": …, "content": …}]]`.
fn only_turn(row: &Row) -> Result<Vec<(Role, String)>, String> {
    match row.cell("question").and_then(Value::as_array).map(Vec::as_slice) {
        Some([turn]) => turn_of(turn),
        Some(turns) => Err(format!("{} turns where one is expected", turns.len())),
        None => Err("`question` is no list".to_owned()),
    }
}

/// The messages of a turn.
fn turn_of(turn: &Value) -> Result<Vec<(Role, String)>, String> {
    let message = |message: &Value| {
        let role = match message["role"].as_str() {
            Some("system") => Role::System,
            Some("assistant") => Role::Assistant,
            _ => Role::User,
        };
        Some((role, message["content"].as_str()?.to_owned()))
    };
    let messages = turn.as_array().ok_or("a turn that is no list")?;
    messages.iter().map(message).collect::<Option<_>>().ok_or("a message without text".to_owned())
}

/// The known answer, in the row or in the file of its name beside it.
fn truth(row: &Row, id: &str, reading: &mut Reading) -> Result<Value, String> {
    if let Some(own) = row.cell("ground_truth") {
        return Ok(own.clone());
    }
    let folder = row.path.parent().unwrap_or(Path::new(""));
    let name = row.path.file_name().unwrap_or_default();
    let answer = reading.beside(&folder.join("possible_answer").join(name), "id", id)?;
    Ok(answer.cell("ground_truth").cloned().unwrap_or(Value::Null))
}

fn expected(truth: &Value) -> Result<Vec<Call>, String> {
    let calls = truth.as_array().ok_or("`ground_truth` is no list")?;
    let call = |call: &Value| {
        let (name, arguments) = call.as_object()?.iter().next()?;
        Some(Call { name: name.clone(), arguments: arguments.as_object()?.clone() })
    };
    calls
        .iter()
        .map(call)
        .collect::<Option<_>>()
        .ok_or("an expected call without arguments".to_owned())
}
