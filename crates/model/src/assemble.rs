//! Builds a model folder from parts: an encoder, a language model, and an adapter between them.
//!
//! ```text
//! encoder folder ──────── vision_model.* ─┐
//! adapter file, or drawn ────── mlp1.* ───┼─► staging ─► model folder (InternVL-chat's layout)
//! language model, + rows ─ language_model.*┘
//! ```
//!
//! Every part may itself be an assembled model: [`reassemble`] swaps the language model under an
//! encoder and adapter that stay (R1V's second step). Tensors pass through one at a time.
//!
//! Tokens are `preprocess`'s affair: the caller adds [`IMAGE_TOKENS`] to the tokenizer and writes
//! the text files; here the rows of embedding and head follow the tokenizer.

use std::collections::HashMap;
use std::path::Path;

use serde::Serialize;
use serde_json::{Value, json};

use crate::Error;
use crate::adapter;
use crate::config::VlmConfig;
use crate::vision;
use crate::vlm::LLM_PREFIX;
use crate::vlm::files::{MAX_SHARD_BYTES, token_id, write_json};
use crate::weights::{Staging, Stored, TensorSpec, save};

mod source;
mod vocabulary;
mod initial;

pub use initial::fit_adapter;
use initial::initial_adapter;
use source::{AdapterSource, Encoder, LanguageModel};
use vocabulary::Vocabulary;

/// Around an image and in its place, in the order InternVL adds them.
pub const IMAGE_TOKENS: [&str; 3] = ["<img>", "</img>", crate::vlm::files::IMAGE_TOKEN];

/// The language model of an assembly: where its weights are, and its text side.
pub struct Language<'a> {
    /// A folder, a GGUF file, or an assembled model.
    pub weights: &'a Path,
    /// Content of its `tokenizer.json` as it came.
    pub original_tokenizer: &'a Value,
    /// The same with [`IMAGE_TOKENS`] added.
    pub tokenizer: &'a Value,
    /// What that tokenizer cut the text of each of [`IMAGE_TOKENS`] into before: where a new token's
    /// embedding starts.
    pub pieces: &'a [Vec<u32>; 3],
    /// The Jinja source of its chat template.
    pub chat_template: Option<&'a str>,
}

/// What an assembly is made of.
pub struct Parts<'a> {
    /// Folder of the encoder, or an assembled model to take it from.
    pub vision: &'a Path,
    /// The language model.
    pub language: Language<'a>,
    /// `mlp1.*` in a file, or an assembled model to take it from; `None` draws a new one.
    pub adapter: Option<&'a Path>,
}

/// How images enter, and how what is new is drawn.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Patches along each side of a token: `1 / downsample_ratio`.
    pub unshuffle: usize,
    /// Side of a tile in pixels; `None` is the largest that fits into the encoder's image size.
    pub tile_size: Option<usize>,
    /// Most tiles of an image (`max_dynamic_patch`); 1 turns tiling off.
    pub max_tiles: usize,
    /// Whether the whole image follows its tiles (`use_thumbnail`).
    pub thumbnail: bool,
    /// The drawn adapter's output is scaled to this many standard deviations of the embedding
    /// table; `None` leaves PyTorch's initialisation as it is.
    pub adapter_scale: Option<f32>,
    /// Seed of everything drawn.
    pub seed: u64,
    /// Number format of encoder and language model; `None` keeps that of the parts (f32 for
    /// quantised ones).
    pub stored: Option<Stored>,
}

/// What was built.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Assembled {
    /// The encoder's model type.
    pub vision: String,
    /// The language model's model type.
    pub llm: String,
    /// `drawn` or `transplanted`.
    pub adapter: &'static str,
    /// Width of a feature and of an embedding: what the adapter goes between.
    pub adapter_widths: [usize; 2],
    /// Side of a tile in pixels.
    pub tile_size: usize,
    /// Tokens that a tile becomes.
    pub tokens_per_tile: usize,
    /// Rows of the embedding table.
    pub vocab_size: usize,
    /// The image tokens, their ids, and whether their rows are new.
    pub image_tokens: Vec<(String, u32, bool)>,
    /// Parameters in all.
    pub num_parameters: usize,
}

