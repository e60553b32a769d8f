//! `sightline preferences`: preference pairs from a policy's own responses.

use std::fmt;
use std::path::{Path, PathBuf};

use ::data::{Dataset, prompt_of};
use anyhow::{Context as _, Result};
use preprocess::Processor;
use recipes::config::ModelConfig;
use recipes::preferences::{
    Assessors, BuildConfig, PAIRS_FILE, PreferencesConfig, Statistics, build,
};
use serde::Serialize;

use super::training::{Spectator, settings, show_plan};
use crate::args::{PreferencesCommand, RecipeArgs};
use crate::inputs::check_checkpoints;
use crate::{Context, scorers, teachers};

/// Runs one of the subcommands.
pub(crate) fn run(command: &PreferencesCommand, context: &Context) -> Result<()> {
    match command {
        PreferencesCommand::Build(args) => run_build(&args.recipe, context),
    }
}

/// What a build left behind.
#[derive(Serialize)]
struct Outcome {
    pairs: PathBuf,
    statistics: Statistics,
}

fn run_build(args: &RecipeArgs, context: &Context) -> Result<()> {
    let config: PreferencesConfig = settings(args)?;
    check_checkpoints(&config.model, &config.run)?;
    if args.dry_run {
        let plan = BuildPlan::new(&config.model, &config.run.dataset, &config.build)?;
        return show_plan(&config, plan, context);
    }
    let mut scorer = scorers::open(&config.build, config.model.dtype.into())?;
    let mut judge = teachers::judge(&config.build, &config.run.output_dir, &context.progress)?;
    let spectator = Spectator::new("preferences", &context.progress);
    let (scorer, judge) = (scorers::borrow(&mut scorer), teachers::borrow(&mut judge));
    let assessors = Assessors { scorer, judge };
    let built = build(&config, assessors, spectator.watch());
    spectator.finish();
    let outcome = Outcome { statistics: built?, pairs: config.run.output_dir.join(PAIRS_FILE) };
    let show = |outcome: &Outcome| format!("{}\n{}", outcome.pairs.display(), outcome.statistics);
    context.output.show(&outcome, show)
}

/// What a build would sample: counted before weights load.
#[derive(Serialize)]
pub(super) struct BuildPlan {
    num_prompts: usize,
    /// Left out: they fill the context.
    num_too_long: usize,
    num_with_answer: usize,
    num_prompt_tokens: usize,
    longest_prompt: usize,
    num_responses: usize,
    /// If every response is as long as it may be.
    most_sampled_tokens: usize,
    scorer: Option<String>,
    /// Who is asked about every pair that is chosen.
    judge: Option<String>,
}

impl BuildPlan {
    pub(super) fn new(model: &ModelConfig, dataset: &Path, build: &BuildConfig) -> Result<Self> {
        scorers::check(build)?;
        let dataset = Dataset::read(dataset)?;
        let processor = Processor::load(&model.model_name_or_path)?;
        let (mut lengths, mut num_too_long) = (Vec::with_capacity(dataset.samples.len()), 0);
        for (index, sample) in dataset.samples.iter().enumerate() {
            match processor.prompt(&prompt_of(sample), dataset.folder()) {
                Ok(prompt) => lengths.push(prompt.ids.len()),
                Err(preprocess::Error::TooLong { .. }) => num_too_long += 1,
                Err(error) => return Err(error).with_context(|| dataset.place(index)),
            }
        }
        let num_responses = lengths.len() * build.num_generations;
        Ok(Self {
            num_prompts: lengths.len(),
            num_too_long,
            num_with_answer: dataset.samples.iter().filter(|s| s.answer.is_some()).count(),
            num_prompt_tokens: lengths.iter().sum(),
            longest_prompt: lengths.iter().copied().max().unwrap_or(0),
            num_responses,
            most_sampled_tokens: num_responses * build.max_completion_length,
            scorer: build.reward_model.clone(),
            judge: build.judge.as_ref().map(teachers::identity).transpose()?,
        })
    }
}

impl fmt::Display for BuildPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { num_prompts, num_with_answer, num_prompt_tokens, longest_prompt, .. } = self;
        writeln!(
            f,
            "prompts   {num_prompts} of {num_prompt_tokens} tokens, the longest {longest_prompt}; \
             {num_with_answer} with an answer"
        )?;
        if self.num_too_long > 0 {
            writeln!(f, "too long  {} prompts, left out", self.num_too_long)?;
        }
        writeln!(f, "responses {}, up to {} tokens", self.num_responses, self.most_sampled_tokens)?;
        match &self.scorer {
            Some(scorer) => write!(f, "scorer    {scorer}")?,
            None => write!(f, "scorer    none: right answers are chosen, wrong ones rejected")?,
        }
        match &self.judge {
            Some(judge) => write!(f, "\njudge     {judge}, once for each pair"),
            None => Ok(()),
        }
    }
}
