//! The figures of an evaluation: by benchmark, by subject, under every way of scoring.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use benchmark::{Flaw, Task};
use serde::{Deserialize, Serialize};

use crate::Error;
use crate::estimate::{Estimate, clustered};
use crate::figures::figures;
use crate::record::{Record, Scheme, write_lines};
use crate::settings::Settings;

/// What an evaluation amounts to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// The model.
    pub model: String,
    /// The judge, if there was one.
    pub judge: Option<String>,
    /// What shapes the figures.
    pub settings: Settings,
    /// The benchmarks in their order.
    pub tasks: Vec<TaskSummary>,
}

/// The figures of a benchmark.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TaskSummary {
    /// Its name.
    pub task: String,
    /// Its title.
    pub title: String,
    /// Mean scores under every way of scoring that has any.
    pub scores: BTreeMap<Scheme, Estimate>,
    /// The score that counts, of each run.
    pub by_run: Vec<f64>,
    /// The score that counts, by subject.
    pub subjects: BTreeMap<String, Estimate>,
    /// The benchmark's own figures.
    pub figures: Vec<(String, f64)>,
    /// Rows that could not be asked.
    pub num_unasked: usize,
    /// Responses that are missing or could not be scored; they are in no figure.
    pub num_unscored: usize,
    /// Responses that are empty; they count as wrong.
    pub num_empty: usize,
    /// Responses whose ways of scoring disagree.
    pub num_disputed: usize,
    /// Share of responses that the limit on tokens ended.
    pub clipped: f64,
    /// Mean tokens of a response.
    pub mean_length: f64,
}

impl TaskSummary {
    /// Sums up the records of a benchmark.
    pub fn of(task: &Task, records: &[Record], flaws: &[Flaw], scheme: Scheme) -> Self {
        let all: Vec<&Record> = records.iter().collect();
        let schemes = Scheme::ALL.into_iter();
        let scores = schemes.filter_map(|scheme| Some((scheme, estimate(&all, scheme)?))).collect();
        let names: BTreeSet<&str> = records.iter().map(|record| record.subject.as_str()).collect();
        let subject = |name: &str| {
            let of: Vec<&Record> = all.iter().copied().filter(|r| r.subject == name).collect();
            Some((name.to_owned(), estimate(&of, scheme)?))
        };
        let responses: Vec<&Record> = all.iter().copied().filter(|r| r.marks.is_some()).collect();
        let mean = |value: fn(&Record) -> f64| {
            responses.iter().map(|record| value(record)).sum::<f64>()
                / responses.len().max(1) as f64
        };
        Self {
            task: task.name.to_owned(),
            title: task.title.to_owned(),
            scores,
            by_run: by_run(&all, scheme),
            subjects: names
                .into_iter()
                .filter(|name| !name.is_empty())
                .filter_map(subject)
                .collect(),
            figures: figures(task.figures, &all, scheme),
            num_unasked: flaws.len(),
            num_unscored: all.iter().filter(|record| record.score(scheme).is_none()).count(),
            num_empty: all.iter().filter(|r| r.marks.is_some() && r.flaw.is_some()).count(),
            num_disputed: all.iter().filter(|record| record.is_disputed()).count(),
            clipped: mean(|record| f64::from(u8::from(record.is_cut))),
            mean_length: mean(|record| record.num_tokens as f64),
        }
    }
}

/// Scores of items, each the mean of its runs, with their clusters.
pub(crate) fn item_means<'a>(
    records: &[&'a Record],
    scheme: Scheme,
) -> BTreeMap<(&'a str, &'a str), (&'a str, f64)> {
    let mut sums: BTreeMap<(&str, &str), (&str, f64, usize)> = BTreeMap::new();
    for record in records {
        let Some(score) = record.score(scheme) else { continue };
        let entry = sums.entry((&record.task, &record.id)).or_insert((&record.cluster, 0.0, 0));
        entry.1 += score;
        entry.2 += 1;
    }
    let mean = |(cluster, sum, num): (&'a str, f64, usize)| (cluster, sum / num as f64);
    sums.into_iter().map(|(key, sums)| (key, mean(sums))).collect()
}

fn estimate(records: &[&Record], scheme: Scheme) -> Option<Estimate> {
    let scores: Vec<(&str, f64)> = item_means(records, scheme).into_values().collect();
    let num_runs = records.iter().map(|record| record.run + 1).max().unwrap_or(1);
    (!scores.is_empty()).then(|| clustered(&scores, num_runs))
}

fn by_run(records: &[&Record], scheme: Scheme) -> Vec<f64> {
    let mut runs: BTreeMap<usize, (f64, usize)> = BTreeMap::new();
    for record in records {
        let Some(score) = record.score(scheme) else { continue };
        let (sum, num) = runs.entry(record.run).or_default();
        *sum += score;
        *num += 1;
    }
    runs.into_values().map(|(sum, num)| sum / num as f64).collect()
}

impl Summary {
    /// Writes `summary.json`, `summary.csv`, `records.jsonl`, `disputed.jsonl` and `unasked.jsonl` into a folder;
    /// each appears whole or not at all.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn write(&self, folder: &Path, records: &[Record], flaws: &[Flaw]) -> Result<(), Error> {
        write_lines(&folder.join("records.jsonl"), records)?;
        let disputed: Vec<&Record> = records.iter().filter(|record| record.is_disputed()).collect();
        write_lines(&folder.join("disputed.jsonl"), &disputed)?;
        write_lines(&folder.join("unasked.jsonl"), flaws)?;
        let json = serde_json::to_string_pretty(self).expect("numbers and texts have a JSON form");
        write_whole(&folder.join("summary.json"), &(json + "\n"))?;
        write_whole(&folder.join("summary.csv"), &self.csv())
    }

    /// Reads the `summary.json` of a folder.
    ///
    /// # Errors
    /// When there is none, or it is not of an evaluation of benchmarks.
    pub fn read(folder: &Path) -> Result<Self, Error> {
        let path = folder.join("summary.json");
        let text = std::fs::read_to_string(&path).map_err(Error::io(&path))?;
        serde_json::from_str(&text).map_err(|error| Error::Record {
            path,
            line: error.line(),
            reason: error.to_string(),
        })
    }
}

fn write_whole(path: &Path, text: &str) -> Result<(), Error> {
    let partial = path.with_extension("partial");
    std::fs::write(&partial, text)
        .and_then(|()| std::fs::rename(&partial, path))
        .map_err(Error::io(path))
}
