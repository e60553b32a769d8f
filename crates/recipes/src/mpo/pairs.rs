//! Preference pairs as the model takes them: a prompt and two branches.

use std::path::Path;

use data::Preferences;
use model::pack::{Pack, Prefix};
use preprocess::{ModelImage, Prompt};

use super::{BadPairs, PairConfig};
use crate::Error;
use crate::identity::{Identity, key};
use crate::policy::{ImageInput, Policy, slots};
use crate::run::Notice;

/// One pair in tokens.
pub(super) struct Pair {
    pub prompt: Prompt,
    /// The better response, with the token that ends it.
    pub chosen: Vec<u32>,
    /// The worse response, likewise.
    pub rejected: Vec<u32>,
}

impl Pair {
    /// Names what the pair's log-probs depend on, the model aside: its tokens and its pictures.
    pub(super) fn key(&self) -> String {
        let Self { prompt, chosen, rejected } = self;
        key([&prompt.ids, chosen, rejected], &prompt.images)
    }

    fn length(&self) -> usize {
        self.prompt.ids.len() + self.chosen.len().max(self.rejected.len())
    }
}

/// The usable pairs of a file, and where each stands.
pub(super) struct Pairs {
    pub pairs: Vec<Pair>,
    pub places: Vec<String>,
}

impl Pairs {
    /// Reads and renders a file.
    pub(super) fn read(
        path: &Path,
        config: &PairConfig,
        policy: &Policy,
        notices: &mut dyn FnMut(&Notice),
    ) -> Result<Self, Error> {
        let file = Preferences::read(path, config.image_folder.as_deref())?;
        report_left_out(&file, config.bad_pairs, notices)?;
        let max_length = config.max_length.min(policy.processor.context_length);
        let (mut pairs, mut num_long) = (Self { pairs: vec![], places: vec![] }, 0);
        for (index, preference) in file.pairs.iter().enumerate() {
            let place = file.place(index);
            match tokens(preference, file.folder(), policy) {
                Ok(pair) if pair.length() <= max_length => {
                    pairs.pairs.push(pair);
                    pairs.places.push(place);
                }
                Ok(_) | Err(preprocess::Error::TooLong { .. }) => num_long += 1,
                Err(error) => return Err(Error::of_sample(&place)(error)),
            }
        }
        if num_long > 0 {
            notices(&Notice::TooLong { count: num_long, max_length });
        }
        let num_text = pairs.pairs.iter().filter(|pair| pair.prompt.images.is_empty()).count();
        policy.check_text(path, num_text, pairs.len(), notices)?;
        Ok(pairs)
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.pairs.len()
    }

    /// Names them all.
    pub(super) fn identity(&self) -> Identity {
        Identity::of("pairs", self.pairs.iter().map(Pair::key))
    }

    /// Encodes the images of all pairs.
    pub(super) fn encode(
        &self,
        policy: &mut Policy,
        notices: &mut dyn FnMut(&Notice),
    ) -> Result<(), Error> {
        let images = |index: usize| self.pairs[index].prompt.images.as_slice();
        let samples = (0..self.len()).map(|index| (self.places[index].as_str(), images(index)));
        policy.encode_all(samples, notices)
    }

    /// These pairs as trees of one pack, chosen before rejected, and their images.
    pub(super) fn pack(
        &self,
        indices: &[usize],
        policy: &mut Policy,
    ) -> Result<(Pack, ImageInput), Error> {
        let (mut pack, mut num_features) = (Pack::new(), 0);
        let pairs = || indices.iter().map(|&index| &self.pairs[index]);
        for Pair { prompt, chosen, rejected } in pairs() {
            let slots = slots(&prompt.image_rows, &mut num_features);
            let places = prompt.places.as_deref();
            let prefix = Prefix { ids: &prompt.ids, images: &slots, places };
            pack.push_placed_tree(prefix, &[chosen, rejected]);
        }
        let images: Vec<&[ModelImage]> = pairs().map(|pair| &pair.prompt.images[..]).collect();
        let input = policy.image_input(images.into_iter())?;
        Ok((pack, input))
    }
}

/// Says what was left out of a file, or ends the run over it.
pub(crate) fn report_left_out(
    file: &Preferences,
    bad_pairs: BadPairs,
    notices: &mut dyn FnMut(&Notice),
) -> Result<(), Error> {
    if file.report.num_left_out() == 0 {
        return Ok(());
    }
    let (path, report) = (file.path.clone(), file.report.clone());
    match bad_pairs {
        BadPairs::Stop => Err(Error::BadPairs { path, report }),
        BadPairs::Skip => {
            notices(&Notice::BadPairs { path, report });
            Ok(())
        }
    }
}

fn tokens(
    preference: &data::Preference,
    folder: &Path,
    policy: &Policy,
) -> Result<Pair, preprocess::Error> {
    let prompt = &preference.prompt;
    let response = |text: &str| policy.processor.response(prompt, text);
    Ok(Pair {
        chosen: response(&preference.chosen)?,
        rejected: response(&preference.rejected)?,
        prompt: policy.processor.prompt(prompt, folder)?,
    })
}
