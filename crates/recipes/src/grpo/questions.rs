//! The prompts of a data set with their known answers.

use std::collections::BTreeSet;
use std::path::Path;

use data::{Dataset, prompt_of};
use preprocess::Prompt;

use crate::Error;
use crate::policy::Policy;
use crate::run::Notice;

/// Prompts without their answers, the answers, and where each stands in its file.
pub(super) struct Questions {
    pub prompts: Vec<Prompt>,
    pub answers: Vec<String>,
    pub places: Vec<String>,
}

impl Questions {
    /// Reads and renders a data set. The last turn of a sample is left out if it is the assistant's.
    pub(super) fn read(
        path: &Path,
        policy: &Policy,
        notices: &mut dyn FnMut(&Notice),
    ) -> Result<Self, Error> {
        let dataset = Dataset::read(path)?;
        let base = dataset.path.parent().unwrap_or(Path::new(""));
        let mut questions = Self { prompts: vec![], answers: vec![], places: vec![] };
        for (index, sample) in dataset.samples.iter().enumerate() {
            let place = dataset.place(index);
            let Some(answer) = &sample.answer else { return Err(Error::NoAnswer { place }) };
            let prompt = policy.processor.prompt(&prompt_of(sample), base);
            questions.prompts.push(prompt.map_err(Error::of_sample(&place))?);
            questions.answers.push(answer.clone());
            questions.places.push(place);
        }
        questions.check(&dataset.path, policy, notices)?;
        Ok(questions)
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.prompts.len()
    }

    /// Encodes the images of these questions.
    pub(super) fn encode(
        &self,
        questions: &BTreeSet<usize>,
        policy: &mut Policy,
        notices: &mut dyn FnMut(&Notice),
    ) -> Result<(), Error> {
        let of = |&i: &usize| (self.places[i].as_str(), self.prompts[i].images.as_slice());
        policy.encode_all(questions.iter().map(of), notices)
    }

    /// Says what will not train, and refuses a run of which nothing would.
    fn check(
        &self,
        path: &Path,
        policy: &Policy,
        notices: &mut dyn FnMut(&Notice),
    ) -> Result<(), Error> {
        let num_text = self.prompts.iter().filter(|prompt| prompt.images.is_empty()).count();
        policy.check_text(path, num_text, self.len(), notices)
    }
}
