//! `sightline eval --tasks`: benchmarks by the protocol.

use std::path::Path;

use ::assets::Dataset;
use ::protocol::{Asked, Phase, Record, Run, Scheme, Summary, TaskSummary};
use anyhow::{Context as _, Result, bail};
use benchmark::{Flaw, FrameSource, ImageStore, Kit, Limits, Reading, Sandbox, Task};
use judge::{Judging, Respond, TeacherConfig, TeacherError};
use recipes::config::resolved;
use serde::Serialize;
use stages::Store;

use super::config::TasksConfig;
use super::page;
use crate::args::{CacheArgs, RecipeArgs};
use crate::commands::assets;
use crate::commands::training::settings;
use crate::failure::usage;
use crate::output::write_atomic;
use crate::progress::{Meter, Progress, Unit};
use crate::{Context, teachers};

/// Whether file or options name benchmarks.
pub(crate) fn are_tasks_named(args: &RecipeArgs) -> Result<bool> {
    let in_file = match &args.config {
        Some(path) => {
            let text = std::fs::read_to_string(path).with_context(|| path.display().to_string());
            let table: Option<toml::Table> = text.map_err(usage)?.parse().ok();
            table.is_some_and(|table| table.contains_key("tasks"))
        }
        None => false,
    };
    Ok(in_file || args.overrides.iter().any(|(key, _)| key == "tasks"))
}

/// What a dry run prints.
#[derive(Serialize)]
struct DryRun<'a> {
    config: &'a TasksConfig,
    model: String,
    tasks: Vec<Plan>,
}

/// How much a benchmark asks for.
#[derive(Serialize)]
struct Plan {
    task: &'static str,
    num_items: usize,
    num_unasked: usize,
    num_responses: usize,
}

/// Evaluates on benchmarks, or says what would be asked.
pub(super) fn run(args: &RecipeArgs, context: &Context) -> Result<()> {
    let config: TasksConfig = settings(args)?;
    let tasks = config.tasks.tasks().map_err(usage)?;
    if tasks.is_empty() {
        return Err(usage(anyhow::anyhow!("tasks names no benchmark")));
    }
    if config.model().kind() == Err(TeacherError::Place) {
        let places = "give either base_url and served_model_name, or model_name_or_path";
        return Err(usage(anyhow::anyhow!(places)));
    }
    let model = teachers::identity(&config.model())?;
    let cache = config.cache();
    let mut images = ImageStore::new(&cache.join("images"))?;
    let asked = load(&config, &tasks, &mut images, context)?;
    has_scores(&config, &asked).map_err(usage)?;
    let text = resolved(&config)?;
    if args.dry_run {
        return plan(&config, model, &asked, &text, context);
    }
    std::fs::create_dir_all(&config.output_dir)?;
    write_atomic(&config.output_dir.join("config.toml"), text.as_bytes())?;
    let folder = images.folder().to_owned();
    let (summary, records) = measure(&config, asked, &folder, context)?;
    page::write(&summary, &records, &folder, &config.output_dir.join("report.html"))?;
    context.output.show(&summary, Summary::table)?;
    let unmeasured = summary.tasks.iter().find(|task| task.scores.is_empty());
    match unmeasured {
        Some(task) => bail!("{}: no response could be scored; see records.jsonl", task.task),
        None => Ok(()),
    }
}

fn plan(
    config: &TasksConfig,
    model: String,
    asked: &[Asked],
    text: &str,
    context: &Context,
) -> Result<()> {
    let tasks = asked.iter().map(|asked| Plan {
        task: asked.task.name,
        num_items: asked.loaded.items.len(),
        num_unasked: asked.loaded.flaws.len(),
        num_responses: asked.loaded.items.len() * config.num_runs,
    });
    let run = DryRun { config, model, tasks: tasks.collect() };
    context.output.show(&run, |run| {
        let line = |plan: &Plan| {
            let Plan { task, num_items, num_unasked, num_responses } = plan;
            format!("{task}: {num_items} items, {num_responses} responses; {num_unasked} rows cannot be asked\n")
        };
        format!("{text}\n{}", run.tasks.iter().map(line).collect::<String>())
    })
}

/// Reads the benchmarks; those whose files are not there come from the hub.
fn load(
    config: &TasksConfig,
    tasks: &[&'static Task],
    images: &mut ImageStore,
    context: &Context,
) -> Result<Vec<Asked<'static>>> {
    let frames = FrameSource {
        num_frames: config.num_frames,
        folder: config.cache().join("frames"),
        ffmpeg: config.ffmpeg.clone(),
    };
    let mut asked = Vec::new();
    for &task in tasks {
        let mut read = || {
            let mut reading = Reading::new(config.prompts, images, &frames, config.seed);
            task.load(&config.data_dir, &mut reading, config.limit)
        };
        let loaded = match read() {
            Err(error @ benchmark::Error::NoFiles { .. }) if !task.hubs.is_empty() => {
                fetch(task, &config.data_dir, context).with_context(|| error.to_string())?;
                read()
            }
            found => found,
        };
        asked.push(Asked { task, loaded: loaded? });
    }
    Ok(asked)
}

