//! Preference pairs as the model takes them: a prompt and two branches.

use std::path::Path;

use data::{PairFlaw, PairReport, Preferences};
use model::pack::{Pack, Prefix};
use preprocess::{ModelImage, Processor, Prompt};

use super::{BadPairs, PairConfig};
use crate::Error;
use crate::identity::{Identity, key};
use crate::left_out::LeftOut;
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

    /// Rows of the prompt and both responses.
    fn num_rows(&self) -> usize {
        self.prompt.ids.len() + self.chosen.len() + self.rejected.len()
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
        let is_new = |image: &ModelImage| !policy.has_features(image);
        let (pairs, places): (Vec<Pair>, _) =
            render(path, config, (&policy.processor, &is_new), notices)?.into_iter().unzip();
        let pairs = Self { pairs, places };
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

impl PairConfig {
    /// The pairs of a file that are used, each as its prompt and the rows of prompt and responses: what a plan counts
    /// before weights load.
    ///
    /// # Errors
    /// A file that cannot be read; pairs that teach nothing, where they are to end the run.
    pub fn rendered(
        &self,
        path: &Path,
        processor: &Processor,
        notices: &mut dyn FnMut(&Notice),
    ) -> Result<Vec<(Prompt, usize)>, Error> {
        let pairs = render(path, self, (processor, &|_| false), notices)?.into_iter();
        let sized = |(pair, _): (Pair, String)| {
            let num_rows = pair.num_rows();
            (pair.prompt, num_rows)
        };
        Ok(pairs.map(sized).collect())
    }
}

/// The pairs of a file that are used, each with its place. Images that are new are looked at.
fn render(
    path: &Path,
    config: &PairConfig,
    (processor, is_new): (&Processor, &dyn Fn(&ModelImage) -> bool),
    notices: &mut dyn FnMut(&Notice),
) -> Result<Vec<(Pair, String)>, Error> {
    let file = Preferences::read(path, config.image_folder.as_deref())?;
    let max_length = config.max_length.min(processor.context_length);
    let mut left_out = LeftOut::of(&file, config.min_score_gap);
    let mut pairs = Vec::new();
    for (index, preference) in file.pairs.iter().enumerate() {
        let place = file.place(index);
        if left_out.by_scores(preference, &place) {
            continue;
        }
        match tokens(preference, file.folder(), processor) {
            Ok(pair) if pair.length() > max_length => left_out.add_long(),
            // Different texts may be one to the model, such as with and without a tag that the prompt opens.
            Ok(pair) if pair.chosen == pair.rejected => left_out.add(PairFlaw::Identical, place),
            Ok(pair) => pairs.push((pair, place)),
            Err(error) => left_out.add_failed(&error, &place),
        }
    }
    let pairs = left_out.undamaged(pairs, |pair: &Pair| &pair.prompt.images, is_new);
    left_out.tell(config.bad_pairs, max_length, notices)?;
    Ok(pairs)
}

/// Says what was left out of a file, or ends the run over it.
pub(crate) fn report_left_out(
    path: &Path,
    report: PairReport,
    bad_pairs: BadPairs,
    notices: &mut dyn FnMut(&Notice),
) -> Result<(), Error> {
    let path = path.to_owned();
    match bad_pairs {
        _ if report.num_left_out() == 0 => Ok(()),
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
    processor: &Processor,
) -> Result<Pair, preprocess::Error> {
    let prompt = &preference.prompt;
    let response = |text: &str| processor.response(prompt, text);
    Ok(Pair {
        chosen: response(&preference.chosen)?,
        rejected: response(&preference.rejected)?,
        prompt: processor.prompt(prompt, folder)?,
    })
}
