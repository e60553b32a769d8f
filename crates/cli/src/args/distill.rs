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
    sightline distill --dataset train.jsonl --output_dir distilled --max_new_tokens 4096 \\\n    \
    --generator '{model_name_or_path = \"vlm\"}' --dry-run\n  \
    sightline distill --config distill.toml \\\n    \
    --judge '{base_url = \"https://api.openai.com/v1\", model = \"gpt-4o\", api_key_env = \"OPENAI_API_KEY\", max_cost = 20.0, input_price = 2.5, output_price = 10.0}'\n  \
    sightline distill --config distill.toml --show --where 'outcome=dropped'\n  \
    sightline distill --config distill.toml --where 'penalty<=1.1' --export long.parquet\n\n\
`generator` and `judge` are tables: base_url and model of a server that speaks the OpenAI API, or\n\
model_name_or_path of a model of ours. Without `judge`, rules grade and wrong chains are dropped. The\n\
same command run again goes on where it stopped and asks for nothing twice. Writes into output_dir:\n\
config.toml, distilled.jsonl (train on it), items.jsonl, quarantine.jsonl, report.json, stages.sqlite,\n\
and for each server a ledger of every attempt, generator.sqlite and judge.sqlite."
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
