//! The assembled model: vision encoder, adapter, language model, and the one pass through them.
//!
//! ```text
//! pixels ─ vision ─ unshuffle ─► features ─ adapter ─┐
//!                   (frozen: cached)   (trained)     ▼
//! token ids ─────────── embedding ───────────► rows of x ─ llm ─ head ─► log-probs
//!                                              ◄─ backward ─────── d loss / d log-probs
//! ```
//!
//! Losses live elsewhere: [`Vlm::forward_backward`] hands the log-probs to a closure, which returns
//! the loss's gradient with respect to them. What trains is said by the names in [`Gradients`].

use std::path::{Path, PathBuf};

use tensor::ops::{self, LogProbs, Want};
use tensor::{DType, Gradients, Tensor};

use crate::Error;
use crate::adapter::{self, Adapter, AdapterTape};
use crate::config::VlmConfig;
use crate::llm::{Keep, Llm};
use crate::pack::{ImageSlot, Pack, Questions};
use crate::unshuffle::{unshuffle, unshuffle_backward};
use crate::vision::{self, Vision, VisionTape};
use crate::weights::Checkpoint;

mod parameters;
pub(crate) mod files;

pub use files::image_token;
pub use parameters::Trainable;

/// What precedes the language model's tensor names.
pub const LLM_PREFIX: &str = "language_model.";

/// Rows of the encoder that are computed together: enough to keep the kernels busy, few enough
/// that a picture of many tiles does not hold them all at once.
pub(crate) const ENCODER_ROWS: usize = 4096;

/// A vision-language model.
pub struct Vlm {
    /// Pixels to patch features.
    pub vision: Vision,
    /// Patch features to embeddings of the language model.
    pub adapter: Adapter,
    /// Embeddings to hidden states.
    pub llm: Llm,
    /// Shapes and constants, and the folder's whole `config.json`.
    pub config: VlmConfig,
    /// Id of `<IMG_CONTEXT>`, if the folder has a tokenizer that knows it.
    pub image_token: Option<u32>,
    /// Where the model was read from; its tokenizer is there.
    folder: PathBuf,
}

/// The images of a pack, in the order of its slots' feature numbers.
#[derive(Clone, Copy)]
pub enum Images<'a> {
    /// The pack is text alone.
    None,
    /// Encoder output, `[features, k²·c]` as [`Vlm::features`] gives it.
    Features(&'a Tensor),
    /// Pixels, `[tiles, 3, h, w]`: needed where the encoder trains.
    Pixels(&'a Tensor),
}

/// How a training pass runs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pass {
    /// Logits are divided by this before the softmax.
    pub temperature: f32,
    /// What the language model keeps for its backward pass.
    pub keep: Keep,
}

/// Forward passes of the image side, kept for the backward pass.
struct ImageTape {
    adapter: AdapterTape,
    vision: Option<VisionTape>,
}

/// The head's answers.
struct Answers {
    questions: Questions,
    /// The hidden state of each question.
    picked: Tensor,
    log_probs: LogProbs,
}

impl Answers {
    /// Log-probs and entropies in the order of the pack's targets.
    fn for_targets(&self) -> LogProbs {
        let LogProbs { log_prob, entropy, .. } = &self.log_probs;
        let answers = |values| self.questions.answers(values);
        LogProbs { log_prob: answers(log_prob), entropy: answers(entropy), gradient: None }
    }
}

