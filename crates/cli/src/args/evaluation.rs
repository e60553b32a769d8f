//! Arguments of `sightline eval` and its commands.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use protocol::{Scheme, Threshold};

use super::RecipeArgs;

/// `sightline eval`.
#[derive(Debug, Args)]
#[command(
    override_usage = "sightline eval [--config FILE] [--KEY VALUE]... [OPTIONS]\n       \
                      sightline eval compare BEFORE AFTER\n       \
                      sightline eval gate RUN [OPTIONS]",
    args_conflicts_with_subcommands = true,
    after_help = "Every key of the TOML file can be given as --key value; later sources win.\n\n\
A held-out file, answered by a model of ours:\n  \
    sightline eval --model_name_or_path vlm --dataset held_out.jsonl \\\n    \
    --output_dir eval --max_new_tokens 64\n  \
    sightline eval --config eval.toml --adapter run/checkpoint-100 \\\n    \
    --limit 300 --json\n\n\
Benchmarks, answered by a model of ours or behind a server, five times each:\n  \
    sightline eval --tasks mmmu,mathvista --model vlm --data_dir benchmarks \\\n    \
    --output_dir eval --max_new_tokens 8192\n  \
    sightline eval --tasks aime_2024 --base_url http://localhost:8000/v1 \\\n    \
    --served_model_name r1v2 --thinks --output_dir eval \\\n    \
    --max_new_tokens 65536 --scoring rule_or_judge \\\n    \
    --judge '{base_url = \"http://localhost:8001/v1\", model = \"judge\"}'\n\n\
What is not in data_dir/<task>/ comes from the hub. Responses are kept by content in cache_dir: a rerun asks \
nothing again. Writes records.jsonl, disputed.jsonl, unasked.jsonl, summary.json, summary.csv and \
report.html."
)]
pub(crate) struct EvalArgs {
    /// What to do with runs that are done.
    #[command(subcommand)]
    pub command: Option<EvalCommand>,
    /// Where the settings come from.
    #[command(flatten)]
    pub recipe: RecipeArgs,
}

/// What is done with runs on benchmarks.
#[derive(Debug, Subcommand)]
pub(crate) enum EvalCommand {
    /// Compare two runs, item by item, with a test of significance.
    Compare(EvalCompareArgs),
    /// Hold a run to thresholds; fails if it does not keep them.
    Gate(EvalGateArgs),
}

/// `sightline eval compare`.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  sightline eval compare eval-before eval-after --scoring lenient\n\n\
Runs are those of `eval --tasks`; an evaluation of a held-out file has no records to compare. Items are \
paired by task and id, each with the mean of its runs; the p-value is that of the sign-flip test over sources \
of items, and beside it McNemar's where every item was asked once."
)]
pub(crate) struct EvalCompareArgs {
    /// Output folder of the first run on benchmarks.
    pub before: PathBuf,
    /// That of the second.
    pub after: PathBuf,
    /// The score that is compared: `strict`, `lenient`, `judge`, `rule-or-judge`, `vlmevalkit` or `vlmevalkit-fork`;
    /// that of the first run by default.
    #[arg(long, value_parser = super::named::<Scheme>)]
    pub scoring: Option<Scheme>,
}

/// `sightline eval gate`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    sightline eval gate eval --require 'mmmu>=69' --require '*.clipped<=5%'\n  \
    sightline eval gate eval --baseline eval-before --max-drop 1 --alpha 0.05\n\n\
A run is one of `eval --tasks`. Metrics are score, low (the lower end of the interval), clipped, flawed, \
disputed and length; * is every task. Exit code 1 if a threshold is not kept, or what it asks about was not measured.")]
pub(crate) struct EvalGateArgs {
    /// Output folder of a run on benchmarks.
    pub run: PathBuf,
    /// A threshold such as `mmmu>=69` or `*.clipped<=5%`; may be given several times.
    #[arg(long, required_unless_present = "baseline")]
    pub require: Vec<Threshold>,
    /// That of a run to compare with.
    #[arg(long)]
    pub baseline: Option<PathBuf>,
    /// Points that a task may lose against the baseline.
    #[arg(long, requires = "baseline")]
    pub max_drop: Option<f64>,
    /// A loss against the baseline with a p-value below this fails.
    #[arg(long, requires = "baseline")]
    pub alpha: Option<f64>,
}
