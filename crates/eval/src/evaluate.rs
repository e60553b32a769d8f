//! Generates, judges, sums up, and writes it all down.

use std::collections::HashMap;
use std::path::Path;

use model::vlm::Vlm;
use preprocess::Processor;
use rollout::{GenerateConfig, ImageEncoder, Progress, TOGETHER, generate};
use schema::Completion;
use serde::{Deserialize, Serialize};

use crate::Error;
use crate::answer::{Answer, judge, read_answers};
use crate::question::Question;
use crate::summary::{Summary, table};

/// Name of the file of completions with images.
const COMPLETIONS: &str = "completions.jsonl";

/// Name of the file of completions without.
const BLIND_COMPLETIONS: &str = "completions-blind.jsonl";

/// The model that is asked.
pub struct Subject<'a> {
    /// The model.
    pub vlm: &'a Vlm,
    /// Its tokenizer.
    pub processor: &'a Processor,
    /// Its encoder with a cache.
    pub encoder: &'a mut ImageEncoder,
}

/// How a model is evaluated.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EvalConfig {
    /// How answers are generated; several samples of a question give their mean accuracy.
    pub generation: GenerateConfig,
    /// Also ask every question over grey images.
    pub blind: bool,
}

/// What the model is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum View {
    /// The images of the question.
    Image,
    /// Grey images of the same size.
    Blind,
}

/// An evaluation: its figures and all completions.
#[derive(Clone, Debug, PartialEq)]
pub struct Evaluation {
    /// The figures with images.
    pub summary: Summary,
    /// The figures without.
    pub blind: Option<Summary>,
    /// The completions with images.
    pub answers: Vec<Answer>,
    /// The completions without.
    pub blind_answers: Vec<Answer>,
}

/// Asks every question, over its images and, if configured, over grey ones.
///
/// # Errors
///
/// A damaged image, or those of [`rollout::generate()`].
pub fn evaluate(
    subject: &mut Subject,
    questions: &[Question],
    config: &EvalConfig,
    progress: &mut dyn FnMut(View, Progress),
) -> Result<Evaluation, Error> {
    let mut ask = |questions: &[Question], view| {
        ask(subject, questions, &config.generation, &mut |done| progress(view, done))
    };
    let answers = ask(questions, View::Image)?;
    let blind = match config.blind {
        true => Some(ask(&questions.iter().map(Question::blind).collect::<Vec<_>>(), View::Blind)?),
        false => None,
    };
    Ok(Evaluation::of(answers, blind))
}

/// Generates and judges the completions of all questions, in their order.
fn ask(
    subject: &mut Subject,
    questions: &[Question],
    config: &GenerateConfig,
    progress: &mut dyn FnMut(Progress),
) -> Result<Vec<Answer>, Error> {
    let mut prompts = Vec::with_capacity(questions.len());
    for questions in questions.chunks(TOGETHER) {
        let images: Vec<_> = questions.iter().map(|q| q.prompt.images.as_slice()).collect();
        let encoded = subject.encoder.encode_together(subject.vlm, &images);
        for (question, features) in questions.iter().zip(encoded) {
            let stream = prompts.len() as u64;
            prompts.push(rollout::Prompt::new(&question.prompt, features?, stream));
        }
    }
    // Decoded greedily, equal prompts give equal completions: blind questions are often the same.
    let (kept, places) = match config.sampling.temperature == 0.0 {
        true => distinct(questions),
        false => ((0..questions.len()).collect(), (0..questions.len()).collect()),
    };
    let prompts: Vec<_> = kept.into_iter().map(|i| prompts[i].clone()).collect();
    let tokenizer = &subject.processor.tokenizer;
    let groups = generate(subject.vlm, tokenizer, &prompts, config, progress)?;
    let judged = |(question, place): (&Question, usize)| judge_group(question, &groups[place]);
    Ok(questions.iter().zip(places).flat_map(judged).collect())
}

fn judge_group(question: &Question, group: &[Completion]) -> Vec<Answer> {
    let completions = group.iter().cloned().enumerate();
    completions.map(|(sample, completion)| judge(question, sample, completion)).collect()
}

/// The first question of every prompt, and for each question its prompt's place among them.
fn distinct(questions: &[Question]) -> (Vec<usize>, Vec<usize>) {
    let (mut kept, mut places) = (Vec::new(), Vec::with_capacity(questions.len()));
    let mut known = HashMap::new();
    for (index, question) in questions.iter().enumerate() {
        let images: Vec<_> = question.prompt.images.iter().map(|image| image.key()).collect();
        let place = *known.entry((&question.prompt.ids, images)).or_insert(kept.len());
        if place == kept.len() {
            kept.push(index);
        }
        places.push(place);
    }
    (kept, places)
}

/// What `summary.json` holds.
#[derive(Serialize)]
struct SummaryFile<'a> {
    config: &'a EvalConfig,
    image: &'a Summary,
    blind: Option<&'a Summary>,
}

impl Evaluation {
    /// The figures for people, under the name of the run.
    pub fn table(&self, name: &str) -> String {
        table(&[(name, &self.summary, self.blind.as_ref())])
    }

    /// Reads the completions that [`write`](Self::write) left in a folder, those without images if `blind`, and sums
    /// them up.
    ///
    /// # Errors
    ///
    /// When a file is missing, or a line of it cannot be read.
    pub fn read(folder: &Path, blind: bool) -> Result<Self, Error> {
        let answers = read_answers(&folder.join(COMPLETIONS))?;
        let blind_answers = match blind {
            true => read_answers(&folder.join(BLIND_COMPLETIONS))?,
            false => Vec::new(),
        };
        Ok(Self::of(answers, blind.then_some(blind_answers)))
    }

    fn of(answers: Vec<Answer>, blind: Option<Vec<Answer>>) -> Self {
        Self {
            summary: Summary::of(&answers),
            blind: blind.as_deref().map(Summary::of),
            answers,
            blind_answers: blind.unwrap_or_default(),
        }
    }

    /// Writes `summary.json`, `completions.jsonl` and, after a blind run,
    /// `completions-blind.jsonl` into a folder; each appears whole or not at all.
    ///
    /// # Errors
    ///
    /// When the folder cannot be written.
    pub fn write(&self, folder: &Path, config: &EvalConfig) -> Result<(), Error> {
        let io = |source| Error::Io { path: folder.to_owned(), source };
        std::fs::create_dir_all(folder).map_err(io)?;
        data::write_lines(&folder.join(COMPLETIONS), &self.answers)?;
        if self.blind.is_some() {
            data::write_lines(&folder.join(BLIND_COMPLETIONS), &self.blind_answers)?;
        }
        let file = SummaryFile { config, image: &self.summary, blind: self.blind.as_ref() };
        let text = serde_json::to_string_pretty(&file).expect("plain numbers and strings");
        let path = folder.join("summary.json");
        let partial = folder.join("summary.json.partial");
        std::fs::write(&partial, text + "\n").map_err(io)?;
        std::fs::rename(partial, path).map_err(io)
    }
}
