//! The scorers that a recipe's `reward_model` and `custom_reward` name.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};
use model::feature_cache::FeatureCache;
use model::reward_model::RewardModel;
use preprocess::Processor;
use recipes::grpo::{CustomReward, GrpoConfig, Scorers};
use recipes::preferences::BuildConfig;
use reward::Scorer;
use rollout::Judge;
use scorer::{HttpScorer, ProcessScorer, Settings};
use tensor::DType;

use crate::failure::usage;

/// Holds the bearer token of a scorer behind a server; no file of a run ever does.
const API_KEY: &str = "SIGHTLINE_SCORER_API_KEY";

/// Holds that of a reward of the user's own, which is another's server.
const OWN_API_KEY: &str = "SIGHTLINE_REWARD_API_KEY";

/// Features of prompts' images held in memory.
const FEATURE_BYTES: u64 = 1 << 30;

/// Rows that a reward model in this process reads at once.
const ROWS: usize = 4096;

/// The scorer, not asked yet; `None` where only the rule decides. A reward model in this process holds its weights as
/// `dtype`.
///
/// # Errors
/// An address without a known route, or a folder that holds no reward model.
pub(crate) fn open(config: &BuildConfig, dtype: DType) -> Result<Option<Box<dyn Scorer>>> {
    let Some(name) = &config.reward_model else { return Ok(None) };
    let patience = (config.scorer_timeout, config.scorer_tries);
    model(name, &config.reward_model_name, patience, dtype).map(Some)
}

/// A reward model behind an address, asked so patiently, or in a folder.
fn model(
    name: &str,
    served: &str,
    (timeout, max_tries): (f64, usize),
    dtype: DType,
) -> Result<Box<dyn Scorer>> {
    if !name.contains("://") {
        return Ok(Box::new(judge(name.as_ref(), dtype).context("reward_model")?));
    }
    let timeout = Duration::from_secs_f64(timeout);
    let settings = with_key(Settings::new(name, served), API_KEY);
    let scorer = HttpScorer::new(Settings { timeout, max_tries, ..settings });
    Ok(Box::new(scorer.map_err(usage)?))
}

/// The scorers that reinforcement asks.
#[derive(Default)]
pub(crate) struct Opened {
    model: Option<Box<dyn Scorer>>,
    custom: Option<Box<dyn Scorer>>,
}

impl Opened {
    /// For a recipe: the scorers by reference.
    pub(crate) fn borrow(&mut self) -> Scorers<'_> {
        Scorers { model: borrow(&mut self.model), custom: borrow(&mut self.custom) }
    }
}

/// The scorers that `reward_model` and `custom_reward` name, not asked yet.
///
/// # Errors
/// An address that is none, or a folder that holds no reward model.
pub(crate) fn open_all(config: &GrpoConfig) -> Result<Opened> {
    let (reward, dtype) = (&config.reward, config.model.dtype.into());
    let patience = (reward.scorer_timeout(), reward.scorer_tries());
    let model = |name: &String| model(name, reward.reward_model_name(), patience, dtype);
    let custom = |custom: &CustomReward| own(custom, reward.scorer_tries());
    Ok(Opened {
        model: reward.reward_model.as_ref().map(model).transpose()?,
        custom: reward.custom_reward.as_ref().map(custom).transpose()?,
    })
}

/// A reward of the user's own.
fn own(custom: &CustomReward, max_tries: usize) -> Result<Box<dyn Scorer>> {
    let timeout = Duration::from_secs_f64(custom.timeout);
    let command = custom.command.clone().unwrap_or_default();
    let Some(url) = &custom.url else {
        return Ok(Box::new(ProcessScorer::new(&command, timeout).map_err(usage)?));
    };
    let settings = with_key(Settings::new(url, ""), OWN_API_KEY);
    Ok(Box::new(HttpScorer::own(Settings { timeout, max_tries, ..settings }).map_err(usage)?))
}

/// Settings with the bearer token of a variable of the environment.
fn with_key(settings: Settings, variable: &str) -> Settings {
    let api_key = std::env::var(variable).ok().filter(|key| !key.is_empty());
    Settings { api_key, ..settings }
}

/// A reward model in this process.
fn judge(folder: &Path, dtype: DType) -> Result<Judge> {
    let (model, processor) = (RewardModel::load(folder, dtype)?, Processor::load(folder)?);
    Ok(Judge::new(model, processor, FeatureCache::new(None, FEATURE_BYTES), ROWS))
}

/// For a recipe: the scorer by reference.
pub(crate) fn borrow(scorer: &mut Option<Box<dyn Scorer>>) -> Option<&mut dyn Scorer> {
    match scorer {
        Some(scorer) => Some(scorer.as_mut()),
        None => None,
    }
}
