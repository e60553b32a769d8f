//! `sightline reward compare`: which of several responses is better.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use data::{Preference, Preferences, prompt_of, read_lines, retain};
use preprocess::Processor;
use reward::{PairwiseSummary, pairwise};
use rollout::Judge;
use schema::Sample;
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::{BATCH, Doubtful, Unscored, finite, open, refusal};
use crate::Context;
use crate::args::RewardCompareArgs;
use crate::commands::generate::identity;
use crate::lines::Growing;
use crate::progress::Unit;

/// What is compared.
enum Input {
    /// Prompts, each with its list of responses.
    Groups { folder: PathBuf, groups: Vec<Group> },
    /// Preference pairs.
    Pairs(Preferences),
}

/// A prompt and responses to it.
struct Group {
    place: String,
    prompt: Sample,
    responses: Vec<String>,
    line: Map<String, Value>,
}

/// What a command says about the file it wrote.
#[derive(Serialize)]
struct Written<'a> {
    output: &'a Path,
    num_prompts: usize,
    /// Lines that can get no score.
    num_unscored: usize,
    #[serde(flatten)]
    doubtful: Doubtful,
    /// Of pairs: how often the chosen response scores higher, and by how much.
    #[serde(skip_serializing_if = "Option::is_none")]
    pairs: Option<PairwiseSummary>,
}

/// Compares the responses of a file.
pub(super) fn run(args: &RewardCompareArgs, context: &Context) -> Result<()> {
    let (input, unscored) = Input::read_what_is_good(args)?;
    unscored.tell((&args.input, input.len()), args.bad_scores, context)?;
    let mut doubtful = Doubtful::default();
    (0..input.len()).for_each(|index| doubtful.count(&input.item(index).1));
    doubtful.tell(&args.input, context);
    let settings = format!("{}\n{}", identity(&args.model), input.identity(&args.input)?);
    let mut output = Growing::open(&args.output, &settings, 1)?;
    let mut judge = open(&args.model, context)?;
    let total = input.len();
    let mut meter = context.progress.meter("prompts", Unit::Items, Some(total as u64));
    meter.start_at(output.num_done() as u64);
    let todo: Vec<usize> = (output.num_done()..total).collect();
    for batch in todo.chunks(BATCH) {
        output.append(input.compare(&mut judge, batch)?)?;
        meter.set(batch.last().map_or(0, |last| last + 1) as u64, "");
    }
    meter.finish();
    output.commit()?;
    let pairs = input.summary(&args.output)?;
    let num_unscored = unscored.count;
    let written =
        Written { output: &args.output, num_prompts: total, num_unscored, doubtful, pairs };
    context.output.show(&written, |written| {
        let place = format!("{}: {} prompts", written.output.display(), written.num_prompts);
        match written.pairs {
            None => place,
            Some(PairwiseSummary { accuracy, margin, calibration_error, .. }) => format!(
                "{place}, the chosen response ahead in {:.1} %, mean margin {margin:.3}, \
                 calibration error {calibration_error:.3}",
                100.0 * accuracy
            ),
        }
    })
}

impl Input {
    /// What of a file can be compared.
    fn read_what_is_good(args: &RewardCompareArgs) -> Result<(Self, Unscored)> {
        let mut unscored = Unscored::default();
        let mut input = Self::read(&args.input, &mut unscored)?;
        let processor = Processor::load(&args.model.model)?;
        let is_good: Vec<bool> = (0..input.len())
            .map(|index| {
                let (prompt, responses, folder) = input.item(index);
                let refused = refusal(&processor, (prompt, &responses, folder)).err();
                let place = input.place(index);
                refused.inspect(|error| unscored.add(&format!("{place}: {error}"))).is_none()
            })
            .collect();
        input.keep(&is_good);
        Ok((input, unscored))
    }

    /// Reads a file; its first readable line says of which kind it is.
    fn read(path: &Path, unscored: &mut Unscored) -> Result<Self> {
        let first = data::lines::<Map<String, Value>>(path)?.find_map(Result::ok);
        if first.is_none_or(|(_, line)| !line.contains_key("responses")) {
            let pairs = Preferences::read(path, None)?;
            unscored.add_report(&pairs.report);
            return Ok(Self::Pairs(pairs));
        }
        let folder = path.parent().unwrap_or(Path::new("")).to_owned();
        let mut groups = vec![];
        for line in data::lines(path)? {
            match line.map_err(anyhow::Error::from).and_then(|line| Group::read(line, path)) {
                Ok(group) => groups.push(group),
                Err(error) => unscored.add(&format!("{error:#}")),
            }
        }
        Ok(Self::Groups { folder, groups })
    }

