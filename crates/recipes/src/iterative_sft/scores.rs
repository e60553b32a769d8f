//! Scores from 0 to 5: asked for once, kept, and mapped.

use std::path::Path;

use data::{Dataset, prompt_of, response_of};
use judge::{Failure, Judge, Rubric, judge_all};
use reward::{Asked, Scorer};
use schema::Sample;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::config::ScoreConfig;
use crate::Error;
use crate::journal::{Journal, Numbered};
use crate::mpo::BadPairs;
use crate::run::Notice;

/// The highest score.
const TOP: f64 = 5.0;

/// Responses that a judge is asked about at once.
const TOGETHER: usize = 256;

/// Who scores.
pub(super) enum Grader<'a> {
    /// A reward model.
    Scorer(&'a mut dyn Scorer),
    /// A judge with a rubric: a model, or rules.
    Judge(Judge<'a>),
}

/// A response to be scored.
pub(super) struct Item {
    /// What names it.
    pub number: usize,
    /// The turns that lead to it.
    pub prompt: Sample,
    /// The response.
    pub response: String,
}

/// Called with the number of a response and its score, or why it has none; an error ends the grading.
type Found<'a> = dyn FnMut(usize, Result<f64, String>) -> Result<(), Error> + 'a;

impl Grader<'_> {
    /// Scores responses whose image paths are relative to `folder`.
    ///
    /// # Errors
    /// Those of `found`; a judge that can be asked no more.
    pub(super) fn grade(
        &mut self,
        folder: &Path,
        items: &[Item],
        found: &mut Found<'_>,
    ) -> Result<(), Error> {
        match self {
            Self::Scorer(scorer) => items.iter().try_for_each(|item| {
                let asked = Asked { prompt: &item.prompt, folder };
                let scores = scorer.scores(&asked, &[&item.response]);
                let score = scores.map(|scores| scores.first().copied().unwrap_or_default());
                found(item.number, score.map_err(|error| error.to_string()))
            }),
            Self::Judge(judge) => {
                items.chunks(TOGETHER).try_for_each(|items| by_rubric(judge, folder, items, found))
            }
        }
    }
}

fn by_rubric(
    judge: &mut Judge<'_>,
    folder: &Path,
    items: &[Item],
    found: &mut Found<'_>,
) -> Result<(), Error> {
    let question = |item| {
        let Item { prompt, response, .. }: &Item = item;
        Rubric { prompt, folder, gold: prompt.answer.as_deref().unwrap_or("not given"), response }
    };
    let questions: Vec<Rubric<'_>> = items.iter().map(question).collect();
    let mut ended = Ok(());
    judge_all(judge, &questions, &mut |index, judged| {
        if ended.is_err() {
            return;
        }
        ended = match judged {
            Ok(judged) => found(items[index].number, Ok(judged.verdict.score.into())),
            Err(Failure::Stopped { reason }) => Err(Error::Judge { reason }),
            Err(failure) => found(items[index].number, Err(failure.to_string())),
        };
    });
    ended
}

/// A sample's score as it was given.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Scored {
    sample: usize,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    score: Option<f64>,
    /// Why there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

impl Numbered for Scored {
    fn number(&self) -> usize {
        self.sample
    }
}

/// Scores of all samples, from 0 to 5; `None` for one that could not be scored. What stands in `journal` is not asked
/// again.
///
/// # Errors
/// A grader that fails where `bad_scores` is `stop`; a column that is missing or holds no number; a score outside 0 to
/// 5 that nothing maps.
pub(super) fn scores(
    config: &ScoreConfig,
    dataset: &Dataset,
    journal: &Path,
    grader: &mut Grader<'_>,
    notices: &mut dyn FnMut(&Notice),
) -> Result<Vec<Option<f64>>, Error> {
    let raw = match &config.score_column {
        Some(column) => of_column(dataset, column)?,
        None => asked(config, dataset, journal, grader, notices)?,
    };
    map(config, dataset, raw)
}

fn of_column(dataset: &Dataset, column: &str) -> Result<Vec<Option<f64>>, Error> {
    let of = |(index, sample): (usize, &Sample)| match sample.extra.get(column) {
        Some(Value::Null) => Ok(None),
        Some(value) if value.is_number() => Ok(value.as_f64()),
        other => Err(Error::NoScore {
            place: dataset.place(index),
            column: column.to_owned(),
            found: other.map_or("nothing".to_owned(), ToString::to_string),
        }),
    };
    dataset.samples.iter().enumerate().map(of).collect()
}

