//! Items as rows: what a run leaves behind for people, filters and other programs.

use std::path::Path;

use judge::whole_response;
use schema::{Content, Message, Role, Sample};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::filter::Filter;
use crate::item::Item;
use crate::record::{Record, necessity};
use crate::{Error, columns, pattern};

/// One item: its scores, its penalty, its chain and its end. A line of `items.jsonl`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Row {
    /// Its line in the data set, from 1.
    pub line: usize,
    /// Its name.
    pub id: String,
    /// `kept`, `rewritten`, `dropped`, `quarantined`, `failed` or `stopped`.
    pub outcome: String,
    /// Why, where there is something to say.
    pub reason: Option<String>,
    /// The repetition penalty of its chain.
    pub penalty: Option<f64>,
    /// Scores from 0 to 1, scaled over the data set.
    pub vision: Option<f64>,
    /// As `vision`.
    pub text: Option<f64>,
    /// As `vision`.
    pub integration: Option<f64>,
    /// Variance of the Laplacian of its least clear image.
    pub laplacian_variance: Option<f64>,
    /// Short side of its smallest image.
    pub short_side: Option<f64>,
    /// From 1 to 5, by the answers with and without the image.
    pub necessity: Option<f64>,
    /// From 1 to 5.
    pub relevance: Option<f64>,
    /// From 1 to 5.
    pub quality: Option<f64>,
    /// From 1 to 5.
    pub difficulty: Option<f64>,
    /// From 1 to 5.
    pub demand: Option<f64>,
    /// From 1 to 5, by the patterns of the question.
    pub pattern: Option<f64>,
    /// From 1 to 5, by the judge.
    pub judged_integration: Option<f64>,
    /// Whether its own chain reaches the known answer: 1 or 0.
    pub correct: Option<f64>,
    /// Tokens of its own chain.
    pub num_tokens: Option<f64>,
    /// Share of word triples of its own chain that occurred before.
    pub repetition: Option<f64>,
    /// Whether its own chain ended at the limit: 1 or 0.
    pub cut: Option<f64>,
    /// The conversation with the chain that counts, image paths absolute.
    pub sample: Sample,
}

/// The number of a row in a column.
pub(crate) type NumberOf = fn(&Row) -> Option<f64>;
/// The words of a row in a column.
pub(crate) type WordsOf = fn(&Row) -> Option<&str>;

/// Columns of numbers, in the order of the file.
pub(crate) const NUMBERS: [(&str, NumberOf); 18] = [
    ("line", |row| Some(row.line as f64)),
    ("penalty", |row| row.penalty),
    ("vision", |row| row.vision),
    ("text", |row| row.text),
    ("integration", |row| row.integration),
    ("laplacian_variance", |row| row.laplacian_variance),
    ("short_side", |row| row.short_side),
    ("necessity", |row| row.necessity),
    ("relevance", |row| row.relevance),
    ("quality", |row| row.quality),
    ("difficulty", |row| row.difficulty),
    ("demand", |row| row.demand),
    ("pattern", |row| row.pattern),
    ("judged_integration", |row| row.judged_integration),
    ("correct", |row| row.correct),
    ("num_tokens", |row| row.num_tokens),
    ("repetition", |row| row.repetition),
    ("cut", |row| row.cut),
];

/// Columns of words.
pub(crate) const WORDS: [(&str, WordsOf); 3] = [
    ("id", |row| Some(&row.id)),
    ("outcome", |row| Some(&row.outcome)),
    ("reason", |row| row.reason.as_deref()),
];

