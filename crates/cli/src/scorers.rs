//! The scorer that a recipe's `reward_model` names.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};
use curate::CurateConfig;
use model::feature_cache::FeatureCache;
use model::reward_model::RewardModel;
use openai::ApiKey;
use preprocess::Processor;
use recipes::preferences::BuildConfig;
use reward::Scorer;
use rollout::Judge;
use scorer::{HttpScorer, Settings};
use tensor::DType;

use crate::failure::usage;

/// Holds the bearer token of a scorer behind a server; no file of a run ever does.
const API_KEY: &str = "SIGHTLINE_SCORER_API_KEY";

/// Features of prompts' images held in memory.
const FEATURE_BYTES: u64 = 1 << 30;

/// Rows that a reward model in this process reads at once.
const ROWS: usize = 4096;

/// Which scorer, and how patiently it is asked where it is behind a server.
pub(crate) struct Named<'a> {
    /// An address that ends in a known route, or a folder; `None` where only the rule decides.
    pub(crate) name: Option<&'a str>,
    /// The reward model's name on its server.
    pub(crate) served_name: &'a str,
    /// Longest wait for a reply, in seconds.
    pub(crate) timeout: f64,
    /// How often a request is sent.
    pub(crate) num_tries: usize,
}

impl<'a> From<&'a BuildConfig> for Named<'a> {
    fn from(config: &'a BuildConfig) -> Self {
        Self {
            name: config.reward_model.as_deref(),
            served_name: &config.reward_model_name,
            timeout: config.scorer_timeout,
            num_tries: config.scorer_tries,
        }
    }
}

impl<'a> From<&'a CurateConfig> for Named<'a> {
    fn from(config: &'a CurateConfig) -> Self {
        Self {
            name: config.reward_model.as_deref(),
            served_name: &config.reward_model_name,
            timeout: config.scorer_timeout,
            num_tries: config.scorer_tries,
        }
    }
}

/// The scorer, not asked yet. A reward model in this process holds its weights as `dtype`.
///
/// # Errors
/// An address without a known route, or a folder that holds no reward model.
pub(crate) fn open<'a>(
    config: impl Into<Named<'a>>,
    dtype: DType,
) -> Result<Option<Box<dyn Scorer>>> {
    let config = config.into();
    let Some(name) = config.name else { return Ok(None) };
    if !name.contains("://") {
        return Ok(Some(Box::new(judge(name.as_ref(), dtype).context("reward_model")?)));
    }
    let settings = Settings {
        api_key: ApiKey::from_env(API_KEY).ok(),
        timeout: Duration::from_secs_f64(config.timeout),
        max_tries: config.num_tries,
        ..Settings::new(name, config.served_name)
    };
    Ok(Some(Box::new(HttpScorer::new(settings).map_err(usage)?)))
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