fn asked(
    config: &ScoreConfig,
    dataset: &Dataset,
    journal: &Path,
    grader: &mut Grader<'_>,
    notices: &mut dyn FnMut(&Notice),
) -> Result<Vec<Option<f64>>, Error> {
    let settings = [
        ("reward_model".to_owned(), json!(config.reward_model)),
        (
            "judge".to_owned(),
            json!(config.judge.as_ref().map(|judge| (&judge.model, &judge.model_name_or_path))),
        ),
    ];
    let mut journal: Journal<Scored> = Journal::open(journal, &Map::from_iter(settings))?;
    let total = dataset.samples.len();
    let items = missing(dataset, &mut journal)?;
    grader.grade(dataset.folder(), &items, &mut |sample, found| {
        if let Err(reason) = &found {
            let (place, reason) = (dataset.place(sample), reason.clone());
            if config.bad_scores == BadPairs::Stop {
                return Err(Error::NotScored { place, reason });
            }
            notices(&Notice::Unscored { place, reason });
        }
        let (score, error) = (found.as_ref().ok().copied(), found.err());
        journal.add(Scored { sample, score, error })?;
        notices(&Notice::Scored { done: journal.entries.len(), total });
        Ok(())
    })?;
    Ok(journal.entries.into_values().map(|scored| scored.score).collect())
}

/// Samples that the journal lacks; those that say nothing are entered as such.
fn missing(dataset: &Dataset, journal: &mut Journal<Scored>) -> Result<Vec<Item>, Error> {
    let mut items = Vec::new();
    for (number, sample) in dataset.samples.iter().enumerate() {
        match response_of(sample) {
            _ if journal.entries.contains_key(&number) => {}
            Some(response) => items.push(Item { number, prompt: prompt_of(sample), response }),
            None => {
                let error = Some("no response to score".to_owned());
                journal.add(Scored { sample: number, score: None, error })?;
            }
        }
    }
    Ok(items)
}

/// Raw scores to scores from 0 to 5.
fn map(
    config: &ScoreConfig,
    dataset: &Dataset,
    raw: Vec<Option<f64>>,
) -> Result<Vec<Option<f64>>, Error> {
    let levels = config.score_levels.or_else(|| {
        let mut known: Vec<f64> = raw.iter().flatten().copied().collect();
        known.sort_by(f64::total_cmp);
        config.score_quantiles.map(|shares| shares.map(|share| quantile(&known, share)))
    });
    if let Some(levels) = levels {
        let mapped = |score: f64| levels.iter().filter(|&&level| score >= level).count() as f64;
        return Ok(raw.into_iter().map(|score| score.map(mapped)).collect());
    }
    let is_outside = |score: &Option<f64>| score.is_some_and(|score| !(0.0..=TOP).contains(&score));
    match raw.iter().position(is_outside) {
        None => Ok(raw),
        Some(sample) => Err(Error::ScoreRange {
            place: dataset.place(sample),
            score: raw[sample].unwrap_or_default(),
        }),
    }
}

/// The smallest of sorted values that at least this share of them does not exceed; infinite where there are none.
fn quantile(sorted: &[f64], share: f64) -> f64 {
    let rank = (share * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.min(sorted.len().saturating_sub(1))).copied().unwrap_or(f64::INFINITY)
}

/// A score of a completion on the same scale, as a share of the highest. `None` where quantiles are of a data set that
/// the completion is not in.
pub(super) fn share_of_top(config: &ScoreConfig, score: f64) -> Option<f64> {
    match (&config.score_levels, &config.score_quantiles) {
        (Some(levels), _) => {
            Some(levels.iter().filter(|&&level| score >= level).count() as f64 / TOP)
        }
        (None, Some(_)) => None,
        (None, None) => Some((score / TOP).clamp(0.0, 1.0)),
    }
}

#[cfg(test)]
mod tests {
    use reward::ScoreError;

    use super::*;

    fn config(keys: &str) -> ScoreConfig {
        toml::from_str(keys).unwrap()
    }

    fn dataset(folder: &Path, scores: &[Value]) -> Dataset {
        let line = |score: &Value| {
            json!({"messages": [{"role": "user", "content": "?"}], "quality": score}).to_string()
        };
        let path = folder.join("data.jsonl");
        let lines: Vec<String> = scores.iter().map(line).collect();
        std::fs::write(&path, lines.join("\n")).unwrap();
        Dataset::read(&path).unwrap()
    }

    fn of(keys: &str, scores: &[Value]) -> Result<Vec<Option<f64>>, String> {
        let folder = tempfile::tempdir().unwrap();
        let config = config(&format!("score_column = 'quality'\n{keys}"));
        let dataset = dataset(folder.path(), scores);
        super::scores(
            &config,
            &dataset,
            &folder.path().join("scores"),
            &mut Grader::Judge(Judge::Rules),
            &mut |_| {},
        )
        .map_err(|error| error.to_string())
    }

