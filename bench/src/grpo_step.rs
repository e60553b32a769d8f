//! One step of group-relative policy optimisation: rollout, advantages, and the update's gradient.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Result;
use loss::{Clip, Completion, Kl, KlEstimator, Objective, Reduction, Surrogate};
use model::llm::Keep;
use model::pack::{Pack, image_slots};
use model::vlm::{Images, Pass, Trainable, Vlm, stack};
use preprocess::Processor;
use rollout::{GenerateConfig, Prompt, Sampling};
use tensor::ops::LogProbs;
use tensor::{DType, Gradients, Tensor};

use crate::adapter_step::{feature_width, norm};
use crate::{Work, inputs};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Folder of the model.
    #[arg(long)]
    model: PathBuf,
    /// Prompts, each with one image.
    #[arg(long, default_value_t = 4)]
    prompts: usize,
    /// Tokens of a prompt.
    #[arg(long, default_value_t = 100)]
    tokens: usize,
    /// Rows of a prompt that are its image's.
    #[arg(long, default_value_t = 64)]
    image_rows: usize,
    /// Completions of a prompt.
    #[arg(long, default_value_t = 8)]
    generations: usize,
    /// Tokens of each completion.
    #[arg(long, default_value_t = 96)]
    length: usize,
}

pub(crate) struct GrpoStep {
    vlm: Vlm,
    processor: Processor,
    prompts: Vec<Prompt>,
    features: Vec<Arc<Tensor>>,
    config: GenerateConfig,
    gradients: Gradients,
}

impl GrpoStep {
    pub(crate) fn new(args: &Args) -> Result<Self> {
        let vlm = Vlm::load(&args.model, DType::F32)?;
        let processor = Processor::load(&args.model)?;
        let width = feature_width(&vlm)?;
        let image = vlm.image_token.unwrap_or_default();
        let features: Vec<_> = (0..args.prompts)
            .map(|p| {
                Arc::new(inputs::features(p * args.image_rows * width, args.image_rows, width))
            })
            .collect();
        let prompt = |p: usize| {
            let mut ids = inputs::tokens(p, args.tokens);
            ids[..args.image_rows].fill(image);
            let features = Some(features[p].clone());
            Prompt { features, ..Prompt::text(ids, p as u64) }
        };
        let prompts = (0..args.prompts).map(prompt).collect();
        let config = GenerateConfig {
            num_samples: args.generations,
            stop_ids: Vec::new(),
            ..GenerateConfig::new(&processor, Sampling::at_temperature(1.0, 1), args.length)
        };
        let parameters = vlm.parameters(Trainable::Adapter).into_iter();
        let gradients = Gradients::new(parameters.map(|p| (p.name, p.shape)));
        Ok(Self { vlm, processor, prompts, features, config, gradients })
    }

    /// The prompts with their completions, as one pack of trees.
    fn pack(&self, groups: &[Vec<Vec<u32>>]) -> Pack {
        let (mut pack, mut num_features) = (Pack::new(), 0);
        for (prompt, group) in self.prompts.iter().zip(groups) {
            let token = self.vlm.image_token.unwrap_or_default();
            let slots = image_slots(&prompt.ids, token, num_features);
            num_features += slots.len();
            let branches: Vec<&[u32]> = group.iter().map(Vec::as_slice).collect();
            pack.push_tree(&prompt.ids, &slots, &branches);
        }
        pack
    }

    fn update(&mut self, groups: &[Vec<Vec<u32>>]) -> Result<()> {
        let pack = self.pack(groups);
        let parts: Vec<&Tensor> = self.features.iter().map(Arc::as_ref).collect();
        let features = stack(&parts);
        let pass = Pass { temperature: 1.0, keep: Keep::All };
        let per_group = self.config.num_samples;
        let dlogp = |scored: &LogProbs| dlogp(&pack, scored, per_group);
        let images = Images::Features(&features);
        self.vlm.forward_backward(&pack, images, pass, dlogp, &mut self.gradients)?;
        Ok(())
    }
}

/// The loss's gradient, with half of each group right.
fn dlogp(pack: &Pack, scored: &LogProbs, per_group: usize) -> Vec<f32> {
    let surrogate = Surrogate::Clipped(Clip { low: 0.2, high: 0.2, dual: None });
    let kl = Kl { beta: 0.0, estimator: KlEstimator::K3 };
    let (objective, reduction) = (Objective { surrogate, kl }, Reduction::SequenceMean);
    let lengths = pack.sequences.iter().map(ExactSizeIterator::len);
    let totals = lengths.map(|length| loss::Counts::sequence(length, reduction)).sum();
    let gradients = pack.sequences.iter().enumerate().flat_map(|(index, range)| {
        let advantage = if index % per_group < per_group / 2 { 1.0 } else { -1.0 };
        let log_probs = &scored.log_prob[range.clone()];
        let completion =
            Completion { log_probs, old: None, sampled: None, reference: None, advantage };
        reduction.reduce(&loss::grpo(&completion, &objective).terms, &totals).gradient
    });
    gradients.collect()
}

impl Work for GrpoStep {
    /// Tokens drawn: the draws of two programs cannot agree.
    fn round(&mut self) -> Result<Vec<f64>> {
        self.gradients.iter_mut().for_each(|(_, gradient)| gradient.as_mut_slice().fill(0.0));
        let (tokenizer, generate) = (&self.processor.tokenizer, rollout::generate);
        let groups = generate(&self.vlm, tokenizer, &self.prompts, &self.config, &mut |_| {})?;
        let mut ids = Vec::with_capacity(groups.len());
        for group in groups {
            ids.push(group.into_iter().map(|completion| completion.token_ids).collect());
        }
        let groups: Vec<Vec<Vec<u32>>> = ids;
        self.update(&groups)?;
        let num_tokens: usize = groups.iter().flatten().map(Vec::len).sum();
        anyhow::ensure!(norm(&self.gradients).is_finite(), "the gradient is not finite");
        Ok(vec![num_tokens as f64])
    }
}
