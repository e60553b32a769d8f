//! `sightline eval`: accuracy on a held-out file, with the blind baseline; with `tasks`, on benchmarks.

mod config;
mod tasks;
mod page;
mod compare;
mod gate;

use std::path::PathBuf;

use ::data::Dataset;
use ::eval::{Evaluation, Subject, Summary, View, evaluate, read_questions};
use ::model::cache::KvCache;
use ::model::feature_cache::FeatureCache;
use ::model::vlm::Vlm;
use anyhow::Result;
use preprocess::Processor;
use recipes::Error;
use recipes::config::{Part, Recipe, Storage, resolved};
use recipes::policy::load_trained;
use rollout::{GenerateConfig, ImageEncoder, Progress as Generated, Sampling};
use serde::{Deserialize, Serialize};

use super::training::{keep_settings, settings};
use crate::Context;
use crate::args::{EvalArgs, EvalCommand, RecipeArgs};
use crate::failure::usage;
use crate::inputs::check_adapter;
use crate::progress::{Meter, Progress, Unit};

pub(crate) use config::TasksConfig;
pub(crate) use tasks::are_tasks_named;

/// Features held in memory.
const FEATURE_BYTES: u64 = 1 << 30;

/// The keys of `sightline eval`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct EvalConfig {
    /// Folder of an assembled model.
    pub(crate) model_name_or_path: PathBuf,
    /// A checkpoint, or its file of trained values, to use in place of the model's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) adapter_name_or_path: Option<PathBuf>,
    /// Storage of the weights: `float32`, `bfloat16`, `int8` or `int4`.
    #[serde(default)]
    pub(crate) dtype: Storage,
    /// Samples with known answers, in the `messages` JSONL format.
    pub(crate) dataset: PathBuf,
    /// Folder for figures and completions.
    pub(crate) output_dir: PathBuf,
    /// The first so many samples; all by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) limit: Option<usize>,
    /// Most tokens of an answer.
    pub(crate) max_new_tokens: usize,
    /// Softmax temperature; 0 is greedy.
    #[serde(default)]
    pub(crate) temperature: f32,
    /// Sample among the smallest set of tokens with this probability.
    #[serde(default = "unit")]
    pub(crate) top_p: f32,
    /// Completions of each question; the accuracy is their mean.
    #[serde(default = "one")]
    pub(crate) num_samples: usize,
    /// Seed of the draws.
    #[serde(default = "seed")]
    pub(crate) seed: u64,
    /// Also ask every question over grey images.
    #[serde(default = "yes")]
    pub(crate) blind: bool,
    /// Where vision features are kept between runs; nowhere by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) feature_cache: Option<PathBuf>,
}

fn unit() -> f32 {
    1.0
}

fn one() -> usize {
    1
}

fn seed() -> u64 {
    42
}

fn yes() -> bool {
    true
}

impl Recipe for EvalConfig {
    const PARTS: &'static [Part] = &[Part::of::<Self>()];

    fn validate(&self) -> Result<(), Error> {
        if self.num_samples > 1 && self.temperature == 0.0 {
            return Err(Error::Contradiction {
                first: format!("num_samples = {}", self.num_samples),
                second: "temperature = 0".to_owned(),
                why: "greedy completions of a question are all the same",
            });
        }
        if self.limit == Some(0) {
            let expected = "at least 1, or no key for all";
            return Err(Error::Value { key: "limit", value: "0".to_owned(), expected });
        }
        Ok(())
    }
}

impl EvalConfig {
    /// One answer to each sample at temperature 1, and the blind baseline: pass@1 as the papers
    /// measure it.
    pub(super) fn pass_at_1(
        model: PathBuf,
        dataset: PathBuf,
        output_dir: PathBuf,
        max_new_tokens: usize,
    ) -> Self {
        Self {
            model_name_or_path: model,
            adapter_name_or_path: None,
            dtype: Storage::default(),
            dataset,
            output_dir,
            limit: None,
            max_new_tokens,
            temperature: 1.0,
            top_p: 1.0,
            num_samples: 1,
            seed: seed(),
            blind: true,
            feature_cache: None,
        }
    }

    fn generation(&self, processor: &Processor) -> GenerateConfig {
        let sampling =
            Sampling { top_p: self.top_p, ..Sampling::at_temperature(self.temperature, self.seed) };
        GenerateConfig {
            num_samples: self.num_samples,
            ..GenerateConfig::new(processor, sampling, self.max_new_tokens)
        }
    }
}

