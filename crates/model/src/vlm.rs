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

use serde_json::Value;
use tensor::ops::{self, LogProbs, Want};
use tensor::{DType, Gradients, Tensor};

use crate::Error;
use crate::config::qwen_vl::RELEASES;
use crate::config::vlm::read_json;
use crate::config::{LlmConfig, QwenVlConfig, VlmConfig};
use crate::image_side::{ImageSide, ImageTape};
use crate::llm::{Keep, Llm, LlmTape};
use crate::pack::{ImageSlot, Pack, Questions};
use crate::vision::Grid;
use crate::weights::Checkpoint;

mod parameters;
pub(crate) mod files;

pub use files::image_token;
pub use parameters::Trainable;

/// What precedes the language model's tensor names in InternVL's layout. In Qwen2.5-VL's nothing does.
pub const LLM_PREFIX: &str = "language_model.";

/// A vision-language model: InternVL's layout or Qwen2.5-VL.
pub struct Vlm {
    /// Pixels to embeddings of the language model; `None` in a reward model that reads text alone.
    pub images: Option<ImageSide>,
    /// Embeddings to hidden states.
    pub llm: Llm,
    /// The folder's whole `config.json`, so that keys of no concern here survive a save.
    pub json: Value,
    /// Id of the token whose rows image features overwrite, if the folder has a tokenizer that
    /// knows it.
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

/// Whether a checkpoint must hold the language model's head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LmHead {
    /// Yes, unless it is the embedding table.
    Required,
    /// No: nothing will ask for it.
    Optional,
}