impl Vlm {
    /// Reads a model folder: `config.json` and weights. `dtype` is how the matrices of encoder and
    /// language model are held in memory; the adapter is held in f32.
    ///
    /// # Errors
    /// When the folder is incomplete, or its tensors are not exactly those the configuration
    /// implies; the message names them.
    pub fn load(folder: &Path, dtype: DType) -> Result<Self, Error> {
        let mut config = VlmConfig::read(folder)?;
        let mut checkpoint = Checkpoint::open(folder)?;
        let vision = Vision::take(&mut checkpoint, &config.vision, config.select_layer, dtype)?;
        let (features, hidden) = (config.feature_size(), config.llm.hidden_size);
        let adapter = Adapter::take(&mut checkpoint, features, hidden)?;
        let llm = Llm::load(config.llm.clone(), LLM_PREFIX, dtype, &mut checkpoint)?;
        checkpoint.finish()?;
        config.llm = llm.config().clone();
        let image_token = files::image_token(folder)?;
        Ok(Self { vision, adapter, llm, config, image_token, folder: folder.to_owned() })
    }

    /// Pixels `[tiles, 3, h, w]` to features `[tiles · tokens, k²·c]`: encoder, class row dropped,
    /// pixel unshuffle. Depends on nothing that trains by default, so it is worth caching.
    ///
    /// # Errors
    /// When the pixels' shape does not fit the encoder.
    pub fn features(&self, pixels: &Tensor) -> Result<Tensor, Error> {
        let grid = self.vision.grid(pixels)?;
        let [num_tiles, channels, height, width] = *pixels.shape() else {
            unreachable!("the grid has checked the shape")
        };
        let together = (ENCODER_ROWS / (grid.rows * grid.columns)).max(1);
        let tile = channels * height * width;
        let mut parts = Vec::new();
        for tiles in pixels.as_slice().chunks(together * tile) {
            let shape = [tiles.len() / tile, channels, height, width];
            let states = self.vision.forward(&Tensor::from_vec(tiles.to_vec(), &shape))?;
            parts.push(unshuffle(&states, grid, self.config.unshuffle, self.config.order)?);
        }
        match parts.len() {
            1 => Ok(parts.remove(0)),
            _ if num_tiles == 0 => Err(Error::input("pixels", "no tiles")),
            _ => Ok(stack(&parts.iter().collect::<Vec<_>>())),
        }
    }

    /// Features `[features, k²·c]` to embeddings `[features, hidden]`, through the adapter.
    pub fn project(&self, features: &Tensor) -> Tensor {
        self.adapter.forward(features)
    }

    /// Token embeddings `[ids, hidden]`, with the rows of `slots` overwritten by projected image
    /// features `[features, hidden]`.
    ///
    /// # Errors
    /// When an id is outside the vocabulary or a slot outside the rows or the features.
    pub fn embed(
        &self,
        ids: &[u32],
        slots: &[ImageSlot],
        projected: Option<&Tensor>,
    ) -> Result<Tensor, Error> {
        self.check_ids(ids.iter().copied())?;
        let num_features = projected.map_or(0, Tensor::rows);
        if let Some(slot) = slots.iter().find(|s| s.feature >= num_features || s.row >= ids.len()) {
            let reason = format!("{slot:?} among {} rows, {num_features} features", ids.len());
            return Err(Error::input("image slot", reason));
        }
        let mut x = self.llm.embed(ids);
        if let Some(projected) = projected.filter(|_| !slots.is_empty()) {
            let (rows, features) = unzip(slots);
            ops::write_rows(&mut x, &rows, &ops::gather_rows(projected, &features));
        }
        Ok(x)
    }

    /// Log-probs and entropies of the pack's targets, in their order, without gradients.
    ///
    /// # Errors
    /// When images, ids or slots do not fit the model.
    pub fn log_probs(
        &self,
        pack: &Pack,
        images: Images,
        temperature: f32,
    ) -> Result<LogProbs, Error> {
        if pack.targets.is_empty() {
            return Ok(nothing());
        }
        let projected = match images {
            Images::None => None,
            Images::Features(features) => Some(self.project(features)),
            Images::Pixels(pixels) => Some(self.project(&self.features(pixels)?)),
        };
        let x = self.rows(pack, projected.as_ref())?;
        let hidden = self.llm.forward(x, &pack.layout);
        Ok(self.score(&hidden, pack, temperature, Want::LogProbs).for_targets())
    }

