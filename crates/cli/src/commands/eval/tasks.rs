//! `sightline eval --tasks`: benchmarks by the protocol.

use std::path::{Path, PathBuf};

use ::assets::Dataset;
use ::protocol::{Asked, Phase, Record, Run, Scheme, Settings, Summary, TaskSummary};
use anyhow::{Context as _, Result, bail};
use benchmark::{Flaw, FrameSource, ImageStore, Limits, Reading, Sandbox, Style, Task, find_tasks};
use judge::{Decoding, Judging, Respond, TeacherConfig};
use preprocess::Processor;
use recipes::Error;
use recipes::config::{Part, Recipe, resolved};
use schema::{Content, Message, Role, Sample};
use serde::{Deserialize, Serialize};
use stages::Store;

use super::page;
use crate::args::{CacheArgs, RecipeArgs};
use crate::commands::assets;
use crate::commands::training::settings;
use crate::failure::usage;
use crate::output::write_atomic;
use crate::progress::{Meter, Progress, Unit};
use crate::{Context, teachers};

/// The keys of `sightline eval` with `tasks`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct TasksConfig {
    /// Benchmarks: names, in a list or parted by commas.
    pub(crate) tasks: Names,
    /// Folder with a folder for each benchmark, or with VLMEvalKit's tables.
    #[serde(default = "data_dir")]
    pub(crate) data_dir: PathBuf,
    /// Folder for figures and records.
    pub(crate) output_dir: PathBuf,
    /// Folder for responses, rulings and images, kept by content; `cache` in `output_dir` by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) cache_dir: Option<PathBuf>,
    /// Folder of an assembled model of ours.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) model_name_or_path: Option<PathBuf>,
    /// A checkpoint, or its file of trained values, to use in place of the model's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) adapter_name_or_path: Option<PathBuf>,
    /// Storage of the weights: `float32` or `bfloat16`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) dtype: Option<String>,
    /// Address of an OpenAI-compatible server, before `/chat/completions`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) base_url: Option<String>,
    /// The model's name on the server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) served_model_name: Option<String>,
    /// The environment variable that holds the server's key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) api_key_env: Option<String>,
    /// Requests on the way at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) num_parallel: Option<usize>,
    /// Seconds before a request counts as lost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) timeout: Option<f64>,
    /// Times a request is sent before it counts as failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) max_tries: Option<usize>,
    /// Most tokens that the server may be asked for, earlier runs with the cache included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) max_total_tokens: Option<u64>,
    /// Whether the server's prompt opens a thought; of a model of ours its template says so.
    #[serde(default)]
    pub(crate) thinks: bool,
    /// The model that judges, as in `distill`; none by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) judge: Option<TeacherConfig>,
    /// Most tokens of a judge's reply, its thought included.
    #[serde(default = "judge_tokens")]
    pub(crate) judge_max_new_tokens: u32,
    /// Seed of the judge's draws.
    #[serde(default = "seed")]
    pub(crate) judge_seed: u64,
    /// The first so many rows of each benchmark; all by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) limit: Option<usize>,
    /// Responses to each item, whose mean is pass@1.
    #[serde(default = "five")]
    pub(crate) num_runs: usize,
    /// Most tokens of a response; the papers allow 65536.
    pub(crate) max_new_tokens: u32,
    /// Softmax temperature; 0 is greedy.
    #[serde(default = "temperature")]
    pub(crate) temperature: f64,
    /// Sample among the smallest set of tokens with this probability.
    #[serde(default = "top_p")]
    pub(crate) top_p: f64,
    /// Seed of the first run; each further one has the next.
    #[serde(default = "seed")]
    pub(crate) seed: u64,
    /// Words of the prompts: `paper` or `vlmevalkit`.
    #[serde(default)]
    pub(crate) prompts: Style,
    /// The score that counts: `strict`, `lenient`, `judge`, `rule_or_judge`, `vlmevalkit` or `vlmevalkit_fork`.
    #[serde(default)]
    pub(crate) scoring: Scheme,
    /// Frames of each video.
    #[serde(default = "eight")]
    pub(crate) num_frames: usize,
    /// The program that takes frames out of video files.
    #[serde(default = "ffmpeg")]
    pub(crate) ffmpeg: PathBuf,
    /// The Python that runs programs in a sandbox.
    #[serde(default = "python")]
    pub(crate) python: PathBuf,
}

/// Names in a list, or parted by commas.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum Names {
    /// Parted by commas.
    One(String),
    /// In a list.
    Several(Vec<String>),
}

