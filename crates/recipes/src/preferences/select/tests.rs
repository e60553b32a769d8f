//! Pairs by score, by rule, of forms and by dropout, on responses made by hand.

use schema::FinishReason;

use super::*;
use crate::preferences::BuildConfig;

fn config(keys: &str) -> BuildConfig {
    let config: BuildConfig = toml::from_str(keys).unwrap();
    config.validate().unwrap();
    config
}

fn said(text: &str, score: Option<f64>) -> Response {
    Response { text: text.to_owned(), finish_reason: FinishReason::Stop, score }
}

fn boxed(thought: &str, answer: &str, score: f64) -> Response {
    said(&format!("{thought}\n</think>\n\\boxed{{{answer}}}"), Some(score))
}

fn known(gold: Option<&str>) -> Known<'_> {
    Known { gold, opening: Opening::InPrompt, require_format: true, min_thought_length: 0 }
}

/// Pairs as (chosen, rejected, kind), and what was counted.
fn pick(
    responses: &[Response],
    gold: Option<&str>,
    (keys, threshold): (&str, Option<f64>),
) -> (Vec<(usize, usize, PairKind)>, Statistics) {
    let mut statistics = Statistics::default();
    let candidates = candidates(responses, &known(gold), &mut statistics);
    let config = config(keys);
    let picker = Picker { config: &config, threshold, seed: 7 };
    let picked = picker.pick(3, &candidates, &mut statistics);
    (picked.into_iter().map(|p| (p.chosen, p.rejected, p.kind)).collect(), statistics)
}

#[test]
fn a_gap_of_tau_or_more_makes_a_pair() {
    let responses = [boxed("a", "1", 5.86), boxed("b", "1", -15.5), boxed("c", "1", -9.14)];
    let (pairs, statistics) = pick(&responses, None, ("", Some(15.0)));
    assert_eq!(pairs, [(0, 1, PairKind::Score), (0, 2, PairKind::Score)]);
    assert_eq!((statistics.num_compared, statistics.num_below_threshold), (3, 1));
    let (pairs, _) = pick(&responses, None, ("", Some(15.0 + 1e-9)));
    assert_eq!(pairs, [(0, 1, PairKind::Score)]);
}

#[test]
fn a_thought_may_have_to_say_something() {
    let responses = [boxed("", "1", 9.0), boxed("one é", "1", 8.0), boxed("one, two", "1", 7.0)];
    let counted = |min_thought_length| {
        let mut statistics = Statistics::default();
        let known = Known { min_thought_length, ..known(None) };
        let candidates = candidates(&responses, &known, &mut statistics);
        (candidates.iter().filter(|c| c.is_well_formed).count(), statistics.num_malformed)
    };
    assert_eq!([0, 1, 5, 6, 9].map(counted), [(3, 0), (2, 1), (2, 1), (1, 2), (0, 3)]);
}

#[test]
fn only_right_answers_are_chosen_where_the_answer_is_known() {
    let responses = [boxed("a", "9", 10.0), boxed("b", "7", 8.0), boxed("c", "7", -20.0)];
    let (pairs, statistics) = pick(&responses, Some("7"), ("", Some(15.0)));
    assert_eq!(pairs, [(1, 2, PairKind::Score)]);
    assert_eq!((statistics.num_chosen_wrong, statistics.num_correct), (1, 2));
    let (pairs, _) = pick(&responses, Some("7"), ("require_correct = false", Some(15.0)));
    assert_eq!(pairs, [(0, 2, PairKind::Score), (1, 2, PairKind::Score)]);
}

#[test]
fn without_scores_right_meets_wrong() {
    let responses = [boxed("a", "42", 0.0), boxed("b", "9", 0.0), boxed("c", "8", 0.0)];
    let (pairs, _) = pick(&responses, Some("42"), ("", None));
    assert_eq!(pairs, [(0, 1, PairKind::Rule), (0, 2, PairKind::Rule)]);
    assert_eq!(pick(&responses, None, ("", None)).0, []);
}

#[test]
fn a_wrong_answer_that_holds_the_right_one_makes_no_pair() {
    let responses =
        [boxed("a", "42", 0.0), boxed("it is 42, or not", "8", 0.0), boxed("b", "142", 0.0)];
    let (pairs, statistics) = pick(&responses, Some("42"), ("", None));
    assert_eq!(pairs, [(0, 1, PairKind::Rule)]);
    assert_eq!(statistics.num_answer_in_rejected, 1);
    // The letter of a choice is in most thoughts.
    let responses = [boxed("a", "B", 0.0), boxed("not B, but", "C", 0.0)];
    let (pairs, statistics) = pick(&responses, Some("B"), ("", None));
    assert_eq!((pairs, statistics.num_answer_in_rejected), (vec![(0, 1, PairKind::Rule)], 0));
}

