//! `sightline assemble`: a model from parts, or a trained checkpoint as a full folder.

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use ::assets::{AssetKind, AssetState};
use ::data::{Dataset, prompt_of};
use ::model::assemble::{
    Assembled, IMAGE_TOKENS, Language, Parts, Settings, assemble, fit_adapter, reassemble,
};
use ::model::reward_model::RewardModel;
use ::model::value_head::{HeadLayout, VALUE_HEAD_FILE};
use ::model::vlm::{Vlm, stack};
use ::model::weights::{Checkpoint, Stored};
use anyhow::{Context as _, Result, anyhow, bail};
use preprocess::{ChatTemplate, LanguageFiles, Processor, Tokenizer, add_special_tokens};
use recipes::policy::{load_trained, load_trained_head, weights_file};
use serde::Serialize;
use tensor::{DType, Tensor};

use crate::Context;
use crate::args::{AssembleArgs, CacheArgs};
use crate::failure::usage;
use crate::inputs::check_adapter;
use crate::output::count;

/// Samples that a new adapter is fitted to at most.
const MOST_FITTED: usize = 256;

/// What `--model` with `--adapter` wrote.
#[derive(Serialize)]
struct Merged {
    output: String,
    model: String,
    adapter: String,
    num_parameters: usize,
}

/// What was built, and where.
#[derive(Serialize)]
pub(super) struct Built {
    output: String,
    #[serde(flatten)]
    assembled: Assembled,
}

/// Builds, rebuilds or merges, depending on what is given.
pub(crate) fn run(args: &AssembleArgs, context: &Context) -> Result<()> {
    match (&args.vision, &args.model, &args.llm, &args.adapter) {
        (Some(vision), None, Some(llm), _) => {
            let (vision, llm) = (part(vision)?, part(llm)?);
            context.output.show(&build(args, &llm, Some(&vision))?, describe)
        }
        (None, Some(_), Some(llm), None) => {
            context.output.show(&build(args, &part(llm)?, None)?, describe)
        }
        (None, Some(model), None, Some(adapter)) => merge(args, model, adapter, context),
        (None, Some(_), Some(_), Some(_)) => Err(usage(anyhow!(
            "--model with --llm keeps the model's adapter and takes no --adapter; merge first \
             (--model with --adapter), then swap the language model of what that writes"
        ))),
        _ => Err(usage(anyhow!("--model needs --llm to swap, or --adapter to merge"))),
    }
}

/// A part as it is given: a path, or the name of an asset that has been fetched.
fn part(given: &Path) -> Result<PathBuf> {
    if given.exists() {
        return Ok(given.to_owned());
    }
    let Some(kind) = given.to_str().and_then(AssetKind::from_name) else {
        let assets = AssetKind::ALL.map(AssetKind::name).join(", ");
        bail!("{} is neither here nor an asset; the assets are {assets}", given.display());
    };
    let status = super::assets::open(&CacheArgs::default())?.status(kind);
    match status.state {
        AssetState::Ready { .. } => Ok(status.path),
        AssetState::Missing | AssetState::Damaged { .. } => bail!(
            "{name} is no folder here and not in {}; `sightline assets fetch {name}` fetches it",
            status.path.display(),
            name = kind.name()
        ),
    }
}

/// From parts, or under the encoder and adapter of `--model`.
pub(super) fn build(args: &AssembleArgs, llm: &Path, vision: Option<&Path>) -> Result<Built> {
    let mut text = LanguageFiles::load(llm)?;
    let original = text.tokenizer.clone();
    add_special_tokens(&mut text.tokenizer, &IMAGE_TOKENS)?;
    if let Some(path) = &args.chat_template {
        let template = std::fs::read_to_string(path);
        text.chat_template = Some(template.with_context(|| path.display().to_string())?);
    }
    check_template(&text, llm)?;
    let tokenizer = Tokenizer::from_json(&original)?;
    let [opening, closing, context] = IMAGE_TOKENS.map(|token| tokenizer.encode(token));
    let language = Language {
        weights: llm,
        original_tokenizer: &original,
        tokenizer: &text.tokenizer,
        pieces: &[opening?, closing?, context?],
        chat_template: text.chat_template.as_deref(),
    };
    let settings = Settings {
        unshuffle: args.unshuffle,
        tile_size: args.tile,
        max_tiles: args.max_tiles,
        thumbnail: !args.no_thumbnail,
        adapter_scale: (args.adapter_scale != 0.0).then_some(args.adapter_scale),
        seed: args.seed,
        stored: None,
    };
    let write_text = |folder: &Path| text.save(folder).map_err(anyhow::Error::from);
    let assembled = match (vision, &args.model) {
        (Some(vision), _) => {
            let parts = Parts { vision, language, adapter: args.adapter.as_deref() };
            assemble(&parts, &settings, &args.output, write_text)?
        }
        (None, Some(model)) => reassemble(model, language, &settings, &args.output, write_text)?,
        (None, None) => bail!("neither --vision nor --model is given"),
    };
    // What was written must read back: a tokenizer or template that fails does so here.
    let processor = Processor::load(&args.output)?;
    if let Some(samples) = &args.fit {
        fit(args, samples, &processor)?;
    }
    Ok(Built { output: args.output.display().to_string(), assembled })
}