/// What the backward pass needs of [`Vlm::hidden_train`].
pub(crate) struct RowsTape {
    llm: LlmTape,
    /// With the number of projected features.
    images: Option<(ImageTape, usize)>,
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
        let json = read_json(&folder.join("config.json"))?;
        // A language model alone has no images to be the model of.
        if !QwenVlConfig::is_in(&json) {
            VlmConfig::from_json(json.clone())?;
        }
        let mut checkpoint = Checkpoint::open(folder)?;
        let vlm = Self::take(folder, (json, LmHead::Required), dtype, &mut checkpoint)?;
        checkpoint.finish()?;
        Ok(vlm)
    }

    /// Takes a model of any known layout from a checkpoint, given the content of its `config.json`.
    ///
    /// # Errors
    /// When a key of the configuration or a tensor is missing or does not fit.
    pub(crate) fn take(
        folder: &Path,
        (json, head): (Value, LmHead),
        dtype: DType,
        checkpoint: &mut Checkpoint,
    ) -> Result<Self, Error> {
        checkpoint.check_room(dtype)?;
        let (images, mut llm, prefix);
        if QwenVlConfig::is_in(&json) {
            checkpoint.rename(&RELEASES);
            let config = QwenVlConfig::from_json(&json)?;
            images = Some(ImageSide::take_patches(checkpoint, &config, dtype.of_encoders())?);
            (llm, prefix) = (config.llm, "");
        } else if json.get("llm_config").is_some() {
            let config = VlmConfig::from_json(json.clone())?;
            images = Some(ImageSide::take_tiles(checkpoint, &config, dtype.of_encoders())?);
            (llm, prefix) = (config.llm, LLM_PREFIX);
        } else {
            (images, llm, prefix) = (None, LlmConfig::from_json(&json)?, "");
        }
        if head == LmHead::Optional && !checkpoint.contains(&format!("{prefix}lm_head.weight")) {
            llm.tied_head = true;
        }
        let llm = Llm::load(llm, prefix, dtype, checkpoint)?;
        let image_token = files::image_token(folder)?.filter(|_| images.is_some());
        Ok(Self { images, llm, json, image_token, folder: folder.to_owned() })
    }

    /// Pixels `[tiles, 3, h, w]` to features `[tiles · tokens, k²·c]`: encoder, class row dropped,
    /// pixel unshuffle. Depends on nothing that trains by default, so it is worth caching.
    ///
    /// # Errors
    /// When the pixels' shape does not fit the encoder, or the model has none that takes tiles.
    pub fn features(&self, pixels: &Tensor) -> Result<Tensor, Error> {
        self.image_side()?.encoder.features(pixels)
    }

    /// As [`features`](Self::features) for a model that takes patches: those of one image, whose
    /// grid of patches is given.
    ///
    /// # Errors
    /// When the patches do not fit the encoder or the grid, or the model has none that takes them.
    pub fn patch_features(&self, patches: &Tensor, grid: Grid) -> Result<Tensor, Error> {
        self.image_side()?.encoder.patch_features(patches, grid)
    }

    /// Features `[features, k²·c]` to embeddings `[features, hidden]`, through the adapter.
    ///
    /// # Panics
    /// If the model reads text alone: then there are no features.
    pub fn project(&self, features: &Tensor) -> Tensor {
        self.images.as_ref().expect("features come from an encoder").adapter.forward(features)
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
        let hidden = self.hidden(pack, images)?;
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
            checked(dlogp(&nothing()), 0, "gradient of the log-probs")?;
            return Ok(nothing());
        }
        let (hidden, tape) = self.hidden_train(pack, images, pass.keep, grads)?;
        let want = if tape.is_some() { Want::Gradient } else { Want::LogProbs };
        let answers = self.score(&hidden, pack, pass.temperature, want);
        let scored = answers.for_targets();
        let dlogp = checked(dlogp(&scored), pack.targets.len(), "gradient of the log-probs")?;
        let Some(tape) = tape.filter(|_| dlogp.iter().any(|&value| value != 0.0)) else {
            return Ok(scored);
        };
        let Answers { questions, picked, log_probs } = answers;
        let dlogp = questions.sums(&dlogp);
        if let Some(grad) = grads.get_mut(&self.llm.head_name()) {
            let (head, ids) = (self.llm.head(), &questions.ids);
            ops::log_probs_weight_gradient(&picked, head, ids, pass.temperature, &dlogp, grad);
        }
        let mut dpicked = log_probs.gradient.expect("asked for above");
        ops::scale_rows(&mut dpicked, &dlogp);
        let mut dhidden = hidden.zeros_beside(hidden.shape());
        ops::scatter_add_rows(&mut dhidden, &questions.outputs, &dpicked);
        self.hidden_backward(pack, tape, &dhidden, grads);
        Ok(scored)
    }

    /// Hidden states of the pack's outputs, without gradients.
    pub(crate) fn hidden(&self, pack: &Pack, images: Images) -> Result<Tensor, Error> {
        let projected = match images {
            Images::None => None,
            Images::Features(features) => Some(self.image_side()?.adapter.forward(features)),
            Images::Pixels(pixels) => Some(self.project(&self.features(pixels)?)),
        };
        let x = self.rows(pack, projected.as_ref())?;
        Ok(self.llm.forward(x, &pack.layout))
    }

    /// As [`hidden`](Self::hidden), with a tape if anything that trains is behind them.
    pub(crate) fn hidden_train(
        &self,
        pack: &Pack,
        images: Images,
        keep: Keep,
        grads: &Gradients,
    ) -> Result<(Tensor, Option<RowsTape>), Error> {
        let (projected, images) = match &self.images {
            Some(side) => side.project_train(images, grads)?,
            None => (None, None),
        };
        let images = images.filter(|_| !pack.images.is_empty());
        let x = self.rows(pack, projected.as_ref())?;
        if images.is_none() && !self.llm.trains(grads) {
            return Ok((self.llm.forward(x, &pack.layout), None));
        }
        let num_features = projected.map_or(0, |projected| projected.rows());
        let (hidden, llm) = self.llm.forward_train(x, &pack.layout, keep);
        Ok((hidden, Some(RowsTape { llm, images: images.map(|tape| (tape, num_features)) })))
    }

    /// From the gradient of the hidden states to those of all that trains behind them.
    pub(crate) fn hidden_backward(
        &self,
        pack: &Pack,
        tape: RowsTape,
        dhidden: &Tensor,
        grads: &mut Gradients,
    ) {
        let dx = self.llm.backward(tape.llm, dhidden, grads);
        self.embed_backward(pack, &dx, grads);
        if let (Some((tape, num_features)), Some(side)) = (tape.images, &self.images) {
            let (rows, features) = unzip(&pack.images);
            let mut dprojected = dx.zeros_beside(&[num_features, dx.cols()]);
            ops::scatter_add_rows(&mut dprojected, &features, &ops::gather_rows(&dx, &rows));
            side.backward(&dprojected, tape, grads);
        }
    }

    fn image_side(&self) -> Result<&ImageSide, Error> {
        self.images.as_ref().ok_or_else(|| Error::input("images", "the model reads text alone"))
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
        self.check_axes(pack)?;
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

    /// Images among the rows of a model with M-RoPE have places that no row number replaces.
    fn check_axes(&self, pack: &Pack) -> Result<(), Error> {
        let lacks = pack.layout.axes.is_none() && !pack.images.is_empty();
        if lacks && self.llm.config().rope.has_axes() {
            let reason = "the model places image rows by time, row and column, which they lack";
            return Err(Error::input("positions", reason));
        }
        Ok(())
    }

    /// The embedding table's gradient, of which rows overwritten by images have no part.
    fn embed_backward(&self, pack: &Pack, dx: &Tensor, grads: &mut Gradients) {
        if !self.llm.embedding_trains(grads) {
            return;
        }
        let mut is_text = vec![true; pack.ids.len()];
        pack.images.iter().for_each(|slot| is_text[slot.row] = false);
        let rows: Vec<usize> = (0..pack.ids.len()).filter(|&row| is_text[row]).collect();
        let ids: Vec<u32> = rows.iter().map(|&row| pack.ids[row]).collect();
        self.llm.embed_backward(&ids, &ops::gather_rows(dx, &rows), grads);
    }
}

pub use tensor::ops::stack_rows as stack;

/// The log-probs of no targets.
fn nothing() -> LogProbs {
    LogProbs { log_prob: Vec::new(), entropy: Vec::new(), gradient: None }
}

fn unzip(slots: &[ImageSlot]) -> (Vec<usize>, Vec<usize>) {
    slots.iter().map(|slot| (slot.row, slot.feature)).unzip()
}

/// A loss's gradient has one value for each number it was given.
pub(crate) fn checked(
    gradient: Vec<f32>,
    num: usize,
    what: &'static str,
) -> Result<Vec<f32>, Error> {
    if gradient.len() == num {
        return Ok(gradient);
    }
    Err(Error::input(what, format!("{} values for {num} targets", gradient.len())))
}
