//! A stage's table as the command line would have it, and what the command makes of that.
//!
//! Keys are the command's own: options of clap, or the keys of its recipe. So a new command or a new key is a
//! stage's from the day it exists.

use std::path::Path;

use ::clap::{Arg, ArgAction, FromArgMatches as _};
use anyhow::{Result, anyhow, bail, ensure};
use recipes::config::{Recipe, load};
use recipes::run::shaping_text;
use toml::{Table, Value};

use crate::args::{Cli, Command, EvalArgs, PreferencesCommand, RecipeArgs, RewardCommand};
use crate::commands::distill::DistillRecipe;
use crate::commands::eval::{EvalConfig, TasksConfig, are_tasks_named};
use crate::commands::iterative_sft;
use crate::commands::reward::data::CurateRecipe;
use crate::overrides;

/// Commands that make nothing a later stage could use or do not end by themselves, or that run stages themselves.
const NO_STAGES: [&str; 4] = ["run", "demo", "chat", "serve"];

/// The option that carries a recipe's keys.
const SET: &str = "set";

/// Every key that a stage with this command may have.
pub(super) fn keys(command: &str) -> Result<Vec<String>> {
    let words: Vec<&str> = command.split_whitespace().collect();
    let of_recipe = overrides::keys(&words).into_iter().flatten().map(str::to_owned);
    let options = declaration(command)?;
    let options = options.get_arguments().filter(|option| option.get_long() != Some(SET)).map(key);
    Ok(of_recipe.chain(options).collect())
}

/// The command of a stage, understood. `folder` is where it writes.
pub(super) fn parse(command: &str, values: &Table, folder: &Path) -> Result<Command> {
    let arguments = arguments(command, values, folder)?;
    let matches = overrides::command().try_get_matches_from(arguments);
    let cli = matches.and_then(|mut matches| Cli::from_arg_matches_mut(&mut matches));
    let command = cli.map_err(|error| anyhow!("{}", first_words(&error.to_string())))?.command;
    settings(&command)?;
    Ok(command)
}

/// All that shapes what a command makes, defaults included: its recipe's keys, or its options.
pub(super) fn settings(command: &Command) -> Result<String> {
    fn read<R: Recipe>(args: &RecipeArgs) -> Result<R> {
        Ok(load(args.config.as_deref(), &args.overrides)?)
    }
    fn of<R: Recipe>(args: &RecipeArgs) -> Result<String> {
        Ok(shaping_text(&read::<R>(args)?)?)
    }
    match command {
        Command::Distill(args) => of::<DistillRecipe>(&args.recipe),
        Command::Sft(args) => of::<recipes::sft::SftConfig>(&args.recipe),
        Command::IterativeSft(args) => {
            let recipe = read(&args.recipe)?;
            iterative_sft::check(&recipe)?;
            Ok(shaping_text(&recipe)?)
        }
        Command::Mpo(args) => of::<recipes::mpo::MpoConfig>(&args.recipe),
        Command::Grpo(args) => of::<recipes::grpo::GrpoConfig>(&args.recipe),
        Command::Eval(EvalArgs { command: None, recipe }) if are_tasks_named(recipe)? => {
            of::<TasksConfig>(recipe)
        }
        Command::Eval(EvalArgs { command: None, recipe }) => of::<EvalConfig>(recipe),
        Command::Reward(RewardCommand::Data(args)) => of::<CurateRecipe>(&args.recipe),
        Command::Reward(RewardCommand::Train(args)) => {
            of::<recipes::reward_model::RewardConfig>(&args.recipe)
        }
        Command::Preferences(PreferencesCommand::Build(args)) => {
            of::<recipes::preferences::PreferencesConfig>(&args.recipe)
        }
        other => Ok(format!("{other:?}")),
    }
}

