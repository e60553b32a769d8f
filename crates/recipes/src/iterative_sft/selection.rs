//! What a round learns from: `D_t = D_rm ∪ E_{t−1}` of R1V (arXiv:2504.05599), section 2.2.

use std::collections::BTreeSet;
use std::path::Path;

use data::{Dataset, absolute, response_of};
use schema::Sample;
use serde_json::json;

use crate::Error;
use crate::run::Notice;

/// A choice of samples.
pub(super) struct Selection<'a> {
    pub dataset: &'a Dataset,
    /// From 0 to 5; `None` for a sample that could not be scored.
    pub scores: &'a [Option<f64>],
    /// Samples that the last policy answers wrongly: `E_{t−1}`.
    pub wrong: &'a BTreeSet<usize>,
    /// τ: the least score of a sample in `D_rm`.
    pub threshold: f64,
}

impl Selection<'_> {
    fn is_good(&self, index: usize) -> bool {
        is_at_least(self.scores[index], self.threshold)
    }

    fn selected(&self) -> impl Iterator<Item = usize> {
        let all = 0..self.dataset.samples.len();
        all.filter(|&index| self.is_good(index) || self.wrong.contains(&index))
    }

    /// How many samples it is, and why.
    pub(super) fn notice(&self, round: usize) -> Notice {
        let num_samples = self.dataset.samples.len();
        Notice::Selected {
            round,
            num_samples,
            num_scored: (0..num_samples).filter(|&index| self.is_good(index)).count(),
            num_misclassified: self.wrong.len(),
            num_selected: self.selected().count(),
        }
    }

    /// Writes the samples, each with its score and whether it was answered wrongly.
    ///
    /// # Errors
    /// When there is none, or the file cannot be written.
    pub(super) fn write(&self, path: &Path) -> Result<(), Error> {
        if self.selected().next().is_none() {
            return Err(Error::Empty { path: path.to_owned() });
        }
        let lines = self.selected().map(|index| {
            let mut sample = scored(self.dataset, index, self.scores);
            let is_wrong = self.wrong.contains(&index);
            sample.extra.insert("misclassified".to_owned(), json!(is_wrong));
            sample
        });
        Ok(data::write_lines(path, lines)?)
    }
}

/// Writes the samples of a data set, then those of its source that it lacks and that could be learned as they are.
///
/// # Errors
/// When the file cannot be written.
pub(super) fn write_all(path: &Path, dataset: &Dataset, source: &Dataset) -> Result<(), Error> {
    let present: BTreeSet<&str> =
        dataset.samples.iter().filter_map(|sample| sample.id.as_deref()).collect();
    let left_out = source.samples.iter().enumerate().filter(|(index, sample)| {
        let id = sample.id.clone().unwrap_or_else(|| source.line(*index).to_string());
        !present.contains(id.as_str()) && sample.answer.is_some() && response_of(sample).is_some()
    });
    let there = dataset.samples.iter().map(|sample| absolute(sample.clone(), dataset.folder()));
    let left_out = left_out.map(|(_, sample)| absolute(sample.clone(), source.folder()));
    Ok(data::write_lines(path, there.chain(left_out))?)
}

/// Writes the samples with a known answer that score at least `top`.
///
/// # Errors
/// When the file cannot be written.
pub(super) fn write_top(
    path: &Path,
    dataset: &Dataset,
    scores: &[Option<f64>],
    top: f64,
) -> Result<(), Error> {
    let is_top = |index: &usize| {
        is_at_least(scores[*index], top) && dataset.samples[*index].answer.is_some()
    };
    let lines = (0..dataset.samples.len()).filter(is_top);
    Ok(data::write_lines(path, lines.map(|index| scored(dataset, index, scores)))?)
}

fn is_at_least(score: Option<f64>, least: f64) -> bool {
    score.is_some_and(|score| score >= least)
}

/// A sample with its score, its images to be found from anywhere.
fn scored(dataset: &Dataset, index: usize, scores: &[Option<f64>]) -> Sample {
    let mut sample = absolute(dataset.samples[index].clone(), dataset.folder());
    sample.extra.insert("score".to_owned(), json!(scores[index]));
    sample
}
