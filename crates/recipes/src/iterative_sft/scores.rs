//! Scores from 0 to 5: asked for once, kept, and mapped.

use std::path::Path;

use data::{Dataset, prompt_of, response_of};
use judge::{Failure, Judge, Rubric, judge_all};
use reward::{Asked, ScoreError, Scorer};
use schema::Sample;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::config::ScoreConfig;
use crate::Error;
use crate::journal::{Journal, Numbered, only};
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

/// Why a response has no score.
struct NoScore {
    reason: String,
    /// Asked again, it may get one.
    may_pass: bool,
}

impl From<Failure> for NoScore {
    fn from(failure: Failure) -> Self {
        let may_pass = matches!(failure, Failure::Failed { .. });
        Self { reason: failure.to_string(), may_pass }
    }
}

impl From<ScoreError> for NoScore {
    fn from(error: ScoreError) -> Self {
        let may_pass = matches!(error, ScoreError::Failed(_));
        Self { reason: error.to_string(), may_pass }
    }
}

/// Called with the number of a response and its score, or why it has none; an error ends the grading.
type Found<'a> = dyn FnMut(usize, Result<f64, NoScore>) -> Result<(), Error> + 'a;

impl Grader<'_> {
    /// Scores responses whose image paths are relative to `folder`.
    ///
    /// # Errors
    /// Those of `found`; a judge that can be asked no more.
    fn grade(&mut self, folder: &Path, items: &[Item], found: &mut Found<'_>) -> Result<(), Error> {
        match self {
            Self::Scorer(scorer) => items.iter().try_for_each(|item| {
                let asked = Asked { prompt: &item.prompt, folder };
                let scores = scorer.scores(&asked, &[&item.response]);
                let score = scores.map(|scores| scores.first().copied().unwrap_or_default());
                found(item.number, score.map_err(NoScore::from))
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
            Err(failure) => found(items[index].number, Err(failure.into())),
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
/// again; what failed and may not fail again does not stand there.
///
/// # Errors
/// A grader that fails where `bad_scores` is `stop`, or each time; a column that is missing or holds no number; a score
/// outside 0 to 5 that nothing maps.
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
    let judge = config.judge.as_ref().map(|judge| (&judge.model, &judge.model_name_or_path));
    let mut settings = only(config, &["reward_model"])?;
    settings.insert("judge".to_owned(), json!(judge));
    let mut journal: Journal<Scored> = Journal::open(journal, &settings)?;
    let total = dataset.samples.len();
    let items = missing(dataset, &mut journal)?;
    let mut lost = None;
    grader.grade(dataset.folder(), &items, &mut |sample, found| {
        let (score, error) = match found {
            Ok(score) => (Some(score), None),
            Err(NoScore { reason, may_pass }) => {
                pass_over(config, dataset.place(sample), &reason, notices)?;
                if may_pass {
                    lost = Some(reason);
                    return Ok(());
                }
                (None, Some(reason))
            }
        };
        journal.add(Scored { sample, score, error })?;
        notices(&Notice::Scored { done: journal.entries.len(), total });
        Ok(())
    })?;
    let score = |sample: usize| journal.entries.get(&sample)?.score;
    let scores: Vec<Option<f64>> = (0..total).map(score).collect();
    match lost {
        // Where nobody answers, a round would learn from mistakes alone.
        Some(reason) if scores.iter().all(Option::is_none) => Err(Error::Judge { reason }),
        _ => Ok(scores),
    }
}

/// Tells of a response without a score, or ends the run where none may lack one.
fn pass_over(
    config: &ScoreConfig,
    place: String,
    reason: &str,
    notices: &mut dyn FnMut(&Notice),
) -> Result<(), Error> {
    let reason = reason.to_owned();
    if config.bad_scores == BadPairs::Stop {
        return Err(Error::NotScored { place, reason });
    }
    notices(&Notice::Unscored { place, reason });
    Ok(())
}

/// The mean score of completions over 5: of those that have one, which are counted where some have none.
///
/// # Errors
/// A grader that fails where `bad_scores` is `stop`, or each time.
pub(super) fn mean_quality(
    config: &ScoreConfig,
    dataset: &Dataset,
    completions: &[Item],
    grader: &mut Grader<'_>,
    notices: &mut dyn FnMut(&Notice),
) -> Result<f64, Error> {
    let (mut sum, mut num_scored, mut lost) = (0.0, 0_u32, None);
    grader.grade(dataset.folder(), completions, &mut |sample, found| {
        match found {
            Ok(score) => {
                sum += share_of_top(config, score);
                num_scored += 1;
            }
            Err(NoScore { reason, .. }) => {
                pass_over(config, dataset.place(sample), &reason, notices)?;
                lost = Some(reason);
            }
        }
        Ok(())
    })?;
    if let Some(reason) = lost {
        if num_scored == 0 {
            return Err(Error::Judge { reason });
        }
        let num = completions.len();
        let reason = format!("the quality is the mean of {num_scored} of {num} completions");
        notices(&Notice::Unscored { place: dataset.path.display().to_string(), reason });
    }
    Ok(sum / f64::from(num_scored))
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

/// A score of a completion on the same scale, as a share of the highest. Quantiles are of a data set that it is not in,
/// and so are refused with the settings.
fn share_of_top(config: &ScoreConfig, score: f64) -> f64 {
    match &config.score_levels {
        Some(levels) => levels.iter().filter(|&&level| score >= level).count() as f64 / TOP,
        None => (score / TOP).clamp(0.0, 1.0),
    }
}

#[cfg(test)]
mod tests {
    use judge::{Decoding, Judging, Request, Scripted};

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
    fn what_cannot_be_read_is_not_asked_for_again_and_what_failed_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data.jsonl");
        let line = |response: &str| json!({"messages": [{"role": "user", "content": "3 + 4?"}, {"role": "assistant", "content": response}]});
        let lines = ["AAA", "BBB", "CCC"].map(|response| line(response).to_string());
        std::fs::write(&path, lines.join("\n")).unwrap();
        let dataset = Dataset::read(&path).unwrap();
        // Fails where the request holds `lost`, and says nothing readable about the second response.
        let of = |journal: &str, lost: &str| {
            let mut model = Scripted::new(|request: &Request<'_>| {
                let asked = format!("{:?}", request.prompt.messages);
                match (asked.contains(lost), asked.contains("BBB")) {
                    (true, _) => Err(Failure::Failed { reason: "429".to_owned() }),
                    (_, true) => Ok("Rather good.".to_owned()),
                    _ => Ok(r#"{"score": 3, "reason": "terse"}"#.to_owned()),
                }
            });
            let judging = Judging { model: &mut model, decoding: Decoding::greedy(64, 1) };
            let mut grader = Grader::Judge(Judge::Model(judging));
            let (config, journal) = (config(""), folder.path().join(journal));
            let scores = super::scores(&config, &dataset, &journal, &mut grader, &mut |_| {});
            (scores, model.num_requests)
        };
        let (scores, num_requests) = of("first", "CCC");
        assert_eq!((scores.unwrap(), num_requests), (vec![Some(3.0), None, None], 4));
        let (scores, num_requests) = of("first", "DDD");
        assert_eq!((scores.unwrap(), num_requests), (vec![Some(3.0), None, Some(3.0)], 1));
        // Nobody was there.
        let error = of("second", "3 + 4?").0.unwrap_err().to_string();
        assert!(error.contains("the same command goes on: 429"), "{error}");
    }

    #[test]
    fn quality_is_the_mean_of_the_completions_that_have_a_score() {
        let folder = tempfile::tempdir().unwrap();
        let dataset = dataset(folder.path(), &[json!(1), json!(2)]);
        let of = |texts: [&str; 2], bad_scores: &str, notices: &mut dyn FnMut(&Notice)| {
            let item = |number: usize| Item {
                number,
                prompt: prompt_of(&dataset.samples[number]),
                response: texts[number].to_owned(),
            };
            let config = config(&format!("reward_model = 'rm'\nbad_scores = '{bad_scores}'"));
            let completions = [item(0), item(1)];
            let mut picky = Picky;
            let mut grader = Grader::Scorer(&mut picky);
            mean_quality(&config, &dataset, &completions, &mut grader, notices)
        };
        let mut told = Vec::new();
        let quality = of(["7", "?"], "skip", &mut |notice| told.push(format!("{notice:?}")));
        assert_eq!(quality.unwrap(), 0.4);
        assert!(told.len() == 2 && told[1].contains("the mean of 1 of 2"), "{told:?}");
        for (texts, bad_scores) in [(["?", "?"], "skip"), (["7", "?"], "stop")] {
            let error = of(texts, bad_scores, &mut |_| {}).unwrap_err().to_string();
            assert!(error.contains("no words"), "{error}");
        }
    }

    #[test]
    fn shares_of_the_top() {
        assert_eq!(share_of_top(&config(""), 4.0), 0.8);
        assert_eq!(share_of_top(&config("score_levels = [0, 1, 2, 3, 4]"), 2.0), 0.6);
    }
}
