//! A reward model in this process: responses to a prompt in, one score for each out.
//!
//! ```text
//! prompt, responses ─► Judged ─► packs of shared prompts with their responses ─► values at the ends
//! ```
//!
//! Skywork-VL Reward, arXiv:2505.07263. Scores are the model's own: no sigmoid, no calibration.

use std::path::Path;
use std::sync::Arc;

use model::feature_cache::FeatureCache;
use model::pack::{ImageSlot, Pack, Prefix, Valued};
use model::reward_model::RewardModel;
use model::value_head::ValueHead;
use model::vlm::{Images, Vlm, stack};
use preprocess::{Judged, Processor};
use reward::{Asked, ScoreError, Scorer};
use schema::Sample;
use tensor::Tensor;

use crate::Error;
use crate::prompt::ImageEncoder;

/// A prompt with responses, and the features of its images.
#[derive(Clone, Debug)]
pub struct Candidates {
    /// Ids of prompt and responses.
    pub judged: Judged,
    /// Encoder output for the prompt's image rows; `None` without images.
    pub features: Option<Arc<Tensor>>,
}

/// A reward model with all that it takes to ask it.
pub struct Judge {
    model: RewardModel,
    processor: Arc<Processor>,
    encoder: ImageEncoder,
    max_rows: usize,
}

impl Judge {
    /// A judge that reads up to `max_rows` rows at once; a single response may exceed that.
    pub fn new(
        model: RewardModel,
        processor: Processor,
        cache: FeatureCache,
        max_rows: usize,
    ) -> Self {
        let encoder = ImageEncoder::new(&model.vlm, cache);
        Self { model, processor: Arc::new(processor), encoder, max_rows }
    }

    /// What turns conversations into ids.
    pub fn processor(&self) -> &Arc<Processor> {
        &self.processor
    }

    /// The ids of a prompt and its responses. Image paths are relative to `folder`.
    ///
    /// # Errors
    ///
    /// When an image cannot be opened, the template refuses the turns, or a conversation exceeds the
    /// context.
    pub fn judged(
        &self,
        prompt: &Sample,
        responses: &[&str],
        folder: &Path,
    ) -> Result<Judged, preprocess::Error> {
        self.processor.judged(prompt, responses, folder)
    }

    /// One score for each response of each prompt.
    ///
    /// # Errors
    ///
    /// When an image is damaged, or ids do not fit the model.
    pub fn score(&mut self, prompts: Vec<Judged>) -> Result<Vec<Vec<f32>>, Error> {
        let Self { model, encoder, .. } = self;
        let mut candidates = Vec::with_capacity(prompts.len());
        for judged in prompts {
            let features = encoder.encode(&model.vlm, &judged.images)?;
            candidates.push(Candidates { judged, features });
        }
        self.values(&candidates)
    }

    /// A prompt with its responses and the features of its images, whose pixels were made before.
    ///
    /// # Errors
    ///
    /// When an image does not fit the encoder.
    pub fn candidates(
        &mut self,
        judged: Judged,
        pixels: Vec<Vec<f32>>,
    ) -> Result<Candidates, Error> {
        let features = self.encoder.encode_pixels(&self.model.vlm, &judged.images, pixels)?;
        Ok(Candidates { judged, features })
    }

    /// One score for each response of each prompt.
    ///
    /// # Errors
    ///
    /// When ids do not fit the model.
    pub fn values(&self, candidates: &[Candidates]) -> Result<Vec<Vec<f32>>, Error> {
        judge((&self.model.vlm, &self.model.head), candidates, self.max_rows)
    }
}

impl Scorer for Judge {
    fn raw_scores(
        &mut self,
        asked: &Asked<'_>,
        responses: &[&str],
    ) -> Result<Vec<f64>, ScoreError> {
        let failed = |error: Error| ScoreError::Failed(Box::new(error));
        let judged = self.judged(asked.prompt, responses, asked.folder);
        let judged = judged.map_err(|error| failed(error.into()))?;
        let scores = self.score(vec![judged]).map_err(failed)?;
        Ok(scores.into_iter().flatten().map(f64::from).collect())
    }
}