    #[test]
    fn raw_scores_are_mapped_by_levels_or_by_shares() {
        let raw = [json!(-3.0), json!(1), json!(2.5), json!(9), json!(null)];
        let want =
            |scores: [f64; 4]| Ok(scores.into_iter().map(Some).chain([None]).collect::<Vec<_>>());
        assert_eq!(of("score_levels = [0, 1, 2, 3, 4]", &raw), want([0.0, 2.0, 3.0, 5.0]));
        assert_eq!(
            of("score_quantiles = [0, 0.25, 0.5, 0.75, 1]", &raw),
            want([1.0, 2.0, 3.0, 5.0])
        );
        let error = of("", &raw).unwrap_err();
        assert!(error.contains("data.jsonl:1") && error.contains("-3"), "{error}");
        assert_eq!(of("", &raw[1..3]), Ok(vec![Some(1.0), Some(2.5)]));
        let error = of("", &[json!("five")]).unwrap_err();
        assert!(error.contains("`quality`") && error.contains("\"five\""), "{error}");
    }

    #[test]
    fn rules_score_where_nobody_else_does() {
        let folder = tempfile::tempdir().unwrap();
        let line = |response: &str| json!({"messages": [{"role": "user", "content": "3 + 4?"}, {"role": "assistant", "content": response}], "answer": "7"});
        let responses =
            ["<think>3 + 4</think>\\boxed{7}", "\\boxed{7}", "<think>4</think>\\boxed{8}", "?"];
        let lines: Vec<String> = responses.iter().map(|text| line(text).to_string()).collect();
        let path = folder.path().join("data.jsonl");
        std::fs::write(&path, lines.join("\n")).unwrap();
        let dataset = Dataset::read(&path).unwrap();
        let journal = folder.path().join("scores");
        let of = || {
            super::scores(
                &config(""),
                &dataset,
                &journal,
                &mut Grader::Judge(Judge::Rules),
                &mut |_| {},
            )
        };
        let want = [Some(5.0), Some(4.0), Some(2.0), Some(0.0)];
        assert_eq!(of().unwrap(), want);
        // The second time from the journal.
        let text = std::fs::read_to_string(&journal).unwrap().replace("4.0", "3.0");
        std::fs::write(&journal, text).unwrap();
        assert_eq!(of().unwrap()[1], Some(3.0));
    }

    /// Fails where the response is a question mark.
    struct Picky;

    impl Scorer for Picky {
        fn raw_scores(&mut self, _: &Asked<'_>, texts: &[&str]) -> Result<Vec<f64>, ScoreError> {
            match texts {
                ["?"] => Err(ScoreError::Failed("no words".into())),
                texts => Ok(vec![2.0; texts.len()]),
            }
        }
    }

    #[test]
    fn a_sample_without_a_score_stops_the_run_or_is_told_of() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data.jsonl");
        let line = |response: &str| json!({"messages": [{"role": "user", "content": "3 + 4?"}, {"role": "assistant", "content": response}]});
        let question = json!({"messages": [{"role": "user", "content": "3 + 4?"}]});
        std::fs::write(&path, format!("{}\n{}\n{question}", line("7"), line("?"))).unwrap();
        let dataset = Dataset::read(&path).unwrap();
        let of = |bad_scores: &str, notices: &mut dyn FnMut(&Notice)| {
            let config = config(&format!("reward_model = 'rm'\nbad_scores = '{bad_scores}'"));
            let journal = folder.path().join(bad_scores);
            super::scores(&config, &dataset, &journal, &mut Grader::Scorer(&mut Picky), notices)
        };
        let error = of("stop", &mut |_| {}).unwrap_err().to_string();
        assert!(error.contains("data.jsonl:2: no words"), "{error}");
        let mut num_told = 0;
        let found = of("skip", &mut |notice| {
            num_told += usize::from(matches!(notice, Notice::Unscored { .. }));
        });
        assert_eq!((found.unwrap(), num_told), (vec![Some(2.0), None, None], 1));
    }

    #[test]
    fn shares_of_the_top() {
        assert_eq!(share_of_top(&config(""), 4.0), Some(0.8));
        assert_eq!(share_of_top(&config("score_levels = [0, 1, 2, 3, 4]"), 2.0), Some(0.6));
        assert_eq!(share_of_top(&config("score_quantiles = [0, 0.1, 0.2, 0.3, 0.4]"), 2.0), None);
    }
}
