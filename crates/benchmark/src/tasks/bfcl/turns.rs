//! Rows of several turns: their classes and functions, from the folders of the benchmark's that lie beside them.
//!
//! `multi_turn_func_doc/` is published with the rows; `func_source_code/` is the folder of that name in gorilla
//! (`bfcl_eval/eval_checker/multi_turn_eval`), which the user copies.

use std::collections::BTreeMap;
use std::path::Path;

use schema::{Content, Message, Role};
use serde_json::Value;

use super::functions::described;
use super::{messages, system, turn_of};
use crate::item::Language;
use crate::table::Row;
use crate::task::Reading;
use crate::turns::{Turns, World};

/// Where functions are described.
const DOCUMENTS: &str = "multi_turn_func_doc";

/// Where they are defined.
const SOURCES: &str = "func_source_code";

/// What the benchmark says in the turn in which functions are added.
const ADDED: &str = "I have updated some more functions you can choose from. What about now?";

/// The first prompt of a row of several turns, and what follows.
pub(super) fn read(
    row: &Row,
    truth: &Value,
    reading: &mut Reading,
) -> Result<(Vec<Message>, Turns), String> {
    let folder = row.path.parent().unwrap_or(Path::new(""));
    let modules = reading.sources(&folder.join(SOURCES))?;
    let classes = names(row.cell("involved_classes"), "involved_classes")?;
    let classes: Vec<_> =
        classes.into_iter().map(|class| with_module(class, &modules)).collect::<Result<_, _>>()?;
    let mut functions = Vec::new();
    for (_, module) in &classes {
        let path = folder.join(DOCUMENTS).join(format!("{module}.json"));
        functions.extend(documents(&path)?);
    }
    let held = held_out(row, &mut functions);
    let asked = row.cell("question").and_then(Value::as_array).ok_or("`question` is no list")?;
    let mut asked = asked.iter().map(turn_of).collect::<Result<Vec<_>, String>>()?;
    for (turn, functions) in held {
        let said = format!("{}\n{ADDED}", Value::Array(functions));
        asked.get_mut(turn).ok_or("`missed_function` names no turn")?.push((Role::User, said));
    }
    let system = system(&described(&functions, Language::Python));
    let first = messages(system, asked.first().cloned().unwrap_or_default());
    let message = |(role, text)| Message { role, content: Content::Text(text) };
    let asked = asked.into_iter().map(|turn| turn.into_iter().map(message).collect()).collect();
    let expected = truth.as_array().ok_or("`ground_truth` is no list")?;
    let expected = expected.iter().map(|calls| names(Some(calls), "ground_truth"));
    let world = World {
        classes,
        modules,
        config: row
            .cell("initial_config")
            .cloned()
            .unwrap_or_else(|| Value::Object(Default::default())),
        long_context: row.text("id")?.contains("long_context"),
    };
    let turns = Turns { asked, expected: expected.collect::<Result<_, _>>()?, world };
    match turns.asked.len() == turns.expected.len() {
        true => Ok((first, turns)),
        false => {
            Err(format!("{} turns, and calls for {}", turns.asked.len(), turns.expected.len()))
        }
    }
}

/// A list of texts.
fn names(list: Option<&Value>, what: &str) -> Result<Vec<String>, String> {
    let list = list.and_then(Value::as_array).ok_or_else(|| format!("`{what}` is no list"))?;
    let name = |name: &Value| name.as_str().map(str::to_owned);
    list.iter().map(name).collect::<Option<_>>().ok_or_else(|| format!("`{what}` has no texts"))
}

/// A class with the module that defines it.
fn with_module(
    class: String,
    modules: &BTreeMap<String, String>,
) -> Result<(String, String), String> {
    let defines = |text: &&String| {
        let rests = text.lines().filter_map(|line| line.strip_prefix("class "));
        rests
            .filter_map(|rest| rest.strip_prefix(class.as_str()))
            .any(|rest| rest.starts_with([':', '(']))
    };
    let found = modules.iter().find(|(_, text)| defines(text)).map(|(name, _)| name.clone());
    let name = found.ok_or_else(|| format!("no file of `{SOURCES}` has the class {class}"))?;
    Ok((class, name))
}

/// The functions of a class, a line each.
fn documents(path: &Path) -> Result<Vec<Value>, String> {
    let told = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    let text = std::fs::read_to_string(path).map_err(|error| told(&error))?;
    let lines = text.lines().filter(|line| !line.trim().is_empty());
    lines.map(|line| serde_json::from_str(line).map_err(|error| told(&error))).collect()
}

/// The functions that are kept back, by the turn in which they are added.
fn held_out(row: &Row, functions: &mut Vec<Value>) -> Vec<(usize, Vec<Value>)> {
    let missed = row.cell("missed_function").and_then(Value::as_object);
    let mut take = |name: &Value| {
        let place = functions.iter().position(|function| function["name"] == *name)?;
        Some(functions.remove(place))
    };
    let mut turn = |(turn, names): (&String, &Value)| {
        let names = names.as_array().map_or(&[][..], Vec::as_slice);
        Some((turn.parse().ok()?, names.iter().filter_map(&mut take).collect()))
    };
    missed.into_iter().flatten().filter_map(&mut turn).collect()
}
