//! `sightline distill`: chains of thought as long as their questions deserve.

use std::path::{Path, PathBuf};

use ::distill::{
    DISTILLED_FILE, DistillConfig, Plan, Report, Row, Teachers, distill, export, read_rows,
};
use anyhow::{Context as _, Result, bail};
use engine::LockedFile;
use judge::TeacherConfig;
use recipes::Error;
use recipes::config::{Part, Recipe};
use serde::{Deserialize, Serialize};

use super::training::{keep_settings, settings, show_plan};
use crate::args::DistillArgs;
use crate::output::Table;
use crate::progress::Steps;
use crate::{Context, teachers};

/// Name of the file whose lock keeps a second process out of the folder: both would ask, and pay, for the same.
const LOCK_FILE: &str = ".distill.lock";

/// The keys of `sightline distill`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct DistillRecipe(DistillConfig);

impl Recipe for DistillRecipe {
    const PARTS: &'static [Part] = &[Part::of::<DistillConfig>()];

    fn validate(&self) -> Result<(), Error> {
        let place = "distill".to_owned();
        self.0.validate().map_err(|error| Error::Config { place, reason: error.to_string() })
    }
}

/// Distils, plans, or shows what an earlier run left behind.
pub(crate) fn run(args: &DistillArgs, context: &Context) -> Result<()> {
    let recipe: DistillRecipe = settings(&args.recipe)?;
    let config = &recipe.0;
    if args.recipe.dry_run {
        return show_plan(&recipe, plan(&recipe)?, context);
    }
    if args.show || args.export.is_some() {
        return show(args, &config.output_dir, context);
    }
    let report = run_pipeline(&recipe, context)?;
    let outcome = Done { distilled: config.output_dir.join(DISTILLED_FILE), report };
    context.output.show(&outcome, |done| {
        format!(
            "{}: {} samples\n{}",
            done.distilled.display(),
            done.report.num_distilled(),
            done.report
        )
    })?;
    let (report, num_failed) = (&outcome.report, outcome.report.count("failed"));
    match &report.stopped {
        Some(reason) => bail!("stopped early, the same command goes on: {reason}"),
        None if num_failed > 0 => {
            bail!("{num_failed} items failed, the same command tries them again")
        }
        None => Ok(()),
    }
}

/// What a run would ask.
pub(super) fn plan(recipe: &DistillRecipe) -> Result<Plan> {
    let config = &recipe.0;
    let generator = teachers::identity(&config.generator).context("generator")?;
    let judge = config.judge.as_ref().map(teachers::identity).transpose().context("judge")?;
    Ok(Plan::new(config, &generator, judge.as_deref())?)
}

/// What a run left behind.
#[derive(Serialize)]
struct Done {
    distilled: PathBuf,
    report: Report,
}

/// Distils to the end, or until a model can be asked no more.
pub(super) fn run_pipeline(recipe: &DistillRecipe, context: &Context) -> Result<Report> {
    let config = &recipe.0;
    let folder = &config.output_dir;
    let _lock = LockedFile::in_folder(folder, LOCK_FILE)?;
    keep_settings(recipe, folder)?;
    let open = |name: &str, teacher: &TeacherConfig| {
        teachers::open_in(folder, name, teacher, &context.progress)
    };
    let mut generator = open("generator", &config.generator)?;
    let mut judge = config.judge.as_ref().map(|judge| open("judge", judge)).transpose()?;
    let judge = teachers::borrow(&mut judge);
    let mut steps = Steps::new(&context.progress);
    let teachers = Teachers { generator: generator.as_mut(), judge };
    let mut show = |now: ::distill::Progress| steps.show(now.stage.name(), now.done, now.total);
    let report = distill(config, teachers, &mut show);
    steps.finish();
    Ok(report?)
}

/// Rows that were let through, and where they went.
#[derive(Serialize)]
struct Shown {
    rows: Vec<Row>,
    #[serde(skip_serializing_if = "Option::is_none")]
    export: Option<PathBuf>,
    num_exported: usize,
}

/// Shows or exports rows of an earlier run.
fn show(args: &DistillArgs, folder: &Path, context: &Context) -> Result<()> {
    let rows = read_rows(folder).context("there is no finished run to look at")?;
    let num_exported = match &args.export {
        Some(path) => export(&rows, &args.conditions, path)?,
        None => 0,
    };
    let is_meant = |row: &Row| args.show && args.conditions.iter().all(|filter| filter.lets(row));
    let rows = rows.into_iter().filter(is_meant).collect();
    let shown = Shown { rows, export: args.export.clone(), num_exported };
    context.output.show(&shown, text)
}

fn text(shown: &Shown) -> String {
    let mut table = Table::new(&[
        "line",
        "id",
        "outcome",
        "penalty",
        "vision",
        "text",
        "integration",
        "tokens",
        "reason",
    ]);
    let number = |value: Option<f64>, digits: usize| {
        value.map_or_else(String::new, |value| format!("{value:.digits$}"))
    };
    for row in &shown.rows {
        table.row([
            row.line.to_string(),
            row.id.clone(),
            row.outcome.clone(),
            number(row.penalty, 2),
            number(row.vision, 2),
            number(row.text, 2),
            number(row.integration, 2),
            number(row.num_tokens, 0),
            row.reason.clone().unwrap_or_default().chars().take(80).collect(),
        ]);
    }
    let exported = shown.export.as_ref();
    let exported = exported.map(|path| format!("{}: {} rows", path.display(), shown.num_exported));
    let table = if shown.rows.is_empty() { String::new() } else { table.to_string() };
    [Some(table), exported].into_iter().flatten().collect()
}

/// For `map_err` of a filter: it is the user's to mend.
pub(crate) fn filter(text: &str) -> Result<::distill::Filter, String> {
    text.parse().map_err(|error: ::distill::Error| error.to_string())
}
