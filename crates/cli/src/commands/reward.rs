//! `sightline reward`: reward models scored with, compared with, trained and measured.

use std::collections::BTreeSet;
use std::fmt;
use std::path::Path;

use ::data::PairReport;
use anyhow::{Context as _, Result, bail};
use model::feature_cache::FeatureCache;
use model::reward_model::RewardModel;
use model::value_head::ValueHead;
use preprocess::{ModelImage, Processor};
use recipes::mpo::BadPairs;
use recipes::policy::load_trained_head;
use recipes::reward_model::{RewardConfig, reward_model};
use rollout::Judge;
use schema::Sample;
use serde::Serialize;

use super::plan::Plan;
use super::training::{Spectator, settings, show_plan};
use crate::Context;
use crate::args::{ModelArgs, RecipeArgs, RewardCommand};

pub(crate) mod data;
mod score;
mod compare;
mod bench;

/// Prompts that are scored together: what an interruption may cost.
const BATCH: usize = 16;

/// Rows that are read at once.
const MAX_ROWS: usize = 4096;

/// Features held in memory, for prompts that share an image.
const FEATURE_BYTES: u64 = 1 << 30;

/// Seed of a head that a checkpoint is about to replace.
const UNUSED_SEED: u64 = 0;

/// Runs one of the commands.
pub(crate) fn run(command: &RewardCommand, context: &Context) -> Result<()> {
    match command {
        RewardCommand::Score(args) => score::run(args, context),
        RewardCommand::Compare(args) => compare::run(args, context),
        RewardCommand::Data(args) => data::run(&args.recipe, context),
        RewardCommand::Train(args) => train(&args.recipe, context),
        RewardCommand::Eval(args) => bench::run(args, context),
    }
}

/// A reward model ready to be asked.
pub(super) fn open(args: &ModelArgs, context: &Context) -> Result<Judge> {
    context.progress.note(&format!("loading {}", args.model.display()));
    let model = match &args.adapter {
        None => RewardModel::load(&args.model, args.dtype)?,
        Some(adapter) => {
            let mut grown = RewardModel::grow(&args.model, args.dtype, UNUSED_SEED)?;
            let RewardModel { vlm, head } = &mut grown;
            load_trained_head(vlm, head, adapter)?;
            let drawn = ValueHead::draw(vlm.llm.config().hidden_size, UNUSED_SEED);
            if head.parameters() == drawn.parameters() {
                bail!("{}: no value head, and none in the model's folder", adapter.display());
            }
            grown
        }
    };
    let processor = Processor::load(&args.model)?;
    Ok(Judge::new(model, processor, FeatureCache::new(None, FEATURE_BYTES), MAX_ROWS))
}

/// Responses that say little about a model: scored as they are, but never unseen.
#[derive(Default, Serialize)]
struct Doubtful {
    /// Responses without a word.
    num_empty: usize,
    /// Prompts with two responses that are the same.
    num_identical: usize,
}

impl Doubtful {
    /// Counts the responses to one prompt.
    fn count(&mut self, responses: &[&str]) {
        self.num_empty += responses.iter().filter(|text| text.trim().is_empty()).count();
        let distinct: BTreeSet<&str> = responses.iter().map(|text| text.trim()).collect();
        self.num_identical += usize::from(distinct.len() < responses.len());
    }

    fn tell(&self, path: &Path, context: &Context) {
        let Self { num_empty, num_identical } = self;
        if num_empty + num_identical > 0 {
            context.progress.warn(&format!(
                "{}: {num_empty} empty responses, {num_identical} prompts with identical ones; scored as they are",
                path.display()
            ));
        }
    }
}

/// Lines that can get no score.
#[derive(Default)]
struct Unscored {
    count: usize,
    /// Where the first is, and what is wrong with it.
    first: Option<String>,
}

impl Unscored {
    /// One more.
    fn add(&mut self, reason: &dyn fmt::Display) {
        self.count += 1;
        self.first.get_or_insert_with(|| reason.to_string());
    }

    /// Several of which the first is known.
    fn add_report(&mut self, report: &PairReport) {
        self.count += report.num_left_out();
        if report.num_left_out() > 0 {
            self.first.get_or_insert_with(|| report.to_string());
        }
    }

    /// Says how many are left out, or that nothing is left; ends the command where none may be.
    fn tell(
        &self,
        (path, num_good): (&Path, usize),
        bad_scores: BadPairs,
        context: &Context,
    ) -> Result<()> {
        let Some(first) = &self.first else { return Ok(()) };
        let path = path.display();
        let told = format!("{path}: {} lines can get no score, the first: {first}", self.count);
        if bad_scores == BadPairs::Stop {
            bail!("{told}; --bad-scores skip leaves them out");
        }
        anyhow::ensure!(num_good > 0, "{told}; no other is left");
        context.progress.warn(&told);
        Ok(())
    }
}

/// Why a prompt's responses can get no score, the model aside.
fn refusal(
    processor: &Processor,
    (prompt, responses, folder): (&Sample, &[&str], &Path),
) -> Result<(), preprocess::Error> {
    let judged = processor.judged(prompt, responses, folder)?;
    judged.images.iter().try_for_each(ModelImage::check)
}

/// Finite scores, or an error: a score that is none is not to be used.
fn finite(scores: &[f32]) -> Result<()> {
    match scores.iter().find(|score| !score.is_finite()) {
        Some(score) => bail!("the score is {score}"),
        None => Ok(()),
    }
}

/// What each stage of a training would be.
#[derive(Serialize)]
struct Stages(Vec<Plan>);

impl fmt::Display for Stages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [first, further @ ..] = &self.0[..] else { return Ok(()) };
        write!(f, "{first}")?;
        further.iter().try_for_each(|stage| write!(f, "\n\nthen\n{stage}"))
    }
}

/// Trains, or says what training would be.
fn train(args: &RecipeArgs, context: &Context) -> Result<()> {
    let config: RewardConfig = settings(args)?;
    if args.dry_run {
        return show_plan(&config, Stages(Plan::reward(&config)?), context);
    }
    let spectator = Spectator::new("reward", &context.progress);
    let trained = reward_model(&config, || spectator.watch());
    spectator.finish();
    trained.context("reward")?;
    spectator.conclude(config.run.output_dir, context)
}
