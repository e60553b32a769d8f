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
    if !name.contains("://") {
        return Ok(Some(Box::new(judge(name.as_ref(), dtype).context("reward_model")?)));
    }
    let timeout = Duration::from_secs_f64(config.scorer_timeout);
    let settings = Settings {
        timeout,
        max_tries: config.scorer_tries,
        ..settings(name, &config.reward_model_name)
    };
    Ok(Some(Box::new(HttpScorer::new(settings).map_err(usage)?)))
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
    let reward = &config.reward;
    let model: Option<Box<dyn Scorer>> = match &reward.reward_model {
        None => None,
        Some(folder) if !folder.contains("://") => {
            let judge = judge(folder.as_ref(), config.model.dtype.into());
            Some(Box::new(judge.context("reward_model")?))
        }
        Some(url) => {
            let served = reward.reward_model_name.as_deref().unwrap_or("reward-model");
            let mut settings = settings(url, served);
            settings.timeout =
                reward.scorer_timeout.map_or(settings.timeout, Duration::from_secs_f64);
            settings.max_tries = reward.scorer_tries.unwrap_or(settings.max_tries);
            Some(Box::new(HttpScorer::new(settings).map_err(usage)?))
        }
    };
    let custom = reward.custom_reward.as_ref().map(|custom| own(custom, reward.scorer_tries));
    Ok(Opened { model, custom: custom.transpose()? })
}

/// A reward of the user's own.
fn own(custom: &CustomReward, max_tries: Option<usize>) -> Result<Box<dyn Scorer>> {
    let timeout = Duration::from_secs_f64(custom.timeout);
    let command = custom.command.clone().unwrap_or_default();
    let Some(url) = &custom.url else {
        return Ok(Box::new(ProcessScorer::new(&command, timeout).map_err(usage)?));
    };
    let settings = Settings { timeout, ..settings(url, "") };
    let max_tries = max_tries.unwrap_or(settings.max_tries);
    Ok(Box::new(HttpScorer::own(Settings { max_tries, ..settings }).map_err(usage)?))
}

/// A server's settings with the bearer token of the environment.
fn settings(url: &str, served: &str) -> Settings {
    let api_key = std::env::var(API_KEY).ok().filter(|key| !key.is_empty());
    Settings { api_key, ..Settings::new(url, served) }
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
