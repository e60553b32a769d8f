//! `sightline sft`: fine-tuning on assistant turns.

use anyhow::Result;
use recipes::sft::{SftConfig, sft};

use super::plan::Plan;
use super::training::{Spectator, settings, show_plan};
use crate::Context;
use crate::args::RecipeArgs;
use crate::inputs::check_checkpoints;

/// Trains, or says what training would be.
pub(crate) fn run(args: &RecipeArgs, context: &Context) -> Result<()> {
    let config: SftConfig = settings(args)?;
    check_checkpoints(&config.model, &config.run)?;
    if args.dry_run {
        return show_plan(&config, Plan::sft(&config)?, context);
    }
    let spectator = Spectator::new("sft", &context.progress);
    let trained = sft(&config, spectator.watch());
    spectator.finish();
    trained?;
    spectator.conclude(config.run.output_dir, context)
}