    /// One micro-batch of training: log-probs of the targets are computed and handed to `dlogp`,
    /// which returns the loss's gradient with respect to each; the gradients of the parameters
    /// named in `grads` are added there. A pack without images leaves the adapter's untouched, and
    /// if nothing else trains, the backward pass is not run.
    ///
    /// # Errors
    /// When images, ids or slots do not fit the model, `dlogp` returns another number of values
    /// than there are targets, or the encoder is to train on cached features.
    pub fn forward_backward(
        &self,
        pack: &Pack,
        images: Images,
        pass: Pass,
        dlogp: impl FnOnce(&LogProbs) -> Vec<f32>,
        grads: &mut Gradients,
    ) -> Result<LogProbs, Error> {
        if pack.targets.is_empty() {
            checked(dlogp(&nothing()), pack)?;
            return Ok(nothing());
        }
        let (projected, image_tape) = self.project_train(images, grads)?;
        let image_tape = image_tape.filter(|_| !pack.images.is_empty());
        let x = self.rows(pack, projected.as_ref())?;
        if image_tape.is_none() && !grads.wants(LLM_PREFIX) {
            let hidden = self.llm.forward(x, &pack.layout);
            let scored = self.score(&hidden, pack, pass.temperature, Want::LogProbs).for_targets();
            checked(dlogp(&scored), pack)?;
            return Ok(scored);
        }
        let (hidden, tape) = self.llm.forward_train(x, &pack.layout, pass.keep);
        let answers = self.score(&hidden, pack, pass.temperature, Want::Gradient);
        let scored = answers.for_targets();
        let dlogp = checked(dlogp(&scored), pack)?;
        if dlogp.iter().all(|&value| value == 0.0) {
            return Ok(scored);
        }
        let Answers { questions, picked, log_probs } = answers;
        let dlogp = questions.sums(&dlogp);
        if let Some(grad) = grads.get_mut(&self.llm.head_name()) {
            let (head, ids) = (self.llm.head(), &questions.ids);
            ops::log_probs_weight_gradient(&picked, head, ids, pass.temperature, &dlogp, grad);
        }
        let mut dpicked = log_probs.gradient.expect("asked for above");
        ops::scale_rows(&mut dpicked, &dlogp);
        let mut dhidden = Tensor::zeros(hidden.shape());
        ops::scatter_add_rows(&mut dhidden, &questions.outputs, &dpicked);
        let dx = self.llm.backward(tape, &dhidden, grads);
        self.embed_backward(pack, &dx, grads);
        if let (Some(tape), Some(projected)) = (image_tape, projected) {
            self.project_backward(pack, &dx, projected.rows(), tape, grads);
        }
        Ok(scored)
    }

    fn check_ids(&self, mut ids: impl Iterator<Item = u32>) -> Result<(), Error> {
        let vocab_size = self.llm.config().vocab_size;
        match ids.find(|&id| id as usize >= vocab_size) {
            None => Ok(()),
            Some(id) => {
                let reason = format!("{id} is outside the model's vocabulary of {vocab_size}");
                Err(Error::input("token id", reason))
            }
        }
    }

    /// The pack's rows with its images in place, checked to fit the model.
    fn rows(&self, pack: &Pack, projected: Option<&Tensor>) -> Result<Tensor, Error> {
        self.llm.check_context(&pack.layout)?;
        self.check_ids(pack.targets.iter().map(|target| target.id))?;
        self.embed(&pack.ids, &pack.images, projected)
    }

    /// What the head says of the pack's targets, each asked once.
    fn score(&self, hidden: &Tensor, pack: &Pack, temperature: f32, want: Want) -> Answers {
        let questions = pack.questions();
        let picked = ops::gather_rows(hidden, &questions.outputs);
        let head = self.llm.head();
        let log_probs = ops::log_probs(&picked, head, &questions.ids, temperature, want);
        Answers { questions, picked, log_probs }
    }

