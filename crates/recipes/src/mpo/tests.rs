//! The update and the reference against the golden case.

use engine::{Counts, StepLoss, Task};
use serde_json::json;
use tensor::Gradients;
use testkit::assert_close_by_norm;

use super::pairs::Pairs;
use super::reference::reference;
use super::task::MpoTask;
use super::{MpoConfig, PreferenceLoss};
use crate::golden::Losses;
use crate::policy::Policy;

/// The golden pair, and a second one that has the responses the other way round.
struct Case {
    config: MpoConfig,
    losses: Losses,
}

impl Case {
    fn new(keys: &[(&str, &str)]) -> Self {
        let losses = Losses::of("mpo");
        let text =
            |key: &str| losses.json[key].as_str().unwrap().strip_suffix("<|im_end|>").unwrap();
        let line = |chosen: &str, rejected: &str| {
            json!({
                "prompt": [{"role": "user", "content": Losses::question()}], "images": ["image.png"],
                "chosen": text(chosen), "rejected": text(rejected),
            })
        };
        let lines = [line("chosen", "rejected"), line("rejected", "chosen")];
        let required = [("per_device_train_batch_size", "1")];
        let config = losses.config(&lines, &[&required, keys].concat());
        Self { config, losses }
    }

    fn policy(&self) -> Policy {
        Policy::load(&self.config.model, &self.config.run).unwrap()
    }

    fn pairs(&self, policy: &Policy) -> Pairs {
        Pairs::read(&self.config.run.dataset, &self.config.pairs, policy, &mut |_| {}).unwrap()
    }

    /// A task whose policy has moved away from the reference.
    fn task<'a>(&self, mut policy: Policy, pairs: &'a Pairs) -> MpoTask<'a> {
        let folder = &self.config.run.output_dir;
        let references = reference(&mut policy, pairs, folder, &mut |_| {}).unwrap();
        let moved = self.losses.moved(&policy);
        let mut task = MpoTask::new(&self.config, policy, pairs);
        task.references = references;
        task.publish(&moved).unwrap();
        task
    }

    fn check(&self, key: &str, got: f64) {
        let want = self.losses.json[key].as_f64().unwrap();
        assert!((got - want).abs() <= 1e-4 * want.abs(), "{key}: {got}, want {want}");
    }
}

/// Loss and gradients of a step in these micro-batches.
fn step(task: &mut MpoTask<'_>, batches: &[&[usize]]) -> (StepLoss, Gradients) {
    let batches: Vec<Vec<usize>> = batches.iter().map(|batch| batch.to_vec()).collect();
    let totals: Counts = batches.iter().map(|batch| task.count(batch)).sum();
    let mut gradients = task.policy.parameters().unwrap().gradients();
    let mut sum = StepLoss::default();
    for batch in &batches {
        let loss = task.forward_backward(batch, &totals, &mut gradients).unwrap();
        assert_eq!(loss.sample_values.len(), task.samples(batch).len());
        sum.value += loss.value;
        for (name, value) in loss.metrics {
            *sum.metrics.entry(name).or_insert(0.0) += value;
        }
    }
    (sum, gradients)
}

#[test]
fn loss_shift_and_gradients_are_the_references() {
    let case = Case::new(&[]);
    let policy = case.policy();
    let pairs = case.pairs(&policy);
    let mut task = case.task(policy, &pairs);
    case.check("reference_chosen_logp", task.references[0].chosen);
    case.check("reference_rejected_logp", task.references[0].rejected);
    let (loss, gradients) = step(&mut task, &[&[0]]);
    case.check("loss", loss.value);
    for (metric, key) in [
        ("loss/preference", "preference_loss"),
        ("loss/quality", "quality_loss"),
        ("loss/generation", "generation_loss"),
        ("logps/chosen", "chosen_logp"),
        ("logps/rejected", "rejected_logp"),
    ] {
        case.check(key, loss.metrics[metric]);
    }
    let shift = case.losses.json["reward_shift_after_first_update"].as_f64().unwrap();
    assert!((task.shift.mean - shift).abs() < 1e-5, "{}, want {shift}", task.shift.mean);
    assert_eq!(task.shift.num_updates, 1);
    let [chosen, rejected] =
        ["chosen", "rejected"].map(|side| loss.metrics[&format!("rewards/{side}")]);
    assert!((chosen + rejected - 2.0 * task.shift.mean).abs() < 1e-12);
    assert!((loss.metrics["rewards/margins"] - (chosen - rejected)).abs() < 1e-12);
    assert_eq!(loss.metrics["rewards/accuracies"], f64::from(u8::from(chosen > rejected)));
    case.losses.check_gradients("mpo", &gradients);
}

#[test]
fn the_parts_add_up_to_the_whole() {
    let weighted = [("sigmoid", 0.8), ("bco_pair", 0.2), ("sft", 1.0)];
    let whole = Case::new(&[]);
    let policy = whole.policy();
    let pairs = whole.pairs(&policy);
    let (loss, gradients) = step(&mut whole.task(policy, &pairs), &[&[0]]);
    let mut sum = 0.0;
    let mut added: Vec<(String, Vec<f32>)> =
        gradients.iter().map(|(name, values)| (name.to_owned(), vec![0.0; values.len()])).collect();
    for (part, weight) in weighted {
        let case = Case::new(&[("loss_type", &format!("[\"{part}\"]"))]);
        let policy = case.policy();
        let pairs = case.pairs(&policy);
        let (loss, gradients) = step(&mut case.task(policy, &pairs), &[&[0]]);
        sum += weight * loss.value;
        for ((_, sum), (_, values)) in added.iter_mut().zip(gradients.iter()) {
            sum.iter_mut().zip(values.as_slice()).for_each(|(s, v)| *s += weight as f32 * v);
        }
    }
    assert!((sum - loss.value).abs() < 1e-9, "{sum} and {}", loss.value);
    for ((name, sum), (_, whole)) in added.iter().zip(gradients.iter()) {
        assert_close_by_norm(name, sum, whole.as_slice(), 1e-5);
    }
}

