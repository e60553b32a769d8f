//! The prompts of a data set with their known answers.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use data::{Dataset, prompt_of};
use preprocess::Prompt;
use reward::{Asked, Opening, verify};
use schema::Sample;

use crate::Error;
use crate::identity::{Identity, key};
use crate::policy::Policy;
use crate::run::Notice;

/// Prompts without their answers, the answers, and where each stands in its file.
pub(super) struct Questions {
    pub prompts: Vec<Prompt>,
    pub answers: Vec<String>,
    pub places: Vec<String>,
    samples: Vec<Sample>,
    folder: PathBuf,
}

impl Questions {
    /// Reads and renders a data set. The last turn of a sample is left out if it is the assistant's.
    pub(super) fn read(
        path: &Path,
        policy: &Policy,
        notices: &mut dyn FnMut(&Notice),
    ) -> Result<Self, Error> {
        let dataset = Dataset::read(path)?;
        let questions = Self::render(&dataset, policy, usize::MAX)?;
        questions.check(&dataset.path, policy, notices)?;
        Ok(questions)
    }

    /// The first `limit` questions of a file that nothing is learned from.
    pub(super) fn held_out(path: &Path, policy: &Policy, limit: usize) -> Result<Self, Error> {
        let dataset = Dataset::read(path)?;
        match dataset.samples.is_empty() {
            true => Err(Error::Empty { path: dataset.path }),
            false => Self::render(&dataset, policy, limit),
        }
    }

    fn render(dataset: &Dataset, policy: &Policy, limit: usize) -> Result<Self, Error> {
        let folder = dataset.folder().to_owned();
        let mut questions =
            Self { prompts: vec![], answers: vec![], places: vec![], samples: vec![], folder };
        for (index, sample) in dataset.samples.iter().enumerate().take(limit) {
            let place = dataset.place(index);
            let Some(answer) = &sample.answer else { return Err(Error::NoAnswer { place }) };
            let sample = prompt_of(sample);
            let prompt = policy.processor.prompt(&sample, &questions.folder);
            questions.prompts.push(prompt.map_err(Error::of_sample(&place))?);
            questions.answers.push(answer.clone());
            questions.places.push(place);
            questions.samples.push(sample);
        }
        Ok(questions)
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.prompts.len()
    }

    /// Names them, as the model sees them, with their answers.
    pub(super) fn identity(&self) -> Identity {
        let keys = self.prompts.iter().zip(&self.answers).map(|(prompt, answer)| {
            format!("{}{}:{answer}", key([&prompt.ids], &prompt.images), answer.len())
        });
        Identity::of("questions", keys)
    }

    /// What someone else is asked about a question.
    pub(super) fn asked(&self, question: usize) -> Asked<'_> {
        Asked { prompt: &self.samples[question], folder: &self.folder }
    }

    /// Who opens the thought of a question's completions.
    pub(super) fn opening(&self, question: usize) -> Opening {
        match self.prompts[question].opens_thought() {
            true => Opening::InPrompt,
            false => Opening::InCompletion,
        }
    }

    /// Whether a completion of a question answers it as is known to be right.
    pub(super) fn is_right(&self, question: usize, text: &str) -> bool {
        self.says(question, text, &self.answers[question])
    }

    /// Whether a completion of a question answers so.
    pub(super) fn says(&self, question: usize, text: &str, answer: &str) -> bool {
        verify(answer, &self.opening(question).response(text)).equivalent
    }

    /// Leaves out all but the questions of these numbers.
    pub(super) fn keep(&mut self, kept: &BTreeSet<usize>) {
        fn only<T>(items: &mut Vec<T>, kept: &BTreeSet<usize>) {
            let mut index = 0..;
            items.retain(|_| kept.contains(&index.next().expect("endless")));
        }
        only(&mut self.prompts, kept);
        only(&mut self.answers, kept);
        only(&mut self.places, kept);
        only(&mut self.samples, kept);
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

    /// The prompt of a question as the sampler takes it; `stream` names its draws.
    pub(super) fn prompt(
        &self,
        question: usize,
        stream: u64,
        policy: &mut Policy,
    ) -> Result<rollout::Prompt, Error> {
        let prompt = &self.prompts[question];
        let features = policy.features(&prompt.images);
        let features = features.map_err(Error::of_sample(&self.places[question]))?;
        Ok(rollout::Prompt::new(prompt, features, stream))
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
