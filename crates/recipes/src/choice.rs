//! Which of several checkpoints is kept: a rule that can be read, in place of a look at each.
//!
//! R1V (arXiv:2504.05599), section 2.2, keeps the checkpoint with "the optimal balance between performance and
//! reasoning rationality" and says no more. Here: accuracies that differ by less than chance explains count as equal,
//! and among equals the better reasoning wins.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::Error;
use crate::best::copy_checkpoint;

/// Name of the file that says what was chosen and why.
pub const CHOICE_FILE: &str = "choice.json";

/// Name of the folder that holds a copy of the chosen checkpoint.
pub const CHOSEN_FOLDER: &str = "chosen";

/// What a checkpoint does with held-out questions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Figures {
    /// Questions.
    pub num_items: usize,
    /// Share of right answers.
    pub accuracy: f64,
    /// Reasoning quality, from 0 to 1: the share of completions that are complete and do not repeat themselves, or the
    /// mean score of a judge.
    pub quality: f64,
    /// Share of completions with a closed thought and one answer, ended by themselves.
    pub complete: f64,
    /// Share of completions that repeat themselves.
    pub repetitive: f64,
    /// Mean tokens of a completion.
    pub mean_length: f64,
}

impl Figures {
    /// How far the accuracy of so many questions lies from the true one, as a rule: one standard error.
    pub fn standard_error(&self) -> f64 {
        (self.accuracy * (1.0 - self.accuracy) / self.num_items.max(1) as f64).sqrt()
    }
}

/// What one completion is, for the figures.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Look {
    /// The answer is right.
    pub correct: bool,
    /// The thought is closed, one answer follows, and the completion ended by itself.
    pub complete: bool,
    /// It repeats itself more than is allowed.
    pub repetitive: bool,
    /// Its tokens.
    pub num_tokens: usize,
}

impl Figures {
    /// Of completions by rule: `quality` is the share that is complete and not repetitive.
    pub fn of(num_items: usize, looks: &[Look]) -> Self {
        let share = |holds: fn(&Look) -> bool| {
            looks.iter().filter(|look| holds(look)).count() as f64 / looks.len().max(1) as f64
        };
        let num_tokens: usize = looks.iter().map(|look| look.num_tokens).sum();
        Self {
            num_items,
            accuracy: share(|look| look.correct),
            quality: share(|look| look.complete && !look.repetitive),
            complete: share(|look| look.complete),
            repetitive: share(|look| look.repetitive),
            mean_length: num_tokens as f64 / looks.len().max(1) as f64,
        }
    }
}

/// A checkpoint that may be kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Candidate {
    /// What it is called.
    pub name: String,
    /// Its folder.
    pub checkpoint: PathBuf,
    /// What it does; `None` where nothing was held out.
    pub figures: Option<Figures>,
}

/// What was chosen, and why.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Choice {
    /// The rule, with its numbers.
    pub rule: String,
    /// The name of the chosen candidate.
    pub chosen: String,
    /// Its folder.
    pub checkpoint: PathBuf,
    /// Every candidate with the reason for or against it.
    pub candidates: Vec<Weighed>,
}

/// A candidate and what speaks for or against it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Weighed {
    /// The candidate.
    #[serde(flatten)]
    pub candidate: Candidate,
    /// The reason.
    pub reason: String,
}

/// Chooses: of the candidates whose accuracy lies at most `tolerance` (by default one standard error of the best)
/// below the best, the one of the highest quality; of equals the more accurate, then the earlier. `None` where there
/// is no candidate. Without figures the last one is taken.
pub fn choose(candidates: Vec<Candidate>, tolerance: Option<f64>) -> Option<Choice> {
    let measured: Vec<(usize, Figures)> =
        candidates.iter().enumerate().filter_map(|(i, one)| Some((i, one.figures?))).collect();
    let by_accuracy = |a: &&(usize, Figures), b: &&(usize, Figures)| {
        a.1.accuracy.total_cmp(&b.1.accuracy).then(b.0.cmp(&a.0))
    };
    let Some((_, best)) = measured.iter().max_by(by_accuracy) else {
        return last(candidates);
    };
    let tolerance = tolerance.unwrap_or_else(|| best.standard_error());
    let floor = best.accuracy - tolerance;
    let equals = measured.iter().filter(|(_, figures)| figures.accuracy >= floor);
    let (chosen, _) = equals
        .max_by(|a, b| a.1.quality.total_cmp(&b.1.quality).then_with(|| by_accuracy(a, b)))?;
    let rule = format!(
        "of the checkpoints whose held-out accuracy is at least {floor:.4} (the best, {:.4}, less {tolerance:.4}), the \
         one of the highest reasoning quality; of equals the more accurate, then the earlier",
        best.accuracy
    );
    Some(weigh(candidates, rule, *chosen, floor))
}

/// Without measurements nothing speaks against the last one.
fn last(candidates: Vec<Candidate>) -> Option<Choice> {
    let chosen = candidates.len().checked_sub(1)?;
    let rule = "the last checkpoint: none was measured on held-out questions".to_owned();
    Some(weigh(candidates, rule, chosen, f64::NEG_INFINITY))
}