/// Fits the new adapter to the features of the images of the first samples.
fn fit(args: &AssembleArgs, samples: &Path, processor: &Processor) -> Result<()> {
    let dataset = Dataset::read(samples)?;
    let base = dataset.path.parent().unwrap_or(Path::new(""));
    let mut vlm = Vlm::load(&args.output, DType::F32)?;
    let mut features = Vec::new();
    for (index, sample) in dataset.samples.iter().enumerate().take(MOST_FITTED) {
        let place = || dataset.place(index);
        let prompt = processor.prompt(&prompt_of(sample), base).with_context(place)?;
        for image in &prompt.images {
            let pixels = image.pixel_values().with_context(place)?;
            let pixels = Tensor::from_vec(pixels, &image.shape());
            features.push(vlm.features(&pixels)?);
        }
    }
    if features.is_empty() {
        bail!("{}: no sample has an image to fit the adapter to", samples.display());
    }
    let scale = if args.adapter_scale == 0.0 { 1.0 } else { args.adapter_scale };
    fit_adapter(&mut vlm, &stack(&features.iter().collect::<Vec<_>>()), scale);
    Ok(vlm.save(&args.output, stored(&args.output)?)?)
}

/// An image must survive the template, or the model would never see it.
fn check_template(text: &LanguageFiles, llm: &Path) -> Result<()> {
    let advice = || {
        format!(
            "the chat template of {} has no place for an image; give one that prints a user's \
             message['content'] with --chat-template",
            llm.display()
        )
    };
    let Some(source) = &text.chat_template else {
        bail!("{} has no chat template; give one with --chat-template", llm.display());
    };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
    let template = ChatTemplate::new(source, &text.special_tokens(), now)?;
    template.check_image_slot().with_context(advice)
}

fn describe(built: &Built) -> String {
    let Built { output, assembled } = built;
    let Assembled { vision, llm, adapter, adapter_widths: [features, hidden], .. } = assembled;
    let tokens = assembled
        .image_tokens
        .iter()
        .map(|(token, id, is_new)| format!("{token} {id}{}", if *is_new { " (new)" } else { "" }));
    format!(
        "{output}: {vision} + {llm}, {} parameters\n\
         adapter: {adapter}, from {features} to {hidden} values\n\
         images: tiles of {tile}x{tile} pixels, {} tokens a tile\n\
         image tokens: {}; {} tokens in all",
        count(assembled.num_parameters),
        assembled.tokens_per_tile,
        tokens.collect::<Vec<_>>().join(", "),
        assembled.vocab_size,
        tile = assembled.tile_size,
    )
}

/// The model with a checkpoint's trained values in place of its own.
fn merge(args: &AssembleArgs, model: &Path, adapter: &Path, context: &Context) -> Result<()> {
    write_merged(model, adapter, &args.output, args.seed)?;
    let tensors = Checkpoint::open(&args.output)?.tensors();
    let sizes = tensors.iter().map(|tensor| tensor.shape.iter().product::<usize>());
    let merged = Merged {
        output: args.output.display().to_string(),
        model: model.display().to_string(),
        adapter: adapter.display().to_string(),
        num_parameters: sizes.sum(),
    };
    context.output.show(&merged, |merged| {
        let Merged { output, model, adapter, num_parameters } = merged;
        format!("{output}: {model} with {adapter}, {} parameters", count(*num_parameters))
    })
}

/// Writes the full folder of a model with a checkpoint's trained values, or of a reward model that a checkpoint brings
/// the head of.
pub(super) fn write_merged(model: &Path, adapter: &Path, output: &Path, seed: u64) -> Result<()> {
    check_adapter(adapter)?;
    let stored = stored(model)?;
    if is_reward_model(model, Some(adapter))? {
        let mut judging = RewardModel::grow(model, DType::F32, seed)?;
        load_trained_head(&mut judging.vlm, &mut judging.head, adapter)?;
        judging.vlm.llm.merge_lora();
        return Ok(judging.save(output, stored)?);
    }
    let mut vlm = Vlm::load(model, DType::F32)?;
    load_trained(&mut vlm, adapter)?;
    vlm.llm.merge_lora();
    Ok(vlm.save(output, stored)?)
}

/// Whether the model has a value head, or the checkpoint brings one.
pub(crate) fn is_reward_model(model: &Path, adapter: Option<&Path>) -> Result<bool> {
    let heads = [HeadLayout::ValueHead, HeadLayout::Score];
    let has = |checkpoint: &Checkpoint| heads.iter().any(|head| checkpoint.has_prefix(head.name()));
    let trained = match adapter {
        Some(adapter) => has(&Checkpoint::open(&weights_file(adapter))?),
        None => false,
    };
    Ok(trained || model.join(VALUE_HEAD_FILE).is_file() || has(&Checkpoint::open(model)?))
}

/// The number format of most of a model's bytes, which its successor keeps; f32 where that is
/// none of ours.
fn stored(model: &Path) -> Result<Stored> {
    let formats = [Stored::F32, Stored::F16, Stored::Bf16];
    let tensors = Checkpoint::open(model)?.tensors();
    let bytes = |format: &Stored| {
        let same = tensors.iter().filter(|tensor| tensor.dtype == format.name());
        same.map(|tensor| tensor.bytes).sum::<u64>()
    };
    Ok(formats.into_iter().max_by_key(bytes).unwrap_or(Stored::F32))
}