#[test]
fn malformed_and_unfinished_responses_are_rejected_apart() {
    let cut = Response { finish_reason: FinishReason::Length, ..boxed("d", "7", 9.0) };
    let responses = [boxed("a", "7", 1.0), said("7, I say", Some(99.0)), cut];
    let (pairs, statistics) = pick(&responses, Some("7"), ("", Some(0.5)));
    assert_eq!(pairs, [(0, 1, PairKind::Format), (0, 2, PairKind::Format)]);
    assert_eq!((statistics.num_malformed, statistics.num_truncated), (1, 1));
    assert_eq!(pick(&responses, Some("7"), ("max_format_pairs = 1", Some(0.5))).0.len(), 1);
    assert_eq!(pick(&responses, Some("7"), ("max_format_pairs = 0", Some(0.5))).0, []);
    // Not even a malformed response is chosen over a worse one.
    assert_eq!(pick(&responses[1..], Some("7"), ("", Some(0.5))).0, []);
}

#[test]
fn form_and_score_are_not_mixed() {
    // Malformed and far below: a pair of forms, and none of scores or of right and wrong.
    let responses = [boxed("a", "7", 20.0), said("it is 8", Some(-20.0)), boxed("c", "9", 19.0)];
    for threshold in [Some(15.0), None] {
        let (pairs, _) = pick(&responses, Some("7"), ("", threshold));
        let others = pairs.iter().filter(|pair| pair.1 == 1);
        assert_eq!(others.collect::<Vec<_>>(), [&(0, 1, PairKind::Format)], "{threshold:?}");
        assert_eq!(pairs.contains(&(0, 2, PairKind::Rule)), threshold.is_none());
    }
    // A right answer without the form is not chosen either, nor counted as a comparison.
    let responses = [said("a</think>The answer is $7$.", Some(20.0)), boxed("b", "9", -20.0)];
    for threshold in [Some(15.0), None] {
        let (pairs, statistics) = pick(&responses, Some("7"), ("", threshold));
        assert_eq!((pairs, statistics.num_correct, statistics.num_compared), (vec![], 1, 0));
    }
}

#[test]
fn empty_and_repeated_responses_are_counted_and_unused() {
    let responses =
        [boxed("a", "7", 1.0), boxed("a", "7", 1.0), said(" \n", None), boxed("b", "8", -40.0)];
    let (pairs, statistics) = pick(&responses, Some("7"), ("", Some(15.0)));
    assert_eq!(pairs, [(0, 1, PairKind::Score)]);
    assert_eq!((statistics.num_empty, statistics.num_repeated), (1, 1));
    assert_eq!(statistics.num_responses, 4);
}

#[test]
fn the_cap_draws_uniformly_and_by_seed_alone() {
    let responses: Vec<Response> =
        (0..8).map(|n| boxed(&format!("thought {n}"), "7", 20.0 * f64::from(n))).collect();
    let (pairs, statistics) = pick(&responses, None, ("", Some(15.0)));
    assert_eq!((pairs.len(), statistics.num_over_cap), (15, 28 - 15));
    assert!(pairs.is_sorted_by_key(|&(chosen, rejected, _)| (chosen, rejected)));
    assert_eq!(pick(&responses, None, ("", Some(15.0))).0, pairs);
    // Over many prompts each pair is drawn about as often: 15 of 28.
    let mut statistics = Statistics::default();
    let candidates = candidates(&responses, &known(None), &mut statistics);
    let config = config("");
    let picker = Picker { config: &config, threshold: Some(15.0), seed: 1 };
    let mut counts = std::collections::BTreeMap::new();
    for prompt in 0..2000 {
        for Picked { chosen, rejected, .. } in picker.pick(prompt, &candidates, &mut statistics) {
            *counts.entry((chosen, rejected)).or_insert(0) += 1;
        }
    }
    assert_eq!(counts.len(), 28);
    // Four standard deviations of 2000 draws at 15/28.
    let (want, margin) = (2000.0 * 15.0 / 28.0, 4.0 * 22.3);
    assert!(counts.values().all(|&n| (f64::from(n) - want).abs() < margin), "{counts:?}");
}

#[test]
fn quantiles_and_gaps() {
    let responses = [boxed("a", "1", 4.0), boxed("b", "1", 1.0), said("no form", Some(90.0))];
    let mut statistics = Statistics::default();
    let candidates = candidates(&responses, &known(None), &mut statistics);
    assert_eq!(gaps(&candidates), [3.0]);
    let of = |share: f64| quantile(&mut [4.0, 1.0, 2.0, 3.0], share);
    assert_eq!([of(0.0), of(0.5), of(1.0)], [Some(1.0), Some(2.5), Some(4.0)]);
    assert_eq!(quantile(&mut [], 0.5), None);
}

#[test]
fn half_of_the_words() {
    for (text, want) in [
        ("one two three four", "one two"),
        ("  one\ttwo\n\nthree ", "  one"),
        ("é ü", "é"),
        ("alone", ""),
        (" ", ""),
        ("", ""),
    ] {
        assert_eq!(first_half(text), want, "{text:?}");
    }
}

#[test]
fn the_best_is_the_highest_score_or_the_first() {
    let of = |responses: &[Response]| {
        best(&candidates(responses, &known(None), &mut Statistics::default()))
    };
    let unscored =
        [said("bad", None), said("a</think>\\boxed{1}", None), said("b</think>\\boxed{1}", None)];
    assert_eq!(of(&unscored), Some(1));
    assert_eq!(of(&[boxed("a", "1", 1.0), boxed("b", "1", 3.0), boxed("c", "1", 2.0)]), Some(1));
    assert_eq!(of(&[said("bad", Some(9.0))]), None);
}
