//! The update against the golden case, the rollout against the update, prompts against their answers.

use engine::{Counts, StepLoss, Task};
use serde_json::{Value, json};
use tensor::Gradients;
use testkit::{Golden, Tolerance, assert_close, assert_close_by_norm};

use super::GrpoConfig;
use super::draw::{Hand, generation};
use super::draws::Draws;
use super::group::Group;
use super::lesson::{Learned, Tree};
use super::questions::Questions;
use super::score::{Scorers, Scoring};
use super::task::GrpoTask;
use crate::golden::{Losses, path};
use crate::policy::Policy;

mod lessons;
mod rewards;

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
            is_rethought: false,
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
        is_rethought: l.is_rethought,
    };
    Tree { question: tree.question, completions: tree.completions.iter().map(learned).collect() }
}

/// Groups of one rollout by the policy, scored.
fn rollout<'a>(case: &'a Case, questions: &'a Questions, task: &mut GrpoTask<'_>) -> Vec<Group> {
    std::fs::create_dir_all(&case.config.run.output_dir).unwrap();
    let mut draws = Draws::new(&case.config, questions, 0, Box::new(|_| {})).unwrap();
    let ask = draws.ask(&mut task.policy, 0).unwrap();
    let config = generation(&case.config, &task.policy.processor);
    let (vlm, processor) = (&task.policy.vlm, &task.policy.processor);
    let hand = Hand { vlm, processor, config: &config, flight: &draws.flight };
    let drawn = hand.draw(&ask, &mut |_| {}).unwrap();
    let mut scoring = Scoring::new(&case.config, questions, Scorers::default()).unwrap();
    let mut groups = scoring.reward(drawn, &draws.flight, &mut |_| {}).unwrap();
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
