//! Fills the page: numbers become words here, files become data URLs, curves become charts.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use minijinja::value::Value;
use minijinja::{AutoEscape, Environment, context};

use crate::metrics::Metrics;
use crate::summary::{
    Answer, Comparison, Curve, Example, Histogram, Interval, Line, Ranking, RunSummary, Stage,
};
use crate::{Error, chart, image};

/// The look of all pages.
pub(crate) const STYLE: &str = include_str!("style.css");

/// Renders the page; paths in `summary` are relative to `base`.
///
/// Fails on a metrics file or image that cannot be read, naming it.
pub fn render(summary: &RunSummary, base: &Path) -> Result<String, Error> {
    let mut page = Environment::new();
    page.set_auto_escape_callback(|_| AutoEscape::Html);
    let mut files = HashMap::new();
    let curves: Vec<Value> =
        summary.curves.iter().map(|c| curve(c, base, &mut files)).collect::<Result<_, _>>()?;
    let histograms: Vec<Value> =
        summary.histograms.iter().map(histogram).collect::<Result<_, _>>()?;
    let examples: Vec<Value> =
        summary.examples.iter().map(|e| example(e, base)).collect::<Result<_, _>>()?;
    let accuracies = chart::accuracies(&summary.stages).map_err(chart_error("accuracy"))?;
    let stages: Vec<Value> = summary.stages.iter().map(stage).collect();
    let rankings: Vec<Value> = summary.rankings.iter().map(ranking).collect();
    let comparisons: Vec<Value> = summary.comparisons.iter().map(comparison).collect();
    let facts: Vec<Value> = summary
        .facts
        .iter()
        .map(|f| context! { name => f.name.as_str(), value => f.value.as_str() })
        .collect();
    let context = context! {
        style => Value::from_safe_string(STYLE.to_owned()),
        title => summary.title.as_str(),
        description => summary.description.as_str(),
        facts => facts,
        accuracies => Value::from_safe_string(accuracies),
        alarms => summary.alarms.clone(),
        examples_title => match summary.examples_title.as_str() {
            "" => "Held-out items",
            title => title,
        },
        stages, rankings, comparisons, curves, histograms, examples,
    };
    Ok(page.render_str(include_str!("page.html"), context)?)
}

/// Renders the page to a file; the file is replaced as a whole or not at all.
pub fn write(summary: &RunSummary, base: &Path, path: &Path) -> Result<(), Error> {
    replace(path, &render(summary, base)?)
}

/// Replaces a file as a whole or not at all.
pub(crate) fn replace(path: &Path, html: &str) -> Result<(), Error> {
    let io = |source| Error::Io { path: path.to_owned(), source };
    let beside = path.with_extension("html.part");
    std::fs::write(&beside, html).map_err(io)?;
    std::fs::rename(&beside, path).map_err(io)
}

fn stage(stage: &Stage) -> Value {
    let num = |n: Option<u64>| n.map(grouped);
    context! {
        name => stage.name.as_str(),
        num_items => stage.num_items,
        accuracy => stage.accuracy.map(interval),
        blind => stage.blind.map(interval),
        well_formed => stage.well_formed.map(percent),
        mean_length => stage.mean_length.map(|l| format!("{l:.1}")),
        repetition => stage.repetition.map(percent),
        num_steps => num(stage.num_steps),
        num_trained_tokens => num(stage.num_trained_tokens),
        num_sampled_tokens => num(stage.num_sampled_tokens),
        seconds => stage.seconds.map(duration),
    }
}

fn interval(share: Interval) -> Value {
    let range = format!("{:.1} – {:.1}", share.low * 100.0, share.high * 100.0);
    context! { value => percent(share.value), range }
}

fn ranking(ranking: &Ranking) -> Value {
    let Ranking { name, num_pairs, accuracy, margin } = ranking;
    context! {
        name => name.as_str(), num_pairs => num_pairs, accuracy => interval(*accuracy),
        margin => format!("{margin:.2}").replace('-', "−"),
    }
}