/// The command's declaration.
fn declaration(command: &str) -> Result<::clap::Command> {
    let mut found = overrides::command();
    let mut known = Vec::new();
    for word in command.split_whitespace() {
        let Some(next) = found.find_subcommand(word) else {
            let known: Vec<&str> = found.get_subcommands().map(::clap::Command::get_name).collect();
            bail!("unknown command `{word}`; the commands are {}", known.join(", "));
        };
        found = next.clone();
        known.push(word.to_owned());
    }
    let inner: Vec<&str> = found.get_subcommands().map(::clap::Command::get_name).collect();
    ensure!(!known.is_empty(), "command = \"\"");
    // Evaluation has commands inside, and does something itself.
    let does_something = found.get_arguments().any(|option| option.get_long() == Some(SET));
    ensure!(
        inner.is_empty() || does_something,
        "command `{command}`: expected one of {}",
        inner.join(", ")
    );
    ensure!(!NO_STAGES.contains(&command), "`{command}` cannot be a stage");
    Ok(found)
}

fn arguments(command: &str, values: &Table, folder: &Path) -> Result<Vec<String>> {
    let declaration = declaration(command)?;
    let mut arguments = vec!["sightline".to_owned()];
    arguments.extend(command.split_whitespace().map(str::to_owned));
    let has_keys = has(&declaration, SET);
    let mut positional = Vec::new();
    for (name, value) in values {
        match declaration.get_arguments().find(|option| key(option) == *name) {
            Some(option) if option.is_positional() => positional.extend(texts(name, value)?),
            Some(option) => arguments.extend(spelled(option, name, value)?),
            None if has_keys => arguments.push(format!("--{SET}={name}={value}")),
            None => {
                let known = keys(command)?.join(", ");
                bail!("unknown key `{name}`; the keys are {known}");
            }
        }
    }
    arguments.extend(output(command, &declaration, folder));
    arguments.extend(positional);
    Ok(arguments)
}

/// The key of an option: its long name as TOML has it.
fn key(option: &Arg) -> String {
    option.get_long().unwrap_or(option.get_id().as_str()).replace('-', "_")
}

fn spelled(option: &Arg, name: &str, value: &Value) -> Result<Vec<String>> {
    let long = option.get_long().unwrap_or_default();
    if !matches!(option.get_action(), ArgAction::SetTrue) {
        return Ok(texts(name, value)?.iter().map(|text| format!("--{long}={text}")).collect());
    }
    match value {
        Value::Boolean(true) => Ok(vec![format!("--{long}")]),
        Value::Boolean(false) => Ok(vec![]),
        other => bail!("{name} = {other}: expected true or false"),
    }
}

/// The texts of an option that is given once, or once for each value of an array.
fn texts(name: &str, value: &Value) -> Result<Vec<String>> {
    match value {
        Value::String(text) => Ok(vec![text.clone()]),
        Value::Integer(_) | Value::Float(_) | Value::Boolean(_) => Ok(vec![value.to_string()]),
        Value::Array(values) => {
            let texts =
                values.iter().map(|value| texts(name, value)).collect::<Result<Vec<_>>>()?;
            Ok(texts.concat())
        }
        other => bail!("{name} = {other}: expected a text, a number or a list of them"),
    }
}

/// Where a command writes: its folder, or a file in it.
fn output(command: &str, declaration: &::clap::Command, folder: &Path) -> Option<String> {
    if has(declaration, SET) {
        return Some(format!("--{SET}=output_dir={}", Value::from(folder.display().to_string())));
    }
    let path = match command.split_whitespace().next() {
        Some("assemble" | "choose" | "data") => folder.to_owned(),
        Some("report") => folder.join("report.html"),
        _ => folder.join("output.jsonl"),
    };
    has(declaration, "output").then(|| format!("--output={}", path.display()))
}

/// Whether a command has an option of this name.
fn has(declaration: &::clap::Command, name: &str) -> bool {
    declaration.get_arguments().any(|option| option.get_long() == Some(name))
}

/// What clap says of an argument, without the usage below it.
fn first_words(text: &str) -> String {
    let text = text.strip_prefix("error: ").unwrap_or(text);
    let text = text.split("\n\nUsage").next().unwrap_or_default();
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
