//! `sightline reward data`: preference pairs for a reward model, from open data and from several models.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use curate::{CurateConfig, Helpers, PAIRS_FILE, Responder, Statistics, Way, curate};
use judge::TeacherConfig;
use recipes::Error;
use recipes::config::{Part, Recipe, resolved};
use serde::{Deserialize, Serialize};
use tensor::DType;

use crate::args::RecipeArgs;
use crate::commands::training::settings;
use crate::output::write_atomic;
use crate::progress::Steps;
use crate::{Context, scorers, teachers};

/// The keys of `sightline reward data`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct CurateRecipe(CurateConfig);

impl Recipe for CurateRecipe {
    const PARTS: &'static [Part] = &[Part::of::<CurateConfig>()];

    fn validate(&self) -> Result<(), Error> {
        let place = "reward data".to_owned();
        self.0.validate().map_err(|error| Error::Config { place, reason: error.to_string() })
    }
}

/// What a run left behind.
#[derive(Serialize)]
struct Outcome {
    pairs: PathBuf,
    statistics: Statistics,
}

/// Makes pairs, or says what that would ask.
pub(super) fn run(args: &RecipeArgs, context: &Context) -> Result<()> {
    let recipe: CurateRecipe = settings(args)?;
    if args.dry_run {
        return plan(&recipe, context);
    }
    let statistics = run_steps(&recipe, context)?;
    let outcome = Outcome { pairs: recipe.0.output_dir.join(PAIRS_FILE), statistics };
    let show = |outcome: &Outcome| format!("{}\n{}", outcome.pairs.display(), outcome.statistics);
    context.output.show(&outcome, show)?;
    match outcome.statistics.stopped {
        Some(reason) => bail!("stopped early, the same command goes on: {reason}"),
        None => Ok(()),
    }
}

/// What a run would ask, at most.
#[derive(Serialize)]
struct Plan<'a> {
    config: &'a CurateRecipe,
    /// Pairs of each source, before any is dropped.
    sources: Vec<(PathBuf, usize)>,
    num_prompts: usize,
    /// Responses of each model, and captions for it.
    responders: Vec<(&'a str, Way, usize)>,
    num_comparisons: usize,
}

fn plan(recipe: &CurateRecipe, context: &Context) -> Result<()> {
    let config = &recipe.0;
    let mut sources = vec![];
    for source in &config.sources {
        let folder = source.image_folder.as_deref();
        let (read, _) = ::data::Preferences::read_what_is_good(&source.path, folder)?;
        sources.push((source.path.clone(), read.pairs.len()));
    }
    let prompts = config.prompts.as_deref().map(count).transpose()?.unwrap_or(0);
    let requests = prompts * config.num_generations;
    let responders = config.responders.iter().map(|one| (one.name.as_str(), one.way(), requests));
    let num_pairs: usize = sources.iter().map(|(_, count)| count).sum();
    let most = num_pairs + prompts * config.max_pairs_per_prompt;
    let plan = Plan {
        config: recipe,
        sources,
        num_prompts: prompts,
        responders: responders.collect(),
        num_comparisons: if config.judge.is_some() { most } else { 0 },
    };
    let text = resolved(recipe)?;
    context.output.show(&plan, |plan| {
        let sources =
            plan.sources.iter().map(|(path, count)| format!("{}: {count} pairs", path.display()));
        let responders = plan.responders.iter().map(|(name, way, count)| match way {
            Way::Direct => format!("{name}: {count} responses"),
            Way::Captioned => format!("{name}: {count} responses to {} captions", plan.num_prompts),
        });
        let last = format!("judge: up to {} comparisons", plan.num_comparisons);
        [text]
            .into_iter()
            .chain(sources)
            .chain(responders)
            .chain([last])
            .collect::<Vec<_>>()
            .join("\n")
    })
}

/// Samples of a file that can be read.
fn count(path: &Path) -> Result<usize> {
    Ok(::data::lines::<schema::Sample>(path)?.filter(Result::is_ok).count())
}

fn run_steps(recipe: &CurateRecipe, context: &Context) -> Result<Statistics> {
    let config = &recipe.0;
    let folder = &config.output_dir;
    std::fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    write_atomic(&folder.join("config.toml"), resolved(recipe)?.as_bytes())?;
    let open = |name: &str, teacher: &TeacherConfig| {
        let ledger = folder.join(format!("{name}.sqlite"));
        teachers::open(teacher, &ledger, &context.progress).with_context(|| name.to_owned())
    };
    let mut models = vec![];
    for (number, responder) in config.responders.iter().enumerate() {
        let model = open(&format!("responder-{number}"), &responder.model)?;
        let captioner = responder.captioner.as_ref();
        let captioner =
            captioner.map(|one| open(&format!("captioner-{number}"), one)).transpose()?;
        models.push((responder.name.clone(), model, captioner));
    }
    let mut judge = config.judge.as_ref().map(|judge| open("judge", judge)).transpose()?;
    let mut scorer = scorers::open(config, DType::F32)?;
    let mut responders = vec![];
    for (name, model, captioner) in &mut models {
        let captioner = teachers::borrow(captioner);
        responders.push(Responder { name: name.clone(), model: model.as_mut(), captioner });
    }
    let helpers = Helpers {
        responders,
        judge: teachers::borrow(&mut judge),
        scorer: scorers::borrow(&mut scorer),
    };
    let mut steps = Steps::new(&context.progress);
    let made = curate(config, helpers, &mut |now| steps.show(now.step, now.done, now.total));
    steps.finish();
    Ok(made?)
}
