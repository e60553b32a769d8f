//! Tasks of several turns, in which calls are executed (BFCL).
//!
//! ```text
//! prompt ─► answer ─┬─ calls ─► sandbox ─► results ─► the next step
//!                   └─ none ──────────────────────► the next turn
//! all turns ─► sandbox: the calls that are expected, executed beside ─► states and results compared
//! ```
//!
//! As gorilla's `bfcl_eval/model_handler/base_handler.py` (prompting), `eval_checker/multi_turn_eval/multi_turn_checker.py`
//! and `multi_turn_utils.py`. The classes are the user's copy of the published ones; nothing of them, and no word of a
//! model, is executed outside the sandbox. Each step executes those before it anew.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use reward::after_thought;
use schema::{Content, Message, Role, Sample};
use serde_json::{Value, json};

use crate::item::{Item, Scoring};
use crate::sandbox::{Sandbox, mark};
use crate::score::{Marks, share};

/// Executes and compares, inside the sandbox.
const WORLD: &str = include_str!("turns/world.py");

/// After more steps of one turn than this the conversation ends.
const MAX_STEPS: usize = 20;

/// What is asked turn by turn, and what should come of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Turns {
    /// What is said at the beginning of each turn; that of the first is in the prompt.
    pub asked: Vec<Vec<Message>>,
    /// The calls that are expected in each turn, in Python; none where nothing can be done.
    pub expected: Vec<Vec<String>>,
    /// What they are called on.
    pub world: World,
}

/// Classes, and the states that they begin with.
#[derive(Clone, Debug, PartialEq)]
pub struct World {
    /// Each class with its module.
    pub classes: Vec<(String, String)>,
    /// The texts of all modules.
    pub modules: Arc<BTreeMap<String, String>>,
    /// What each class begins with, by its name.
    pub config: Value,
    /// Whether it begins with much that does not matter.
    pub long_context: bool,
}

/// A conversation under way.
#[derive(Debug)]
pub struct Dialogue<'a> {
    turns: &'a Turns,
    prompt: Sample,
    num_given: usize,
    said: Vec<Vec<String>>,
    is_over: bool,
}

impl<'a> Dialogue<'a> {
    /// The beginning of an item's conversation, if it is one.
    pub fn of(item: &'a Item) -> Option<Self> {
        let Scoring::Turns(turns) = &item.scoring else { return None };
        Some(Self {
            turns,
            prompt: item.prompt.clone(),
            num_given: item.prompt.messages.len(),
            said: vec![Vec::new()],
            is_over: false,
        })
    }

    /// What the model is asked next; nothing at the end.
    pub fn prompt(&self) -> Option<&Sample> {
        (!self.is_over).then_some(&self.prompt)
    }

    /// What the model said, by turn and step, thoughts included.
    pub fn said(&self) -> &[Vec<String>] {
        &self.said
    }

    /// The conversation after the first prompt, for people.
    pub fn transcript(&self) -> String {
        let line = |message: &Message| match &message.content {
            Content::Text(text) => format!("[{}]\n{text}", message.role.as_str()),
            Content::Parts(_) => String::new(),
        };
        let messages = &self.prompt.messages[self.num_given..];
        messages.iter().map(line).collect::<Vec<_>>().join("\n\n")
    }

    /// Takes what the model said: executes its calls, or goes on to the next turn.
    ///
    /// # Errors
    /// When no program can be started, or the classes do not load.
    pub fn take(&mut self, response: String, sandbox: Option<&Sandbox>) -> Result<(), String> {
        self.say(Role::Assistant, answer(&response).to_owned());
        self.said.last_mut().expect("a turn is under way").push(response);
        let Some(found) = self.turns.ask(&self.said, None, sandbox)? else {
            // What takes too long is not gone on with, and is wrong in the end.
            self.is_over = true;
            return Ok(());
        };
        if found["num_calls"].as_u64().unwrap_or(0) == 0 {
            self.next_turn();
            return Ok(());
        }
        self.say(Role::User, found["told"].as_str().unwrap_or_default().to_owned());
        self.is_over = self.said.last().is_some_and(|steps| steps.len() > MAX_STEPS);
        Ok(())
    }

