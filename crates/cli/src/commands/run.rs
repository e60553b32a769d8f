//! `sightline run`: a whole pipeline from one file.
//!
//! ```text
//! recipe.toml ─► stages ─► what each is, and what it is made from ─► fingerprints ─► done, to do, changed
//!                                                                                      │
//!                  stage.json in its folder ◄── the command, in this process ◄── next ─┘
//! ```
//!
//! A stage is a command with its own keys, run by the same function as on the command line. What makes a
//! stage go on after a kill is the command's affair; here it is only decided which one is next.

use std::time::Instant;

use ::eval::{Summary, table};
use anyhow::{Context as _, Result};
use engine::LockedFile;
use serde::Serialize;
use serde_json::Value;

use super::choose;
use crate::Context;
use crate::args::RunArgs;
use crate::output::{Output, Table};

mod recipe;
mod reference;
mod invocation;
mod marker;
mod plan;
mod aside;

use aside::set_aside;
use marker::Marker;
use plan::{Planned, State, plan};
use recipe::Pipeline;

/// Name of the file whose lock keeps a second process out of the folder.
const LOCK_FILE: &str = ".run.lock";

/// Runs what is not done yet, or says what that is.
pub(crate) fn run(args: &RunArgs, context: &Context) -> Result<()> {
    let pipeline = Pipeline::read(args)?;
    let planned = plan(&pipeline)?;
    if args.dry_run {
        return plan::show(&pipeline, &planned, context);
    }
    let _lock = LockedFile::in_folder(&pipeline.output_dir, LOCK_FILE)?;
    let mut lines = Vec::new();
    let total = planned.len();
    for (number, stage) in (1..).zip(&planned) {
        let name = &stage.name;
        let began = Instant::now();
        let marker = match (&stage.state, Marker::read(&stage.folder)?) {
            (State::Done, Some(marker)) => {
                context.progress.note(&format!("{number}/{total} {name}: done"));
                marker
            }
            _ => {
                context.progress.note(&format!("{number}/{total} {name}: {}", stage.command));
                execute(&pipeline, stage, context).with_context(|| format!("stage {name}"))?
            }
        };
        lines.push(Line::new(stage, marker, began));
    }
    context.output.show(&Outcome { stages: lines }, Outcome::describe)
}

/// Runs one stage and leaves its marker.
fn execute(pipeline: &Pipeline, stage: &Planned, context: &Context) -> Result<Marker> {
    if let State::Changed { differences } = &stage.state {
        let place = set_aside(&stage.folder, &stage.command)?;
        context.progress.warn(&format!(
            "{}: made under other settings ({differences}); set aside as {}",
            stage.name,
            place.display()
        ));
    }
    let mut marker = stage.marker();
    marker.write(&stage.folder)?;
    let began = Instant::now();
    let values = stage.resolved(pipeline)?;
    let command = invocation::parse(&stage.command, &values, &stage.folder)?;
    let (output, captured) = Output::captured();
    crate::dispatch(&command, &Context { output, progress: context.progress.clone() })?;
    marker.seconds = began.elapsed().as_secs_f64();
    marker.is_finished = true;
    marker.keep_result(&stage.folder, captured.take());
    marker.write(&stage.folder)?;
    Ok(marker)
}

/// What a run left behind.
#[derive(Serialize)]
struct Outcome {
    stages: Vec<Line>,
}

/// One stage of it.
#[derive(Serialize)]
struct Line {
    name: String,
    command: String,
    /// Whether this call ran it.
    is_new: bool,
    /// What its last part took, in whichever call it was finished.
    seconds: f64,
    output: String,
    result: Value,
}

impl Line {
    fn new(stage: &Planned, marker: Marker, began: Instant) -> Self {
        let is_new = stage.state != State::Done;
        Self {
            name: stage.name.clone(),
            command: stage.command.clone(),
            is_new,
            seconds: if is_new { began.elapsed().as_secs_f64() } else { marker.seconds },
            output: stage.folder.display().to_string(),
            result: marker.result,
        }
    }

    /// What was chosen, if something was.
    fn choice(&self) -> Option<String> {
        let choice = serde_json::from_value(self.result.get("choice")?.clone()).ok()?;
        Some(format!("{}\n{}", self.name, choose::describe(&choice)))
    }

    /// The figures of an evaluation, if it is one.
    fn figures(&self) -> Option<(Summary, Option<Summary>)> {
        let of = |key: &str| serde_json::from_value(self.result.get(key)?.clone()).ok();
        Some((of("image")?, of("blind")))
    }
}

impl Outcome {
    fn describe(&self) -> String {
        let mut stages = Table::new(&["stage", "command", "", "seconds", "output"]);
        for line in &self.stages {
            let state = if line.is_new { "done now" } else { "done before" };
            let seconds = format!("{:.0}", line.seconds);
            let cells = [&line.name, &line.command, state, &seconds, &line.output];
            stages.row(cells.map(str::to_owned));
        }
        let figures: Vec<_> = self
            .stages
            .iter()
            .filter_map(|line| line.figures().map(|figures| (line.name.as_str(), figures)))
            .collect();
        let rows: Vec<_> = figures
            .iter()
            .map(|(name, (summary, blind))| (*name, summary, blind.as_ref()))
            .collect();
        let figures = (!rows.is_empty()).then(|| table(&rows));
        let choices = self.stages.iter().filter_map(Line::choice);
        let parts = [stages.to_string()].into_iter().chain(figures).chain(choices);
        parts.collect::<Vec<_>>().join("\n")
    }
}
