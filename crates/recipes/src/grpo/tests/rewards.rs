//! From completions to rewards and advantages, and what is logged about them.

use schema::Completion;
use schema::FinishReason::{Length as CUT, Stop as STOP};

use super::Case;
use crate::grpo::Aggregation;
use crate::grpo::draw::Drawn;
use crate::grpo::flight::{Flight, Origin};
use crate::grpo::group::{Group, metrics};
use crate::grpo::questions::Questions;
use crate::grpo::score::{Scorers, Scoring};
use crate::grpo::task::GrpoTask;

fn said(text: &str, length: usize, finish_reason: schema::FinishReason) -> Completion {
    Completion {
        text: text.to_owned(),
        token_ids: vec![7; length],
        logprobs: vec![-1.0; length],
        finish_reason,
    }
}

/// Scores some completions of each of the first questions.
fn scored(
    case: &Case,
    questions: &Questions,
    scorers: Scorers<'_>,
    said: Vec<Vec<Completion>>,
) -> Vec<Group> {
    let flight = Flight::open(case.losses.folder.path(), "").unwrap();
    let mut scoring = Scoring::new(&case.config, questions, scorers).unwrap();
    let drawn = said.into_iter().enumerate().map(|(question, completions)| Drawn {
        question,
        origin: Origin { stream: question as u64, version: 0 },
        completions,
    });
    let mut groups = scoring.reward(drawn.collect(), &flight, &mut |_| {}).unwrap();
    scoring.advantage(&mut groups);
    groups
}

/// Two right, one of them tidy; one cut off, one wrong.
fn mixed_answers() -> Vec<Completion> {
    vec![
        said("So it is.\n</think>\n\n\\boxed{8765}", 4, STOP),
        said("</think> \\boxed{8,765.0}", 2, STOP),
        said("\\boxed{8765}", 6, CUT),
        said("a\n</think>\n\\boxed{1}", 8, STOP),
    ]
}

fn check_metrics(groups: &[Group], want: &[(&str, f64)]) {
    let mut logged = std::collections::BTreeMap::new();
    metrics(groups, &mut logged);
    for (name, want) in want {
        assert!((logged[*name] - want).abs() < 1e-12, "{name}: {}, want {want}", logged[*name]);
    }
}

#[test]
fn rewards_are_combined_and_their_spread_is_logged() {
    let case = Case::new(&[("reward_weights", "{rule = 0.7, format = 0.1}")]);
    let policy = case.policy();
    let questions = case.questions(&policy);
    // Three times 0.1 is not 0.3 in binary, and yet there is no spread.
    let uniform = vec![said("</think>\\boxed{1}", 1, STOP); 3];
    let groups = scored(&case, &questions, Scorers::default(), vec![mixed_answers(), uniform]);
    let mixed = &groups[0];
    assert_eq!(mixed.rule(), [1.0, 1.0, 0.0, 0.0]);
    assert_eq!(mixed.components[1].rewards, [1.0, 1.0, 0.0, 1.0]);
    assert_eq!(mixed.rewards, [0.7 + 0.1, 0.7 + 0.1, 0.0, 0.1]);
    assert!(mixed.is_effective() && mixed.advantages[0] > 0.0 && mixed.advantages[3] < 0.0);
    let (rule_std, format_std) = ((10.0f64 / 7.0 / 6.0).sqrt(), (6.0f64 / 7.0 / 6.0).sqrt());
    check_metrics(
        &groups,
        &[
            ("rewards/rule/mean", 2.0 / 7.0),
            ("rewards/rule/std", rule_std),
            ("rewards/format/mean", 6.0 / 7.0),
            ("rewards/format/std", format_std),
            // Of ones and zeros: (p11 − p1 p2) / √(p1 q1 p2 q2).
            (
                "rewards/correlation/rule_format",
                (2.0 / 7.0 - 12.0 / 49.0) / (2.0f64 / 7.0 * 5.0 / 7.0 * 6.0 / 7.0 / 7.0).sqrt(),
            ),
            ("reward", (1.7 + 0.3) / 7.0),
            ("frac_reward_zero_std", 0.5),
            ("frac_groups_truncated", 0.0),
            ("effective_fraction/before", 4.0 / 7.0),
            ("completions/mean_length", 23.0 / 7.0),
            ("completions/min_length", 1.0),
            ("completions/max_length", 8.0),
            ("completions/mean_terminated_length", 17.0 / 6.0),
            ("completions/clipped_ratio", 1.0 / 7.0),
            // One of two, three of four and five of six triples came before.
            ("completions/repetition_rate", (0.5 + 0.75 + 5.0 / 6.0) / 7.0),
            ("num_sampled_tokens", 23.0),
        ],
    );
}

