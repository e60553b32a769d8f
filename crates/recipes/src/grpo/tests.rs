//! The update against the golden case, the rollout against the update, prompts against their answers.

use advantage::{Entry, Mixed};
use engine::{Counts, StepLoss, Task};
use serde_json::{Value, json};
use tensor::Gradients;
use testkit::{Golden, Tolerance, assert_close, assert_close_by_norm};

use super::draw::Drawn;
use super::flight::{Draws as Name, Flight};
use super::group::{Group, Sampled};
use super::lesson::{Learned, Lesson, Tree};
use super::questions::Questions;
use super::score::{Scorers, Scoring};
use super::task::GrpoTask;
use super::{Draws, GrpoConfig};
use crate::golden::{Losses, path};
use crate::policy::Policy;

/// The golden question, and a second one about the same image.
struct Case {
    config: GrpoConfig,
    losses: Losses,
}

impl Case {
    fn new(keys: &[(&str, &str)]) -> Self {
        let losses = Losses::of("grpo");
        let line = |question: &Value| {
            let messages = json!([
                {"role": "user", "content": question},
                {"role": "assistant", "content": "</think>\n\n\\boxed{8765}"},
            ]);
            json!({"messages": messages, "images": ["image.png"], "answer": "8765"})
        };
        let lines = [line(&Losses::question()), line(&json!("<image>\nAnd now?"))];
        let required = [("per_device_train_batch_size", "8"), ("num_generations", "4")];
        let config = losses.config(&lines, &[&required, keys].concat());
        Self { config, losses }
    }

    fn policy(&self) -> Policy {
        Policy::load(&self.config.model, &self.config.run).unwrap()
    }

    fn questions(&self, policy: &Policy) -> Questions {
        Questions::read(&self.config.run.dataset, policy, &mut |_| {}).unwrap()
    }

    /// The case's completions as one tree, with their old log-probs where `old`.
    fn tree(&self, policy: &Policy, old: bool) -> Tree {
        let texts = self.losses.json["completions"].as_array().unwrap();
        let learned = |(index, text): (usize, &Value)| Learned {
            token_ids: policy.processor.completion(text.as_str().unwrap()).unwrap(),
            advantage: self.losses.json["advantages"][index].as_f64().unwrap(),
            old: old.then(|| self.losses.tensors.f32(&format!("grpo.completion{index}.old_logps"))),
            sampled: None,
            is_replayed: false,
        };
        Tree { question: 0, completions: texts.iter().enumerate().map(learned).collect() }
    }
}

/// Loss and gradients of a step in these micro-batches.
fn step(task: &mut GrpoTask<'_>, batches: &[Vec<Tree>]) -> (StepLoss, Gradients) {
    let totals: Counts = batches.iter().map(|batch| task.count(batch)).sum();
    let mut gradients = task.policy.parameters().unwrap().gradients();
    let mut sum = StepLoss::default();
    for batch in batches {
        let loss = task.forward_backward(batch, &totals, &mut gradients).unwrap();
        assert_eq!(loss.sample_values.len(), task.samples(batch).len());
        sum.value += loss.value;
        sum.metrics = loss.metrics;
    }
    (sum, gradients)
}

#[test]
fn on_policy_loss_and_gradients_are_the_references() {
    let case = Case::new(&[]);
    let policy = case.policy();
    let (questions, moved) = (case.questions(&policy), case.losses.moved(&policy));
    let tree = case.tree(&policy, false);
    let mut task = GrpoTask::new(&case.config, policy, &questions).unwrap();
    task.publish(&moved).unwrap();
    let (loss, gradients) = step(&mut task, &[vec![tree]]);
    let want = case.losses.json["on_policy_loss_beta0"].as_f64().unwrap();
    assert!((loss.value - want).abs() < 1e-6, "loss {}, want {want}", loss.value);
    assert!(!loss.metrics.contains_key("kl"));
    case.losses.check_gradients("grpo_on_policy", &gradients);
}

#[test]
fn clipped_loss_with_divergence_and_gradients_are_the_references() {
    let case = Case::new(&[("beta", "0.04"), ("epsilon", "0.2")]);
    let policy = case.policy();
    let (questions, moved) = (case.questions(&policy), case.losses.moved(&policy));
    let tree = case.tree(&policy, true);
    // The task holds on to the policy it was made with: the checkpoint's.
    let mut task = GrpoTask::new(&case.config, policy, &questions).unwrap();
    task.publish(&moved).unwrap();
    let (loss, gradients) = step(&mut task, &[vec![tree]]);
    let want = case.losses.json["clipped_loss_with_kl"].as_f64().unwrap();
    assert!((loss.value - want).abs() < 1e-4 * want.abs(), "loss {}, want {want}", loss.value);
    assert!(loss.metrics["kl"] > 0.0 && loss.metrics["clip_ratio/region_mean"] > 0.0);
    case.losses.check_gradients("grpo_clipped_kl", &gradients);
    // And it goes back to the policy under training.
    for (name, values) in task.policy.parameters().unwrap().iter() {
        assert_eq!(values.as_slice(), moved.get(name).unwrap().as_slice(), "{name}");
    }
}

