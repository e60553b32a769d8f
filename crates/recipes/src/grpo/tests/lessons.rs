//! Which completions an update sees, and what their ratio is taken to.

use advantage::{Entry, Mixed};
use engine::Task;
use testkit::assert_close_by_norm;

use super::{Case, copy, step};
use crate::grpo::GrpoConfig;
use crate::grpo::group::Sampled;
use crate::grpo::lesson::{Learned, Lesson, Rethought, Tree};
use crate::grpo::task::GrpoTask;

/// An update's entries: number and question of each.
fn entry((index, question): (usize, usize)) -> Entry<Sampled> {
    Entry {
        payload: Sampled { question, token_ids: vec![index as u32] },
        advantage: 1.0,
        log_probs: vec![-1.0],
        step: 1,
        group: question as u64,
    }
}

/// Six fresh, three old; eight fit into a micro-batch.
fn lesson() -> Lesson {
    let questions_of = [1, 1, 1, 5, 5, 5, 1, 7, 5];
    let entries = questions_of.into_iter().enumerate().map(entry).collect();
    let mixed = Mixed { entries, num_fresh: 6, effective_before: 0.75, effective_after: 1.0 };
    Lesson::new(mixed, vec![])
}

/// A question and, of each completion, its number and what is said of it.
type Shape<T> = (usize, Vec<(u32, T)>);

/// Of each tree of each micro-batch: its question, and each completion's number and what `of` says of it.
fn shape<T>(lesson: &Lesson, config: &GrpoConfig, of: fn(&Learned) -> T) -> Vec<Vec<Shape<T>>> {
    let tree = |tree: &Tree| {
        let learned = tree.completions.iter().map(|l| (l.token_ids[0], of(l)));
        (tree.question, learned.collect())
    };
    lesson.next_update(config).iter().map(|batch| batch.iter().map(tree).collect()).collect()
}

#[test]
fn micro_batches_hold_whole_trees() {
    let case = Case::new(&[]);
    let first = vec![(0, false), (1, false), (2, false), (6, true)];
    let second = vec![(3, false), (4, false), (5, false), (8, true)];
    let batches = shape(&lesson(), &case.config, |l| l.old.is_some() && l.is_replayed);
    assert_eq!(batches, [vec![(1, first), (5, second)], vec![(7, vec![(7, true)])]]);
}

#[test]
fn later_updates_take_their_ratio_to_the_policy_that_drew() {
    let case = Case::new(&[("num_iterations", "2"), ("steps_per_generation", "2")]);
    assert_eq!((case.config.num_parts(), case.config.num_completions()), (2, 16));
    assert_eq!(case.config.num_steps(8), 8, "eight prompts are two rollouts of four updates");
    let mut lesson = lesson();
    let mut seen = vec![];
    while !lesson.is_over(&case.config) {
        let batches = shape(&lesson, &case.config, |l| l.old.is_some());
        seen.push(batches.concat().into_iter().map(|(q, l)| (q, l[0].1)).collect::<Vec<_>>());
        lesson.num_done += 1;
    }
    // Three prompts in two parts, twice; only the very first update is by the policy that drew.
    let (once, again) = (vec![(1, true)], vec![(5, true), (7, true)]);
    assert_eq!(seen, [vec![(1, false)], again.clone(), once, again]);
}

#[test]
fn what_another_policy_drew_is_weighted() {
    for (cap, want) in [("2", [(false, true), (true, true)]), ("0", [(true, false), (true, false)])]
    {
        let keys =
            [("max_staleness", "1"), ("num_iterations", "2"), ("importance_sampling_cap", cap)];
        let case = Case::new(&keys);
        let mut lesson = lesson();
        lesson.before = vec![vec![-2.0]; 6];
        for want in want {
            let batches = shape(&lesson, &case.config, |l| {
                (l.old.is_some(), l.sampled.is_some(), l.is_replayed)
            });
            for (number, (old, sampled, is_replayed)) in
                batches.concat().into_iter().flat_map(|t| t.1)
            {
                let want = if is_replayed { (true, false) } else { want };
                assert_eq!((old, sampled), want, "cap {cap}, completion {number}");
            }
            lesson.num_done += 1;
        }
        assert!(lesson.is_over(&case.config));
    }
}

#[test]
fn importance_weights_reach_the_gradient() {
    let case = Case::new(&[("rollout_dtype", "bfloat16"), ("importance_sampling_cap", "1.5")]);
    let policy = case.policy();
    let (questions, moved) = (case.questions(&policy), case.losses.moved(&policy));
    let mut tree = case.tree(&policy, false);
    let mut task = GrpoTask::new(&case.config, policy, &questions).unwrap();
    task.publish(&moved).unwrap();
    let (plain, _) = step(&mut task, &[vec![copy(&tree)]]);
    // Drawn with half the probability: every weight is 2, held at 1.5.
    let now = task.log_probs(0, tree.branches().into_iter()).unwrap();
    for (learned, now) in tree.completions.iter_mut().zip(now) {
        learned.sampled = Some(now.iter().map(|log_prob| log_prob - 2f32.ln()).collect());
    }
    let (weighted, gradients) = step(&mut task, &[vec![tree]]);
    assert!((weighted.value - 1.5 * plain.value).abs() < 1e-6);
    let ratio = weighted.metrics["sampling/importance_sampling_ratio/mean"];
    assert!((ratio - 1.5).abs() < 1e-6, "{ratio}");
    assert!(gradients.iter().any(|(_, gradient)| gradient.as_slice().iter().any(|&g| g != 0.0)));
}