#[test]
fn micro_batches_add_up_where_no_shift_moves() {
    let case =
        Case::new(&[("loss_type", "[\"sigmoid\", \"sft\"]"), ("loss_weights", "[0.8, 1.0]")]);
    let policy = case.policy();
    let pairs = case.pairs(&policy);
    let mut task = case.task(policy, &pairs);
    let (whole, gradients) = step(&mut task, &[&[0, 1]]);
    let (parts, added) = step(&mut task, &[&[0], &[1]]);
    assert!((whole.value - parts.value).abs() < 1e-6, "{} and {}", whole.value, parts.value);
    assert!((whole.metrics["rewards/margins"] - parts.metrics["rewards/margins"]).abs() < 1e-6);
    // Both are the mean over pairs, not their sum.
    let alone = [0, 1].map(|pair| step(&mut task, &[&[pair]]).0.value);
    let mean = (alone[0] + alone[1]) / 2.0;
    assert!((whole.value - mean).abs() < 1e-6, "{} and {mean}", whole.value);
    for ((name, whole), (_, parts)) in gradients.iter().zip(added.iter()) {
        assert_close_by_norm(name, parts.as_slice(), whole.as_slice(), 2e-5);
    }
}

#[test]
fn the_shift_is_the_mean_of_all_micro_batches() {
    let case = Case::new(&[]);
    let policy = case.policy();
    let pairs = case.pairs(&policy);
    let mut task = case.task(policy, &pairs);
    let (first, _) = step(&mut task, &[&[0]]);
    let (second, _) = step(&mut task, &[&[1]]);
    let mean =
        |loss: &StepLoss| (loss.metrics["rewards/chosen"] + loss.metrics["rewards/rejected"]) / 2.0;
    let want = (mean(&first) + mean(&second)) / 2.0;
    assert!((task.shift.mean - want).abs() < 1e-12);
    // Held-out pairs see it and do not move it.
    let before = task.shift;
    let references = task.references.clone();
    let measured = task.measure(&pairs, &references).unwrap();
    assert_eq!(task.shift, before);
    assert!(measured["loss"] > 0.0 && measured.contains_key("rewards/accuracies"));
}

/// The golden case has rewards so small that any δ near them gives the same loss; these are large.
#[test]
fn the_shift_counts_a_batch_before_its_loss() {
    let case = Case::new(&[("beta", "10")]);
    let policy = case.policy();
    let pairs = case.pairs(&policy);
    let mut task = case.task(policy, &pairs);
    let softplus = |x: f64| x.exp().ln_1p();
    for (pair, num_updates) in [(0, 1), (1, 2), (0, 3)] {
        let (loss, _) = step(&mut task, &[&[pair]]);
        let [chosen, rejected] =
            ["chosen", "rejected"].map(|side| loss.metrics[&format!("rewards/{side}")]);
        let shift = task.shift.mean;
        assert_eq!(task.shift.num_updates, num_updates);
        assert!(
            (chosen - rejected).abs() > 2.0 && shift.abs() > 0.5,
            "{chosen} {rejected} {shift}"
        );
        // Equation 4: −ln σ(h_c − δ) − ln σ(−(h_r − δ)).
        let want = softplus(shift - chosen) + softplus(rejected - shift);
        let got = loss.metrics["loss/quality"];
        assert!((got - want).abs() < 1e-9, "{got}, want {want}");
    }
}

#[test]
fn references_are_found_again_and_torn_lines_are_not() {
    let case = Case::new(&[]);
    let mut policy = case.policy();
    let pairs = case.pairs(&policy);
    let folder = case.losses.folder.path();
    let mut num_computed = || {
        let mut num = 0;
        let found = reference(&mut policy, &pairs, folder, &mut |_| num += 1).unwrap();
        (num, found)
    };
    let (num, first) = num_computed();
    assert_eq!(num, 2);
    assert_eq!(num_computed(), (0, first.clone()));
    let file = std::fs::read_dir(folder.join("reference")).unwrap().next().unwrap().unwrap().path();
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, &text[..text.len() - 7]).unwrap();
    assert_eq!(num_computed(), (1, first.clone()));
    assert_eq!(std::fs::read_to_string(&file).unwrap(), text);
    // Another policy is another file.
    let moved = case.losses.moved(&policy);
    policy.publish(&moved);
    let found = reference(&mut policy, &pairs, folder, &mut |_| {}).unwrap();
    assert_ne!(found, first);
    assert_eq!(std::fs::read_dir(folder.join("reference")).unwrap().count(), 2);
}

#[test]
fn weights_follow_the_parts() {
    let weights = |keys: &[(&str, &str)]| {
        let weights = Case::new(keys).config.objective.weights();
        [weights.preference, weights.quality, weights.generation]
    };
    assert_eq!(weights(&[]), [0.8, 0.2, 1.0]);
    assert_eq!(weights(&[("loss_type", "[\"sigmoid\"]")]), [1.0, 0.0, 0.0]);
    assert_eq!(weights(&[("loss_type", "[\"sft\", \"bco_pair\"]")]), [0.0, 1.0, 1.0]);
    let keys = [("loss_type", "[\"sft\", \"sigmoid\"]"), ("loss_weights", "[0.5, 2.0]")];
    assert_eq!(weights(&keys), [2.0, 0.0, 0.5]);
    assert_eq!(Case::new(&keys).config.objective.loss_type[0], PreferenceLoss::Sft);
}
