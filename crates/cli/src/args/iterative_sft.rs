//! Arguments of iterative fine-tuning, and of the choice among checkpoints.

use std::path::PathBuf;

use clap::Args;

use super::RecipeArgs;

/// `sightline iterative-sft`.
#[derive(Debug, Args)]
#[command(
    override_usage = "sightline iterative-sft [--config FILE] [--KEY VALUE]... [OPTIONS]",
    after_help = "Every key of the TOML file can be given as --key value; later sources win:\n  \
    sightline iterative-sft --model_name_or_path vlm --dataset train.jsonl \\\n    \
    --output_dir run --learning_rate 2e-4 --per_device_train_batch_size 8 \\\n    \
    --save_steps 100 --eval_dataset held_out.jsonl \\\n    \
    --max_completion_length 4096\n  \
    sightline iterative-sft --config iterative.toml \\\n    \
    --reward_model skywork-vl-reward \\\n    \
    --score_quantiles '[0.1, 0.3, 0.5, 0.7, 0.9]'\n  \
    sightline iterative-sft --config iterative.toml --num_rounds 2 --dry-run\n\n\
The first stage learns from all samples; each round then from those that score at least its threshold and \
from those that the last policy answers wrongly. Samples are scored from 0 to 5: by rules, by `judge` (a \
table: base_url and model, or model_name_or_path), by a reward model whose scores score_levels or \
score_quantiles map, or by score_column. With `distill`, a table of that command's keys, the data set is \
distilled anew before each stage. The same command run again goes on where it stopped. Writes into \
output_dir: config.toml, stage-1/ and round-<t>/ with sft/, answers and train.jsonl, scores, rounds.jsonl, \
choice.json (which checkpoint, and why), chosen/, top_scored.jsonl for grpo, and, where lines cannot be \
used, data/quarantine.jsonl with the reason of each and data/samples.jsonl."
)]
pub(crate) struct IterativeSftArgs {
    /// Where the settings come from.
    #[command(flatten)]
    pub recipe: RecipeArgs,
}

/// `sightline choose`.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  \
    sightline choose --evaluations eval-sft --evaluations eval-grpo \\\n    \
    --output choice\n\n\
Reads completions.jsonl and config.toml of each evaluation. Of the checkpoints whose accuracy is at most \
--accuracy-tolerance below the best (its standard error by default) the one with the most completions that \
are complete and do not repeat themselves is kept; of equals the more accurate, then the earlier. Writes \
choice.json with the reasons, and chosen/, a copy of the checkpoint.")]
pub(crate) struct ChooseArgs {
    /// The output folder of an evaluation; given once for each checkpoint, the earlier first.
    #[arg(long, required = true)]
    pub evaluations: Vec<PathBuf>,
    /// Folder to write.
    #[arg(long)]
    pub output: PathBuf,
    /// Accuracies count as equal to the best that are lower by this at most.
    #[arg(long)]
    pub accuracy_tolerance: Option<f64>,
    /// Share of token triples that may occur before in a completion that does not repeat itself.
    #[arg(long, default_value_t = 0.2)]
    pub max_repetition: f64,
}
