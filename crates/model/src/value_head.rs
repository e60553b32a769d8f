//! The head of a reward model: a hidden state becomes one number.
//!
//! ```text
//! r = w · h + b        h: the hidden state after the final norm
//! ```
//!
//! Skywork-VL Reward, arXiv:2505.07263, section 3.2. TRL's head, which the paper's weights come from,
//! drops out a tenth of `h` in training; here there is no dropout.

use std::path::Path;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use tensor::{DType, Gradients, Tensor, Weight};

use crate::Error;
use crate::parameter::{Parameter, Part, PartMut};
use crate::projection::Projection;
use crate::weights::{Checkpoint, Stored, TensorSpec, save_file};

/// The file beside the weights that holds a head in TRL's layout.
pub const VALUE_HEAD_FILE: &str = "value_head.safetensors";

/// How a checkpoint holds the head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeadLayout {
    /// `v_head.summary.{weight,bias}` in [`VALUE_HEAD_FILE`]: TRL, LLaMA-Factory, Skywork-VL-Reward.
    ValueHead,
    /// `score.weight` among the weights, no bias: transformers' `*ForSequenceClassification`.
    Score,
}

/// One linear layer to a scalar.
pub struct ValueHead {
    layout: HeadLayout,
    linear: Projection,
}

impl HeadLayout {
    /// The layer's full name.
    pub fn name(self) -> &'static str {
        match self {
            Self::ValueHead => "v_head.summary",
            Self::Score => "score",
        }
    }
}

impl ValueHead {
    /// A new head, uniform in ±1/√hidden as PyTorch draws a linear layer.
    pub fn draw(hidden_size: usize, seed: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let bound = 1.0 / (hidden_size as f32).sqrt();
        let mut draw = || {
            // 24 random bits: every f32 of that grid in [-1, 1) is equally likely.
            let unit = (rng.next_u32() >> 8) as f32 / (1 << 23) as f32 - 1.0;
            unit * bound
        };
        let weight: Vec<f32> = (0..hidden_size).map(|_| draw()).collect();
        let bias = Tensor::from_vec(vec![draw()], &[1]);
        let weight = Weight::pack(&weight, 1, hidden_size, DType::F32);
        let linear = Projection { weight, bias: Some(bias), lora: None };
        Self { layout: HeadLayout::ValueHead, linear }
    }

    /// The head of a model folder: that of its own file, or that among the weights. `None` if the
    /// folder has neither.
    ///
    /// # Errors
    /// When a tensor of the head is missing or misshapen, or its file holds others.
    pub(crate) fn find(
        folder: &Path,
        checkpoint: &mut Checkpoint,
        hidden_size: usize,
    ) -> Result<Option<Self>, Error> {
        let file = folder.join(VALUE_HEAD_FILE);
        if file.is_file() {
            let mut checkpoint = Checkpoint::open(&file)?;
            let head = Self::take(&mut checkpoint, HeadLayout::ValueHead, hidden_size)?;
            checkpoint.finish()?;
            return Ok(Some(head));
        }
        let layouts = [HeadLayout::ValueHead, HeadLayout::Score];
        let found = layouts.into_iter().find(|layout| checkpoint.has_prefix(layout.name()));
        found.map(|layout| Self::take(checkpoint, layout, hidden_size)).transpose()
    }

    fn take(
        checkpoint: &mut Checkpoint,
        layout: HeadLayout,
        hidden_size: usize,
    ) -> Result<Self, Error> {
        let (shape, has_bias) = ([1, hidden_size], layout == HeadLayout::ValueHead);
        let linear = Projection::take(checkpoint, layout.name(), shape, has_bias, DType::F32)?;
        Ok(Self { layout, linear })
    }

    /// How a checkpoint holds the head.
    pub fn layout(&self) -> HeadLayout {
        self.layout
    }

    /// The same head as a checkpoint of another layout holds it.
    ///
    /// # Errors
    /// When the head has a bias other than zero, for which the layout has no place.
    pub fn in_layout(mut self, layout: HeadLayout) -> Result<Self, Error> {
        let bias = self.linear.bias.take();
        let value = bias.as_ref().map_or(0.0, |bias| bias.as_slice()[0]);
        self.linear.bias = match layout {
            HeadLayout::ValueHead => Some(Tensor::from_vec(vec![value], &[1])),
            HeadLayout::Score if value == 0.0 => None,
            HeadLayout::Score => {
                let reason = format!("`score` has no place for a bias of {value}");
                return Err(Error::input("value head", reason));
            }
        };
        Ok(Self { layout, ..self })
    }

    /// The value of each row of `hidden`, `[rows, hidden]`.
    pub fn forward(&self, hidden: &Tensor) -> Vec<f32> {
        self.linear.forward(hidden).to_vec()
    }

    /// The gradient with respect to `hidden`, `[rows, hidden]`, given that with respect to the
    /// values; adds the gradients of the head's parameters that `grads` has.
    pub fn backward(&self, dvalues: &[f32], hidden: &Tensor, grads: &mut Gradients) -> Tensor {
        let dvalues = Tensor::from_vec(dvalues.to_vec(), &[dvalues.len(), 1]);
        self.linear.backward(&dvalues, hidden, grads, self.layout.name())
    }

    /// The parameters, by full name.
    pub fn parts(&self) -> Vec<(String, Part<'_>)> {
        self.linear.parts(self.layout.name())
    }

    /// As [`parts`](Self::parts), to be replaced.
    pub fn parts_mut(&mut self) -> Vec<(String, PartMut<'_>)> {
        self.linear.parts_mut(self.layout.name())
    }

    /// The parameters with their values.
    pub fn parameters(&self) -> Vec<Parameter> {
        self.parts().into_iter().map(|(name, part)| part.named(name)).collect()
    }

    /// Writes [`VALUE_HEAD_FILE`] into a folder, in f32.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub(crate) fn save_file(&self, folder: &Path) -> Result<(), Error> {
        let mut parameters = self.parameters();
        let spec = |p: &Parameter| TensorSpec::new(p.name.clone(), &p.shape, Stored::F32);
        let specs: Vec<TensorSpec> = parameters.iter().map(spec).collect();
        save_file(&folder.join(VALUE_HEAD_FILE), &specs, |_| Ok(parameters.remove(0).values))
    }
}
