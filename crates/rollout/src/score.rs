//! Log-probs of given completions after given prompts, in packed passes without gradients.

use std::sync::Arc;

use model::pack::{ImageSlot, Pack, Prefix};
use model::vlm::{Images, Vlm, stack};
use tensor::Tensor;

use crate::Error;
use crate::prompt::Prompt;

/// Log-probs by group, completion and token.
pub type Results = Vec<Vec<Vec<f32>>>;

/// A prompt and the completions to be scored after it.
#[derive(Clone, Copy, Debug)]
pub struct Group<'a> {
    /// The prompt.
    pub prompt: &'a Prompt,
    /// Token ids of each completion.
    pub completions: &'a [Vec<u32>],
}

/// Natural log-probability of every token of every completion, at `temperature`: one list for each
/// group, in it one for each completion, in it one number for each token.
///
/// A pass takes up to `max_rows` rows; a group's prompt is computed once for all of its completions
/// that are in the same pass, and a single completion may exceed the limit.
///
/// # Errors
///
/// When a prompt is empty, its features do not match its image rows, or an id is outside the
/// vocabulary.
pub fn score(
    vlm: &Vlm,
    groups: &[Group],
    temperature: f32,
    max_rows: usize,
) -> Result<Results, Error> {
    let mut results = vec![Vec::new(); groups.len()];
    let mut pass = Pass::new();
    for (index, Group { prompt, completions }) in groups.iter().enumerate() {
        if prompt.ids.is_empty() {
            return Err(Error::EmptyPrompt { prompt: index });
        }
        let slots = prompt.slots(vlm, index)?;
        let mut left = *completions;
        while !left.is_empty() {
            let room = max_rows.saturating_sub(pass.pack.len());
            let num = num_fitting(prompt.ids.len(), left, room);
            if num == 0 && !pass.pack.is_empty() {
                pass.run(vlm, temperature, &mut results)?;
                continue;
            }
            let (now, later) = left.split_at(num.max(1));
            pass.push(prompt, &slots, index, now);
            left = later;
        }
    }
    pass.run(vlm, temperature, &mut results)?;
    Ok(results)
}

/// What one forward pass scores.
#[derive(Default)]
struct Pass {
    pack: Pack,
    features: Vec<Arc<Tensor>>,
    num_features: usize,
    /// The group of every sequence of the pack.
    owners: Vec<usize>,
}

impl Pass {
    fn new() -> Self {
        Self { pack: Pack::new(), ..Self::default() }
    }

    /// Adds a prompt and some of its completions.
    fn push(&mut self, prompt: &Prompt, slots: &[ImageSlot], owner: usize, branches: &[Vec<u32>]) {
        let shift =
            |slot: &ImageSlot| ImageSlot { feature: slot.feature + self.num_features, ..*slot };
        let slots: Vec<_> = slots.iter().map(shift).collect();
        let branches: Vec<&[u32]> = branches.iter().map(Vec::as_slice).collect();
        let prefix = Prefix { ids: &prompt.ids, images: &slots, places: prompt.places.as_deref() };
        self.pack.push_placed_tree(prefix, &branches);
        self.owners.extend(branches.iter().map(|_| owner));
        self.features.extend(prompt.features.clone());
        self.num_features += slots.len();
    }

    /// Scores what was added and starts anew.
    fn run(&mut self, vlm: &Vlm, temperature: f32, results: &mut Results) -> Result<(), Error> {
        let Self { pack, features, owners, .. } = std::mem::replace(self, Self::new());
        if pack.targets.is_empty() {
            owners.into_iter().for_each(|owner| results[owner].push(Vec::new()));
            return Ok(());
        }
        let features = stack(&features.iter().map(Arc::as_ref).collect::<Vec<_>>());
        let images = if features.is_empty() { Images::None } else { Images::Features(&features) };
        let scored = vlm.log_probs(&pack, images, temperature)?;
        for (owner, targets) in owners.into_iter().zip(&pack.sequences) {
            results[owner].push(scored.log_prob[targets.clone()].to_vec());
        }
        Ok(())
    }
}

/// How many of `completions` fit into `max_rows` rows together with their prompt.
fn num_fitting(prompt: usize, completions: &[Vec<u32>], max_rows: usize) -> usize {
    let mut rows = prompt;
    let fits = |completion: &&Vec<u32>| {
        rows += completion.len().saturating_sub(1);
        rows <= max_rows
    };
    completions.iter().take_while(fits).count()
}
