//! Tables in another format (`tablereformat`): what pandas 2.2 reads of the known one and of the answer, cell by cell.
//!
//! Departs from LiveBench in that an answer of several HTML tables is not read as one, and that of the texts which
//! pandas takes for dates, in columns of JSON that are called so, only those in digits are read as such.

mod delimited;
mod frame;
mod html;
mod json;

use std::sync::LazyLock;

use regex::Regex;

use super::pattern;
use crate::score::share;
use delimited::Dialect;
use frame::Frame;

static SOLUTION: LazyLock<Regex> = LazyLock::new(|| pattern(r"(?s)<solution>(.*?)</solution>"));
static FENCES: LazyLock<[Regex; 2]> =
    LazyLock::new(|| [r"(?s)```json\n(.*?)```", r"(?s)```html\n(.*?)```"].map(pattern));
static FENCE: LazyLock<Regex> = LazyLock::new(|| pattern(r"\A```.*\n"));
static PHRASE: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"(?i)\A\s*(Here|Input)\b.*?\b(format|table)\s*[:)]\s*"));

/// Lines that may stand behind a table.
const MAX_TRAILING: usize = 200;

/// A format that is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Csv,
    Tsv,
    Json,
    Jsonl,
    Html,
    Markdown,
}

/// Which of LiveBench's readers is used: that before or from April 2025.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reader {
    First,
    Second,
}

/// Whether an answer holds the known table in the format that was asked for.
pub(super) fn reformatted(gold: &str, answer: &str, asked: &str, reader: Reader) -> f64 {
    share(is_reformatted(gold, answer, asked, reader).is_some_and(|is_same| is_same))
}

/// Nothing where a table cannot be read.
fn is_reformatted(gold: &str, answer: &str, asked: &str, reader: Reader) -> Option<bool> {
    let format = format(asked, reader)?;
    let mut gold = format.read(gold, reader)?;
    let text = cleaned(answer);
    let text = PHRASE.replace(&text, "");
    let text = text.trim();
    let found = format.read(text, reader).or_else(|| format.search(text, &gold))?;
    if found.is_same(&gold) {
        return Some(true);
    }
    // Something may stand around the table; LiveBench does not look again for one with tabs.
    gold.trim_names();
    match format {
        Format::Csv | Format::Jsonl => Some(format.search(text, &gold)?.is_same(&gold)),
        _ => Some(false),
    }
}

/// Whether a question asks for a format that is known here, in the words before April 2025 or from then on.
pub(crate) fn is_asked_for(asked: &str, is_newer: bool) -> bool {
    format(asked, if is_newer { Reader::Second } else { Reader::First }).is_some()
}

/// The format that a question asks for.
fn format(asked: &str, reader: Reader) -> Option<Format> {
    let name = match reader {
        Reader::First => {
            let behind = asked.split_once("Please convert the Input Table from ")?.1;
            behind.split_once("format to ")?.1.split(" format").next()?
        }
        Reader::Second => {
            let line = asked.split('\n').rfind(|line| line.contains("Target Format"))?;
            line.split("Target Format: ").nth(1)?.trim()
        }
    };
    Some(match name.to_lowercase().as_str() {
        "csv" => Format::Csv,
        "tsv" => Format::Tsv,
        "json" => Format::Json,
        "jsonl" => Format::Jsonl,
        "html" => Format::Html,
        "markdown" => Format::Markdown,
        _ => return None,
    })
}

impl Format {
    fn read(self, text: &str, reader: Reader) -> Option<Frame> {
        match (self, reader) {
            (Self::Csv, _) => delimited::frame(text, Dialect::CSV),
            (Self::Tsv, _) => delimited::frame(text, Dialect::TSV),
            (Self::Json, Reader::First) => json::frame(text).or_else(|| json::frame_of_lines(text)),
            (Self::Json, Reader::Second) => {
                json::frame_with_schema(text).or_else(|| json::frame(text))
            }
            (Self::Jsonl, _) => json::frame_of_lines(text),
            (Self::Html, _) => html::frame(text),
            (Self::Markdown, Reader::First) => {
                without_index(delimited::frame(text, Dialect::BARS)?)
            }
            (Self::Markdown, Reader::Second) => without_rule(text),
        }
    }

    /// A table of the known one's columns somewhere in a text.
    fn search(self, text: &str, gold: &Frame) -> Option<Frame> {
        let names = gold.names()?;
        match self {
            Self::Csv => from_header(text, &names, Dialect::CSV),
            Self::Tsv => from_header(text, &names, Dialect::TSV),
            Self::Jsonl => json::frame_among_lines(text, &names),
            Self::Json | Self::Html | Self::Markdown => None,
        }
    }
}

/// The table in an answer, tags and fences aside.
fn cleaned(answer: &str) -> String {
    let last = |pattern: &Regex| Some(pattern.captures_iter(answer).last()?[1].trim().to_owned());
    if let Some(solution) = last(&SOLUTION) {
        return cleaned(&solution);
    }
    if let Some(fenced) = FENCES.iter().find_map(last) {
        return fenced;
    }
    FENCE.replace(answer, "").replace("&amp;", "&").replace("```", "").trim().to_owned()
}

/// The table below the line that is its header, so far down as it can be read.
fn from_header(text: &str, names: &[&str], dialect: Dialect) -> Option<Frame> {
    let header = names.join(&dialect.separator.to_string());
    let lines: Vec<&str> = text.trim().split('\n').collect();
    let start = lines.iter().position(|line| line.trim() == header.trim())?;
    let table = &lines[start..];
    let ends = (1..=table.len()).rev().take(MAX_TRAILING);
    ends.map(|num| table[..num].join("\n")).find_map(|table| delimited::frame(&table, dialect))
}

/// Markdown as the first reader has it: the second column is an index and not compared, the rule a row.
fn without_index(mut frame: Frame) -> Option<Frame> {
    (frame.columns.len() > 1).then(|| {
        frame.columns.remove(1);
        frame
    })
}

/// Markdown as the second reader has it: without the rule, and without what lies beyond the outer bars.
fn without_rule(text: &str) -> Option<Frame> {
    let lines = text.trim().split('\n').enumerate();
    let lines: Vec<&str> = lines.filter(|(place, _)| *place != 1).map(|(_, line)| line).collect();
    let mut frame = delimited::frame(&lines.join("\n"), Dialect::BARS)?;
    let num = frame.columns.len();
    frame.columns = frame.columns.drain(1..num.max(2) - 1).collect();
    frame.columns.iter_mut().for_each(frame::Column::as_texts);
    Some(frame)
}