impl Settings {
    /// The values of InternVL's published models: factor 2, up to 12 tiles and a thumbnail.
    pub fn internvl() -> Self {
        Self {
            unshuffle: 2,
            tile_size: None,
            max_tiles: 12,
            thumbnail: true,
            adapter_scale: None,
            seed: 0,
            stored: None,
        }
    }
}

/// Builds a model folder. `write_text` is given the folder, still in the making, to write
/// tokenizer, chat template and generation settings into.
///
/// # Errors
/// When a part is incomplete or of an unknown kind, widths do not fit, an image token or a place
/// for content in the chat template is missing, or writing fails; an earlier model in `output`
/// then stays as it was.
pub fn assemble<E: From<Error>>(
    parts: &Parts,
    settings: &Settings,
    output: &Path,
    write_text: impl FnOnce(&Path) -> Result<(), E>,
) -> Result<Assembled, E> {
    let encoder = Encoder::open(parts.vision)?;
    let image_config = image_config(&encoder, settings)?;
    build(parts, encoder, (image_config, settings), output, write_text)
}

/// Puts another language model under the encoder and the adapter of `model`, whose image settings
/// stay. Of `settings` only the seed and the number format count.
///
/// # Errors
/// As [`assemble`]; above all when the new language model's width is not the adapter's.
pub fn reassemble<E: From<Error>>(
    model: &Path,
    language: Language,
    settings: &Settings,
    output: &Path,
    write_text: impl FnOnce(&Path) -> Result<(), E>,
) -> Result<Assembled, E> {
    let config = VlmConfig::read(model)?;
    let parts = Parts { vision: model, language, adapter: Some(model) };
    let encoder = Encoder::open(model)?;
    build(&parts, encoder, (config.json, settings), output, write_text)
}

fn build<E: From<Error>>(
    parts: &Parts,
    mut encoder: Encoder,
    (image_config, settings): (Value, &Settings),
    output: &Path,
    write_text: impl FnOnce(&Path) -> Result<(), E>,
) -> Result<Assembled, E> {
    check_template(parts.language.chat_template)?;
    let mut llm = LanguageModel::open(parts.language.weights)?;
    let vocabulary = Vocabulary::new(&parts.language, llm.config.vocab_size)?;
    let stored = settings.stored.unwrap_or(llm.stored());
    let config = whole_config(image_config, &encoder, &llm, (vocabulary.size, stored))?;
    let widths = [config.feature_size(), config.llm.hidden_size];
    let adapter = match parts.adapter {
        Some(path) => AdapterSource::open(path)?.read(widths)?,
        None => initial_adapter(widths, settings, &llm)?,
    };
    let specs = specs(&config, &encoder, &llm, settings.stored);
    let staging = Staging::new(output)?;
    write_text(staging.path())?;
    write_json(&staging.path().join("config.json"), &config.json)?;
    write_json(&staging.path().join("preprocessor_config.json"), &encoder.preprocessor)?;
    let shapes: HashMap<&str, &[usize]> =
        specs.iter().map(|spec| (spec.name.as_str(), spec.shape.as_slice())).collect();
    save(staging.path(), &specs, MAX_SHARD_BYTES, |name| {
        let shape = shapes[name];
        if let Some(values) = adapter.get(name) {
            Ok(values.clone())
        } else if name.starts_with(vision::PREFIX) {
            encoder.checkpoint.take(name, shape)
        } else {
            vocabulary.take(&mut llm, name, shape)
        }
    })?;
    staging.commit()?;
    Ok(Assembled {
        vision: config.vision.family.name().to_owned(),
        llm: config.llm.family.name().to_owned(),
        adapter: if parts.adapter.is_some() { "transplanted" } else { "drawn" },
        adapter_widths: widths,
        tile_size: config.tile_size,
        tokens_per_tile: config.tokens_per_tile(),
        vocab_size: vocabulary.size,
        image_tokens: vocabulary.image_tokens(),
        num_parameters: specs.iter().map(|spec| spec.shape.iter().product::<usize>()).sum(),
    })
}

