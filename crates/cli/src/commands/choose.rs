//! `sightline choose`: which of several evaluated checkpoints is kept.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use ::eval::{Answer, read_answers};
use anyhow::{Context as _, Result, ensure};
use recipes::choice::{Candidate, Choice, Figures, Look, choose};
use recipes::config::load;
use schema::FinishReason;
use serde::Serialize;

use super::eval::EvalConfig;
use crate::Context;
use crate::args::ChooseArgs;
use crate::output::Table;

/// What every evaluation on a held-out file leaves, and no other command all of.
const OF_EVALUATION: [&str; 3] = ["config.toml", "summary.json", "completions.jsonl"];

/// What was chosen.
#[derive(Serialize)]
struct Outcome {
    output: PathBuf,
    /// A copy of the chosen checkpoint.
    checkpoint: PathBuf,
    choice: Choice,
}

/// Chooses, and says why.
pub(crate) fn run(args: &ChooseArgs, context: &Context) -> Result<()> {
    let candidates = args.evaluations.iter().map(|folder| {
        candidate(folder, args.max_repetition).with_context(|| folder.display().to_string())
    });
    let choice = choose(candidates.collect::<Result<_>>()?, args.accuracy_tolerance);
    let choice = choice.context("no evaluation was given")?;
    let checkpoint = choice.write(&args.output)?;
    let outcome = Outcome { output: args.output.clone(), checkpoint, choice };
    context.output.show(&outcome, |outcome| {
        format!("{}\n{}", outcome.checkpoint.display(), describe(&outcome.choice))
    })
}

/// The checkpoint that an evaluation measured, with what it found.
fn candidate(folder: &Path, max_repetition: f64) -> Result<Candidate> {
    let is_evaluation = OF_EVALUATION.iter().all(|name| folder.join(name).is_file());
    ensure!(is_evaluation, "not the folder of an evaluation on a held-out file");
    let config: EvalConfig = load(Some(&folder.join("config.toml")), &[])?;
    let checkpoint =
        config.adapter_name_or_path.context("it measured a model, not a checkpoint")?;
    let answers = read_answers(&folder.join("completions.jsonl"))?;
    let items: BTreeSet<&str> = answers.iter().map(|answer| answer.id.as_str()).collect();
    let look = |answer: &Answer| Look {
        correct: answer.correct,
        complete: answer.well_formed && answer.finish_reason == FinishReason::Stop,
        repetitive: answer.repetition > max_repetition,
        num_tokens: answer.num_tokens,
    };
    let looks: Vec<Look> = answers.iter().map(look).collect();
    Ok(Candidate {
        name: folder.file_name().unwrap_or_default().to_string_lossy().into_owned(),
        checkpoint,
        figures: Some(Figures::of(items.len(), &looks)),
    })
}

/// The figures and the reasons, for people.
pub(super) fn describe(choice: &Choice) -> String {
    let mut table = Table::new(&["checkpoint", "accuracy", "quality", "tokens", "why"]);
    let percent = |share: f64| format!("{:.1} %", 100.0 * share);
    for one in &choice.candidates {
        let figures = one.candidate.figures;
        let of = |show: &dyn Fn(Figures) -> String| figures.map(show).unwrap_or_default();
        table.row([
            one.candidate.name.clone(),
            of(&|figures| percent(figures.accuracy)),
            of(&|figures| percent(figures.quality)),
            of(&|figures| format!("{:.1}", figures.mean_length)),
            one.reason.clone(),
        ]);
    }
    format!("{table}{} is kept: {}", choice.chosen, choice.rule)
}
