//! What a report shows: plain values, written by the run and kept beside it as JSON.

use serde::{Deserialize, Serialize};

/// Everything on the page.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RunSummary {
    /// The heading.
    pub title: String,
    /// One or two sentences: what was trained on what.
    pub description: String,
    /// Short facts under the heading: model, data, seed, machine.
    #[serde(default)]
    pub facts: Vec<Fact>,
    /// The stages in the order in which they ran.
    pub stages: Vec<Stage>,
    /// How reward models rank pairs.
    #[serde(default)]
    pub rankings: Vec<Ranking>,
    /// Paired comparisons between stages.
    #[serde(default)]
    pub comparisons: Vec<Comparison>,
    /// Curves over training steps.
    #[serde(default)]
    pub curves: Vec<Curve>,
    /// How often which values came.
    #[serde(default)]
    pub histograms: Vec<Histogram>,
    /// What went wrong, or nearly so, in the order in which it did.
    #[serde(default)]
    pub alarms: Vec<String>,
    /// Items with what the model said.
    #[serde(default)]
    pub examples: Vec<Example>,
    /// What the items are; held-out items when empty.
    #[serde(default)]
    pub examples_title: String,
}

impl RunSummary {
    /// An empty page under a heading.
    pub fn titled(title: &str) -> Self {
        Self { title: title.to_owned(), ..Self::default() }
    }
}

/// A short fact: a name and its value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fact {
    /// What it is.
    pub name: String,
    /// Its value.
    pub value: String,
}

/// A share with its 95 % interval, all in [0, 1].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// The measured share.
    pub value: f64,
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

/// One stage of a run: what it reached and what it cost. What was not measured is left out.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Stage {
    /// The stage's name.
    pub name: String,
    /// Held-out items evaluated.
    pub num_items: Option<usize>,
    /// Share of right answers.
    pub accuracy: Option<Interval>,
    /// Share of right answers with the image replaced by a grey one.
    pub blind: Option<Interval>,
    /// Share of completions that keep the answer format, in [0, 1].
    pub well_formed: Option<f64>,
    /// Mean completion length in tokens.
    pub mean_length: Option<f64>,
    /// Mean share of token triples that occurred before in the same completion.
    #[serde(default)]
    pub repetition: Option<f64>,
    /// Optimiser steps taken.
    pub num_steps: Option<u64>,
    /// Tokens trained on.
    pub num_trained_tokens: Option<u64>,
    /// Tokens sampled while training.
    pub num_sampled_tokens: Option<u64>,
    /// Wall-clock seconds, evaluation not included.
    pub seconds: Option<f64>,
}

impl Stage {
    /// A stage of which nothing is known but its name.
    pub fn named(name: &str) -> Self {
        Self { name: name.to_owned(), ..Self::default() }
    }
}

/// How a reward model ranks pairs of a better and a worse response.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ranking {
    /// The stage that trained it.
    pub name: String,
    /// Pairs measured.
    pub num_pairs: usize,
    /// Share of the pairs whose better response scores higher.
    pub accuracy: Interval,
    /// How much higher, in the mean.
    pub margin: f64,
}

/// Two stages on the same items.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// The earlier stage.
    pub before: String,
    /// The later stage.
    pub after: String,
    /// Items answered by both.
    pub num_items: usize,
    /// Items that only the earlier stage had right.
    pub only_before: usize,
    /// Items that only the later stage had right.
    pub only_after: usize,
    /// Two-sided p-value of the paired test.
    pub p_value: f64,
}

/// A chart of one or more values over training steps.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Curve {
    /// What the chart shows.
    pub title: String,
    /// The values are shares: the axis is 0 to 100 %.
    #[serde(default)]
    pub percent: bool,
    /// The lines drawn into it.
    pub lines: Vec<Line>,
}

impl Curve {
    /// A chart of keys of one `metrics.jsonl` file: pairs of what a line is called and its key.
    pub fn of(title: &str, metrics: &str, lines: &[(&str, &str)]) -> Self {
        let line = |&(label, key): &(&str, &str)| Line {
            label: label.to_owned(),
            metrics: metrics.to_owned(),
            key: key.to_owned(),
        };
        let lines = lines.iter().map(line).collect();
        Self { title: title.to_owned(), percent: false, lines }
    }

    /// The same with an axis from 0 to 100 %.
    pub fn in_percent(self) -> Self {
        Self { percent: true, ..self }
    }
}

/// A chart of how often which values came.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Histogram {
    /// What the values are.
    pub title: String,
    /// The values, in any order; what is not finite is passed over.
    pub values: Vec<f64>,
}

/// One line of a [`Curve`]: a key of a `metrics.jsonl` file over its `step`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// What the line is called.
    pub label: String,
    /// The `metrics.jsonl` file, relative to the report's base folder.
    pub metrics: String,
    /// The metric's name in the file.
    pub key: String,
}

/// A held-out item and what each stage said to it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Example {
    /// Image files relative to the report's base folder, or `data:image/` URLs.
    pub images: Vec<String>,
    /// The question, without image tags.
    pub question: String,
    /// The right answer.
    pub gold: String,
    /// What the stages said, in their order; the last is shown open.
    pub answers: Vec<Answer>,
}

/// What one stage said to an [`Example`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// The stage.
    pub stage: String,
    /// The whole completion, thought included.
    pub completion: String,
    /// The verifier's verdict.
    pub correct: bool,
}