/// A conversation must have somewhere to go: a template that never mentions a message's content
/// would drop the image with the question.
fn check_template(template: Option<&str>) -> Result<(), Error> {
    let reason = match template {
        Some(text) if text.contains("content") => return Ok(()),
        Some(_) => "its chat template has no place for a message's content",
        None => "the language model has no chat template",
    };
    let reason = format!(
        "{reason}; give one that prints `message['content']`, such as that of the model's instruct \
         version, as chat_template.jinja beside its tokenizer"
    );
    Err(Error::Assemble { reason })
}

/// The keys of `config.json` that say how images enter.
fn image_config(encoder: &Encoder, settings: &Settings) -> Result<Value, Error> {
    let step = encoder.config.patch_size * settings.unshuffle;
    if step == 0 || encoder.config.image_size < step {
        let reason = format!(
            "an unshuffle factor of {} over patches of {} does not fit into the encoder's images \
             of {} pixels; choose a smaller factor",
            settings.unshuffle, encoder.config.patch_size, encoder.config.image_size
        );
        return Err(Error::Assemble { reason });
    }
    let largest = encoder.config.image_size / step * step;
    let tile_size = settings.tile_size.unwrap_or(largest);
    if tile_size == 0 || !tile_size.is_multiple_of(step) {
        let below = (tile_size / step * step).max(step);
        let reason = format!(
            "tiles of {tile_size} pixels are no multiple of {step} (patches of {}, {} along a \
             token's side); choose a tile size such as {below} or {}",
            encoder.config.patch_size,
            settings.unshuffle,
            below + step
        );
        return Err(Error::Assemble { reason });
    }
    Ok(json!({
        "architectures": ["InternVLChatModel"],
        "model_type": "internvl_chat",
        "downsample_ratio": 1.0 / settings.unshuffle as f64,
        "force_image_size": tile_size,
        "dynamic_image_size": settings.max_tiles > 1,
        "min_dynamic_patch": 1,
        "max_dynamic_patch": settings.max_tiles.max(1),
        "use_thumbnail": settings.thumbnail,
        "pad2square": false,
        "ps_version": "v2",
        "select_layer": -1,
    }))
}

/// The whole `config.json`, and what it means.
fn whole_config(
    mut json: Value,
    encoder: &Encoder,
    llm: &LanguageModel,
    (vocab_size, stored): (usize, Stored),
) -> Result<VlmConfig, Error> {
    let mut llm_json = llm.json.clone();
    llm_json["vocab_size"] = json!(vocab_size);
    json["hidden_size"] = json!(llm.config.hidden_size);
    json["tie_word_embeddings"] = json!(llm.config.tied_head);
    json["torch_dtype"] = json!(stored.torch_name());
    json["vision_config"] = encoder.json.clone();
    json["llm_config"] = llm_json;
    VlmConfig::from_json(json)
}

fn specs(
    config: &VlmConfig,
    encoder: &Encoder,
    llm: &LanguageModel,
    stored: Option<Stored>,
) -> Vec<TensorSpec> {
    let [features, hidden] = [config.feature_size(), config.llm.hidden_size];
    let of = |tensors: Vec<(String, Vec<usize>)>, stored| {
        tensors.into_iter().map(move |(name, shape)| TensorSpec { name, shape, stored })
    };
    of(vision::tensors(&config.vision), stored.unwrap_or(encoder.stored()))
        .chain(of(adapter::tensors(features, hidden), Stored::F32))
        .chain(of(config.llm.tensors(LLM_PREFIX), stored.unwrap_or(llm.stored())))
        .collect()
}

/// The id of an image token, or what to do about its absence.
fn image_token_id(tokenizer: &Value, token: &str) -> Result<u32, Error> {
    token_id(tokenizer, token).ok_or_else(|| {
        let reason = format!("the tokenizer has no token `{token}`; add it to added_tokens first");
        Error::Assemble { reason }
    })
}