/// What a dry run prints.
#[derive(Serialize)]
struct DryRun<'a> {
    config: &'a EvalConfig,
    num_questions: usize,
}

/// What an evaluation found.
#[derive(Serialize)]
struct Outcome<'a> {
    output_dir: &'a PathBuf,
    image: &'a Summary,
    #[serde(skip_serializing_if = "Option::is_none")]
    blind: Option<&'a Summary>,
}

/// Evaluates, compares or holds to thresholds.
pub(crate) fn run(args: &EvalArgs, context: &Context) -> Result<()> {
    match &args.command {
        Some(EvalCommand::Compare(args)) => compare::run(args, context),
        Some(EvalCommand::Gate(args)) => gate::run(args, context),
        None if are_tasks_named(&args.recipe)? => tasks::run(&args.recipe, context),
        None => answer(&args.recipe, context),
    }
}

/// Answers a held-out file, or says what would be evaluated.
fn answer(args: &RecipeArgs, context: &Context) -> Result<()> {
    let config: EvalConfig = settings(args)?;
    config.adapter_name_or_path.as_deref().map_or(Ok(()), check_adapter)?;
    let processor = Processor::load(&config.model_name_or_path)?;
    config.generation(&processor).validate().map_err(usage)?;
    let dataset = Dataset::read(&config.dataset)?;
    let questions = read_questions(&dataset, &processor, config.limit)?;
    let text = resolved(&config)?;
    if args.dry_run {
        let num_questions = questions.len();
        let run = DryRun { config: &config, num_questions };
        return context.output.show(&run, |run| format!("{text}\nquestions {}", run.num_questions));
    }
    keep_settings(&config, &config.output_dir)?;
    let evaluation = measure(&config, &processor, &questions, &context.progress)?;
    let Evaluation { summary, blind, .. } = &evaluation;
    let outcome = Outcome { output_dir: &config.output_dir, image: summary, blind: blind.as_ref() };
    let name = config.adapter_name_or_path.as_ref().unwrap_or(&config.model_name_or_path);
    context.output.show(&outcome, |_| evaluation.table(&name.display().to_string()))
}

/// Loads the model, asks it, and writes what it said.
pub(super) fn measure(
    config: &EvalConfig,
    processor: &Processor,
    questions: &[::eval::Question],
    progress: &Progress,
) -> Result<Evaluation> {
    let mut vlm = Vlm::load(&config.model_name_or_path, config.dtype.into())?;
    if let Some(adapter) = &config.adapter_name_or_path {
        load_trained(&mut vlm, adapter)?;
    }
    let cache = FeatureCache::new(config.feature_cache.as_deref(), FEATURE_BYTES);
    let mut encoder = ImageEncoder::new(&vlm, cache);
    let mut generation = config.generation(processor);
    let longest = questions.iter().map(|question| question.prompt.ids.len()).max().unwrap_or(0);
    let rows = (longest + config.max_new_tokens).min(generation.context_length);
    let needed = rows * KvCache::bytes_per_row(vlm.llm.config());
    generation.cache_bytes = generation.cache_bytes.max(needed);
    let settings = ::eval::EvalConfig { generation, blind: config.blind };
    let mut subject = Subject { vlm: &vlm, processor, encoder: &mut encoder };
    let mut bars = Bars { progress, current: None };
    let evaluation = evaluate(&mut subject, questions, &settings, &mut |view, done| {
        bars.show(view, done);
    });
    bars.finish();
    let evaluation = evaluation?;
    evaluation.write(&config.output_dir, &settings)?;
    Ok(evaluation)
}

/// One bar for the images, then one for the blind baseline.
pub(super) struct Bars<'a> {
    progress: &'a Progress,
    current: Option<(View, Meter)>,
}

impl Bars<'_> {
    fn show(&mut self, view: View, done: Generated) {
        if self.current.as_ref().is_some_and(|(shown, _)| *shown != view) {
            self.finish();
        }
        let (_, meter) = self.current.get_or_insert_with(|| {
            let what = match view {
                View::Image => "eval",
                View::Blind => "eval, blind",
            };
            (view, self.progress.meter(what, Unit::Items, Some(done.num_total as u64)))
        });
        meter.set(done.num_done as u64, &format!("{} tokens", done.num_tokens));
    }

    fn finish(&mut self) {
        self.current.take().into_iter().for_each(|(_, meter)| meter.finish());
    }
}
