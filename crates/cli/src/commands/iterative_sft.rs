//! `sightline iterative-sft`: fine-tuning in rounds.

use std::path::{Path, PathBuf};

use ::distill::{DISTILLED_FILE, ITEMS_FILE, Needs, QUARANTINE_FILE, REPORT_FILE, Report, Sieved};
use anyhow::{Context as _, Result, bail};
use judge::Respond;
use recipes::Error;
use recipes::choice::{CHOSEN_FOLDER, Choice};
use recipes::config::{ModelConfig, load};
use recipes::iterative_sft::{
    Callers, IterativeSftConfig, Refresh, TOP_SCORED_FILE, iterative_sft,
};
use serde::Serialize;
use toml::{Table, Value};

use super::distill::{self, DistillRecipe};
use super::plan::Rounds;
use super::training::{Spectator, settings, show_plan};
use crate::args::RecipeArgs;
use crate::failure::usage;
use crate::inputs::{check_checkpoints, check_questions};
use crate::{Context, scorers, teachers};

/// Keys of a distillation that the round sets.
const SET_BY_ROUND: [&str; 3] = ["dataset", "output_dir", "seed"];

/// What a stage keeps of its distillation; results and ledgers stay where the next stage finds them.
const OF_STAGE: [&str; 5] =
    [DISTILLED_FILE, ITEMS_FILE, QUARANTINE_FILE, REPORT_FILE, "config.toml"];

/// The samples that can be used, where some cannot.
const SAMPLES_FILE: &str = "samples.jsonl";

/// What the rounds left behind.
#[derive(Serialize)]
struct Outcome {
    output_dir: PathBuf,
    /// A copy of the chosen checkpoint.
    checkpoint: PathBuf,
    /// Samples for reinforcement.
    top_scored: PathBuf,
    choice: Choice,
}

/// Trains, or says what each stage would be.
pub(crate) fn run(args: &RecipeArgs, context: &Context) -> Result<()> {
    let config: IterativeSftConfig = settings(args)?;
    check(&config).map_err(usage)?;
    check_checkpoints(&config.model, &config.run)?;
    if args.dry_run {
        let folder = tempfile::tempdir()?;
        return show_plan(&config, plan(&sieved(&config, folder.path(), context)?)?, context);
    }
    let folder = &config.run.output_dir;
    let config = sieved(&config, &folder.join("data"), context)?;
    let choice = train(&config, context)?;
    let outcome = Outcome {
        checkpoint: folder.join(CHOSEN_FOLDER),
        top_scored: folder.join(TOP_SCORED_FILE),
        output_dir: folder.clone(),
        choice,
    };
    context.output.show(&outcome, |outcome| {
        format!("{}\n{}", outcome.checkpoint.display(), super::choose::describe(&outcome.choice))
    })
}

/// The settings with what can be used of the data set. What cannot is beside it, each line with its reason: both are in
/// `folder`, if there is any.
fn sieved(
    config: &IterativeSftConfig,
    folder: &Path,
    context: &Context,
) -> Result<IterativeSftConfig> {
    let (dataset, mut config) = (&config.run.dataset, config.clone());
    // Distillation answers anew.
    let needs = if config.rounds.distill.is_some() { Needs::Answer } else { Needs::Response };
    let sieved = Sieved::read(dataset, None, needs)?;
    if sieved.quarantined.is_empty() {
        return Ok(config);
    }
    let (num, num_lines) = (sieved.quarantined.len(), sieved.num_lines);
    let place = folder.join(QUARANTINE_FILE);
    context.progress.warn(&format!(
        "{}: {num} of {num_lines} lines cannot be used: {}",
        dataset.display(),
        place.display()
    ));
    std::fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    ::data::write_lines(&place, &sieved.quarantined)?;
    config.run.dataset = folder.join(SAMPLES_FILE);
    ::data::write_lines(&config.run.dataset, sieved.samples())?;
    Ok(config)
}

/// The plan of every stage.
fn plan(config: &IterativeSftConfig) -> Result<Rounds> {
    check_questions(config.answers.eval_dataset.as_deref())?;
    scorers::check(&config.scores)?;
    config.scores.judge.as_ref().map(teachers::identity).transpose().context("judge")?;
    let distillation = first_distillation(config)?;
    let distillation = distillation.map(|recipe| distill::plan(&recipe)).transpose();
    Rounds::new(config, distillation.context("distill")?)
}

/// What the settings alone say of every stage.
pub(super) fn schedule(args: &RecipeArgs) -> Result<Rounds> {
    Ok(Rounds::of_settings(&settings(args)?))
}