impl Row {
    pub(crate) fn new(item: &Item, record: &Record, folder: &Path) -> Self {
        let scores = record.scores;
        let grades = record.text.as_ref();
        let response = record.response.as_ref();
        let words = |text: &str| -> f64 {
            let words: Vec<&str> = text.split_whitespace().collect();
            reward::repetition_rate(&words, 3)
        };
        let outcome = record.outcome.as_ref();
        Self {
            line: item.line,
            id: item.id.clone(),
            outcome: outcome.map_or("open", |outcome| outcome.name()).to_owned(),
            reason: outcome.and_then(|outcome| outcome.reason()).map(str::to_owned),
            penalty: record.penalty,
            vision: scores.map(|scores| scores.vision),
            text: scores.map(|scores| scores.text),
            integration: scores.map(|scores| scores.integration),
            laplacian_variance: record.clarity.map(|clarity| clarity.laplacian_variance),
            short_side: record.clarity.map(|clarity| clarity.short_side as f64),
            necessity: record
                .seeing
                .as_ref()
                .zip(record.blind.as_ref())
                .map(|(seeing, blind)| necessity(&item.gold, &seeing.text, &blind.text)),
            relevance: record.relevance.as_ref().map(|found| found.relevance.value()),
            quality: grades.map(|grades| grades.quality.value()),
            difficulty: grades.map(|grades| grades.difficulty.value()),
            demand: grades.map(|grades| grades.demand.value()),
            pattern: Some(pattern::integration(&item.question()).value()),
            judged_integration: record.integration.as_ref().map(|found| found.integration.value()),
            correct: record.correct.as_ref().map(|found| f64::from(u8::from(found.correct))),
            num_tokens: response.map(|response| response.completion_tokens as f64),
            repetition: response.map(|response| words(&response.text)),
            cut: response.map(|response| f64::from(u8::from(response.is_cut))),
            sample: sample(item, record, folder),
        }
    }

    /// Whether it is part of the distilled data.
    pub fn is_distilled(&self) -> bool {
        self.outcome == "kept" || self.outcome == "rewritten"
    }

    /// The sample to train on, if it is part of the distilled data.
    pub fn training_sample(&self) -> Option<Sample> {
        self.is_distilled().then(|| {
            let mut sample = self.sample.clone();
            let column = json!({
                "outcome": self.outcome, "penalty": self.penalty,
                "vision": self.vision, "text": self.text, "integration": self.integration,
            });
            sample.extra.insert("distill".to_owned(), column);
            sample
        })
    }
}

/// The conversation with the chain that counts.
fn sample(item: &Item, record: &Record, folder: &Path) -> Sample {
    let mut sample = data::absolute(item.prompt.clone(), folder);
    (sample.id, sample.answer) = (Some(item.id.clone()), Some(item.gold.clone()));
    let own = || record.response.as_ref().map(|own| whole_response(&own.text).trim().to_owned());
    if let Some(chain) = record.rewritten.clone().or_else(own) {
        sample.messages.push(Message { role: Role::Assistant, content: Content::Text(chain) });
    }
    sample
}

/// The rows that a run left in a folder.
///
/// # Errors
/// When they cannot be read.
pub fn read_rows(folder: &Path) -> Result<Vec<Row>, Error> {
    let rows = data::read_lines(&folder.join(crate::ITEMS_FILE))?;
    Ok(rows.into_iter().map(|(_, row)| row).collect())
}

/// Writes the rows that all filters let through: as training samples (`.jsonl`), which leaves out those that have none,
/// or as a table of all columns (`.parquet`). Returns how many were written.
///
/// # Errors
/// When the file cannot be written, or its name ends otherwise.
pub fn export(rows: &[Row], filters: &[Filter], path: &Path) -> Result<usize, Error> {
    let rows: Vec<&Row> =
        rows.iter().filter(|row| filters.iter().all(|filter| filter.lets(row))).collect();
    match path.extension().and_then(|end| end.to_str()) {
        Some("jsonl") => {
            let samples: Vec<Sample> =
                rows.iter().filter_map(|row| row.training_sample()).collect();
            data::write_lines(path, &samples)?;
            Ok(samples.len())
        }
        Some("parquet") => {
            columns::write(&rows, path)?;
            Ok(rows.len())
        }
        _ => Err(Error::value("export", &path.display(), "a name that ends in .jsonl or .parquet")),
    }
}
