//! `sightline reward eval`: how often a reward model prefers what people prefer.

use std::path::Path;

use anyhow::{Context as _, Result};
use data::read_lines;
use eval::{RankingItem, RankingSummary, read_benchmark};
use rollout::Judge;
use serde::{Deserialize, Serialize};

use super::{BATCH, Doubtful, finite, open};
use crate::Context;
use crate::args::RewardEvalArgs;
use crate::commands::generate::identity;
use crate::lines::Growing;
use crate::output::Table;
use crate::progress::Unit;

/// A line of the output.
#[derive(Serialize, Deserialize)]
struct Ranked {
    id: String,
    subset: String,
    category: String,
    score_preferred: f32,
    score_other: f32,
    correct: bool,
}

/// What a benchmark says, and how many of its responses say little.
#[derive(Serialize)]
struct Measured {
    #[serde(flatten)]
    summary: RankingSummary,
    #[serde(flatten)]
    doubtful: Doubtful,
}

/// Measures a model on a benchmark.
pub(super) fn run(args: &RewardEvalArgs, context: &Context) -> Result<()> {
    let items = read_benchmark(args.benchmark, &args.input)?;
    let mut doubtful = Doubtful::default();
    items.iter().for_each(|item| doubtful.count(&[&item.preferred, &item.other]));
    doubtful.tell(&args.input, context);
    let content = stages::fingerprint(&args.input)?;
    let settings = format!("{:?}\n{}\n{content:?}", args.benchmark, identity(&args.model));
    let mut output = Growing::open(&args.output, &settings, 1)?;
    let mut judge = open(&args.model, context)?;
    let mut meter = context.progress.meter("pairs", Unit::Items, Some(items.len() as u64));
    meter.start_at(output.num_done() as u64);
    let folder = args.input.parent().unwrap_or(Path::new(""));
    let done = output.num_done();
    for (number, batch) in items[done..].chunks(BATCH).enumerate() {
        output.append(rank(&mut judge, batch, folder)?)?;
        meter.set((done + number * BATCH + batch.len()) as u64, "");
    }
    meter.finish();
    output.commit()?;
    let ranked: Vec<(usize, Ranked)> = read_lines(&args.output)?;
    let margins =
        ranked.iter().map(|(_, one)| f64::from(one.score_preferred) - f64::from(one.score_other));
    let summary = RankingSummary::new(&items, &margins.collect::<Vec<_>>());
    context.output.show(&Measured { summary, doubtful }, |measured| table(&measured.summary))
}

fn rank(judge: &mut Judge, items: &[RankingItem], folder: &Path) -> Result<Vec<Ranked>> {
    let mut judged = Vec::with_capacity(items.len());
    for item in items {
        let one = judge.judged(&item.prompt, &[&item.preferred, &item.other], folder);
        judged.push(one.with_context(|| item.place.clone())?);
    }
    let ranked = items.iter().zip(judge.score(judged)?).map(|(item, scores)| {
        finite(&scores).with_context(|| item.place.clone())?;
        let (score_preferred, score_other) = (scores[0], scores[1]);
        Ok(Ranked {
            id: item.id.clone(),
            subset: item.subset.clone(),
            category: item.category.clone(),
            score_preferred,
            score_other,
            correct: score_preferred > score_other,
        })
    });
    ranked.collect()
}

fn table(summary: &RankingSummary) -> String {
    let mut table = Table::new(&["category", "pairs", "accuracy", "95 % interval"]);
    for category in &summary.categories {
        let accuracy = category.accuracy;
        table.row([
            category.name.clone(),
            category.num_pairs.to_string(),
            format!("{:.1}", 100.0 * category.score),
            format!("{accuracy}"),
        ]);
    }
    let RankingSummary { micro, macro_mean, calibration_error, .. } = summary;
    format!(
        "{table}overall (micro) {:.1} %, macro {:.1} %, calibration error {calibration_error:.3}",
        100.0 * micro,
        100.0 * macro_mean
    )
}
