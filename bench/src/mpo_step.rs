//! One update of mixed preference optimisation on pairs that share their prompt.

use std::path::PathBuf;

use anyhow::Result;
use loss::{MpoWeights, Pair, RewardShift};
use model::llm::Keep;
use model::pack::{ImageSlot, Pack};
use model::vlm::{Images, Pass, Trainable, Vlm};
use tensor::ops::LogProbs;
use tensor::{DType, Gradients, Tensor};

use crate::adapter_step::{feature_width, norm};
use crate::{Work, inputs};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Folder of the model.
    #[arg(long)]
    model: PathBuf,
    /// Pairs.
    #[arg(long, default_value_t = 8)]
    pairs: usize,
    /// Tokens of a prompt, image rows among them.
    #[arg(long, default_value_t = 300)]
    prompt: usize,
    /// Rows of a prompt that are its image's.
    #[arg(long, default_value_t = 64)]
    image_rows: usize,
    /// Tokens of a response.
    #[arg(long, default_value_t = 100)]
    length: usize,
}

pub(crate) struct MpoStep {
    vlm: Vlm,
    pack: Pack,
    features: Tensor,
    /// Summed log-probs of chosen and rejected under the reference, computed once.
    references: Vec<(f64, f64)>,
    gradients: Gradients,
}

impl MpoStep {
    pub(crate) fn new(args: &Args) -> Result<Self> {
        let vlm = Vlm::load(&args.model, DType::F32)?;
        let mut pack = Pack::new();
        for pair in 0..args.pairs {
            let prompt = inputs::tokens(3 * pair, args.prompt);
            let slot = |row| ImageSlot { row, feature: pair * args.image_rows + row };
            let slots: Vec<_> = (0..args.image_rows).map(slot).collect();
            let response = |nth| inputs::tokens(3 * pair + nth, args.length);
            pack.push_tree(&prompt, &slots, &[&response(1), &response(2)]);
        }
        let features = inputs::features(0, args.pairs * args.image_rows, feature_width(&vlm)?);
        let scored = vlm.log_probs(&pack, Images::Features(&features), 1.0)?;
        let references = pack.sequences.chunks(2);
        let sum = |range: &std::ops::Range<usize>| sum(&scored.log_prob[range.clone()]);
        let references = references.map(|pair| (sum(&pair[0]), sum(&pair[1]))).collect();
        let parameters = vlm.parameters(Trainable::Adapter).into_iter();
        let gradients = Gradients::new(parameters.map(|p| (p.name, p.shape)));
        Ok(Self { vlm, pack, features, references, gradients })
    }
}

fn sum(log_probs: &[f32]) -> f64 {
    log_probs.iter().map(|&value| f64::from(value)).sum()
}

impl Work for MpoStep {
    /// The loss.
    fn round(&mut self) -> Result<Vec<f64>> {
        self.gradients.iter_mut().for_each(|(_, gradient)| gradient.as_mut_slice().fill(0.0));
        let (pack, references) = (&self.pack, &self.references);
        let mut value = 0.0;
        let dlogp = |scored: &LogProbs| {
            let (loss, gradient) = mpo(pack, scored, references);
            value = loss;
            gradient
        };
        let (images, pass) =
            (Images::Features(&self.features), Pass { temperature: 1.0, keep: Keep::All });
        self.vlm.forward_backward(pack, images, pass, dlogp, &mut self.gradients)?;
        Ok(vec![value, norm(&self.gradients)])
    }
}

/// Equation 2's mean over the pairs and its gradient.
fn mpo(pack: &Pack, scored: &LogProbs, references: &[(f64, f64)]) -> (f64, Vec<f32>) {
    let pair = |index: usize| Pair {
        chosen: &scored.log_prob[pack.sequences[2 * index].clone()],
        rejected: &scored.log_prob[pack.sequences[2 * index + 1].clone()],
        reference_chosen: references[index].0,
        reference_rejected: references[index].1,
    };
    let rewards: Vec<f64> = (0..references.len())
        .map(|index| pair(index).rewards(0.1))
        .flat_map(|(chosen, rejected)| [chosen, rejected])
        .collect();
    let shift = RewardShift::default().updated(&rewards).mean;
    let weights = MpoWeights { preference: 0.8, quality: 0.2, generation: 1.0 };
    let (share, mut value, mut gradient) = (1.0 / references.len() as f64, 0.0, Vec::new());
    for index in 0..references.len() {
        let term = loss::mpo(&pair(index), 0.1, shift, weights).total;
        value += term.value * share;
        for (branch, slope) in [(0, term.chosen), (1, term.rejected)] {
            let num = pack.sequences[2 * index + branch].len();
            gradient.extend(std::iter::repeat_n((slope * share) as f32, num));
        }
    }
    (value, gradient)
}
