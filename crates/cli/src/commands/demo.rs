//! `sightline demo`: the whole pipeline on real small parts, ending in a table and `report.html`.
//!
//! ```text
//! fetch ─► digits ─► assemble ─► evaluate ─► align ─► SFT ─► evaluate ─► GRPO ─► evaluate ─► report.html
//! ```
//!
//! The adapter learns to read first, on pictures of one digit, as R1V aligns it before it reasons.
//! Every stage is the library call behind the command of its name, so each can be repeated by hand
//! from the `config.toml` that it leaves in its folder. A demo that was killed goes on where it was.

use std::path::{Path, PathBuf};
use std::time::Instant;

use ::assets::{AssetKind, MNIST_TABLE};
use ::data::Dataset;
use ::data::digits;
use ::eval::{Evaluation, Paired, compare, read_questions, table};
use ::recipes::grpo::{Scorers, grpo};
use ::recipes::policy::Policy;
use ::recipes::sft::sft;
use anyhow::{Context as _, Result};
use preprocess::Processor;
use serde::Serialize;
use serde_json::{Map, Value};

use super::eval::{EvalConfig, measure};
use super::training::Spectator;
use super::{assemble, assets};
use crate::Context;
use crate::args::{AssembleArgs, DemoArgs};
use crate::progress::Progress;

mod page;
mod plan;

use plan::Plan;

/// A conversation in SmolLM2's markup whose answers begin inside a thought, as R1V2's do.
const TEMPLATE: &str = include_str!("demo/chat_template.jinja");

/// The picture task.
pub(crate) fn task(seed: u64) -> digits::DigitTask {
    Plan::full(seed).task
}

/// Runs the whole pipeline on real small parts.
pub(crate) fn run(args: &DemoArgs, context: &Context) -> Result<()> {
    let plan = match args.quick {
        true => Plan::quick(args.seed),
        false => Plan::full(args.seed),
    };
    let demo = Demo { plan, output: args.output.clone(), progress: &context.progress };
    let parts = demo.fetch(args)?;
    let begun = Instant::now();
    let files = demo.digits(&parts, "digits", &demo.plan.task)?;
    let reading = demo.digits(&parts, "reading", &demo.plan.reading)?;
    demo.assemble(&parts, &reading.train)?;

    let mut stages =
        vec![demo.evaluate("assembled", None, demo.plan.num_between, &files.held_out)?];
    let trained = demo.sft(&reading.train, &files.train)?;
    stages.push(demo.evaluate("sft", Some(trained), demo.plan.num_final, &files.held_out)?);
    let sft = stages.last().and_then(Stage::checkpoint).context("SFT has left no checkpoint")?;
    let trained = demo.grpo(&files.train, sft)?;
    stages.push(demo.evaluate("grpo", Some(trained), demo.plan.num_final, &files.held_out)?);

    let paired = compare(&stages[1].evaluation.answers, &stages[2].evaluation.answers)?;
    let outcome = Outcome::new(&demo, &stages, &paired, begun.elapsed().as_secs_f64());
    page::write(&demo, &stages, &paired, &outcome)?;
    context.output.show(&outcome, |outcome| outcome.describe(&stages))
}

/// A demo under way.
struct Demo<'a> {
    plan: Plan,
    output: PathBuf,
    progress: &'a Progress,
}

/// Folders of what was fetched.
struct Fetched {
    vision: PathBuf,
    llm: PathBuf,
    mnist: PathBuf,
}

/// What training a stage took.
struct Trained {
    checkpoint: PathBuf,
    seconds: f64,
    /// The lines of its `metrics.jsonl`.
    log: Vec<Map<String, Value>>,
}

/// One stage: how it was reached and what it can do.
struct Stage {
    name: &'static str,
    trained: Option<Trained>,
    evaluation: Evaluation,
}

impl Stage {
    fn checkpoint(&self) -> Option<&Path> {
        self.trained.as_ref().map(|trained| trained.checkpoint.as_path())
    }
}