fn comparison(c: &Comparison) -> Value {
    let points = (c.only_after as f64 - c.only_before as f64) / c.num_items.max(1) as f64 * 100.0;
    let p = if c.p_value < 0.001 { "< 0.001".to_owned() } else { format!("= {:.3}", c.p_value) };
    context! {
        before => c.before.as_str(), after => c.after.as_str(), num_items => c.num_items,
        only_before => c.only_before, only_after => c.only_after,
        points => format!("{points:+.1}").replace('-', "−"), p,
    }
}

fn curve(
    curve: &Curve,
    base: &Path,
    files: &mut HashMap<PathBuf, Metrics>,
) -> Result<Value, Error> {
    let mut lines = Vec::new();
    for line in &curve.lines {
        let path = base.join(&line.metrics);
        if !files.contains_key(&path) {
            files.insert(path.clone(), Metrics::read(&path)?);
        }
        lines.push(files[&path].values(&line.key));
    }
    let svg = chart::lines(&lines, curve.percent).map_err(chart_error(&curve.title))?;
    let label = |(line, points): (&Line, &chart::Points)| {
        if points.is_empty() { format!("{} (no values)", line.label) } else { line.label.clone() }
    };
    let labels: Vec<_> = curve.lines.iter().zip(&lines).map(label).collect();
    let empty = lines.iter().all(Vec::is_empty);
    Ok(
        context! { title => curve.title.as_str(), labels, empty, svg => Value::from_safe_string(svg) },
    )
}

fn histogram(histogram: &Histogram) -> Result<Value, Error> {
    let svg = chart::histogram(&histogram.values).map_err(chart_error(&histogram.title))?;
    let num_values = grouped(histogram.values.len() as u64);
    Ok(
        context! { title => histogram.title.as_str(), num_values, svg => Value::from_safe_string(svg) },
    )
}

fn example(example: &Example, base: &Path) -> Result<Value, Error> {
    let images: Vec<String> =
        example.images.iter().map(|i| image::data_url(base, i)).collect::<Result<_, _>>()?;
    let answers: Vec<Value> = example.answers.iter().map(answer).collect();
    Ok(
        context! { images, question => example.question.as_str(), gold => example.gold.as_str(), answers },
    )
}

fn answer(answer: &Answer) -> Value {
    let (thought, said) = thought_and_answer(&answer.completion);
    context! { stage => answer.stage.as_str(), correct => answer.correct, thought, said }
}

/// Splits a completion at the end of its thought. The opening tag may be part of the prompt.
fn thought_and_answer(completion: &str) -> (&str, &str) {
    match completion.split_once("</think>") {
        Some((thought, said)) => {
            let thought = thought.trim();
            (thought.strip_prefix("<think>").unwrap_or(thought).trim(), said.trim())
        }
        None => ("", completion.trim()),
    }
}

fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

/// 1234567 as 1 234 567, with thin spaces that do not break.
fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push('\u{202f}');
        }
        text.push(digit);
    }
    text
}

fn duration(seconds: f64) -> String {
    let whole = seconds.max(0.0).round() as u64;
    match whole {
        0..60 => format!("{seconds:.1} s"),
        60..3600 => format!("{} min {:02} s", whole / 60, whole % 60),
        _ => format!("{} h {:02} min", whole / 3600, whole % 3600 / 60),
    }
}

fn chart_error(title: &str) -> impl FnOnce(String) -> Error {
    let title = title.to_owned();
    move |reason| Error::Chart { title, reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thoughts_end_at_their_tag() {
        let cases = [
            ("<think>\n3+4\n</think>\n\\boxed{7}", ("3+4", "\\boxed{7}")),
            ("3+4 </think> 7", ("3+4", "7")),
            (" no thought ", ("", "no thought")),
        ];
        for (completion, expected) in cases {
            assert_eq!(thought_and_answer(completion), expected);
        }
    }

    #[test]
    fn numbers_are_readable() {
        assert_eq!(grouped(1_234_567), "1\u{202f}234\u{202f}567");
        assert_eq!(grouped(12), "12");
        assert_eq!(duration(5.04), "5.0 s");
        assert_eq!(duration(65.0), "1 min 05 s");
        assert_eq!(duration(3725.0), "1 h 02 min");
    }
}
