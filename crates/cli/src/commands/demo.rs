//! `sightline demo`: the whole pipeline on real small parts, ending in a table and `report.html`.
//!
//! ```text
//! fetch ─► digits ─► assemble ─► align ─► SFT ─► reward ─► MPO ─► GRPO ─► report.html
//!                       │                  │       │        │       │
//!                    evaluate           evaluate  rank  evaluate  evaluate
//! ```
//!
//! The adapter learns to read first, on pictures of one digit, as R1V aligns it before it reasons. SFT's answers to
//! training pictures, paired by rule, make a reward model; what rule and reward model agree on makes MPO's pairs, as in
//! R1V2. Every stage is the library call behind the command of its name, so each can be repeated by hand from the
//! `config.toml` that it leaves in its folder. A demo that was killed goes on where it was.

use std::path::{Path, PathBuf};
use std::time::Instant;

use ::assets::{AssetKind, MNIST_TABLE};
use ::data::digits;
use ::eval::Evaluation;
use anyhow::{Context as _, Result};
use serde_json::{Map, Value};

use super::training::Spectator;
use super::{assemble, assets};
use crate::Context;
use crate::args::{AssembleArgs, DemoArgs};
use crate::progress::Progress;

mod plan;
mod exam;
mod stages;
mod outcome;
mod page;

use exam::Exam;
use outcome::Outcome;
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
    let reached = demo.reach(&parts)?;
    let outcome = Outcome::new(&demo, &reached, begun.elapsed().as_secs_f64())?;
    page::write(&demo, &reached, &outcome)?;
    context.output.show(&outcome, |outcome| outcome.describe(&reached))
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

/// One stage of the policy: how it was reached and what it can do.
struct Stage {
    name: &'static str,
    trained: Option<Trained>,
    evaluation: Evaluation,
}

/// Where all stages ended.
struct Reached {
    /// The policy as it was assembled.
    assembled: Stage,
    /// After reading and reasoning.
    sft: Stage,
    /// The reward model.
    reward: Trained,
    /// After the pairs that rule and reward model chose.
    mpo: Stage,
    /// After reinforcement.
    grpo: Stage,
}

impl Reached {
    /// The policy, from its assembly on.
    fn policies(&self) -> [&Stage; 4] {
        [&self.assembled, &self.sft, &self.mpo, &self.grpo]
    }
}

impl Demo<'_> {
    fn folder(&self, name: &str) -> PathBuf {
        self.output.join(name)
    }

    /// All stages, in their order.
    fn reach(&self, parts: &Fetched) -> Result<Reached> {
        let files = self.digits(parts, "digits", &self.plan.task)?;
        let reading = self.digits(parts, "reading", &self.plan.reading)?;
        let prompts = self.digits(parts, "prompts", &self.plan.prompts)?;
        self.assemble(parts, &reading.train)?;
        let evaluate = |exam, trained| self.evaluate(exam, trained, &files.held_out);
        let (few, all) = (self.plan.num_between, self.plan.num_final);

        let assembled = evaluate(Exam::of("assembled", few), None)?;
        let trained = self.sft(&reading.train, &files.train)?;
        let policy = trained.checkpoint.clone();
        let sft = evaluate(Exam::with_blind("sft", all), Some(trained))?;
        let reward = self.reward(&prompts, &policy)?;
        let trained = self.mpo(&prompts, &policy, &reward)?;
        let policy = trained.checkpoint.clone();
        let mpo = evaluate(Exam::of("mpo", all), Some(trained))?;
        let trained = self.grpo(&files.train, &policy)?;
        let grpo = evaluate(Exam::with_blind("grpo", all), Some(trained))?;
        Ok(Reached { assembled, sft, reward, mpo, grpo })
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

    /// A training run under a progress bar.
    fn train<T>(
        &self,
        name: &'static str,
        output: &Path,
        run: impl FnOnce(&Spectator) -> Result<T, ::recipes::Error>,
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
}
