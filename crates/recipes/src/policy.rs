//! The model under training with what it reads: tokenizer, template and cached vision features.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use engine::Parameters;
use model::feature_cache::{CacheCounts, FeatureCache};
use model::llm::{Keep, LlmTraining};
use model::lora::LoraConfig;
use model::pack::ImageSlot;
use model::value_head::ValueHead;
use model::vlm::{Images, Pass, Trainable, Vlm, stack};
use model::weights::Checkpoint;
use preprocess::{ModelImage, Processor};
use rollout::{ImageEncoder, TOGETHER};
use tensor::Tensor;

use crate::Error;
use crate::config::{ModelConfig, RunConfig, in_range};
use crate::run::{Notice, WEIGHTS_FILE};

/// Rank of the low-rank terms where the configuration names none, as PEFT has it.
const LORA_RANK: usize = 8;

/// Name of the file in a checkpoint that says how its low-rank terms are scaled.
pub(crate) const LORA_FILE: &str = "lora.json";

/// In the names of low-rank terms, and in no others.
const LOW_RANK: &str = ".lora_";

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
    /// Encodes each image once; `None` where the encoder trains, so that nothing it said stays true.
    encoder: Option<ImageEncoder>,
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
    /// Loads the model, takes over a trained checkpoint, adds low-rank terms where they train, and
    /// opens the feature cache.
    ///
    /// # Errors
    /// A folder that is incomplete or does not fit together, or settings that disagree.
    pub fn load(config: &ModelConfig, run: &RunConfig) -> Result<Self, Error> {
        let vlm = Vlm::load(&config.model_name_or_path, config.dtype.into())?;
        Self::with(vlm, config, run, load_trained)
    }

    /// As [`load`](Self::load) for a model that was read already; `take_trained` takes over a
    /// checkpoint and names what of the model it held.
    pub(crate) fn with(
        mut vlm: Vlm,
        config: &ModelConfig,
        run: &RunConfig,
        take_trained: impl FnOnce(&mut Vlm, &Path) -> Result<Vec<String>, Error>,
    ) -> Result<Self, Error> {
        let trainable = config.trainable()?;
        vlm.check_trainable(trainable)?;
        let processor = Processor::load(&config.model_name_or_path)?;
        let checkpoint = config.adapter_name_or_path.as_deref();
        let taken = checkpoint.map(|path| take_trained(&mut vlm, path)).transpose()?;
        if trainable.llm() == LlmTraining::Lora {
            add_lora(&mut vlm, config, run.seed)?;
        }
        if let (Some(path), Some(taken)) = (checkpoint, taken) {
            check_all_train(&vlm, trainable, path, taken)?;
        }
        let encoder = (!trainable.vision()).then(|| {
            let default = run.output_dir.join("features");
            let folder = config.feature_cache.as_ref().unwrap_or(&default);
            ImageEncoder::new(&vlm, FeatureCache::new(Some(folder), FEATURE_RAM_BYTES))
        });
        let keep = if config.gradient_checkpointing { Keep::Inputs } else { Keep::All };
        Ok(Self { vlm, processor, trainable, encoder, keep })
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

    /// Says how many of the samples of a file will not train because they have no image, and refuses
    /// a run of which nothing would.
    ///
    /// # Errors
    /// No samples; none with an image, where nothing else trains.
    pub fn check_text(
        &self,
        path: &Path,
        num_text: usize,
        num_samples: usize,
        notices: &mut dyn FnMut(&Notice),
    ) -> Result<(), Error> {
        if num_samples == 0 {
            return Err(Error::Empty { path: path.to_owned() });
        }
        if num_text == 0 || self.trainable.text_trains() {
            return Ok(());
        }
        notices(&Notice::TextOnly { count: num_text, of: num_samples });
        match num_text == num_samples {
            true => Err(Error::TextOnly { path: path.to_owned() }),
            false => Ok(()),
        }
    }

    /// Encodes the images of samples before the first step, so that damage shows early and progress can
    /// be seen. Each item is the place of a sample in its file, and its images. Does
    /// nothing where the encoder trains.
    ///
    /// # Errors
    /// A damaged image, with its place.
    pub fn encode_all<'a>(
        &mut self,
        samples: impl ExactSizeIterator<Item = (&'a str, &'a [ModelImage])>,
        notices: &mut dyn FnMut(&Notice),
    ) -> Result<(), Error> {
        let Some(encoder) = &mut self.encoder else { return Ok(()) };
        let total = samples.len();
        let (places, images): (Vec<_>, Vec<_>) = samples.unzip();
        let mut places = places.into_iter().zip(1..);
        for images in images.chunks(TOGETHER) {
            let encoded = encoder.encode_together(&self.vlm, images);
            for (encoded, (place, done)) in encoded.into_iter().zip(&mut places) {
                encoded.map_err(Error::of_sample(place))?;
                notices(&Notice::Encoding { done, total });
            }
        }
        notices(&Notice::Encoded(encoder.counts().clone()));
        Ok(())
    }

    /// Whether an image's features are known, so that it need not be looked at again.
    pub fn has_features(&self, image: &ModelImage) -> bool {
        self.encoder.as_ref().is_some_and(|encoder| encoder.holds(image))
    }

    /// Features of a sample's images, one after the other: from the cache, or by the encoder as it is
    /// now.
    ///
    /// # Errors
    /// A damaged image.
    pub fn features(&mut self, images: &[ModelImage]) -> Result<Option<Arc<Tensor>>, Error> {
        match &mut self.encoder {
            Some(encoder) => Ok(encoder.encode(&self.vlm, images)?),
            None if images.is_empty() => Ok(None),
            None => Ok(Some(Arc::new(self.vlm.features(&pixels(images)?)?))),
        }
    }

    /// What the images of a micro-batch contribute, given sample by sample: features, or pixels where
    /// the encoder trains.
    ///
    /// # Errors
    /// As for [`Self::features`].
    pub fn image_input<'a>(
        &mut self,
        samples: impl Iterator<Item = &'a [ModelImage]>,
    ) -> Result<ImageInput, Error> {
        if self.trainable.vision() {
            let images: Vec<&ModelImage> = samples.flatten().collect();
            return Ok(match images.is_empty() {
                true => ImageInput::None,
                false => ImageInput::Pixels(pixels(images)?),
            });
        }
        let mut features = Vec::new();
        for images in samples {
            features.extend(self.features(images)?);
        }
        let features: Vec<&Tensor> = features.iter().map(Arc::as_ref).collect();
        Ok(match features.is_empty() {
            true => ImageInput::None,
            false => ImageInput::Features(stack(&features)),
        })
    }

    /// What the feature cache did so far; `None` where the encoder trains.
    pub fn cache_counts(&self) -> Option<&CacheCounts> {
        self.encoder.as_ref().map(ImageEncoder::counts)
    }
}

