//! The model under training with what it reads: tokenizer, template and cached vision features.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use engine::Parameters;
use model::feature_cache::{FeatureCache, FeatureKey};
use model::llm::Keep;
use model::lora::LoraConfig;
use model::pack::ImageSlot;
use model::vlm::{Images, Pass, Trainable, Vlm, stack};
use model::weights::{Checkpoint, StoredTensor};
use preprocess::{Processor, TiledImage};
use tensor::Tensor;

use crate::Error;
use crate::config::{ModelConfig, RunConfig};
use crate::run::WEIGHTS_FILE;

/// Rank of the low-rank terms where the configuration names none, as PEFT has it.
const LORA_RANK: usize = 8;

/// Features held in memory; what does not fit is read from disk again.
const FEATURE_RAM_BYTES: u64 = 2 << 30;

/// The model under training.
pub struct Policy {
    /// The model.
    pub vlm: Vlm,
    /// Text and images to what the model takes.
    pub processor: Processor,
    /// What trains.
    pub trainable: Trainable,
    features: FeatureCache,
    /// What the features depend on beside the image.
    encoder: [u8; 32],
    keep: Keep,
}

/// What the images of one micro-batch contribute.
pub enum ImageInput {
    /// No images.
    None,
    /// Encoder output, one row a visual token.
    Features(Tensor),
    /// Pixels, where the encoder trains.
    Pixels(Tensor),
}

impl ImageInput {
    /// As the model takes it.
    pub fn borrow(&self) -> Images<'_> {
        match self {
            Self::None => Images::None,
            Self::Features(features) => Images::Features(features),
            Self::Pixels(pixels) => Images::Pixels(pixels),
        }
    }
}

impl Policy {
    /// Loads the model, adds low-rank terms where they train, takes over a trained checkpoint, and
    /// opens the feature cache.
    ///
    /// # Errors
    /// A folder that is incomplete or does not fit together, or settings that disagree.
    pub fn load(config: &ModelConfig, run: &RunConfig) -> Result<Self, Error> {
        let trainable = config.trainable()?;
        let folder = &config.model_name_or_path;
        let processor = Processor::load(folder)?;
        let mut vlm = Vlm::load(folder, config.dtype.into())?;
        if trainable == Trainable::AdapterLora {
            let rank = config.lora_r.unwrap_or(LORA_RANK);
            let alpha = config.lora_alpha.unwrap_or_else(|| default_alpha(rank));
            vlm.llm.add_lora(LoraConfig { rank, alpha }, run.seed);
        }
        if let Some(checkpoint) = &config.adapter_name_or_path {
            let taken = load_trained(&mut vlm, checkpoint)?;
            check_all_train(&vlm, trainable, checkpoint, &taken)?;
        }
        let folder =
            config.feature_cache.clone().unwrap_or_else(|| run.output_dir.join("features"));
        let features = FeatureCache::new(Some(&folder), FEATURE_RAM_BYTES);
        let keep = if config.gradient_checkpointing { Keep::Inputs } else { Keep::All };
        let encoder = vlm.encoder_hash();
        Ok(Self { vlm, processor, trainable, features, encoder, keep })
    }

    /// How a training pass runs at a temperature.
    pub fn pass(&self, temperature: f32) -> Pass {
        Pass { temperature, keep: self.keep }
    }

    /// The values that train, as they are now.
    ///
    /// # Errors
    /// If a name comes twice.
    pub fn parameters(&self) -> Result<Parameters, Error> {
        let parameters = self.vlm.parameters(self.trainable);
        Ok(Parameters::new(parameters.into_iter().map(|p| (p.name, p.shape, p.values)))?)
    }

    /// Takes over values from the engine.
    pub fn publish(&mut self, parameters: &Parameters) {
        self.vlm.set_parameters(|name| parameters.get(name).map(Tensor::as_slice));
    }

    /// Features of images, one after the other; frozen, so each image is encoded once.
    ///
    /// # Errors
    /// A damaged image.
    pub fn features(&mut self, images: &[&TiledImage]) -> Result<Option<Tensor>, Error> {
        let Self { vlm, features, encoder, .. } = self;
        let mut parts: Vec<Arc<Tensor>> = Vec::with_capacity(images.len());
        for image in images {
            let key = FeatureKey::new(&image.key(), encoder);
            let compute = || Ok::<_, Error>(vlm.features(&pixels(&[image])?)?);
            parts.push(features.get_or_compute(key, compute)?);
        }
        let parts: Vec<&Tensor> = parts.iter().map(AsRef::as_ref).collect();
        Ok((!parts.is_empty()).then(|| stack(&parts)))
    }