/// Whether every benchmark has the score that counts, before anything is asked.
fn has_scores(config: &TasksConfig, asked: &[Asked]) -> Result<()> {
    let name = config.scoring.name();
    for Asked { task, loaded } in asked {
        let mut kits = loaded.items.iter().filter_map(|item| item.kit.as_ref());
        match config.scoring {
            Scheme::Vlmevalkit if kits.clone().next().is_none() => {
                bail!("{}: scoring = {name:?}, but VLMEvalKit has no such benchmark", task.name)
            }
            Scheme::Vlmevalkit if config.judge.is_none() && kits.any(Kit::needs_model) => {
                bail!("{}: scoring = {name:?} asks a model, but there is no judge", task.name)
            }
            Scheme::VlmevalkitFork if !kits.any(Kit::has_fork) => {
                bail!("{}: scoring = {name:?}, but the fork has options only", task.name)
            }
            _ => {}
        }
    }
    Ok(())
}

fn fetch(task: &'static Task, data_dir: &Path, context: &Context) -> Result<()> {
    std::fs::create_dir_all(data_dir)?;
    let assets = assets::open(&CacheArgs::default())?;
    // The folder of the benchmark appears when all of it is there.
    let staging = data_dir.join(format!(".{}", task.name));
    std::fs::create_dir_all(&staging)?;
    for hub in task.hubs {
        let dataset = Dataset { name: task.name, repo: hub.repo, files: hub.files };
        let folder = staging.join(hub.repo.rsplit('/').next().unwrap_or(hub.repo));
        if folder.is_dir() {
            continue;
        }
        let mut meter = None;
        let fetched = assets.fetch_dataset(dataset, &folder, &mut |state| {
            assets::measure(&mut meter, &context.progress, &state);
        });
        meter.into_iter().for_each(Meter::finish);
        fetched?;
    }
    std::fs::rename(&staging, data_dir.join(task.name))?;
    Ok(())
}

/// Asks all benchmarks, and writes what was found out.
fn measure(
    config: &TasksConfig,
    asked: Vec<Asked>,
    images: &Path,
    context: &Context,
) -> Result<(Summary, Vec<Record>)> {
    let (cache, settings) = (config.cache(), config.settings()?);
    let store = Store::open(&cache.join("responses.sqlite"))?;
    let open = |name: &str, teacher: &TeacherConfig| {
        let ledger = cache.join(format!("{name}.sqlite"));
        teachers::open(teacher, &ledger, &context.progress).with_context(|| name.to_owned())
    };
    let mut model = open("model", &config.model())?;
    let mut judge = config.judge.as_ref().map(|judge| open("judge", judge)).transpose()?;
    let sandbox = sandbox(config, &asked, context);
    let (mut records, mut flaws, mut tasks) = (Vec::new(), Vec::new(), Vec::new());
    for one in asked {
        let task = one.task;
        let mut bars = Bars { progress: &context.progress, task: task.name, current: None };
        let mut run = Run {
            settings: &settings,
            store: &store,
            images,
            sandbox: sandbox.as_ref(),
            progress: &mut |phase, done, total| bars.show(phase, done, total),
        };
        let judging = judge.as_mut().zip(settings.judge).map(|(model, decoding)| {
            let model: &mut dyn Respond = model.as_mut();
            Judging { model, decoding }
        });
        let found = ::protocol::run(one, &mut run, model.as_mut(), judging);
        bars.finish();
        let (of_task, unasked): (Vec<Record>, Vec<Flaw>) = found?;
        tasks.push(TaskSummary::of(task, &of_task, &unasked, settings.scoring));
        records.extend(of_task);
        flaws.extend(unasked);
    }
    let judge = judge.map(|judge| judge.identity());
    let summary = Summary { model: model.identity(), judge, settings, tasks };
    summary.write(&config.output_dir, &records, &flaws)?;
    Ok((summary, records))
}

/// A sandbox, where a benchmark has programs to run.
fn sandbox(config: &TasksConfig, asked: &[Asked], context: &Context) -> Option<Sandbox> {
    let runs_program = |item: &benchmark::Item| item.scoring.runs_program();
    if !asked.iter().any(|asked| asked.loaded.items.iter().any(runs_program)) {
        return None;
    }
    match Sandbox::find(&config.python, Limits::default()) {
        Ok(sandbox) => Some(sandbox),
        Err(reason) => {
            context.progress.warn(&format!("{reason}; programs are not run, and have no score"));
            None
        }
    }
}

/// A bar for each phase of a benchmark.
struct Bars<'a> {
    progress: &'a Progress,
    task: &'static str,
    current: Option<(Phase, Meter)>,
}

impl Bars<'_> {
    fn show(&mut self, phase: Phase, done: usize, total: usize) {
        if self.current.as_ref().is_some_and(|(shown, _)| *shown != phase) {
            self.finish();
        }
        let (_, meter) = self.current.get_or_insert_with(|| {
            let what = match phase {
                Phase::Responses => self.task.to_owned(),
                Phase::Scores => format!("{}, scores", self.task),
                Phase::Matching => format!("{}, VLMEvalKit's questions", self.task),
                Phase::Rulings => format!("{}, judge", self.task),
            };
            (phase, self.progress.meter(&what, Unit::Items, Some(total as u64)))
        });
        meter.set(done as u64, "");
    }

    fn finish(&mut self) {
        self.current.take().into_iter().for_each(|(_, meter)| meter.finish());
    }
}