impl Demo<'_> {
    fn folder(&self, name: &str) -> PathBuf {
        self.output.join(name)
    }

    fn fetch(&self, args: &DemoArgs) -> Result<Fetched> {
        let assets = assets::open(&args.cache)?;
        let fetch = |kind| assets::fetch(&assets, kind, self.progress);
        Ok(Fetched {
            vision: fetch(AssetKind::Dinov2Small)?,
            llm: fetch(AssetKind::Smollm2)?,
            mnist: fetch(AssetKind::Mnist)?,
        })
    }

    fn digits(
        &self,
        parts: &Fetched,
        name: &str,
        task: &digits::DigitTask,
    ) -> Result<digits::DigitFiles> {
        self.progress.note(&format!("drawing pictures: {name}"));
        let table = digits::read_table(&parts.mnist.join(MNIST_TABLE))?;
        Ok(digits::build(task, &table, &self.folder(name))?)
    }

    fn assemble(&self, parts: &Fetched, reading: &Path) -> Result<()> {
        self.progress.note("assembling DINOv2-small, an adapter and SmolLM2-135M-Instruct");
        let template = self.folder("chat_template.jinja");
        std::fs::write(&template, TEMPLATE).with_context(|| template.display().to_string())?;
        let args = AssembleArgs {
            vision: Some(parts.vision.clone()),
            llm: Some(parts.llm.clone()),
            model: None,
            adapter: None,
            output: self.folder("vlm"),
            unshuffle: self.plan.unshuffle,
            tile: Some(self.plan.task.tile as usize),
            max_tiles: self.plan.task.num_tiles() as usize,
            no_thumbnail: true,
            chat_template: Some(template),
            adapter_scale: 1.0,
            fit: Some(reading.to_owned()),
            seed: self.plan.task.seed,
        };
        assemble::build(&args, &parts.llm, Some(&parts.vision))?;
        Ok(())
    }

    /// Reading, then reasoning; the seconds of both count.
    fn sft(&self, reading: &Path, train: &Path) -> Result<Trained> {
        let output = self.folder("align");
        let config = self.plan.align(&self.paths(&output, reading))?;
        let aligned = self.train("align", &output, |spectator| sft(&config, spectator.watch()))?;
        let output = self.folder("sft");
        let mut paths = self.paths(&output, train);
        paths.push(("adapter_name_or_path", aligned.checkpoint));
        let config = self.plan.sft(&paths)?;
        let mut trained =
            self.train("sft", &output, |spectator| sft(&config, spectator.watch()))?;
        trained.seconds += aligned.seconds;
        Ok(trained)
    }

    fn grpo(&self, train: &Path, sft: &Path) -> Result<Trained> {
        let output = self.folder("grpo");
        let mut paths = self.paths(&output, train);
        paths.push(("adapter_name_or_path", sft.to_owned()));
        let config = self.plan.grpo(&paths)?;
        self.train("grpo", &output, |spectator| {
            grpo(&config, Scorers::default(), spectator.watch())
        })
    }

    fn paths(&self, output: &Path, train: &Path) -> Vec<(&'static str, PathBuf)> {
        vec![
            ("model_name_or_path", self.folder("vlm")),
            ("dataset", train.to_owned()),
            ("output_dir", output.to_owned()),
            ("feature_cache", self.folder("features")),
        ]
    }

    fn train(
        &self,
        name: &'static str,
        output: &Path,
        run: impl FnOnce(&Spectator) -> Result<Policy, ::recipes::Error>,
    ) -> Result<Trained> {
        let begun = Instant::now();
        let spectator = Spectator::new(name, self.progress);
        let trained = run(&spectator);
        spectator.finish();
        trained?;
        let log = ::data::read_lines(&output.join("metrics.jsonl"))?;
        Ok(Trained {
            checkpoint: spectator.checkpoint().context("the run has left no checkpoint")?,
            seconds: begun.elapsed().as_secs_f64(),
            log: log.into_iter().map(|(_, line)| line).collect(),
        })
    }

    fn evaluate(
        &self,
        name: &'static str,
        trained: Option<Trained>,
        num_items: usize,
        held_out: &Path,
    ) -> Result<Stage> {
        let config = EvalConfig {
            adapter_name_or_path: trained.as_ref().map(|trained| trained.checkpoint.clone()),
            limit: Some(num_items),
            feature_cache: Some(self.folder("features")),
            seed: self.plan.task.seed,
            ..EvalConfig::pass_at_1(
                self.folder("vlm"),
                held_out.to_owned(),
                self.folder(&format!("eval-{name}")),
                self.plan.max_new_tokens,
            )
        };
        let processor = Processor::load(&config.model_name_or_path)?;
        let questions = read_questions(&Dataset::read(held_out)?, &processor, config.limit)?;
        let evaluation = measure(&config, &processor, &questions, self.progress)?;
        Ok(Stage { name, trained, evaluation })
    }
}

/// What the demo reached.
#[derive(Serialize)]
struct Outcome {
    output: PathBuf,
    report: PathBuf,
    /// From the first picture to the last answer; fetching not included.
    seconds: f64,
    stages: Vec<StageOutcome>,
    /// GRPO against SFT on the same items.
    sft_to_grpo: Paired,
}

/// What a stage reached.
#[derive(Serialize)]
struct StageOutcome {
    name: &'static str,
    training_seconds: Option<f64>,
    image: ::eval::Summary,
    blind: Option<::eval::Summary>,
}

impl Outcome {
    fn new(demo: &Demo<'_>, stages: &[Stage], paired: &Paired, seconds: f64) -> Self {
        let stage = |stage: &Stage| StageOutcome {
            name: stage.name,
            training_seconds: stage.trained.as_ref().map(|trained| trained.seconds),
            image: stage.evaluation.summary,
            blind: stage.evaluation.blind,
        };
        Self {
            output: demo.output.clone(),
            report: demo.folder("report.html"),
            seconds,
            stages: stages.iter().map(stage).collect(),
            sft_to_grpo: paired.clone(),
        }
    }

    fn describe(&self, stages: &[Stage]) -> String {
        let rows: Vec<_> = stages
            .iter()
            .map(|Stage { name, evaluation, .. }| {
                (*name, &evaluation.summary, evaluation.blind.as_ref())
            })
            .collect();
        let Paired { num_items, only_before, only_after, difference, p_value } = &self.sft_to_grpo;
        format!(
            "{}\nGRPO against SFT on the same {num_items} items: {:+.1} points \
             ({only_after} won, {only_before} lost, exact McNemar p = {p_value:.4})\n\
             {:.0} s; report: {}",
            table(&rows),
            100.0 * difference,
            self.seconds,
            self.report.display(),
        )
    }
}