    /// Projected features, with a tape if anything on the image side trains.
    fn project_train(
        &self,
        images: Images,
        grads: &Gradients,
    ) -> Result<(Option<Tensor>, Option<ImageTape>), Error> {
        let vision_trains = grads.wants(vision::PREFIX);
        let (features, vision) = match images {
            Images::None => return Ok((None, None)),
            Images::Features(_) if vision_trains => {
                let reason = "the encoder trains, so pixels are needed in place of cached features";
                return Err(Error::input("images", reason));
            }
            Images::Features(features) => (features.clone(), None),
            Images::Pixels(pixels) if vision_trains => {
                let grid = self.vision.grid(pixels)?;
                let (states, tape) = self.vision.forward_train(pixels)?;
                let features = unshuffle(&states, grid, self.config.unshuffle, self.config.order)?;
                (features, Some(tape))
            }
            Images::Pixels(pixels) => (self.features(pixels)?, None),
        };
        if !vision_trains && !grads.wants(adapter::PREFIX) {
            return Ok((Some(self.project(&features)), None));
        }
        let (projected, adapter) = self.adapter.forward_train(&features);
        Ok((Some(projected), Some(ImageTape { adapter, vision })))
    }

    /// From the gradient of the rows to those of adapter and encoder.
    fn project_backward(
        &self,
        pack: &Pack,
        dx: &Tensor,
        num_features: usize,
        tape: ImageTape,
        grads: &mut Gradients,
    ) {
        let (rows, features) = unzip(&pack.images);
        let mut dprojected = Tensor::zeros(&[num_features, dx.cols()]);
        ops::scatter_add_rows(&mut dprojected, &features, &ops::gather_rows(dx, &rows));
        let dfeatures = self.adapter.backward(&dprojected, &tape.adapter, grads);
        if let Some(tape) = tape.vision {
            let (factor, order) = (self.config.unshuffle, self.config.order);
            let dstates = unshuffle_backward(&dfeatures, tape.grid(), factor, order);
            self.vision.backward(tape, &dstates, grads);
        }
    }

    /// The embedding table's gradient, of which rows overwritten by images have no part.
    fn embed_backward(&self, pack: &Pack, dx: &Tensor, grads: &mut Gradients) {
        if grads.get(&format!("{LLM_PREFIX}model.embed_tokens.weight")).is_none() {
            return;
        }
        let mut is_text = vec![true; pack.ids.len()];
        pack.images.iter().for_each(|slot| is_text[slot.row] = false);
        let rows: Vec<usize> = (0..pack.ids.len()).filter(|&row| is_text[row]).collect();
        let ids: Vec<u32> = rows.iter().map(|&row| pack.ids[row]).collect();
        self.llm.embed_backward(&ids, &ops::gather_rows(dx, &rows), grads);
    }
}

/// Rows of several tensors of one width, one after the other: the features of a pack's images.
pub fn stack(parts: &[&Tensor]) -> Tensor {
    let width = parts.first().map_or(0, |part| part.cols());
    let values: Vec<f32> = parts.iter().flat_map(|part| part.as_slice()).copied().collect();
    let rows = parts.iter().map(|part| part.rows()).sum();
    Tensor::from_vec(values, &[rows, width])
}

/// The log-probs of no targets.
fn nothing() -> LogProbs {
    LogProbs { log_prob: Vec::new(), entropy: Vec::new(), gradient: None }
}

fn unzip(slots: &[ImageSlot]) -> (Vec<usize>, Vec<usize>) {
    slots.iter().map(|slot| (slot.row, slot.feature)).unzip()
}

fn checked(dlogp: Vec<f32>, pack: &Pack) -> Result<Vec<f32>, Error> {
    if dlogp.len() == pack.targets.len() {
        return Ok(dlogp);
    }
    let reason = format!("{} values for {} targets", dlogp.len(), pack.targets.len());
    Err(Error::input("gradient of the log-probs", reason))
}