impl Names {
    fn tasks(&self) -> Result<Vec<&'static Task>, benchmark::Error> {
        match self {
            Self::One(names) => find_tasks(names),
            Self::Several(names) => find_tasks(&names.join(",")),
        }
    }
}

fn data_dir() -> PathBuf {
    "benchmarks".into()
}

fn judge_tokens() -> u32 {
    1024
}

fn seed() -> u64 {
    42
}

fn five() -> usize {
    5
}

/// DeepSeek-R1's guideline, which the papers follow.
fn temperature() -> f64 {
    0.6
}

/// As [`temperature`].
fn top_p() -> f64 {
    0.95
}

fn eight() -> usize {
    8
}

fn ffmpeg() -> PathBuf {
    "ffmpeg".into()
}

fn python() -> PathBuf {
    "python3".into()
}

impl Recipe for TasksConfig {
    const PARTS: &'static [Part] = &[Part::of::<Self>()];

    fn validate(&self) -> Result<(), Error> {
        let counts = [
            ("num_runs", self.num_runs),
            ("max_new_tokens", self.max_new_tokens as usize),
            ("num_frames", self.num_frames),
            ("limit", self.limit.unwrap_or(1)),
        ];
        if let Some((key, _)) = counts.into_iter().find(|(_, count)| *count == 0) {
            return Err(Error::Value { key, value: "0".to_owned(), expected: "at least 1" });
        }
        if self.num_runs > 1 && self.temperature == 0.0 {
            return Err(Error::Contradiction {
                first: format!("num_runs = {}", self.num_runs),
                second: "temperature = 0".to_owned(),
                why: "greedy responses to an item are all the same",
            });
        }
        if matches!(self.scoring, Scheme::Judge | Scheme::RuleOrJudge) && self.judge.is_none() {
            return Err(Error::Contradiction {
                first: format!("scoring = \"{}\"", self.scoring.name()),
                second: "no judge".to_owned(),
                why: "it is the judge that gives this score",
            });
        }
        Ok(())
    }
}

impl TasksConfig {
    /// The model that is asked, as the settings of one name it.
    fn model(&self) -> TeacherConfig {
        TeacherConfig {
            base_url: self.base_url.clone(),
            model: self.served_model_name.clone(),
            api_key_env: self.api_key_env.clone(),
            model_name_or_path: self.model_name_or_path.clone(),
            adapter_name_or_path: self.adapter_name_or_path.clone(),
            dtype: self.dtype.clone(),
            num_parallel: self.num_parallel,
            timeout: self.timeout,
            max_tries: self.max_tries,
            max_total_tokens: self.max_total_tokens,
            ..TeacherConfig::default()
        }
    }

    fn cache(&self) -> PathBuf {
        self.cache_dir.clone().unwrap_or_else(|| self.output_dir.join("cache"))
    }

    fn settings(&self) -> Result<Settings> {
        let decoding = Decoding {
            max_new_tokens: self.max_new_tokens,
            temperature: self.temperature,
            top_p: self.top_p,
            repetition_penalty: 1.0,
            seed: self.seed,
        };
        let judge = Decoding::greedy(self.judge_max_new_tokens, self.judge_seed);
        Ok(Settings {
            num_runs: self.num_runs,
            decoding,
            prompts: self.prompts,
            scoring: self.scoring,
            opens_thought: self.thinks || self.template_thinks()?,
            judge: self.judge.is_some().then_some(judge),
        })
    }

    /// Whether the chat template of a model of ours opens a thought.
    fn template_thinks(&self) -> Result<bool> {
        let Some(folder) = &self.model_name_or_path else { return Ok(false) };
        let content = Content::Text("1+1?".to_owned());
        let messages = vec![Message { role: Role::User, content }];
        let sample = Sample { messages, ..Sample::default() };
        Ok(Processor::load(folder)?.prompt(&sample, Path::new(""))?.opens_thought())
    }
}

/// Whether file or options name benchmarks.
pub(super) fn are_named(args: &RecipeArgs) -> Result<bool> {
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
    let model = teachers::identity(&config.model())?;
    let cache = config.cache();
    let mut images = ImageStore::new(&cache.join("images"))?;
    let asked = load(&config, &tasks, &mut images, context)?;
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
    let is_program =
        |item: &benchmark::Item| matches!(item.scoring, benchmark::Scoring::Program(_));
    if !asked.iter().any(|asked| asked.loaded.items.iter().any(is_program)) {
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
