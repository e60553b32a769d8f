//! Files of pairs, and whoever is asked about them.

use std::path::Path;

use curate::{CurateConfig, Helpers, Statistics, curate};
use judge::{Request, Respond};
use reward::{Asked, ScoreError, Scorer};
use schema::Content;
use serde_json::{Value, json};

/// Settings for a file of these lines.
pub(crate) fn config(folder: &Path, lines: &[Value]) -> CurateConfig {
    let path = folder.join("open.jsonl");
    write(&path, lines);
    let output_dir = folder.join("out");
    std::fs::create_dir_all(&output_dir).unwrap();
    let config = json!({ "output_dir": output_dir, "sources": [{ "path": path }] });
    serde_json::from_value(config).unwrap()
}

pub(crate) fn write(path: &Path, lines: &[Value]) {
    std::fs::write(path, lines.iter().map(|line| format!("{line}\n")).collect::<String>()).unwrap();
}

pub(crate) fn pair(question: &str, chosen: &str, rejected: &str) -> Value {
    json!({ "prompt": question, "chosen": chosen, "rejected": rejected })
}

pub(crate) fn run<'a>(
    config: &CurateConfig,
    judge: Option<&'a mut dyn Respond>,
    scorer: Option<&'a mut dyn Scorer>,
) -> Statistics {
    let helpers = Helpers { responders: vec![], judge, scorer };
    let statistics = curate(config, helpers, &mut |_| {}).unwrap();
    let num_dropped: usize = statistics.dropped.values().sum();
    assert_eq!(statistics.num_in(), statistics.num_kept + num_dropped, "{statistics:?}");
    statistics
}

/// The lines of an output file.
pub(crate) fn lines(config: &CurateConfig, name: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(config.output_dir.join(name)).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The words of a request.
pub(crate) fn words(request: &Request<'_>) -> String {
    let text = |content: &Content| match content {
        Content::Text(text) => text.clone(),
        Content::Parts(parts) => format!("{parts:?}"),
    };
    request.prompt.messages.iter().map(|m| text(&m.content)).collect::<Vec<_>>().join("\n")
}

/// The verdict that finds the response with `good` in it better.
pub(crate) fn verdict(words: &str, confidence: u8) -> String {
    let (first, second) = words.split_once("The second response:").unwrap();
    let better = match (first.contains("good"), second.contains("good")) {
        (true, false) => "first",
        (false, true) => "second",
        _ => "equal",
    };
    json!({ "better": better, "confidence": confidence }).to_string()
}

/// Scores a response by the number in it.
pub(crate) struct Numbers(pub(crate) usize);

impl Scorer for Numbers {
    fn raw_scores(&mut self, _: &Asked<'_>, responses: &[&str]) -> Result<Vec<f64>, ScoreError> {
        self.0 += 1;
        let number = |text: &&str| {
            let digits: String = text.chars().filter(|c| c.is_ascii_digit()).collect();
            digits.parse().unwrap_or(f64::NAN)
        };
        Ok(responses.iter().map(number).collect())
    }
}