/// Pixels of the tiles of all images, `[tiles, 3, size, size]`.
fn pixels<'a>(images: impl IntoIterator<Item = &'a ModelImage>) -> Result<Tensor, Error> {
    let (mut values, mut shape) = (Vec::new(), Vec::new());
    let mut num_tiles = 0;
    for image in images {
        values.extend(image.pixel_values()?);
        shape = image.shape();
        num_tiles += shape[0];
    }
    shape[0] = num_tiles;
    Ok(Tensor::from_vec(values, &shape))
}

/// Adds low-rank terms, unless a checkpoint has brought some that fit.
fn add_lora(vlm: &mut Vlm, config: &ModelConfig, seed: u64) -> Result<(), Error> {
    let Some(found) = vlm.llm.lora() else {
        let rank = config.lora_r.unwrap_or(LORA_RANK);
        let alpha = config.lora_alpha.unwrap_or(2.0 * rank as f32);
        vlm.llm.add_lora(LoraConfig { rank, alpha }, seed);
        return Ok(());
    };
    let expected = "the value of the low-rank terms of adapter_name_or_path";
    let (rank, alpha) = (config.lora_r.unwrap_or(found.rank), config.lora_alpha);
    let alpha = alpha.unwrap_or(found.alpha);
    in_range(rank == found.rank, "lora_r", &rank, expected)?;
    in_range(alpha == found.alpha, "lora_alpha", &alpha, expected)
}

