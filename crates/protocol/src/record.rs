//! One response with everything found out about it: a line of `records.jsonl`.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;

use benchmark::{Item, Marks, Task};
use serde::{Deserialize, Serialize};

use crate::Error;
use crate::matching::Matching;
use crate::ruling::Ruling;

/// Scores that differ by more than this are disputed.
const AGREED: f64 = 1e-9;

/// A way of scoring.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scheme {
    /// The answer in the form that was asked for.
    #[default]
    Strict,
    /// The answer wherever it is said.
    Lenient,
    /// What the judge says.
    Judge,
    /// Right by the strict rule, or else by the judge.
    RuleOrJudge,
    /// VLMEvalKit's rules, with the judge in its own words where they find nothing.
    Vlmevalkit,
    /// The same of Skywork's fork of it.
    VlmevalkitFork,
}

impl Scheme {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Strict,
        Self::Lenient,
        Self::Judge,
        Self::RuleOrJudge,
        Self::Vlmevalkit,
        Self::VlmevalkitFork,
    ];

    /// Its name in files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Strict => "strict",
            Self::Lenient => "lenient",
            Self::Judge => "judge",
            Self::RuleOrJudge => "rule_or_judge",
            Self::Vlmevalkit => "vlmevalkit",
            Self::VlmevalkitFork => "vlmevalkit_fork",
        }
    }
}

/// A response to an item, or why there is none.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// The benchmark.
    pub task: String,
    /// The item.
    pub id: String,
    /// File and line, or row.
    pub place: String,
    /// What the benchmark groups the item under.
    pub subject: String,
    /// Items of one source share it.
    pub cluster: String,
    /// Which of the item's responses this is, from 0.
    pub run: usize,
    /// What was asked, with a mark for each image.
    pub prompt: String,
    /// The images, as files of the folder `images`.
    pub images: Vec<String>,
    /// The known answer.
    pub gold: String,
    /// What the model said, its thought included; in several turns the conversation without thoughts.
    pub response: String,
    /// What it said by turn and step, where it was asked in several.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub turns: Vec<Vec<String>>,
    /// The model, by the name it gives itself.
    pub model: String,
    /// Tokens of the prompt.
    pub prompt_tokens: u64,
    /// Tokens of the response.
    pub num_tokens: u64,
    /// Whether it ended at the limit on tokens.
    pub is_cut: bool,
    /// Scores by rule.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub marks: Option<Marks>,
    /// What the judge said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub judgement: Option<Ruling>,
    /// What VLMEvalKit makes of the response with the judge, where its rules have no score.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub matching: Option<Matching>,
    /// The same of Skywork's fork of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fork_matching: Option<Matching>,
    /// What was wrong: no response, an empty one, one that cannot be scored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flaw: Option<String>,
    /// What the benchmark's own figures are made of.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
}

impl Record {
    /// A record without a response.
    pub(crate) fn of(task: &Task, item: &Item, run: usize) -> Self {
        Self {
            task: task.name.to_owned(),
            id: item.id.clone(),
            place: item.place.clone(),
            subject: item.subject.clone(),
            cluster: item.cluster.clone(),
            run,
            prompt: item.prompt_text(),
            images: item.images.iter().map(|image| image.name.clone()).collect(),
            gold: item.gold.clone(),
            labels: item.labels.iter().map(|(k, v)| ((*k).to_owned(), v.clone())).collect(),
            ..Self::default()
        }
    }

    /// The score under a scheme; nothing where it has none.
    pub fn score(&self, scheme: Scheme) -> Option<f64> {
        let marks = self.marks.as_ref()?;
        let judged = self.judgement.as_ref().and_then(|ruling| ruling.score);
        let matched = |matching: &Option<Matching>, by_rule: Option<f64>| match matching {
            Some(matching) => matching.score,
            None => by_rule,
        };
        match scheme {
            _ if marks.needs_judge => judged,
            Scheme::Strict => Some(marks.strict),
            Scheme::Lenient => Some(marks.lenient),
            Scheme::Judge => judged,
            Scheme::RuleOrJudge => judged.map(|judged| judged.max(marks.strict)),
            Scheme::Vlmevalkit => matched(&self.matching, marks.vlmevalkit),
            Scheme::VlmevalkitFork => matched(&self.fork_matching, marks.vlmevalkit_fork),
        }
    }