#[test]
fn buffered_completions_may_have_a_cap_of_their_own() {
    let case = Case::new(&[("replay_importance_cap", "1.25")]);
    let policy = case.policy();
    let (questions, moved) = (case.questions(&policy), case.losses.moved(&policy));
    let mut tree = case.tree(&policy, false);
    let mut task = GrpoTask::new(&case.config, policy, &questions).unwrap();
    task.publish(&moved).unwrap();
    let (plain, fresh) = step(&mut task, &[vec![copy(&tree)]]);
    let now = task.log_probs(0, tree.branches().into_iter()).unwrap();
    for (learned, now) in tree.completions.iter_mut().zip(now) {
        learned.old = Some(now.iter().map(|log_prob| log_prob - 2f32.ln()).collect());
        learned.is_replayed = true;
    }
    let (capped, replayed) = step(&mut task, &[vec![tree]]);
    assert!((capped.value - 1.25 * plain.value).abs() < 1e-6);
    assert!((capped.metrics["clip_ratio/capped_mean"] - 1.0).abs() < 1e-12);
    for (name, gradient) in replayed.iter() {
        let want: Vec<f32> =
            fresh.get(name).unwrap().as_slice().iter().map(|&value| 1.25 * value).collect();
        assert_close_by_norm(name, gradient.as_slice(), &want, 1e-4);
    }
}

#[test]
fn what_was_rethought_is_learned_as_it_stands() {
    let case = Case::new(&[("rethinking", "{coefficient = 0.05}"), ("num_iterations", "2")]);
    let mut lesson = lesson();
    lesson.rethought = vec![Rethought { question: 7, token_ids: vec![99] }];
    for _ in 0..2 {
        let last = lesson.next_update(&case.config).pop().unwrap().pop().unwrap();
        assert_eq!(last.question, 7);
        let rethought = &last.completions[1];
        assert_eq!((rethought.advantage, &rethought.token_ids[..]), (0.05, &[99][..]));
        assert!(rethought.old.is_none() && rethought.sampled.is_none());
        lesson.num_done += 1;
    }
}

#[test]
fn what_was_rethought_takes_nothing_of_the_rollouts_mean() {
    let case = Case::new(&[("beta", "0.04")]);
    let policy = case.policy();
    let (questions, moved) = (case.questions(&policy), case.losses.moved(&policy));
    let tree = case.tree(&policy, false);
    let mut task = GrpoTask::new(&case.config, policy, &questions).unwrap();
    task.publish(&moved).unwrap();
    let (plain, _) = step(&mut task, &[vec![copy(&tree)]]);
    let mut beside = copy(&tree);
    let rethought = copy(&tree).completions.remove(0);
    beside.completions.push(Learned { is_rethought: true, advantage: 0.05, ..rethought });
    let (both, _) = step(&mut task, &[vec![beside]]);
    // Its ratio is 1: the loss is lower by its advantage over the number of the others.
    let added = -0.05 / tree.completions.len() as f64;
    assert!((both.value - plain.value - added).abs() < 1e-6, "{} and {}", both.value, plain.value);
    for name in ["entropy", "kl"] {
        assert!((both.metrics[name] - plain.metrics[name]).abs() < 1e-5, "{name}");
    }
}

#[test]
fn the_buffers_age_is_in_rollouts() {
    let staleness = |keys: &[(&str, &str)]| Case::new(keys).config.replay().staleness;
    let several = [("num_iterations", "2"), ("steps_per_generation", "3")];
    assert_eq!(staleness(&[]), 4);
    assert_eq!(staleness(&several), 4 * 6);
    assert_eq!(staleness(&[("num_iterations", "2"), ("max_staleness", "2")]), (4 + 2) * 2);
    assert_eq!(staleness(&[("replay_staleness", "0"), ("max_staleness", "2")]), 0);
}

#[test]
fn a_buffered_completion_of_a_negative_advantage_is_bounded() {
    let dual = |keys: &[(&str, &str)]| match Case::new(keys).config.replay_objective().surrogate {
        loss::Surrogate::Clipped(clip) => clip.dual,
        other @ loss::Surrogate::Truncated { .. } => panic!("{other:?}"),
    };
    assert_eq!((dual(&[]), dual(&[("delta", "2")])), (Some(3.0), Some(2.0)));
}
