//! The models that are asked in words: behind a server, or in this process.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};
use judge::{Respond, TeacherConfig, TeacherKind};
use openai::{ApiKey, Budget, Endpoint, Ledger, Patience, Prices, Settings};
use preprocess::Processor;
use recipes::preferences::BuildConfig;
use tensor::DType;

use crate::args::ModelArgs;
use crate::commands::generate;
use crate::failure::usage;
use crate::inputs::check_adapter;
use crate::local_model::LocalModel;
use crate::progress::Progress;

/// The model, not asked yet. One behind a server keeps its attempts and replies in the file `ledger`.
///
/// # Errors
/// Settings that cannot be used, a key that is not set, or a folder that holds no model.
pub(crate) fn open(
    config: &TeacherConfig,
    ledger: &Path,
    progress: &Progress,
) -> Result<Box<dyn Respond>> {
    match config.kind().map_err(usage)? {
        TeacherKind::Server { base_url, model } => {
            let mut settings = settings(config, base_url, model);
            let key = config.api_key_env.as_deref().map(ApiKey::from_env);
            settings.api_key = key.transpose().map_err(usage)?;
            let endpoint = Endpoint::new(settings, Ledger::open(ledger)?);
            Ok(Box::new(endpoint.map_err(usage)?))
        }
        TeacherKind::Local(folder) => {
            let args = model_args(config, folder)?;
            let opened = LocalModel::open(args, progress);
            Ok(Box::new(opened.with_context(|| folder.display().to_string())?))
        }
    }
}

/// As [`open`], with the ledger in a run's folder under the model's `name`, which errors tell too.
pub(crate) fn open_in(
    folder: &Path,
    name: &str,
    config: &TeacherConfig,
    progress: &Progress,
) -> Result<Box<dyn Respond>> {
    let ledger = folder.join(format!("{name}.sqlite"));
    open(config, &ledger, progress).with_context(|| name.to_owned())
}

/// The judge that a recipe's `judge` names, its ledger in the recipe's folder.
///
/// # Errors
/// As for [`open`].
pub(crate) fn judge(
    config: &BuildConfig,
    folder: &Path,
    progress: &Progress,
) -> Result<Option<Box<dyn Respond>>> {
    let Some(judge) = &config.judge else { return Ok(None) };
    std::fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    open_in(folder, "judge", judge, progress).map(Some)
}

/// What will name the model, found without loading it.
///
/// # Errors
/// Settings that cannot be used, or a folder that holds no model.
pub(crate) fn identity(config: &TeacherConfig) -> Result<String> {
    Ok(match config.kind().map_err(usage)? {
        TeacherKind::Server { base_url, model } => settings(config, base_url, model).identity(),
        TeacherKind::Local(folder) => {
            let args = model_args(config, folder)?;
            Processor::load(folder)?;
            args.adapter.as_deref().map_or(Ok(()), check_adapter)?;
            generate::identity(&args)
        }
    })
}

fn settings(config: &TeacherConfig, base_url: &str, model: &str) -> Settings {
    let own = Settings::new(base_url, model);
    let seconds = |given: Option<f64>, own| given.map_or(own, Duration::from_secs_f64);
    Settings {
        patience: Patience {
            timeout: seconds(config.timeout, own.patience.timeout),
            first_wait: seconds(config.first_wait, own.patience.first_wait),
            max_tries: config.max_tries.unwrap_or(own.patience.max_tries),
            ..own.patience
        },
        num_parallel: config.num_parallel.unwrap_or(own.num_parallel),
        prices: Prices {
            input: config.input_price.unwrap_or(0.0),
            output: config.output_price.unwrap_or(0.0),
        },
        budget: Budget { tokens: config.max_total_tokens, cost: config.max_cost },
        image_tokens: config.image_tokens.unwrap_or(own.image_tokens),
        has_completion_limit: config.max_completion_tokens,
        has_fixed_sampling: config.fixed_sampling,
        ..own
    }
}

fn model_args(config: &TeacherConfig, folder: &Path) -> Result<ModelArgs> {
    let dtype = config.dtype.as_deref().map_or(Ok(DType::F32), str::parse).map_err(usage)?;
    let adapter = config.adapter_name_or_path.clone();
    Ok(ModelArgs { model: folder.to_owned(), adapter, dtype })
}

/// For a pipeline: the model by reference.
pub(crate) fn borrow(teacher: &mut Option<Box<dyn Respond>>) -> Option<&mut dyn Respond> {
    match teacher {
        Some(teacher) => Some(teacher.as_mut()),
        None => None,
    }
}