#[test]
fn log_probs_are_the_references() {
    let case = Case::new(&[]);
    let policy = case.policy();
    let (questions, moved) = (case.questions(&policy), case.losses.moved(&policy));
    let tree = case.tree(&policy, false);
    let mut task = GrpoTask::new(&case.config, policy, &questions).unwrap();
    for kind in ["ref_logps", "logps"] {
        let scored = task.log_probs(0, tree.branches().into_iter()).unwrap();
        for (index, log_probs) in scored.iter().enumerate() {
            let want = case.losses.tensors.f32(&format!("grpo.completion{index}.{kind}"));
            assert_close(kind, log_probs, &want, Tolerance::absolute(1e-4));
        }
        task.publish(&moved).unwrap();
    }
}

#[test]
fn micro_batches_add_up_to_one_batch() {
    for loss_type in ["grpo", "dapo", "dr_grpo"] {
        let case = Case::new(&[("beta", "0.04"), ("loss_type", loss_type)]);
        let policy = case.policy();
        let (questions, moved) = (case.questions(&policy), case.losses.moved(&policy));
        let mut trees = Vec::new();
        for question in 0..2 {
            // Split as a refilled step is: fresh completions in one tree, old ones in another.
            let mut tree = Tree { question, ..case.tree(&policy, true) };
            let second = Tree { question, completions: tree.completions.split_off(1 + question) };
            trees.extend([tree, second]);
        }
        let mut task = GrpoTask::new(&case.config, policy, &questions).unwrap();
        task.publish(&moved).unwrap();
        let copies = |trees: &[Tree]| trees.iter().map(copy).collect::<Vec<_>>();
        let (whole, gradients) = step(&mut task, &[copies(&trees)]);
        let parts = trees.iter().map(|tree| vec![copy(tree)]).collect::<Vec<_>>();
        let halves = [copies(&trees[..1]), copies(&trees[1..])];
        for parts in [&parts[..], &halves] {
            let (sum, added) = step(&mut task, parts);
            let distance = (sum.value - whole.value).abs();
            assert!(distance < 1e-6, "{loss_type}: {} and {}", sum.value, whole.value);
            for (name, gradient) in added.iter() {
                let want = gradients.get(name).unwrap().as_slice();
                assert_close_by_norm(name, gradient.as_slice(), want, 2e-5);
            }
        }
    }
}

fn copy(tree: &Tree) -> Tree {
    let learned = |l: &Learned| Learned {
        token_ids: l.token_ids.clone(),
        advantage: l.advantage,
        old: l.old.clone(),
        sampled: l.sampled.clone(),
        is_replayed: l.is_replayed,
    };
    Tree { question: tree.question, completions: tree.completions.iter().map(learned).collect() }
}

/// Groups of one rollout by the policy, scored.
fn rollout<'a>(case: &'a Case, questions: &'a Questions, task: &mut GrpoTask<'_>) -> Vec<Group> {
    std::fs::create_dir_all(&case.config.run.output_dir).unwrap();
    let mut draws = Draws::new(&case.config, questions, 0, Box::new(|_| {})).unwrap();
    let ask = draws.ask(&mut task.policy, 0).unwrap();
    let config = super::generation(&case.config, &task.policy.processor);
    let (vlm, processor) = (&task.policy.vlm, &task.policy.processor);
    let hand = super::Hand { vlm, processor, config: &config, flight: &draws.flight };
    let drawn = hand.draw(&ask, &mut |_| {}).unwrap();
    let mut scoring = Scoring::new(&case.config, questions, Scorers::default()).unwrap();
    let mut groups = scoring.reward(drawn, &draws.flight).unwrap();
    scoring.advantage(&mut groups);
    groups
}

/// Log-probs of a group under the policy as it is.
fn log_probs(task: &mut GrpoTask<'_>, group: &Group) -> Vec<Vec<f32>> {
    let ids = group.completions.iter().map(|completion| completion.token_ids.as_slice());
    task.log_probs(group.question, ids).unwrap()
}