/// Finds a mistake in the keys of the distillation before anything is trained.
pub(crate) fn check(config: &IterativeSftConfig) -> Result<()> {
    first_distillation(config).map(drop)
}

/// The distillation before the first stage, if there is one.
fn first_distillation(config: &IterativeSftConfig) -> Result<Option<DistillRecipe>> {
    let Some(keys) = &config.rounds.distill else { return Ok(None) };
    let refresh = config.first_refresh();
    distillation(keys, &refresh).context("distill").map(Some)
}

fn train(config: &IterativeSftConfig, context: &Context) -> Result<Choice> {
    let mut scorer = scorers::open(&config.scores, config.model.dtype.into())?;
    let mut judge = judge(config, context)?;
    let spectator = Spectator::new("iterative-sft", &context.progress);
    let mut anew = |refresh: &Refresh<'_>| {
        let keys = config.rounds.distill.clone().unwrap_or_default();
        spectator.finish();
        distilled(&keys, refresh, context).map_err(|error| Error::Refresh(error.into()))
    };
    let callers = Callers {
        scorer: scorers::borrow(&mut scorer),
        judge: teachers::borrow(&mut judge),
        refresh: config.rounds.distill.is_some().then_some(&mut anew),
        watch: &mut || spectator.watch(),
    };
    let choice = iterative_sft(config, callers);
    spectator.finish();
    Ok(choice?)
}

/// The judge, its ledger in the recipe's folder.
fn judge(config: &IterativeSftConfig, context: &Context) -> Result<Option<Box<dyn Respond>>> {
    let Some(judge) = &config.scores.judge else { return Ok(None) };
    let folder = &config.run.output_dir;
    std::fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    let opened = teachers::open(judge, &folder.join("judge.sqlite"), &context.progress);
    opened.context("judge").map(Some)
}

/// Distils the data set of a stage with the policy as it is.
fn distilled(keys: &Table, refresh: &Refresh<'_>, context: &Context) -> Result<PathBuf> {
    let report = distill::run_pipeline(&distillation(keys, refresh)?, context)?;
    if let Some(reason) = &report.stopped {
        bail!("stopped early, the same command goes on: {reason}");
    }
    let folder = &refresh.output_dir;
    tell(&report, folder, context);
    std::fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    for name in OF_STAGE {
        let place = folder.join(name);
        std::fs::copy(refresh.shared_dir.join(name), &place)
            .with_context(|| place.display().to_string())?;
    }
    Ok(folder.join(DISTILLED_FILE))
}

/// Says what became of a stage's samples. Those that failed are no part of it: a stage has its data once.
fn tell(report: &Report, folder: &Path, context: &Context) {
    let counts = report.outcomes.iter().map(|(name, count)| format!("{count} {name}"));
    let counts = counts.collect::<Vec<_>>().join(", ");
    let text = format!("{}: {} lines distilled, {counts}", folder.display(), report.num_lines);
    match report.count("failed") {
        0 => context.progress.note(&text),
        _ => context.progress.warn(&format!("{text}; the stage goes on without what failed")),
    }
}

fn distillation(keys: &Table, refresh: &Refresh<'_>) -> Result<DistillRecipe> {
    let mut keys = keys.clone();
    if let Some(key) = SET_BY_ROUND.iter().find(|key| keys.contains_key(**key)) {
        bail!("each round sets `{key}` itself");
    }
    let mut generator = match keys.remove("generator") {
        Some(Value::Table(generator)) => generator,
        Some(other) => bail!("generator = {other}: expected a table"),
        None => Table::new(),
    };
    generator.extend(model(refresh.model));
    let text = |path: &Path| Value::from(path.display().to_string());
    keys.insert("generator".to_owned(), generator.into());
    keys.insert("dataset".to_owned(), text(refresh.dataset));
    keys.insert("output_dir".to_owned(), text(&refresh.shared_dir));
    // TOML has no larger numbers.
    keys.insert("seed".to_owned(), Value::Integer((refresh.seed & i64::MAX as u64) as i64));
    let keys: Vec<_> = keys.into_iter().map(|(key, value)| (key, value.to_string())).collect();
    Ok(load(None, &keys)?)
}

/// The policy as a generator.
fn model(config: &ModelConfig) -> Table {
    let text = |path: &Path| Value::from(path.display().to_string());
    let mut table = Table::new();
    table.insert("model_name_or_path".to_owned(), text(&config.model_name_or_path));
    if let Some(adapter) = &config.adapter_name_or_path {
        table.insert("adapter_name_or_path".to_owned(), text(adapter));
    }
    if let Ok(dtype) = Value::try_from(config.dtype) {
        table.insert("dtype".to_owned(), dtype);
    }
    table
}
