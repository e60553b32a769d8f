//! Reads one value over steps from a `metrics.jsonl` file.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Map, Value};

use crate::Error;

/// A metrics file: its lines in order.
#[derive(Debug)]
pub(crate) struct Metrics(Vec<Map<String, Value>>);

impl Metrics {
    /// Reads a file; a last line that a kill left unfinished is passed over.
    pub(crate) fn read(path: &Path) -> Result<Self, Error> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| Error::Io { path: path.to_owned(), source })?;
        let mut rows = Vec::new();
        for (i, line) in text.split_inclusive('\n').enumerate() {
            if line.trim().is_empty() {
                continue;
            }
            match serde_json::from_str(line) {
                Ok(row) => rows.push(row),
                Err(_) if !line.ends_with('\n') => {}
                Err(source) => {
                    return Err(Error::Metrics { path: path.to_owned(), line: i + 1, source });
                }
            }
        }
        Ok(Self(rows))
    }

    /// (step, value) of every line that has the key, by step. Of a step written twice, as after a
    /// resume, the later line counts.
    pub(crate) fn values(&self, key: &str) -> Vec<(f64, f64)> {
        let pair = |row: &Map<String, Value>| {
            let step = row.get("step")?.as_u64()?;
            let value = row.get(key)?.as_f64().filter(|v| v.is_finite())?;
            Some((step, value))
        };
        let by_step: BTreeMap<u64, f64> = self.0.iter().filter_map(pair).collect();
        by_step.into_iter().map(|(step, value)| (step as f64, value)).collect()
    }
}

/// Mean over the `window` points around each point, fewer at the ends.
pub(crate) fn running_mean(points: &[(f64, f64)], window: usize) -> Vec<(f64, f64)> {
    let reach = window / 2;
    let mean = |i: usize| {
        let around = &points[i.saturating_sub(reach)..(i + reach + 1).min(points.len())];
        around.iter().map(|p| p.1).sum::<f64>() / around.len() as f64
    };
    points.iter().enumerate().map(|(i, p)| (p.0, mean(i))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Metrics, Error> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.jsonl");
        std::fs::write(&path, text).unwrap();
        Metrics::read(&path)
    }

    #[test]
    fn later_lines_win_and_half_a_line_is_passed_over() {
        let text = "{\"step\":1,\"loss\":4}\n{\"step\":2,\"loss\":3}\n\n{\"step\":2,\"loss\":2.5}\n\
                    {\"step\":3,\"eval\":1}\n{\"step\":4,\"lo";
        assert_eq!(read(text).unwrap().values("loss"), [(1.0, 4.0), (2.0, 2.5)]);
    }

    #[test]
    fn a_broken_line_is_named() {
        let error = read("{\"step\":1}\nnonsense\n{\"step\":2}\n").unwrap_err().to_string();
        assert!(error.contains("metrics.jsonl:2: not a JSON object"), "{error}");
    }

    #[test]
    fn running_mean_shrinks_at_the_ends() {
        let points: Vec<_> = [0.0, 3.0, 6.0, 9.0].iter().map(|&v| (v, v)).collect();
        let means: Vec<f64> = running_mean(&points, 3).iter().map(|p| p.1).collect();
        assert_eq!(means, [1.5, 3.0, 6.0, 7.5]);
    }
}