    /// What the images of a micro-batch contribute: features, or pixels where the encoder trains.
    ///
    /// # Errors
    /// As for [`Self::features`].
    pub fn image_input(&mut self, images: &[&TiledImage]) -> Result<ImageInput, Error> {
        if self.trainable.vision() && !images.is_empty() {
            return Ok(ImageInput::Pixels(pixels(images)?));
        }
        Ok(self.features(images)?.map_or(ImageInput::None, ImageInput::Features))
    }

    /// Share of feature look-ups that found the image encoded already.
    pub fn feature_hit_rate(&self) -> f64 {
        self.features.counts().hit_rate()
    }
}

/// Pixels of the tiles of all images, `[tiles, 3, size, size]`.
fn pixels(images: &[&TiledImage]) -> Result<Tensor, Error> {
    let size = images.first().map_or(0, |image| image.settings().tile_size);
    let mut values = Vec::new();
    for image in images {
        values.extend(image.pixel_values()?);
    }
    let num_tiles = images.iter().map(|image| image.num_tiles()).sum();
    Ok(Tensor::from_vec(values, &[num_tiles, 3, size, size]))
}

/// Takes over trained values from a checkpoint folder or its file; the names of what was taken.
/// Low-rank terms that the model lacks are added to it first.
///
/// # Errors
/// A file that cannot be read, or names or shapes that are not the model's.
pub fn load_trained(vlm: &mut Vlm, path: &Path) -> Result<Vec<String>, Error> {
    let file = weights_file(path);
    let mut checkpoint = Checkpoint::open(&file)?;
    if let Some(rank) = low_rank(&checkpoint).filter(|_| vlm.llm.lora().is_none()) {
        vlm.llm.add_lora(LoraConfig { rank, alpha: lora_alpha(&file, rank)? }, 0);
    }
    let mut values = HashMap::new();
    for trainable in Trainable::ALL {
        for parameter in vlm.parameters(trainable) {
            if checkpoint.contains(&parameter.name) {
                let taken = checkpoint.take(&parameter.name, &parameter.shape)?;
                values.insert(parameter.name, taken);
            }
        }
    }
    checkpoint.finish()?;
    vlm.set_parameters(|name| values.get(name).map(Vec::as_slice));
    Ok(values.into_keys().collect())
}

/// What a run starts from must be in its own checkpoints too: they would be incomplete otherwise.
fn check_all_train(
    vlm: &Vlm,
    trainable: Trainable,
    checkpoint: &Path,
    taken: &[String],
) -> Result<(), Error> {
    let trains: HashSet<String> =
        vlm.parameters(trainable).into_iter().map(|parameter| parameter.name).collect();
    let Some(frozen) = taken.iter().filter(|name| !trains.contains(*name)).min() else {
        return Ok(());
    };
    Err(Error::Contradiction {
        first: format!("adapter_name_or_path = {:?}, which holds {frozen},", checkpoint.display()),
        second: format!("trainable = \"{trainable}\""),
        why: "checkpoints of this run would lack it; build a model with it first (sightline assemble --model … --adapter …)",
    })
}

/// Rank of the low-rank terms in a checkpoint, if it has any.
fn low_rank(checkpoint: &Checkpoint) -> Option<usize> {
    let is_down = |tensor: &&StoredTensor| tensor.name.ends_with(".lora_A.weight");
    checkpoint.tensors().iter().find(is_down).map(|tensor| tensor.shape[0])
}

/// The scale of a checkpoint's low-rank terms, which the configuration of its run tells.
fn lora_alpha(file: &Path, rank: usize) -> Result<f32, Error> {
    let run = file.parent().and_then(Path::parent).unwrap_or(Path::new(""));
    let path = run.join("config.toml");
    let text = std::fs::read_to_string(&path)
        .map_err(|source| Error::LoraScale { file: file.to_owned(), source })?;
    let config: toml::Table =
        toml::from_str(&text).map_err(|source| Error::Config { path: Some(path), source })?;
    let alpha = config.get("lora_alpha");
    let alpha = alpha.and_then(|alpha| alpha.as_float().or(alpha.as_integer().map(|n| n as f64)));
    Ok(alpha.map_or_else(|| default_alpha(rank), |alpha| alpha as f32))
}

fn default_alpha(rank: usize) -> f32 {
    2.0 * rank as f32
}

/// The file of trained values that `path` names: a checkpoint folder, or the file itself.
pub fn weights_file(path: &Path) -> PathBuf {
    match path.is_dir() {
        true => path.join(WEIGHTS_FILE),
        false => path.to_owned(),
    }
}

/// The image slots of one sequence, and the features they take from a running count.
pub(crate) fn slots(image_rows: &[usize], num_features: &mut usize) -> Vec<ImageSlot> {
    let first = *num_features;
    *num_features += image_rows.len();
    image_rows.iter().zip(first..).map(|(&row, feature)| ImageSlot { row, feature }).collect()
}