    /// Drops the items that are not to be kept.
    fn keep(&mut self, is_kept: &[bool]) {
        match self {
            Self::Groups { groups, .. } => retain(groups, is_kept),
            Self::Pairs(pairs) => pairs.keep(is_kept),
        }
    }

    /// All of a file that shapes the output.
    fn identity(&self, path: &Path) -> Result<String> {
        let places: Vec<String> = (0..self.len()).map(|index| self.place(index)).collect();
        let text = std::fs::read(path).with_context(|| path.display().to_string())?;
        Ok(format!("{}\n{}", places.join("\n"), String::from_utf8_lossy(&text)))
    }

    fn len(&self) -> usize {
        match self {
            Self::Groups { groups, .. } => groups.len(),
            Self::Pairs(pairs) => pairs.pairs.len(),
        }
    }

    fn place(&self, index: usize) -> String {
        match self {
            Self::Groups { groups, .. } => groups[index].place.clone(),
            Self::Pairs(pairs) => pairs.place(index),
        }
    }

    /// The prompt, the responses and the folder of an item.
    fn item(&self, index: usize) -> (&Sample, Vec<&str>, &Path) {
        match self {
            Self::Groups { folder, groups } => {
                let Group { prompt, responses, .. } = &groups[index];
                (prompt, responses.iter().map(String::as_str).collect(), folder)
            }
            Self::Pairs(pairs) => {
                let Preference { prompt, chosen, rejected, .. } = &pairs.pairs[index];
                (prompt, vec![chosen, rejected], pairs.folder())
            }
        }
    }

    fn compare(&self, judge: &mut Judge, batch: &[usize]) -> Result<Vec<Value>> {
        let mut judged = Vec::with_capacity(batch.len());
        for &index in batch {
            let (prompt, responses, folder) = self.item(index);
            let one = judge.judged(prompt, &responses, folder);
            judged.push(one.with_context(|| self.place(index))?);
        }
        let mut lines = Vec::with_capacity(batch.len());
        for (&index, scores) in batch.iter().zip(judge.score(judged)?) {
            finite(&scores).with_context(|| self.place(index))?;
            lines.push(self.line(index, &scores)?);
        }
        Ok(lines)
    }

    fn line(&self, index: usize, scores: &[f32]) -> Result<Value> {
        Ok(match self {
            Self::Groups { groups, .. } => {
                let mut line = groups[index].line.clone();
                line.insert("scores".to_owned(), json!(scores));
                line.insert("best".to_owned(), json!(best(scores)));
                Value::Object(line)
            }
            Self::Pairs(pairs) => {
                let [chosen, rejected] = [0, 1].map(|i| Some(f64::from(scores[i])));
                serde_json::to_value(Preference {
                    score_chosen: chosen,
                    score_rejected: rejected,
                    ..pairs.pairs[index].clone()
                })?
            }
        })
    }

    /// What the margins of pairs amount to, read back from the output: an earlier run may have begun it.
    fn summary(&self, output: &Path) -> Result<Option<PairwiseSummary>> {
        let Self::Pairs(_) = self else { return Ok(None) };
        let lines: Vec<(usize, Map<String, Value>)> = read_lines(output)?;
        let margin = |(_, line): &(usize, Map<String, Value>)| {
            let score = |key: &str| line.get(key).and_then(Value::as_f64).unwrap_or(f64::NAN);
            score("score_chosen") - score("score_rejected")
        };
        Ok(Some(pairwise(&lines.iter().map(margin).collect::<Vec<_>>())))
    }
}

impl Group {
    fn read((number, line): (usize, Map<String, Value>), path: &Path) -> Result<Self> {
        let place = format!("{}:{number}", path.display());
        let sample = serde_json::from_value(Value::Object(line.clone()));
        let sample: Sample = sample.with_context(|| place.clone())?;
        let responses = line.get("responses").cloned().unwrap_or_default();
        let responses: Vec<String> = serde_json::from_value(responses)
            .with_context(|| format!("{place}: \"responses\" is no list of texts"))?;
        anyhow::ensure!(responses.len() > 1, "{place}: fewer than two responses to compare");
        Ok(Self { place, prompt: prompt_of(&sample), responses, line })
    }
}

/// The number of the best score; none for a tie.
fn best(scores: &[f32]) -> Option<usize> {
    let highest = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let mut at = (0..scores.len()).filter(|&index| scores[index] == highest);
    let first = at.next();
    first.filter(|_| at.next().is_none())
}

#[cfg(test)]
mod tests {
    use super::best;

    #[test]
    fn a_tie_has_no_best() {
        assert_eq!(best(&[1.0, 3.0, 2.0]), Some(1));
        assert_eq!(best(&[3.0, 3.0, 2.0]), None);
        assert_eq!(best(&[-1.0, -2.0]), Some(0));
    }
}