    fn next_turn(&mut self) {
        match self.turns.asked.get(self.said.len()) {
            Some(messages) => {
                self.prompt.messages.extend(messages.iter().cloned());
                self.said.push(Vec::new());
            }
            None => self.is_over = true,
        }
    }

    fn say(&mut self, role: Role, text: String) {
        self.prompt.messages.push(Message { role, content: Content::Text(text) });
    }
}

/// A response without its thought; nothing where that was not closed.
fn answer(response: &str) -> &str {
    after_thought(response).map_or("", str::trim)
}

impl Turns {
    /// Has the sandbox execute what was said: up to its last step, or compared with what is expected. Nothing where
    /// that did not end well.
    fn ask(
        &self,
        said: &[Vec<String>],
        expected: Option<&[Vec<String>]>,
        sandbox: Option<&Sandbox>,
    ) -> Result<Option<Value>, String> {
        let sandbox = sandbox.ok_or("no sandbox: calls are not executed without one")?;
        let said: Vec<Vec<&str>> =
            said.iter().map(|steps| steps.iter().map(|said| answer(said)).collect()).collect();
        let world = &self.world;
        let mark = mark();
        let task = json!({
            "mark": mark, "modules": *world.modules, "classes": world.classes, "config": world.config,
            "long_context": world.long_context, "said": said, "expected": expected,
        });
        let ran = sandbox.run(WORLD, &task.to_string())?;
        let found = ran.behind(&mark).and_then(|told| serde_json::from_str::<Value>(told).ok());
        match found.as_ref().map(|found| found["broken"].as_str()) {
            Some(Some(reason)) => Err(format!("the classes do not load: {reason}")),
            // What is stopped says nothing; our program, where it fails, says where.
            None if ran.stderr.contains("Error") => Err(format!(
                "calls cannot be executed: {}",
                ran.stderr.lines().last().unwrap_or("")
            )),
            _ => Ok(found),
        }
    }
}

/// Scores a conversation: in every turn the states and results that are expected, or nothing.
///
/// # Errors
/// When no program can be started, or the classes do not load.
pub(crate) fn marks(
    said: &[Vec<String>],
    turns: &Turns,
    sandbox: Option<&Sandbox>,
) -> Result<Marks, String> {
    let (num_said, num_turns) = (said.len(), turns.expected.len());
    let why = if num_said == num_turns {
        match turns.ask(said, Some(&turns.expected), sandbox)? {
            Some(found) => found["why"].as_str().map(str::to_owned),
            None => Some("the calls did not end in time".to_owned()),
        }
    } else {
        Some(format!("ended in turn {num_said} of {num_turns}"))
    };
    let score = share(why.is_none());
    let num_steps = said.iter().map(Vec::len).sum::<usize>();
    Ok(Marks {
        strict: score,
        lenient: score,
        prediction: Some(format!("{num_steps} steps in {num_said} turns")),
        why: why.unwrap_or_else(|| "right".to_owned()),
        ..Marks::default()
    })
}

/// The texts of a folder's modules by their names.
///
/// # Errors
/// When there is no such folder, or a file cannot be read.
pub(crate) fn sources(folder: &Path) -> Result<Arc<BTreeMap<String, String>>, String> {
    let told = |error: std::io::Error| {
        format!(
            "tasks of several turns need the benchmark's `func_source_code` (gorilla, \
             bfcl_eval/eval_checker/multi_turn_eval): {}: {error}",
            folder.display()
        )
    };
    let mut modules = BTreeMap::new();
    for entry in std::fs::read_dir(folder).map_err(told)? {
        let path = entry.map_err(told)?.path();
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        if path.extension().is_some_and(|end| end == "py") && name != "__init__" {
            modules.insert(name, std::fs::read_to_string(&path).map_err(told)?);
        }
    }
    Ok(Arc::new(modules))
}