fn weigh(candidates: Vec<Candidate>, rule: String, chosen: usize, floor: f64) -> Choice {
    let Candidate { name, checkpoint, figures: best } = candidates[chosen].clone();
    let reason = |index: usize, candidate: &Candidate| match (candidate.figures, best) {
        _ if index == chosen => "chosen".to_owned(),
        (Some(figures), Some(_)) if figures.accuracy < floor => {
            format!("accuracy {:.4} is below {floor:.4}", figures.accuracy)
        }
        (Some(figures), Some(best)) if figures.quality < best.quality => {
            format!("quality {:.4} is below {:.4}", figures.quality, best.quality)
        }
        (Some(figures), Some(best)) if figures.accuracy < best.accuracy => {
            format!(
                "of equal quality, and accuracy {:.4} is below {:.4}",
                figures.accuracy, best.accuracy
            )
        }
        (Some(_), Some(_)) => format!("no better than {name}, which is earlier"),
        (None, Some(_)) => "not measured".to_owned(),
        (_, None) => "earlier".to_owned(),
    };
    let reasons: Vec<String> =
        candidates.iter().enumerate().map(|(index, one)| reason(index, one)).collect();
    let weighed = candidates.into_iter().zip(reasons);
    let candidates = weighed.map(|(candidate, reason)| Weighed { candidate, reason }).collect();
    Choice { rule, chosen: name, checkpoint, candidates }
}

impl Choice {
    /// Writes `choice.json` and a copy of the chosen checkpoint into a folder; returns the copy.
    ///
    /// # Errors
    /// When either cannot be written.
    pub fn write(&self, folder: &Path) -> Result<PathBuf, Error> {
        let path = folder.join(CHOICE_FILE);
        let partial = folder.join("choice.json.partial");
        let text = serde_json::to_string_pretty(self).expect("plain text and numbers") + "\n";
        std::fs::create_dir_all(folder)
            .and_then(|()| std::fs::write(&partial, text))
            .and_then(|()| std::fs::rename(&partial, &path))
            .map_err(|source| Error::Io { path, source })?;
        let chosen = folder.join(CHOSEN_FOLDER);
        copy_checkpoint(&self.checkpoint, &chosen)?;
        Ok(chosen)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate(name: &str, accuracy: f64, quality: f64) -> Candidate {
        let figures = Figures { num_items: 100, accuracy, quality, ..Figures::default() };
        Candidate { name: name.to_owned(), checkpoint: name.into(), figures: Some(figures) }
    }

    #[test]
    fn of_equally_accurate_ones_the_better_reasoning_wins() {
        for (figures, tolerance, want) in [
            // One standard error of 0.80 in 100 is 0.04.
            (&[(0.70, 1.0), (0.77, 0.9), (0.80, 0.8)][..], None, 1),
            (&[(0.70, 1.0), (0.77, 0.9), (0.80, 0.8)], Some(0.0), 2),
            (&[(0.70, 1.0), (0.77, 0.9), (0.80, 0.8)], Some(0.11), 0),
            (&[(0.80, 0.8), (0.79, 0.8)], None, 0),
            (&[(0.79, 0.8), (0.80, 0.8)], None, 1),
            (&[(0.80, 0.8), (0.80, 0.8)], None, 0),
            (&[(1.0, 0.1), (0.99, 1.0)], None, 0),
        ] {
            let names = ["a", "b", "c"];
            let candidates = figures.iter().zip(names);
            let candidates = candidates.map(|(&(a, q), name)| candidate(name, a, q)).collect();
            let choice = choose(candidates, tolerance).unwrap();
            assert_eq!(choice.chosen, names[want], "{figures:?} {tolerance:?} {}", choice.rule);
            assert_eq!(choice.candidates[want].reason, "chosen");
        }
    }

    #[test]
    fn reasons_are_given() {
        let candidates = vec![
            candidate("stage-1", 0.5, 1.0),
            candidate("round-1", 0.78, 0.7),
            candidate("round-2", 0.8, 0.9),
            candidate("round-3", 0.79, 0.9),
            Candidate { figures: None, ..candidate("round-4", 0.0, 0.0) },
        ];
        let choice = choose(candidates, Some(0.03)).unwrap();
        let reasons: Vec<&str> = choice.candidates.iter().map(|one| one.reason.as_str()).collect();
        let want = [
            "accuracy 0.5000 is below 0.7700",
            "quality 0.7000 is below 0.9000",
            "chosen",
            "of equal quality, and accuracy 0.7900 is below 0.8000",
            "not measured",
        ];
        assert_eq!(reasons, want);
        assert!(choice.rule.contains("at least 0.7700"), "{}", choice.rule);
    }

    #[test]
    fn without_held_out_questions_the_last_is_kept() {
        assert_eq!(choose(vec![], None), None);
        let of = |name: &str| Candidate { figures: None, ..candidate(name, 0.0, 0.0) };
        let choice = choose(vec![of("a"), of("b")], None).unwrap();
        assert_eq!(
            (choice.chosen.as_str(), choice.candidates[0].reason.as_str()),
            ("b", "earlier")
        );
    }

    #[test]
    fn completions_by_rule() {
        let look =
            |correct, complete, repetitive| Look { correct, complete, repetitive, num_tokens: 10 };
        let looks = [
            look(true, true, false),
            look(true, true, true),
            look(false, false, false),
            look(false, true, false),
        ];
        let figures = Figures::of(4, &looks);
        assert_eq!((figures.accuracy, figures.quality, figures.complete), (0.5, 0.5, 0.75));
        assert_eq!((figures.repetitive, figures.mean_length), (0.25, 10.0));
        assert_eq!(figures.standard_error(), 0.25);
        assert_eq!(Figures::of(0, &[]), Figures::default());
    }
}
