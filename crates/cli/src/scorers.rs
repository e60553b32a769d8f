//! The scorers that a recipe's `reward_model` and `custom_reward` name.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use curate::CurateConfig;
use model::feature_cache::FeatureCache;
use model::reward_model::RewardModel;
use openai::ApiKey;
use preprocess::Processor;
use recipes::grpo::{CustomReward, GrpoConfig, Scorers};
use recipes::iterative_sft::ScoreConfig;
use recipes::preferences::BuildConfig;
use reward::Scorer;
use rollout::Judge;
use scorer::{HttpScorer, ProcessScorer, Settings};
use tensor::DType;

use crate::commands::assemble::is_reward_model;
use crate::failure::usage;

/// Holds the bearer token of a scorer behind a server; no file of a run ever does.
const API_KEY: &str = "SIGHTLINE_SCORER_API_KEY";

/// Holds that of a reward of the user's own, which is another's server.
const OWN_API_KEY: &str = "SIGHTLINE_REWARD_API_KEY";

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

/// Recipes with these keys.
macro_rules! named {
    ($($config:ty),+) => {$(
        impl<'a> From<&'a $config> for Named<'a> {
            fn from(config: &'a $config) -> Self {
                Self {
                    name: config.reward_model.as_deref(),
                    served_name: &config.reward_model_name,
                    timeout: config.scorer_timeout,
                    num_tries: config.scorer_tries,
                }
            }
        }
    )+};
}

named!(BuildConfig, ScoreConfig, CurateConfig);

impl<'a> From<&'a GrpoConfig> for Named<'a> {
    fn from(config: &'a GrpoConfig) -> Self {
        let reward = &config.reward;
        Self {
            name: reward.reward_model.as_deref(),
            served_name: reward.reward_model_name(),
            timeout: reward.scorer_timeout(),
            num_tries: reward.scorer_tries(),
        }
    }
}

/// That [`open`] would find what is named; nothing is loaded or asked.
///
/// # Errors
/// As for [`open`].
pub(crate) fn check<'a>(config: impl Into<Named<'a>>) -> Result<()> {
    let config = config.into();
    let Some(name) = config.name else { return Ok(()) };
    if name.contains("://") {
        return server(name, &config).map(drop);
    }
    ensure!(
        is_reward_model(name.as_ref(), None).context("reward_model")?,
        "reward_model: {name} has no value head"
    );
    Ok(())
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
    config.name.map(|name| model(name, &config, dtype)).transpose()
}

/// A reward model behind an address, or in a folder.
fn model(name: &str, config: &Named<'_>, dtype: DType) -> Result<Box<dyn Scorer>> {
    if !name.contains("://") {
        return Ok(Box::new(judge(name.as_ref(), dtype).context("reward_model")?));
    }
    Ok(Box::new(server(name, config)?))
}

/// A reward model behind an address.
fn server(address: &str, config: &Named<'_>) -> Result<HttpScorer> {
    let mut settings = with_key(Settings::new(address, config.served_name), API_KEY);
    settings.patience.timeout = Duration::from_secs_f64(config.timeout);
    settings.patience.max_tries = config.num_tries;
    HttpScorer::new(settings).map_err(usage)
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
    let custom = |custom: &CustomReward| own(custom, reward.scorer_tries());
    Ok(Opened {
        model: open(config, dtype)?,
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
    let mut settings = with_key(Settings::new(url, ""), OWN_API_KEY);
    (settings.patience.timeout, settings.patience.max_tries) = (timeout, max_tries);
    Ok(Box::new(HttpScorer::own(settings).map_err(usage)?))
}

/// Settings with the bearer token of a variable of the environment.
fn with_key(settings: Settings, variable: &str) -> Settings {
    Settings { api_key: ApiKey::from_env(variable).ok(), ..settings }
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
