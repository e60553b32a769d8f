//! The demo's report: what each stage did to accuracy, length and cost.

use anyhow::Result;
use eval::{Answer, Interval};
use report::{Comparison, Curve, Example, Fact, Ranking, RunSummary};

use super::outcome::{Against, RewardOutcome};
use super::{Demo, Outcome, Reached, Stage, Trained};

/// Held-out items shown with their pictures.
const NUM_EXAMPLES: usize = 12;

/// Writes `summary.json` and `report.html`.
pub(super) fn write(demo: &Demo<'_>, reached: &Reached, outcome: &Outcome) -> Result<()> {
    let summary = RunSummary {
        description: "DINOv2-small and SmolLM2-135M-Instruct become a small model that looks at \
                      handwritten arithmetic and reasons; only the adapter trains."
            .to_owned(),
        facts: facts(demo, reached, outcome),
        stages: stages(reached),
        rankings: vec![ranking(&outcome.reward)],
        comparisons: outcome.comparisons.iter().map(comparison).collect(),
        curves: curves(),
        examples: examples(reached),
        ..RunSummary::titled("Sightline: digits")
    };
    let text = serde_json::to_string_pretty(&summary)?;
    std::fs::write(demo.folder("summary.json"), text + "\n")?;
    Ok(report::write(&summary, &demo.output, &outcome.report)?)
}

fn facts(demo: &Demo<'_>, reached: &Reached, outcome: &Outcome) -> Vec<Fact> {
    let fact = |name: &str, value: String| Fact { name: name.to_owned(), value };
    let task = &demo.plan.task;
    let majority = reached.grpo.evaluation.summary.majority;
    vec![
        fact("Accuracy", "pass@1 at temperature 1".to_owned()),
        fact("Always the commonest answer", format!("{:.1} %", 100.0 * majority)),
        fact("Training pictures", task.num_train.to_string()),
        fact("Held-out pictures", task.num_held_out.to_string()),
        fact("Seed", task.seed.to_string()),
        fact("Seconds in all", format!("{:.0}", outcome.seconds)),
    ]
}

/// The stages in the order in which they ran.
fn stages(reached: &Reached) -> Vec<report::Stage> {
    let Reached { assembled, sft, reward, mpo, grpo } = reached;
    let reward = cost("reward", Some(reward));
    vec![stage(assembled), stage(sft), reward, stage(mpo), stage(grpo)]
}

fn stage(stage: &Stage) -> report::Stage {
    let summary = &stage.evaluation.summary;
    let blind = stage.evaluation.blind.as_ref();
    report::Stage {
        num_items: Some(summary.num_items),
        accuracy: Some(interval(&summary.accuracy)),
        blind: blind.map(|blind| interval(&blind.accuracy)),
        well_formed: Some(summary.well_formed),
        mean_length: Some(summary.mean_length),
        repetition: Some(summary.repetition),
        ..cost(stage.name, stage.trained.as_ref())
    }
}

/// A stage of which only is known what it took.
fn cost(name: &str, training: Option<&Trained>) -> report::Stage {
    report::Stage {
        num_steps: training.map(|trained| trained.log.len() as u64),
        num_trained_tokens: training.map(|trained| last(trained, "num_tokens")),
        num_sampled_tokens: training.map(|trained| sum(trained, "num_sampled_tokens")),
        seconds: training.map(|trained| trained.seconds),
        ..report::Stage::named(name)
    }
}

fn ranking(reward: &RewardOutcome) -> Ranking {
    let RewardOutcome { num_pairs, accuracy, margin, .. } = reward;
    Ranking {
        name: "reward".to_owned(),
        num_pairs: *num_pairs,
        accuracy: interval(accuracy),
        margin: *margin,
    }
}

fn interval(interval: &Interval) -> report::Interval {
    report::Interval { value: interval.value, low: interval.low, high: interval.high }
}

fn last(trained: &Trained, key: &str) -> u64 {
    let value = trained.log.last().and_then(|line| line.get(key)?.as_f64());
    value.map_or(0, |value| value as u64)
}

fn sum(trained: &Trained, key: &str) -> u64 {
    trained.log.iter().filter_map(|line| line.get(key)?.as_f64()).sum::<f64>() as u64
}

fn comparison(against: &Against) -> Comparison {
    let Against { before, after, paired } = against;
    Comparison {
        before: (*before).to_owned(),
        after: (*after).to_owned(),
        num_items: paired.num_items,
        only_before: paired.only_before,
        only_after: paired.only_after,
        p_value: paired.p_value,
    }
}

fn curves() -> Vec<Curve> {
    let [sft, reward, mpo, grpo] =
        ["sft", "reward", "mpo", "grpo"].map(|stage| format!("{stage}/metrics.jsonl"));
    let (sft, reward, mpo, grpo) = (&sft, &reward, &mpo, &grpo);
    let ranked = [("training pairs", "accuracy"), ("held-out pairs", "eval_accuracy")];
    let preferred = [("pairs", "rewards/accuracies")];
    vec![
        Curve::of("SFT: loss a token", sft, &[("loss", "token_loss")]),
        Curve::of("Reward model: pairs ranked right", reward, &ranked).in_percent(),
        Curve::of("MPO: chosen response gains more", mpo, &preferred).in_percent(),
        Curve::of("MPO: margin of implicit rewards", mpo, &[("margin", "rewards/margins")]),
        Curve::of(
            "GRPO: reward",
            grpo,
            &[("rule", "rewards/rule/mean"), ("format", "rewards/format/mean")],
        )
        .in_percent(),
        Curve::of(
            "GRPO: completions that teach",
            grpo,
            &[
                ("before refill", "effective_fraction/before"),
                ("after refill", "effective_fraction/after"),
            ],
        )
        .in_percent(),
        Curve::of("GRPO: completion length", grpo, &[("tokens", "completions/mean_length")]),
        Curve::of("GRPO: entropy a token", grpo, &[("nats", "entropy")]),
    ]
}

/// The first held-out items, with what each trained stage said.
fn examples(reached: &Reached) -> Vec<Example> {
    let items = reached.grpo.evaluation.answers.iter().take(NUM_EXAMPLES);
    items.map(|item| example(item, reached)).collect()
}

fn example(item: &Answer, reached: &Reached) -> Example {
    let trained = reached.policies().into_iter().filter(|stage| stage.trained.is_some());
    let said = |stage: &Stage| {
        let answer = stage.evaluation.answers.iter().find(|answer| answer.id == item.id)?;
        Some(report::Answer {
            stage: stage.name.to_owned(),
            completion: answer.completion.clone(),
            correct: answer.correct,
        })
    };
    Example {
        images: item.images.iter().map(|image| format!("digits/{image}")).collect(),
        question: item.question.clone(),
        gold: item.gold.clone(),
        answers: trained.filter_map(said).collect(),
    }
}
