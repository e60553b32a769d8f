//! The scorer that a recipe's `reward_model` names.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};
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
    let settings = Settings {
        api_key: ApiKey::from_env(API_KEY).ok(),
        timeout: Duration::from_secs_f64(config.scorer_timeout),
        max_tries: config.scorer_tries,
        ..Settings::new(name, &config.reward_model_name)
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