#[test]
fn the_samplers_log_probs_are_the_trainers() {
    for trainable in ["adapter", "adapter+vision", "adapter+lora"] {
        let case = Case::new(&[("max_completion_length", "48"), ("trainable", trainable)]);
        let policy = case.policy();
        let questions = case.questions(&policy);
        let mut task = GrpoTask::new(&case.config, policy, &questions).unwrap();
        let groups = rollout(&case, &questions, &mut task);
        assert_eq!(groups.len(), 2);
        let image_token = task.policy.vlm.image_token.unwrap();
        for group in &groups {
            let scored = log_probs(&mut task, group);
            assert_eq!(group.completions.len(), 4);
            for (completion, scored) in group.completions.iter().zip(&scored) {
                let tolerance = Tolerance::absolute(1e-4);
                assert_close(trainable, &completion.logprobs, scored, tolerance);
                assert!(!completion.token_ids.contains(&image_token));
            }
        }
    }
}

#[test]
fn the_buffer_gets_log_probs_at_the_temperature_of_training() {
    for (temperature, is_samplers) in [("1", true), ("0.7", false)] {
        let case = Case::new(&[("max_completion_length", "12"), ("temperature", temperature)]);
        let policy = case.policy();
        let questions = case.questions(&policy);
        let mut task = GrpoTask::new(&case.config, policy, &questions).unwrap();
        let mut groups = rollout(&case, &questions, &mut task);
        assert!(task.entries(&groups).unwrap().is_empty(), "no group has mixed outcomes");
        groups[1].components[0].rewards = vec![1.0, 0.0, 0.0, 0.0];
        let entries = task.entries(&groups).unwrap();
        assert_eq!(entries.len(), 4);
        let scored = log_probs(&mut task, &groups[1]);
        for ((entry, scored), completion) in entries.iter().zip(scored).zip(&groups[1].completions)
        {
            let tolerance = Tolerance::absolute(1e-4);
            assert_close(temperature, &entry.log_probs, &scored, tolerance);
            assert_eq!(entry.log_probs == completion.logprobs, is_samplers);
        }
    }
}

fn said(text: &str, length: usize, finish_reason: schema::FinishReason) -> schema::Completion {
    schema::Completion {
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
    said: Vec<Vec<schema::Completion>>,
) -> Vec<Group> {
    let flight = Flight::open(case.losses.folder.path(), "").unwrap();
    let mut scoring = Scoring::new(&case.config, questions, scorers).unwrap();
    let drawn = said.into_iter().enumerate().map(|(question, completions)| Drawn {
        question,
        draws: Name { stream: question as u64, version: 0 },
        completions,
    });
    let mut groups = scoring.reward(drawn.collect(), &flight).unwrap();
    scoring.advantage(&mut groups);
    groups
}

const STOP: schema::FinishReason = schema::FinishReason::Stop;
const CUT: schema::FinishReason = schema::FinishReason::Length;

/// Two right, one of them tidy; one cut off, one wrong.
fn mixed_answers() -> Vec<schema::Completion> {
    vec![
        said("So it is.\n</think>\n\n\\boxed{8765}", 4, STOP),
        said("</think> \\boxed{8,765.0}", 2, STOP),
        said("\\boxed{8765}", 6, CUT),
        said("a\n</think>\n\\boxed{1}", 8, STOP),
    ]
}

fn check_metrics(groups: &[Group], want: &[(&str, f64)]) {
    let mut metrics = std::collections::BTreeMap::new();
    super::group::metrics(groups, &mut metrics);
    for (name, want) in want {
        assert!((metrics[*name] - want).abs() < 1e-12, "{name}: {}, want {want}", metrics[*name]);
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
    assert_eq!(Case::new(&[]).config.reward.aggregation(), super::Aggregation::SumThenNormalize);
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
    let all_cut = answers.iter().cloned().map(|c| schema::Completion { finish_reason: CUT, ..c });
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
    lesson.rethought = vec![super::lesson::Rethought { question: 7, token_ids: vec![99] }];
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
fn prompts_do_not_hold_their_answers() {
    let case = Case::new(&[]);
    let policy = case.policy();
    let questions = case.questions(&policy);
    assert_eq!(questions.len(), 2);
    for (prompt, answer) in questions.prompts.iter().zip(&questions.answers) {
        assert_eq!(answer, "8765");
        let spelled = policy.processor.tokenizer.decode_with_special(&prompt.ids).unwrap();
        assert!(!prompt.text.contains(answer) && !spelled.contains(answer), "{spelled}");
        assert!(prompt.opens_thought());
    }
    let golden = Golden::open(path("model/tests/golden/internvl-six-b/reference.safetensors"));
    let want: Vec<u32> = golden.i32("input_ids").into_iter().map(|id| id as u32).collect();
    assert_eq!(questions.prompts[0].ids, want);
}
