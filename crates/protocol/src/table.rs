//! Figures for people, and as CSV.

use crate::record::Scheme;
use crate::settings::Settings;
use crate::summary::{Summary, TaskSummary};

/// Headings of the table.
const HEADINGS: [&str; 10] = [
    "task",
    "items",
    "runs",
    "score (95 %)",
    "strict",
    "lenient",
    "judge",
    "VLMEvalKit",
    "disputed",
    "clipped",
];

impl Summary {
    /// The table of benchmarks, and below it their own figures and what is missing in them.
    pub fn table(&self) -> String {
        self.notes().into_iter().fold(aligned(&self.rows()), |text, note| text + &note + "\n")
    }

    /// Headings, and a row for each benchmark.
    pub fn rows(&self) -> Vec<Vec<String>> {
        let scheme = self.settings.scoring;
        let rows = self.tasks.iter().map(|task| row(task, scheme));
        [HEADINGS.map(str::to_owned).to_vec()].into_iter().chain(rows).collect()
    }

    /// What the figures are of, the benchmarks' own ones, and what is missing in them.
    pub fn notes(&self) -> Vec<String> {
        let Settings { scoring, num_runs, prompts, .. } = &self.settings;
        let about = format!(
            "score: {}, pass@1 over {num_runs} runs; prompts: {}",
            scoring.name(),
            format!("{prompts:?}").to_lowercase()
        );
        [about].into_iter().chain(self.tasks.iter().flat_map(notes)).collect()
    }

    /// A line for each benchmark, subject and way of scoring.
    pub(crate) fn csv(&self) -> String {
        let mut writer = csv::Writer::from_writer(Vec::new());
        let headings = [
            "task",
            "subject",
            "scoring",
            "score",
            "low",
            "high",
            "standard_error",
            "items",
            "clusters",
        ];
        let mut rows = vec![headings.map(str::to_owned)];
        let line = |task: &str, subject: &str, scheme: Scheme, e: &crate::Estimate| {
            let numbers = [e.score.value, e.score.low, e.score.high, e.standard_error];
            let [score, low, high, error] = numbers.map(|number| format!("{number:.6}"));
            [
                task.to_owned(),
                subject.to_owned(),
                scheme.name().to_owned(),
                score,
                low,
                high,
                error,
                e.num_items.to_string(),
                e.num_clusters.to_string(),
            ]
        };
        for task in &self.tasks {
            rows.extend(task.scores.iter().map(|(scheme, e)| line(&task.task, "", *scheme, e)));
            let scheme = self.settings.scoring;
            rows.extend(task.subjects.iter().map(|(name, e)| line(&task.task, name, scheme, e)));
        }
        for row in rows {
            writer.write_record(row).expect("memory takes every row");
        }
        let bytes = writer.into_inner().expect("memory takes every row");
        String::from_utf8(bytes).expect("rows are text")
    }
}

fn notes(task: &TaskSummary) -> Vec<String> {
    let figure = |(name, value): &(String, f64)| {
        let is_rating = name.starts_with("rating");
        let value = if is_rating { format!("{value:.2}") } else { percent(*value) };
        format!("{}: {name} {value}", task.title)
    };
    let missing = [
        (task.num_unasked, "rows could not be asked"),
        (task.num_unscored, "responses are missing or could not be scored, and in no figure"),
        (task.num_empty, "responses were empty, and count as wrong"),
    ];
    let missing = missing.into_iter().filter(|(num, _)| *num > 0);
    let missing = missing.map(|(num, what)| format!("{}: {num} {what}", task.title));
    task.figures.iter().map(figure).chain(missing).collect()
}

fn row(task: &TaskSummary, scheme: Scheme) -> Vec<String> {
    let of = |scheme: Scheme| {
        task.scores
            .get(&scheme)
            .map_or("–".to_owned(), |estimate| format!("{:.1}", 100.0 * estimate.score.value))
    };
    let counted = task.scores.get(&scheme);
    vec![
        task.title.clone(),
        counted.map_or(0, |estimate| estimate.num_items).to_string(),
        task.by_run.len().to_string(),
        counted.map_or("–".to_owned(), |estimate| estimate.score.to_string()),
        of(Scheme::Strict),
        of(Scheme::Lenient),
        of(Scheme::Judge),
        of(Scheme::Vlmevalkit),
        task.num_disputed.to_string(),
        percent(task.clipped),
    ]
}

fn percent(share: f64) -> String {
    format!("{:.1} %", 100.0 * share)
}

fn aligned(rows: &[Vec<String>]) -> String {
    let width =
        |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..rows[0].len()).map(width).collect();
    let line = |row: &Vec<String>| {
        let cells =
            row.iter().zip(&widths).enumerate().map(|(column, (cell, width))| match column {
                0 => format!("{cell:<width$}"),
                _ => format!("{cell:>width$}"),
            });
        cells.collect::<Vec<_>>().join("  ") + "\n"
    };
    rows.iter().map(line).collect()
}