/// Gives what it is told to, by the words of a response.
struct Judge(Vec<(&'static str, f64)>, usize);

impl reward::Scorer for Judge {
    fn raw_scores(
        &mut self,
        asked: &reward::Asked<'_>,
        responses: &[&str],
    ) -> Result<Vec<f64>, reward::ScoreError> {
        assert_eq!(asked.prompt.answer.as_deref(), Some("8765"), "columns travel along");
        self.1 += 1;
        let of = |text: &&str| self.0.iter().find(|(word, _)| text.contains(word)).unwrap().1;
        Ok(responses.iter().map(of).collect())
    }
}

#[test]
fn a_learned_reward_is_combined_in_three_ways() {
    // It hates the tidy right answer and loves the wrong one.
    let judge = || Judge(vec![("So it is", -10.0), ("8,765.0", -9.0), ("a", 6.0)], 0);
    let answers = || {
        let mut answers = mixed_answers();
        answers[2] = said(" ", 1, STOP);
        answers
    };
    let of = |aggregation: &str| {
        let key = ("multi_objective_aggregation", aggregation);
        let model = ("reward_model", "\"folder\"");
        let keys = if aggregation.is_empty() { vec![model] } else { vec![model, key] };
        let case = Case::new(&keys);
        let policy = case.policy();
        let questions = case.questions(&policy);
        let mut judge = judge();
        let scorers = Scorers { model: Some(&mut judge), custom: None };
        let group = scored(&case, &questions, scorers, vec![answers()]).remove(0);
        assert_eq!(group.components[2].name, "model");
        // Silence was not shown, and is as bad as the worst.
        assert_eq!(group.components[2].rewards, [-10.0, -9.0, -10.0, 6.0]);
        group
    };
    let literal = of("sum_then_normalize");
    assert_eq!(literal.rewards[3], 0.2 * 6.0 + 0.2);
    assert!(literal.advantages[3] > literal.advantages[0], "the widest component decides");
    for aggregation in ["bounded_sum", "normalize_then_sum", ""] {
        let group = of(aggregation);
        let [right, other, silent, wrong] = group.advantages[..] else { panic!("four") };
        assert!(right > wrong && other > wrong && wrong > silent, "{aggregation}: {right} {wrong}");
        assert!(group.is_effective());
    }
    assert_eq!(of("").advantages, of("normalize_then_sum").advantages);
    let bounded = of("bounded_sum");
    assert!((bounded.rewards[3] - (0.2 + 0.2)).abs() < 1e-4, "{:?}", bounded.rewards);
    // Without a learned reward the default stays equation 7.
    assert_eq!(Case::new(&[]).config.reward.aggregation(), Aggregation::SumThenNormalize);
}

#[test]
fn scores_in_flight_are_not_asked_for_again() {
    let case = Case::new(&[("custom_reward", "{command = [\"x\"]}")]);
    let policy = case.policy();
    let questions = case.questions(&policy);
    let mut judge = Judge(vec![("8,765.0", 0.25), ("", -0.1)], 0);
    let mut of = || {
        let scorers = Scorers { model: None, custom: Some(&mut judge) };
        let group = scored(&case, &questions, scorers, vec![mixed_answers()]).remove(0);
        group.components[2].clone()
    };
    let first = of();
    assert_eq!((first.name, &first.rewards[..]), ("custom", &[-0.1, 0.25, -0.1, -0.1][..]));
    assert_eq!(of(), first);
    assert_eq!(judge.1, 1);
    let error = Scoring::new(&case.config, &questions, Scorers::default()).map(drop).unwrap_err();
    assert_eq!(error.to_string(), "custom_reward is set, and nobody was given to ask");
}

#[test]
fn length_and_repetition_cost_where_they_are_weighted() {
    let keys = [
        ("reward_weights", "{repetition = 0.5, overlong = 0.25}"),
        ("soft_punish_cache", "4"),
        ("max_completion_length", "8"),
    ];
    let case = Case::new(&keys);
    let policy = case.policy();
    let questions = case.questions(&policy);
    let group = scored(&case, &questions, Scorers::default(), vec![mixed_answers()]).remove(0);
    let names: Vec<_> = group.components.iter().map(|c| (c.name, c.weight)).collect();
    assert_eq!(names, [("rule", 0.8), ("format", 0.2), ("repetition", 0.5), ("overlong", 0.25)]);
    assert_eq!(group.components[2].rewards, [-0.5, 0.0, -0.75, 0.0 - 5.0 / 6.0]);
    assert_eq!(group.components[3].rewards, [0.0, 0.0, -0.5, -1.0]);
}

#[test]
fn groups_that_were_cut_off_are_counted_and_masked() {
    let mut answers = mixed_answers();
    let all_cut = answers.iter().cloned().map(|c| Completion { finish_reason: CUT, ..c });
    let all_cut: Vec<_> = all_cut.collect();
    answers[0].finish_reason = CUT;
    for (mask, want) in [("false", 8), ("true", 2)] {
        let case = Case::new(&[("mask_truncated_completions", mask)]);
        let policy = case.policy();
        let questions = case.questions(&policy);
        let said = vec![answers.clone(), all_cut.clone()];
        let groups = scored(&case, &questions, Scorers::default(), said);
        check_metrics(&groups, &[("frac_groups_truncated", 0.5)]);
        let mut task = GrpoTask::new(&case.config, policy, &questions).unwrap();
        let entries = task.entries(&groups).unwrap();
        assert_eq!(entries.len(), want);
        assert!(entries.iter().all(|entry| entry.step == 1));
    }
}