/// Scores by prompt and response. A pass takes up to `max_rows` rows; a prompt is read once for all of
/// its responses that are in the same pass, and a single response may exceed the limit.
///
/// # Errors
///
/// When a prompt is empty, its features do not match its image rows, or an id is outside the
/// vocabulary.
pub fn judge(
    (vlm, head): (&Vlm, &ValueHead),
    candidates: &[Candidates],
    max_rows: usize,
) -> Result<Vec<Vec<f32>>, Error> {
    let mut scores = vec![Vec::new(); candidates.len()];
    let mut pass = JudgedPass::default();
    for (index, one) in candidates.iter().enumerate() {
        check(one, index)?;
        let mut left = &one.judged.branches[..];
        while !left.is_empty() {
            let room = max_rows.saturating_sub(pass.pack.len());
            let num = num_fitting(one.judged.prefix.len(), left, room);
            if num == 0 && !pass.pack.is_empty() {
                std::mem::take(&mut pass).run((vlm, head), &mut scores)?;
                continue;
            }
            let (now, later) = left.split_at(num.max(1));
            pass.push(one, index, now);
            left = later;
        }
    }
    pass.run((vlm, head), &mut scores)?;
    Ok(scores)
}

/// What one forward pass reads.
pub struct JudgedPass {
    /// The rows.
    pub pack: Pack,
    features: Vec<Arc<Tensor>>,
    num_features: usize,
    /// Whose response each end is.
    owners: Vec<usize>,
    valued: Valued,
}

impl Default for JudgedPass {
    fn default() -> Self {
        Self::of(Valued::Last)
    }
}

impl JudgedPass {
    /// A pass without rows, which will have these of its responses' values.
    pub fn of(valued: Valued) -> Self {
        let (features, owners) = (Vec::new(), Vec::new());
        Self { pack: Pack::new(), features, num_features: 0, owners, valued }
    }

    /// Adds a prompt and some of its responses.
    pub fn push(&mut self, one: &Candidates, owner: usize, branches: &[Vec<u32>]) {
        let Judged { prefix, image_rows, places, .. } = &one.judged;
        let slots = image_rows.iter().zip(self.num_features..);
        let slots: Vec<_> = slots.map(|(&row, feature)| ImageSlot { row, feature }).collect();
        let branches: Vec<&[u32]> = branches.iter().map(Vec::as_slice).collect();
        let prefix = Prefix { ids: prefix, images: &slots, places: places.as_deref() };
        self.pack.push_judged_tree(prefix, &branches, self.valued);
        self.owners.extend(branches.iter().map(|_| owner));
        self.features.extend(one.features.clone());
        self.num_features += slots.len();
    }

    /// Features of all images, in the order of their rows.
    pub fn features(&self) -> Option<Tensor> {
        let parts: Vec<&Tensor> = self.features.iter().map(Arc::as_ref).collect();
        (!parts.is_empty()).then(|| stack(&parts))
    }

    fn run(self, (vlm, head): (&Vlm, &ValueHead), scores: &mut [Vec<f32>]) -> Result<(), Error> {
        let features = self.features();
        let images = features.as_ref().map_or(Images::None, Images::Features);
        let values = head.values(vlm, &self.pack, images)?;
        for (owner, value) in self.owners.into_iter().zip(values) {
            scores[owner].push(value);
        }
        Ok(())
    }
}

/// Refuses a prompt without rows, or with another number of features than of image rows.
fn check(one: &Candidates, index: usize) -> Result<(), Error> {
    if one.judged.prefix.is_empty() {
        return Err(Error::EmptyPrompt { prompt: index });
    }
    let num_features = one.features.as_ref().map_or(0, |features| features.rows());
    match one.judged.image_rows.len() {
        rows if rows == num_features => Ok(()),
        rows => Err(Error::Features { prompt: index, rows, num_features }),
    }
}

/// How many of `branches` fit into `max_rows` rows together with their prefix.
fn num_fitting(prefix: usize, branches: &[Vec<u32>], max_rows: usize) -> usize {
    let mut rows = prefix;
    let fits = |branch: &&Vec<u32>| {
        rows += branch.len();
        rows <= max_rows
    };
    branches.iter().take_while(fits).count()
}