    /// Whether the response is empty: wrong, and put to nobody.
    pub(crate) fn is_empty(&self) -> bool {
        self.marks.is_some() && self.flaw.is_some()
    }

    /// Whether ways of scoring disagree.
    pub fn is_disputed(&self) -> bool {
        let schemes = Scheme::ALL.into_iter().filter(|scheme| *scheme != Scheme::RuleOrJudge);
        let scores: Vec<f64> = schemes.filter_map(|scheme| self.score(scheme)).collect();
        scores.windows(2).any(|pair| (pair[0] - pair[1]).abs() > AGREED)
    }
}

/// Reads a `records.jsonl`.
///
/// # Errors
/// Names the file and the line that is no record.
pub fn read_records(path: &Path) -> Result<Vec<Record>, Error> {
    let file = std::fs::File::open(path).map_err(Error::io(path))?;
    let lines = BufReader::new(file).lines().enumerate();
    let record = |(index, line): (usize, std::io::Result<String>)| {
        let line = line.map_err(Error::io(path))?;
        serde_json::from_str(&line).map_err(|error| Error::Record {
            path: path.to_owned(),
            line: index + 1,
            reason: error.to_string(),
        })
    };
    lines.map(record).collect()
}

/// Writes lines of JSON; the file appears complete or not at all.
pub(crate) fn write_lines<T: Serialize>(path: &Path, lines: &[T]) -> Result<(), Error> {
    let partial = path.with_extension("partial");
    let write = || {
        let mut file = std::io::BufWriter::new(std::fs::File::create(&partial)?);
        for line in lines {
            serde_json::to_writer(&mut file, line)?;
            file.write_all(b"\n")?;
        }
        file.into_inner()?.sync_all()?;
        std::fs::rename(&partial, path)
    };
    write().map_err(Error::io(path))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// One record for each digit: items q0, q1, …, strict scores as the digits say.
    pub(crate) fn records(scores: &str, run: usize) -> Vec<Record> {
        let record = |(place, score): (usize, char)| {
            let score = f64::from(u8::from(score == '1'));
            let marks = Marks { strict: score, lenient: score, ..Marks::default() };
            Record {
                task: "mmmu".to_owned(),
                id: format!("q{place}"),
                cluster: format!("q{place}"),
                run,
                response: "Answer".to_owned(),
                gold: "A".to_owned(),
                num_tokens: 10,
                marks: Some(marks),
                ..Record::default()
            }
        };
        scores.chars().enumerate().map(record).collect()
    }

    #[test]
    fn schemes_side_by_side() {
        let ruling = |score| Some(Ruling { score: Some(score), ..Ruling::default() });
        let marks = Marks { strict: 0.0, lenient: 1.0, vlmevalkit: Some(0.0), ..Marks::default() };
        let mut record = Record { marks: Some(marks), ..Record::default() };
        let of = |record: &Record| Scheme::ALL.map(|scheme| record.score(scheme));
        assert_eq!(of(&record), [Some(0.0), Some(1.0), None, None, Some(0.0), None]);
        assert!(record.is_disputed());
        let matching = |score| Some(Matching { score, ..Matching::default() });
        (record.judgement, record.matching) = (ruling(1.0), matching(Some(1.0)));
        assert_eq!(of(&record), [Some(0.0), Some(1.0), Some(1.0), Some(1.0), Some(1.0), None]);
        // A judge that did not reply leaves no score, not the rule's.
        record.matching = matching(None);
        assert_eq!(record.score(Scheme::Vlmevalkit), None);
        record.marks = None;
        assert_eq!(of(&record), [None; 6]);
    }
}
