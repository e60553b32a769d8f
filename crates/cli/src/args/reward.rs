//! Arguments of the commands about reward models.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use eval::Benchmark;
use recipes::mpo::BadPairs;

use super::{ModelArgs, RecipeArgs};

/// `sightline reward`.
#[derive(Debug, Subcommand)]
pub(crate) enum RewardCommand {
    /// Score responses.
    Score(RewardScoreArgs),
    /// Score the responses of pairs or groups, and say which is better.
    Compare(RewardCompareArgs),
    /// Make preference pairs: gathered or collected, cleaned, judged, scored, weak ones written anew.
    Data(RewardDataArgs),
    /// Train a reward model on preference pairs.
    Train(RewardTrainArgs),
    /// Measure a reward model on VL-RewardBench or RewardBench.
    Eval(RewardEvalArgs),
}

/// `sightline reward score`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    sightline reward score --model skywork-vl-reward --input answers.jsonl \\\n    \
    --output scored.jsonl\n  \
    sightline reward score --model vlm --adapter run/checkpoint-100 \\\n    \
    --input answers.jsonl --output scored.jsonl\n\n\
A line holds messages that end in the assistant's turn, and images as everywhere; the answer adds score: the \
value at the last token of the rendered conversation, raw. Responses to one prompt share its rows. An \
interrupted run goes on where it stopped.")]
pub(crate) struct RewardScoreArgs {
    /// Which model: a folder with a value head, or one on which --adapter has grown it.
    #[command(flatten)]
    pub model: ModelArgs,
    /// Conversations as JSONL.
    #[arg(long)]
    pub input: PathBuf,
    /// The same lines with their scores.
    #[arg(long)]
    pub output: PathBuf,
    /// What happens to lines that can get no score, such as those without their image or longer than the context: `skip`
    /// leaves them out and counts them, `stop` ends the command before it begins.
    #[arg(long, default_value = "skip", value_parser = super::named::<BadPairs>)]
    pub bad_scores: BadPairs,
}

/// `sightline reward compare`.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  \
    sightline reward compare --model skywork-vl-reward --input pairs.jsonl \\\n    \
    --output compared.jsonl\n\n\
A line holds messages and responses, a list; the answer adds scores and best, the number of the best \
response from 0, null for a tie. Or it holds a preference pair, in the columns of TRL, ms-swift or MMPR; the \
answer is the pair in TRL's columns with score_chosen and score_rejected.")]
pub(crate) struct RewardCompareArgs {
    /// Which model: a folder with a value head, or one on which --adapter has grown it.
    #[command(flatten)]
    pub model: ModelArgs,
    /// Prompts with responses, or pairs, as JSONL.
    #[arg(long)]
    pub input: PathBuf,
    /// The same with scores.
    #[arg(long)]
    pub output: PathBuf,
    /// What happens to lines that can get no score, such as those without their image or longer than the context: `skip`
    /// leaves them out and counts them, `stop` ends the command before it begins.
    #[arg(long, default_value = "skip", value_parser = super::named::<BadPairs>)]
    pub bad_scores: BadPairs,
}

/// `sightline reward data`.
#[derive(Debug, Args)]
#[command(
    override_usage = "sightline reward data [--config FILE] [--KEY VALUE]... [OPTIONS]",
    after_help = "Every key of the TOML file can be given as --key value; later sources win:\n  \
    sightline reward data --output_dir pairs \\\n    \
    --sources '[{path = \"rlaif-v.jsonl\"}, {path = \"critic.jsonl\"}]'\n  \
    sightline reward data --config data.toml --min_margin 3 \\\n    \
    --min_chosen_score 0 --reward_model http://localhost:8000/classify \\\n    \
    --judge '{base_url = \"http://localhost:8001/v1\", model = \"judge\"}'\n\n\
Sources hold pairs in the columns of TRL, ms-swift, MMPR, RLAIF-V, Skywork-Reward-Preference or \
LLaVA-Critic. With `prompts` (known answers) and `responders`, each a model and, for one that sees text \
alone, a captioner, right responses are paired with wrong ones. The same command run again goes on where it \
stopped and asks for nothing twice. Writes into output_dir: config.toml, pairs.jsonl in TRL's columns and \
the same parted as multimodal.jsonl and text.jsonl, dropped.jsonl, statistics.json, stages.sqlite, and a \
ledger for each server."
)]
pub(crate) struct RewardDataArgs {
    /// Where the settings come from.
    #[command(flatten)]
    pub recipe: RecipeArgs,
}

/// `sightline reward train`.
#[derive(Debug, Args)]
#[command(
    override_usage = "sightline reward train [--config FILE] [--KEY VALUE]... [OPTIONS]",
    after_help = "Every key of the TOML file can be given as --key value; later sources win:\n  \
    sightline reward train --model_name_or_path vlm --trainable adapter+llm \\\n    \
    --dataset pairs.jsonl --text_dataset text.jsonl --output_dir reward \\\n    \
    --learning_rate 1e-5 --num_train_epochs 2 \\\n    \
    --per_device_train_batch_size 1 --gradient_accumulation_steps 8 \\\n    \
    --warmup_ratio 0.1 --save_steps 100\n  \
    sightline reward train --config reward.toml --split_dataset_ratio 0.02 \\\n    \
    --eval_steps 50\n\n\
A model without a value head gets a new one. With text_dataset there are two stages, in stage-1/ and \
stage-2/ of output_dir: the pairs of dataset, then these and those of text_dataset at second_learning_rate. \
The same command run again goes on from the newest checkpoint. Writes config.toml, checkpoint-<step>/, \
metrics.jsonl and runs/ for TensorBoard."
)]
pub(crate) struct RewardTrainArgs {
    /// Where the settings come from.
    #[command(flatten)]
    pub recipe: RecipeArgs,
}

/// `sightline reward eval`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    sightline reward eval --model skywork-vl-reward \\\n    \
    --benchmark vl-rewardbench --input vl_rewardbench.tsv \\\n    \
    --output ranked.jsonl\n  \
    sightline reward eval --model skywork-vl-reward --benchmark rewardbench \\\n    \
    --input filtered-00000-of-00001.parquet --output ranked.jsonl --json\n\n\
The benchmarks' published columns, in parquet as on the hub or as JSONL, or (VL-RewardBench) VLMEvalKit's \
TSV. An item is right if the preferred response scores strictly higher.")]
pub(crate) struct RewardEvalArgs {
    /// Which model: a folder with a value head, or one on which --adapter has grown it.
    #[command(flatten)]
    pub model: ModelArgs,
    /// Which benchmark: `vl-rewardbench` or `rewardbench`.
    #[arg(long, value_parser = super::named::<Benchmark>)]
    pub benchmark: Benchmark,
    /// Its file.
    #[arg(long)]
    pub input: PathBuf,
    /// Scores of each item, as JSONL.
    #[arg(long)]
    pub output: PathBuf,
}
