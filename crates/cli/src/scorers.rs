//! The scorer that a recipe's `reward_model` names.

use std::time::Duration;

use anyhow::{Result, anyhow};
use recipes::preferences::BuildConfig;
use reward::Scorer;
use scorer::{HttpScorer, Settings};

use crate::failure::usage;

/// Holds the bearer token of a scorer behind a server; no file of a run ever does.
const API_KEY: &str = "SIGHTLINE_SCORER_API_KEY";

/// The scorer, not asked yet; `None` where only the rule decides.
///
/// # Errors
/// An address without a known route, or a folder that holds no reward model.
pub(crate) fn open(config: &BuildConfig) -> Result<Option<Box<dyn Scorer>>> {
    let Some(name) = &config.reward_model else { return Ok(None) };
    if !name.contains("://") {
        return Err(usage(anyhow!("reward_model = {name:?}: expected an http or https address")));
    }
    let settings = Settings {
        api_key: std::env::var(API_KEY).ok().filter(|key| !key.is_empty()),
        timeout: Duration::from_secs_f64(config.scorer_timeout),
        max_tries: config.scorer_tries,
        ..Settings::new(name, &config.reward_model_name)
    };
    Ok(Some(Box::new(HttpScorer::new(settings).map_err(usage)?)))
}

/// For a recipe: the scorer by reference.
pub(crate) fn borrow(scorer: &mut Option<Box<dyn Scorer>>) -> Option<&mut dyn Scorer> {
    match scorer {
        Some(scorer) => Some(scorer.as_mut()),
        None => None,
    }
}
