//! A model that judges: the vision-language model's hidden states under a value head.
//!
//! ```text
//! prompt with images ─┬─ response a ─ last token ─► hidden ─ value head ─► r_a
//!  (rows shared)      └─ response b ─ last token ─► hidden ─ value head ─► r_b
//! ```
//!
//! Skywork-VL Reward, arXiv:2505.07263. The score is the value at the last token of the rendered
//! conversation (the newline after `<|im_end|>` in ChatML), raw: no sigmoid, no calibration.

use std::path::Path;

use tensor::ops;
use tensor::{DType, Gradients};

use crate::Error;
use crate::config::vlm::read_json;
use crate::llm::Keep;
use crate::pack::Pack;
use crate::parameter::Parameter;
use crate::value_head::{HeadLayout, VALUE_HEAD_FILE, ValueHead};
use crate::vlm::{Images, LmHead, Trainable, Vlm, checked};
use crate::weights::{Checkpoint, Stored};

/// A base model and its value head.
pub struct RewardModel {
    /// What reads.
    pub vlm: Vlm,
    /// What judges.
    pub head: ValueHead,
}

impl RewardModel {
    /// Reads a reward model's folder: Qwen2.5-VL, InternVL's layout or a language model alone, with
    /// a head in either layout ([`HeadLayout`]). The language model's own head may be missing.
    ///
    /// # Errors
    /// When the folder is incomplete or has no value head, or its tensors are not exactly those the
    /// configuration implies; the message names them.
    pub fn load(folder: &Path, dtype: DType) -> Result<Self, Error> {
        Self::read(folder, dtype, || {
            let name = format!("{}.weight", HeadLayout::ValueHead.name());
            Err(Error::MissingTensor { name, path: folder.join(VALUE_HEAD_FILE) })
        })
    }

    /// As [`load`](Self::load), but a folder without a value head gets a new one, drawn by `seed`:
    /// the start of a reward model grown on any model.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn grow(folder: &Path, dtype: DType, seed: u64) -> Result<Self, Error> {
        Self::read(folder, dtype, || Ok(seed))
    }

    fn read(
        folder: &Path,
        dtype: DType,
        seed: impl FnOnce() -> Result<u64, Error>,
    ) -> Result<Self, Error> {
        let json = read_json(&folder.join("config.json"))?;
        let mut checkpoint = Checkpoint::open(folder)?;
        let vlm = Vlm::take(folder, (json, LmHead::Optional), dtype, &mut checkpoint)?;
        let hidden_size = vlm.llm.config().hidden_size;
        let head = match ValueHead::find(folder, &mut checkpoint, hidden_size)? {
            Some(head) => head,
            None => ValueHead::draw(hidden_size, seed()?),
        };
        checkpoint.finish()?;
        Ok(Self { vlm, head })
    }

    /// As [`ValueHead::values`].
    ///
    /// # Errors
    /// When images, ids or slots do not fit the model.
    pub fn values(&self, pack: &Pack, images: Images) -> Result<Vec<f32>, Error> {
        self.head.values(&self.vlm, pack, images)
    }

    /// The parameters that train under a setting, with their present values: the value head always,
    /// the language model's own head never, as no value depends on it.
    pub fn parameters(&self, trainable: Trainable) -> Vec<Parameter> {
        self.head.parameters_with(&self.vlm, trainable)
    }

    /// Replaces the parameters for which `values` has some, each as long as the parameter.
    pub fn set_parameters<'v>(&mut self, values: impl Fn(&str) -> Option<&'v [f32]>) {
        self.head.set_parameters(&values);
        self.vlm.set_parameters(values);
    }

    /// Writes a full model folder, the head in its own layout, everything else as [`Vlm::save`].
    /// Qwen2.5-VL's tensors are named as its published checkpoints name them.
    ///
    /// # Errors
    /// When low-rank terms have not been merged, or the folder cannot be written.
    pub fn save(&self, folder: &Path, stored: Stored) -> Result<(), Error> {
        let among = match self.head.layout() {
            HeadLayout::ValueHead => Vec::new(),
            HeadLayout::Score => self.head.parameters(),
        };
        self.vlm.save_with(folder, stored, &among, |partial| match self.head.layout() {
            HeadLayout::ValueHead => self.head.save_file(partial),
            HeadLayout::Score => Ok(()),
        })?;
        // A head that the folder had before would be taken for this model's.
        let stale = folder.join(VALUE_HEAD_FILE);
        if self.head.layout() == HeadLayout::Score && stale.is_file() {
            std::fs::remove_file(&stale).map_err(Error::io(&stale))?;
        }
        Ok(())
    }
}

impl ValueHead {
    /// The value of each judged sequence of a pack ([`Pack::ends`]) that `vlm` reads, without gradients.
    ///
    /// # Errors
    /// When images, ids or slots do not fit the model.
    pub fn values(&self, vlm: &Vlm, pack: &Pack, images: Images) -> Result<Vec<f32>, Error> {
        if pack.ends.is_empty() {
            return Ok(Vec::new());
        }
        let hidden = vlm.hidden(pack, images)?;
        Ok(self.forward(&ops::gather_rows(&hidden, &pack.end_outputs())))
    }

    /// One micro-batch of training, for which `vlm` keeps what `keep` says: the values of the judged
    /// sequences are handed to `dvalues`, which returns the loss's gradient with respect to each; the
    /// gradients of the parameters named in `grads` are added there.
    ///
    /// # Errors
    /// When images, ids or slots do not fit the model, or `dvalues` returns another number of
    /// values than there are sequences.
    pub fn forward_backward(
        &self,
        (vlm, keep): (&Vlm, Keep),
        (pack, images): (&Pack, Images),
        dvalues: impl FnOnce(&[f32]) -> Vec<f32>,
        grads: &mut Gradients,
    ) -> Result<Vec<f32>, Error> {
        const WHAT: &str = "gradient of the values";
        if pack.ends.is_empty() {
            checked(dvalues(&[]), 0, WHAT)?;
            return Ok(Vec::new());
        }
        let (hidden, tape) = vlm.hidden_train(pack, images, keep, grads)?;
        let ends = pack.end_outputs();
        let picked = ops::gather_rows(&hidden, &ends);
        let values = self.forward(&picked);
        let dvalues = checked(dvalues(&values), values.len(), WHAT)?;
        let dpicked = self.backward(&dvalues, &picked, grads);
        if let Some(tape) = tape {
            let mut dhidden = hidden.zeros_beside(hidden.shape());
            ops::scatter_add_rows(&mut dhidden, &ends, &dpicked);
            vlm.hidden_backward(pack, tape, &dhidden, grads);
        }
        Ok(values)
    }

    /// The parameters of a reward model that train under a setting, with their present values: the value
    /// head always, the language model's own head never, as no value depends on it.
    pub fn parameters_with(&self, vlm: &Vlm, trainable: Trainable) -> Vec<Parameter> {
        let lm_head = format!("{}lm_head.weight", vlm.llm.prefix());
        let mut parameters = vlm.parameters(trainable);
        parameters.retain(|parameter| parameter.name != lm_head);
        parameters.extend(self.parameters());
        parameters
    }

    /// Replaces the head's parameters for which `values` has some.
    pub fn set_parameters<'v>(&mut self, values: impl Fn(&str) -> Option<&'v [f32]>) {
        for (name, mut part) in self.parts_mut() {
            if let Some(values) = values(&name) {
                part.set(values);
            }
        }
    }
}
