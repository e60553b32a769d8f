//! `sightline mpo`: mixed preference optimisation, on given pairs or in rounds.

use anyhow::Result;
use recipes::mpo::{MpoConfig, rounds};
use recipes::preferences::Assessors;

use super::plan::Plan;
use super::preferences::BuildPlan;
use super::training::{Spectator, settings, show_plan};
use crate::args::RecipeArgs;
use crate::inputs::{check_checkpoints, check_pairs};
use crate::{Context, scorers, teachers};

/// Trains, or says what training would be.
pub(crate) fn run(args: &RecipeArgs, context: &Context) -> Result<()> {
    let config: MpoConfig = settings(args)?;
    let build = config.rounds.preferences.as_ref();
    check_checkpoints(&config.model, &config.run)?;
    if args.dry_run {
        let images = config.pairs.image_folder.as_deref();
        check_pairs(config.validation.eval_dataset.as_deref(), images)?;
        return match build {
            Some(build) => {
                let plan = BuildPlan::new(&config.model, &config.run.dataset, build)?;
                show_plan(&config, plan, context)
            }
            None => show_plan(&config, Plan::mpo(&config)?, context),
        };
    }
    let scorer = build.map(|build| scorers::open(build, config.model.dtype.into()));
    let mut scorer = scorer.transpose()?.flatten();
    let output_dir = &config.run.output_dir;
    let judge = build.map(|build| teachers::judge(build, output_dir, &context.progress));
    let mut judge = judge.transpose()?.flatten();
    let spectator = Spectator::new("mpo", &context.progress);
    let (scorer, judge) = (scorers::borrow(&mut scorer), teachers::borrow(&mut judge));
    let assessors = Assessors { scorer, judge };
    let trained = rounds(&config, assessors, &mut || spectator.watch());
    spectator.finish();
    trained?;
    spectator.conclude(config.run.output_dir, context)
}
