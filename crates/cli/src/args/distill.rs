//! Arguments of the commands about distillation.

use std::path::PathBuf;

use clap::Args;
use distill::Filter;

use super::RecipeArgs;
use crate::commands::distill::filter;

/// `sightline distill`.
#[derive(Debug, Args)]
#[command(
    override_usage = "sightline distill [--config FILE] [--KEY VALUE]... [OPTIONS]",
    after_help = "Every key of the TOML file can be given as --key value; later sources win:\n  \
    sightline distill --dataset train.jsonl --output_dir distilled \\\n    \
    --max_new_tokens 4096 --generator '{model_name_or_path = \"vlm\"}' \\\n    \
    --dry-run\n  \
    sightline distill --config distill.toml \\\n    \
    --judge '{base_url = \"http://localhost:8000/v1\", model = \"judge\"}'\n  \
    sightline distill --config distill.toml --show --where 'outcome=dropped'\n  \
    sightline distill --config distill.toml --where 'penalty<=1.1' \\\n    \
    --export long.parquet\n\n\
`generator` and `judge` are tables: base_url and model of a server that speaks the OpenAI API, where needed \
with api_key_env, and max_cost with input_price and output_price; or model_name_or_path of a model of ours. \
Without `judge`, rules grade and wrong chains are dropped. The same command run again goes on where it \
stopped and asks for nothing twice. Writes into output_dir: config.toml, distilled.jsonl (train on it), \
items.jsonl, quarantine.jsonl, report.json, stages.sqlite, and for each server a ledger of every attempt, \
generator.sqlite and judge.sqlite."
)]
pub(crate) struct DistillArgs {
    /// Where the settings come from.
    #[command(flatten)]
    pub recipe: RecipeArgs,
    /// Show the items of a finished run with their scores, and run nothing.
    #[arg(long)]
    pub show: bool,
    /// Write items of a finished run: training samples (.jsonl), or all columns (.parquet).
    #[arg(long, value_name = "FILE")]
    pub export: Option<PathBuf>,
    /// Only items that meet this, such as penalty<=1.1 or outcome=kept; may be given several times.
    #[arg(long = "where", value_name = "CONDITION", value_parser = filter)]
    pub conditions: Vec<Filter>,
}
