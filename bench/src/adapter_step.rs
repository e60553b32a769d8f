//! Forward, loss and backward of one batch of image and text, with the language model frozen or not.

use std::path::PathBuf;

use anyhow::{Context, Result};
use model::llm::Keep;
use model::pack::{ImageSlot, Pack};
use model::vlm::{Images, Pass, Trainable, Vlm};
use tensor::{DType, Gradients, Tensor};

use crate::{Work, flop, inputs};

/// Rows of each sequence that are image features.
const IMAGE_ROWS: usize = 64;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Folder of the model.
    #[arg(long)]
    model: PathBuf,
    /// Sequences.
    #[arg(long, default_value_t = 1)]
    batch: usize,
    /// Tokens of each sequence, 64 image rows among them.
    #[arg(long, default_value_t = 512)]
    tokens: usize,
    /// Train the language model too.
    #[arg(long)]
    all_weights: bool,
    /// Recompute each layer in the backward pass.
    #[arg(long)]
    recompute: bool,
    /// How frozen matrices are held: `float32`, `bfloat16`, `int8` or `int4`.
    #[arg(long, default_value = "float32")]
    dtype: DType,
}

pub(crate) struct AdapterStep {
    vlm: Vlm,
    pack: Pack,
    features: Tensor,
    pass: Pass,
    gradients: Gradients,
    flop: usize,
}

impl AdapterStep {
    pub(crate) fn new(args: &Args) -> Result<Self> {
        let vlm = Vlm::load(&args.model, args.dtype)?;
        let width = feature_width(&vlm)?;
        let mut pack = Pack::new();
        for sequence in 0..args.batch {
            let ids = inputs::tokens(sequence, args.tokens);
            let slot = |row| ImageSlot { row, feature: sequence * IMAGE_ROWS + row };
            let images: Vec<_> = (0..IMAGE_ROWS).map(slot).collect();
            let supervised: Vec<_> = (0..args.tokens).map(|row| row >= IMAGE_ROWS).collect();
            pack.push_sequence(&ids, &images, &supervised);
        }
        let trainable = if args.all_weights { Trainable::AdapterLlm } else { Trainable::Adapter };
        let parameters = vlm.parameters(trainable).into_iter();
        let gradients = Gradients::new(parameters.map(|p| (p.name, p.shape)));
        let keep = if args.recompute { Keep::Inputs } else { Keep::All };
        let features = inputs::features(0, args.batch * IMAGE_ROWS, width);
        let supervised = args.tokens - IMAGE_ROWS;
        let batch = flop::Batch { num: args.batch, tokens: args.tokens, supervised };
        let flop = flop::step(vlm.llm.config(), &batch, args.all_weights);
        Ok(Self { vlm, pack, features, pass: Pass { temperature: 1.0, keep }, gradients, flop })
    }
}

/// Values of one row that the adapter takes.
pub(crate) fn feature_width(vlm: &Vlm) -> Result<usize> {
    let side = vlm.images.as_ref().context("the model has no images")?;
    Ok(side.adapter.config().feature_size())
}

impl Work for AdapterStep {
    fn round(&mut self) -> Result<Vec<f64>> {
        self.gradients.iter_mut().for_each(|(_, gradient)| gradient.as_mut_slice().fill(0.0));
        let images = Images::Features(&self.features);
        let num = self.pack.targets.len();
        let dlogp = |_: &_| vec![-1.0 / num as f32; num];
        let scored =
            self.vlm.forward_backward(&self.pack, images, self.pass, dlogp, &mut self.gradients)?;
        let loss = -scored.log_prob.iter().map(|&value| f64::from(value)).sum::<f64>() / num as f64;
        Ok(vec![loss, norm(&self.gradients)])
    }

    fn flop(&self) -> Option<usize> {
        Some(self.flop)
    }
}

/// Length of the gradient as one vector.
pub(crate) fn norm(gradients: &Gradients) -> f64 {
    let values = gradients.iter().flat_map(|(_, gradient)| gradient.as_slice());
    values.map(|&value| f64::from(value).powi(2)).sum::<f64>().sqrt()
}
