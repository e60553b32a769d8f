//! `sightline grpo`: reinforcement with verifiable rewards.

use anyhow::Result;
use recipes::grpo::{GrpoConfig, grpo};

use super::plan::Plan;
use super::training::{Spectator, settings, show_plan};
use crate::args::RecipeArgs;
use crate::inputs::{check_checkpoints, check_questions};
use crate::{Context, scorers};

/// Trains, or says what training would be.
pub(crate) fn run(args: &RecipeArgs, context: &Context) -> Result<()> {
    let config: GrpoConfig = settings(args)?;
    check_checkpoints(&config.model, &config.run)?;
    if args.dry_run {
        check_questions(config.guard.eval_dataset.as_deref())?;
        check_questions(config.guard.probe_dataset.as_deref())?;
        scorers::check(&config)?;
        return show_plan(&config, Plan::grpo(&config)?, context);
    }
    let mut scorers = scorers::open_all(&config)?;
    let spectator = Spectator::new("grpo", &context.progress);
    let trained = grpo(&config, scorers.borrow(), spectator.watch());
    spectator.finish();
    trained?;
    spectator.conclude(config.run.output_dir, context)
}
