//! What the policy knows of questions that nothing was learned from: accuracy, hallucination, and how open it still is
//! where a reflection begins.

use std::collections::BTreeMap;
use std::path::Path;

use preprocess::Tokenizer;
use reward::format_reward;
use rollout::{GenerateConfig, Sampling};
use schema::Completion;

use super::GrpoConfig;
use super::group::mean;
use super::questions::Questions;
use super::task::score;
use crate::Error;
use crate::policy::Policy;

/// Streams of the answers, far from those of the run: the same at every measurement, so that two differ by the policy
/// alone.
const FIRST_STREAM: u64 = 1 << 61;

/// Names of what is measured.
pub(super) const ACCURACY: &str = "eval/accuracy";
pub(super) const HALLUCINATION: &str = "eval/hallucination_rate";
pub(super) const CRITICAL: &str = "eval/critical_entropy";
pub(super) const PROBE_ACCURACY: &str = "eval/probe_accuracy";

/// The held-out questions of a run.
pub(super) struct HeldOut<'a> {
    config: &'a GrpoConfig,
    questions: Option<Questions>,
    probe: Option<Questions>,
}

impl<'a> HeldOut<'a> {
    /// Reads both files.
    ///
    /// # Errors
    /// A file that is missing, empty, or without answers; a probe's answer that is neither yes nor no, or a probe that
    /// asks for nothing absent.
    pub(super) fn read(config: &'a GrpoConfig, policy: &Policy) -> Result<Self, Error> {
        let limit = config.guard.eval_limit.unwrap_or(usize::MAX);
        let read = |path: &Path| Questions::held_out(path, policy, limit);
        let questions = config.guard.eval_dataset.as_deref().map(read).transpose()?;
        let probe = config.guard.probe_dataset.as_deref().map(read).transpose()?;
        for (answer, place) in
            probe.iter().flat_map(|probe| probe.answers.iter().zip(&probe.places))
        {
            if !is(answer, "yes") && !is(answer, "no") {
                let (place, answer) = (place.clone(), answer.clone());
                return Err(Error::NoProbe { place, answer });
            }
        }
        if let (Some(probe), Some(path)) = (&probe, &config.guard.probe_dataset)
            && !probe.answers.iter().any(|answer| is(answer, "no"))
        {
            return Err(Error::Contradiction {
                first: format!("probe_dataset = {:?}", path.display()),
                second: format!("no `no` among its first {} answers", probe.len()),
                why: "a hallucination is what is said to be there and is not",
            });
        }
        Ok(Self { config, questions, probe })
    }

    /// Answers all questions and measures the answers.
    pub(super) fn measure(&self, policy: &mut Policy) -> Result<BTreeMap<String, f64>, Error> {
        let mut measured = BTreeMap::new();
        if let Some(questions) = &self.questions {
            let answers = self.answer(questions, policy)?;
            measured.extend(self.of_answers(questions, &answers));
            measured.extend(self.of_reflection(questions, &answers, policy)?);
        }
        if let Some(probe) = &self.probe {
            measured.extend(of_probe(probe, &self.answer(probe, policy)?));
        }
        Ok(measured.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
    }

    fn answer(&self, questions: &Questions, policy: &mut Policy) -> Result<Vec<Completion>, Error> {
        let mut prompts = Vec::with_capacity(questions.len());
        for question in 0..questions.len() {
            prompts.push(questions.prompt(question, FIRST_STREAM + question as u64, policy)?);
        }
        let temperature = self.config.guard.eval_temperature.unwrap_or(0.0);
        let sampling = Sampling::at_temperature(temperature, self.config.run.seed);
        let length = self.config.rollout.max_completion_length;
        let config = GenerateConfig::new(&policy.processor, sampling, length);
        let (vlm, tokenizer) = (&policy.vlm, &policy.processor.tokenizer);
        let groups = rollout::generate(vlm, tokenizer, &prompts, &config, &mut |_| {})?;
        Ok(groups.into_iter().flatten().collect())
    }

    fn of_answers(
        &self,
        questions: &Questions,
        answers: &[Completion],
    ) -> [(&'static str, f64); 3] {
        let all = || answers.iter().enumerate();
        let correct = all().map(|(question, answer)| {
            f64::from(u8::from(questions.is_right(question, &answer.text)))
        });
        let well_formed = all()
            .map(|(question, answer)| format_reward(&answer.text, questions.opening(question)));
        [
            (ACCURACY, mean(correct)),
            ("eval/well_formed", mean(well_formed)),
            ("eval/mean_length", mean(answers.iter().map(|a| a.token_ids.len() as f64))),
        ]
    }

    /// Mean entropy where one of the critical words begins: R1V3 (arXiv:2507.06167), section 5.1. Where it is high the
    /// policy decides whether to reflect; where it is low it imitates the style.
    fn of_reflection(
        &self,
        questions: &Questions,
        answers: &[Completion],
        policy: &mut Policy,
    ) -> Result<Vec<(&'static str, f64)>, Error> {
        let words = self.config.guard.critical_words();
        let mut entropies = Vec::new();
        for (question, answer) in answers.iter().enumerate() {
            let places = critical_places(&answer.token_ids, &words, &policy.processor.tokenizer)?;
            if places.is_empty() {
                continue;
            }
            let ids = [answer.token_ids.as_slice()];
            let (_, scored) = score(policy, questions, (question, &ids), 1.0)?;
            entropies.extend(places.into_iter().map(|place| f64::from(scored.entropy[place])));
        }
        let num = entropies.len() as f64;
        Ok(match entropies.is_empty() {
            true => vec![],
            false => vec![(CRITICAL, mean(entropies)), ("eval/num_critical_tokens", num)],
        })
    }
}

/// Share of right answers, and share of absent things that are said to be there: POPE (arXiv:2305.10355).
fn of_probe(probe: &Questions, answers: &[Completion]) -> Vec<(&'static str, f64)> {
    let says = |question: usize, word: &str| {
        f64::from(u8::from(probe.says(question, &answers[question].text, word)))
    };
    let all = || 0..probe.len();
    let absent: Vec<usize> = all().filter(|&question| is(&probe.answers[question], "no")).collect();
    let mut measured = vec![
        (PROBE_ACCURACY, mean(all().map(|question| says(question, &probe.answers[question])))),
        ("eval/probe_yes_rate", mean(all().map(|question| says(question, "yes")))),
    ];
    if !absent.is_empty() {
        let rate = mean(absent.into_iter().map(|question| says(question, "yes")));
        measured.push((HALLUCINATION, rate));
    }
    measured
}

fn is(answer: &str, word: &str) -> bool {
    answer.trim().eq_ignore_ascii_case(word)
}

/// Indices of the tokens in which one of the words begins.
fn critical_places(
    token_ids: &[u32],
    words: &[String],
    tokenizer: &Tokenizer,
) -> Result<Vec<usize>, Error> {
    let (mut stream, mut text, mut ends) = (tokenizer.stream(), String::new(), Vec::new());
    for &id in token_ids {
        text += &stream.push(id)?;
        ends.push(text.len());
    }
    let is_start = |at: usize| !text[..at].ends_with(char::is_alphanumeric);
    let starts = words.iter().flat_map(|word| text.match_indices(word.as_str()));
    let mut places: Vec<usize> = starts
        .filter(|&(at, _)| is_start(at))
        .map(|(at, _)| ends.partition_point(|&end| end <= at))
        .collect();
    places.sort_unstable();
    places.dedup();
    Ok(places)
}
