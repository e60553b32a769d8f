//! Arguments of the commands about preference pairs.

use clap::{Args, Subcommand};

use super::RecipeArgs;

/// `sightline preferences`.
#[derive(Debug, Subcommand)]
pub(crate) enum PreferencesCommand {
    /// Sample responses, score them, and keep the pairs that differ enough.
    Build(PreferencesBuildArgs),
}

/// `sightline preferences build`.
#[derive(Debug, Args)]
#[command(
    override_usage = "sightline preferences build [--config FILE] [--KEY VALUE]... [OPTIONS]",
    after_help = "Every key of the TOML file can be given as --key value; later sources win:\n  \
    sightline preferences build --model_name_or_path vlm \\\n    \
    --adapter_name_or_path sft/checkpoint-300 --dataset train.jsonl \\\n    \
    --output_dir pairs --num_generations 16 --max_completion_length 64\n  \
    sightline preferences build --config pairs.toml --threshold 10 \\\n    \
    --reward_model http://localhost:8000/classify \\\n    \
    --reward_model_name skywork-vl-reward\n\n\
With `judge`, a table as in `distill`, pairs whose chosen response is not factually consistent are left out. \
Without reward_model, right answers are chosen and wrong ones rejected. The same command run again goes on \
where it stopped; with another threshold or cap it chooses anew from what was sampled. Writes into \
output_dir: config.toml, responses.jsonl, pairs.jsonl in TRL's columns with scores, statistics.json. \
SIGHTLINE_SCORER_API_KEY is sent to the server as a bearer token."
)]
pub(crate) struct PreferencesBuildArgs {
    /// Where the settings come from.
    #[command(flatten)]
    pub recipe: RecipeArgs,
}

/// `sightline mpo`.
#[derive(Debug, Args)]
#[command(
    override_usage = "sightline mpo [--config FILE] [--KEY VALUE]... [OPTIONS]",
    after_help = "Every key of the TOML file can be given as --key value; later sources win:\n  \
    sightline mpo --model_name_or_path vlm \\\n    \
    --adapter_name_or_path sft/checkpoint-300 --dataset pairs.jsonl \\\n    \
    --output_dir run --learning_rate 2e-5 --per_device_train_batch_size 1 \\\n    \
    --gradient_accumulation_steps 256 --save_steps 20\n  \
    sightline mpo --config mpo.toml --loss_type '[\"sigmoid\"]' --output_dir dpo\n  \
    sightline mpo --config mpo.toml --eval_dataset held_out.jsonl \\\n    \
    --early_stopping_patience 3\n  \
    sightline mpo --config mpo.toml --dataset prompts.jsonl --num_rounds 3 \\\n    \
    --preferences '{num_generations = 16, reward_model = \"reward-model\"}'\n\n\
A line holds prompt, chosen and rejected as TRL has them, messages and rejected_response as ms-swift has \
them, or question, chosen, rejected and image as MMPR has them. The same command run again goes on from the \
newest checkpoint. Writes into output_dir: config.toml, checkpoint-<step>/, best/, reference/, metrics.jsonl \
and runs/ for TensorBoard; with `preferences`, a round-<n>/ for each round of sampling, scoring and \
training."
)]
pub(crate) struct MpoArgs {
    /// Where the settings come from.
    #[command(flatten)]
    pub recipe: RecipeArgs,
}