/// Takes over trained values from a checkpoint folder or its file; the names of what was taken.
/// Low-rank terms that the model lacks are added to it first.
///
/// # Errors
/// A file that cannot be read, or names or shapes that are not the model's.
pub fn load_trained(vlm: &mut Vlm, path: &Path) -> Result<Vec<String>, Error> {
    take_trained(vlm, None, path)
}

/// As [`load_trained`] for a reward model, whose head a checkpoint may hold too. The names are those
/// of what `vlm` took.
///
/// # Errors
/// As [`load_trained`].
pub fn load_trained_head(
    vlm: &mut Vlm,
    head: &mut ValueHead,
    path: &Path,
) -> Result<Vec<String>, Error> {
    take_trained(vlm, Some(head), path)
}

fn take_trained(
    vlm: &mut Vlm,
    head: Option<&mut ValueHead>,
    path: &Path,
) -> Result<Vec<String>, Error> {
    let file = weights_file(path);
    let mut checkpoint = Checkpoint::open(&file)?;
    let low_rank = checkpoint.tensors().iter().any(|tensor| tensor.name.contains(LOW_RANK));
    if low_rank && vlm.llm.lora().is_none() {
        vlm.llm.add_lora(read_lora(&file.with_file_name(LORA_FILE))?, 0);
    }
    let mut take = |shapes: Vec<(String, Vec<usize>)>| {
        let mut values = HashMap::new();
        for (name, shape) in shapes {
            if checkpoint.contains(&name) {
                let taken = checkpoint.take(&name, &shape)?;
                values.insert(name, taken);
            }
        }
        Ok::<_, Error>(values)
    };
    let values = take(shapes(vlm))?;
    let parts = head.iter().flat_map(|head| head.parts());
    let of_head = take(parts.map(|(name, part)| (name, part.shape())).collect())?;
    checkpoint.finish()?;
    vlm.set_parameters(|name| values.get(name).map(Vec::as_slice));
    if let Some(head) = head {
        head.set_parameters(|name| of_head.get(name).map(Vec::as_slice));
    }
    Ok(values.into_keys().collect())
}

/// Name and shape of every value of a model that can train.
fn shapes(vlm: &Vlm) -> Vec<(String, Vec<usize>)> {
    let images = vlm.images.iter();
    let images = images.flat_map(|side| [side.adapter.parts(), side.encoder.parts()].concat());
    let dense = images.chain(vlm.llm.parts());
    let low_rank = vlm.llm.parameters(LlmTraining::Lora).into_iter();
    dense
        .map(|(name, part)| (name, part.shape()))
        .chain(low_rank.map(|parameter| (parameter.name, parameter.shape)))
        .collect()
}

/// What a run starts from must be in its own checkpoints too: they would be incomplete otherwise.
fn check_all_train(
    vlm: &Vlm,
    trainable: Trainable,
    checkpoint: &Path,
    mut taken: Vec<String>,
) -> Result<(), Error> {
    taken.retain(|name| !vlm.trains(trainable, name));
    let Some(frozen) = taken.into_iter().min() else { return Ok(()) };
    Err(Error::Contradiction {
        first: format!("adapter_name_or_path = {:?}, which holds {frozen},", checkpoint.display()),
        second: format!("trainable = \"{trainable}\""),
        why: "checkpoints of this run would lack it; build a model with it first (sightline assemble --model … --adapter …)",
    })
}

/// Rank and scale of a checkpoint's low-rank terms.
fn read_lora(path: &Path) -> Result<LoraConfig, Error> {
    let bytes =
        std::fs::read(path).map_err(|source| Error::Io { path: path.to_path_buf(), source })?;
    let broken = |reason: String| Error::State { what: LORA_FILE, reason };
    let json: serde_json::Value =
        serde_json::from_slice(&bytes).map_err(|error| broken(error.to_string()))?;
    match (json["r"].as_u64(), json["lora_alpha"].as_f64()) {
        (Some(rank), Some(alpha)) if rank > 0 => {
            Ok(LoraConfig { rank: rank as usize, alpha: alpha as f32 })
        }
        _ => Err(broken(format!("{json} instead of r and lora_alpha"))),
    }
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
