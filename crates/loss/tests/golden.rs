//! The losses and gradients against numbers computed elsewhere.
//!
//! `golden/internvl_six_b.*`: transformers 5.23 on a tiny InternVL checkpoint, log-probs of four completions and
//! sums of one pair, in f32. `golden/autograd.json`: PyTorch's autograd in f64, by the script beside it.

use loss::*;
use serde_json::Value;
use testkit::{Golden, Tolerance, assert_close, json};

/// Log-probs there are f32, and so are the gradients here.
const F32: Tolerance = Tolerance { absolute: 1e-7, relative: 1e-6 };

fn golden(name: &str) -> std::path::PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

fn number(value: &Value) -> f64 {
    value.as_f64().expect("a number")
}

fn numbers(value: &Value) -> Vec<f32> {
    value.as_array().expect("a list").iter().map(|x| number(x) as f32).collect()
}

/// One completion of `autograd.json`.
struct Streams {
    log_probs: Vec<f32>,
    old: Vec<f32>,
    reference: Vec<f32>,
    advantage: f64,
}

impl Streams {
    fn read(value: &Value) -> Self {
        Self {
            log_probs: numbers(&value["log_probs"]),
            old: numbers(&value["old"]),
            reference: numbers(&value["reference"]),
            advantage: number(&value["advantage"]),
        }
    }

    fn completion(&self) -> Completion<'_> {
        Completion {
            log_probs: &self.log_probs,
            old: Some(&self.old),
            reference: Some(&self.reference),
            sampled: None,
            advantage: self.advantage,
        }
    }
}

/// The loss and the gradients of a batch, each completion reduced by itself.
fn batch(batch: &[Streams], objective: &Objective, reduction: Reduction) -> (f64, Vec<Vec<f32>>) {
    let totals: Counts = batch.iter().map(|s| Counts::sequence(s.log_probs.len(), reduction)).sum();
    let losses =
        batch.iter().map(|s| reduction.reduce(&grpo(&s.completion(), objective).terms, &totals));
    losses.fold((0.0, vec![]), |(value, mut gradients), loss| {
        gradients.push(loss.gradient);
        (value + loss.value, gradients)
    })
}

fn check(what: &str, got: &(f64, Vec<Vec<f32>>), want: &Value) {
    if let Some(loss) = want["loss"].as_f64() {
        assert_close(what, &[got.0], &[loss], F32);
    }
    let gradients = want["gradients"].as_array().expect("a list");
    for (got, want) in got.1.iter().zip(gradients) {
        assert_close(what, got, &numbers(want), F32);
    }
}

fn clipped(estimator: KlEstimator) -> Objective {
    let clip = Clip { low: 0.2, high: 0.28, dual: Some(1.6) };
    Objective { surrogate: Surrogate::Clipped(clip), kl: Kl { beta: 0.04, estimator } }
}

#[test]
fn grpo_agrees_with_autograd_under_every_reduction() {
    let torch = json(golden("autograd.json"));
    let streams: Vec<Streams> =
        torch["completions"].as_array().unwrap().iter().map(Streams::read).collect();
    let reductions = [
        ("token_mean", Reduction::TokenMean),
        ("sequence_mean", Reduction::SequenceMean),
        ("square_root_mean", Reduction::SquareRootMean),
        ("fixed_length_16", Reduction::FixedLength(16)),
    ];
    for (name, reduction) in reductions {
        check(name, &batch(&streams, &clipped(KlEstimator::K3), reduction), &torch["grpo"][name]);
    }
    let k1 = batch(&streams, &clipped(KlEstimator::K1), Reduction::SequenceMean);
    check("k1", &k1, &torch["grpo_k1"]);
}

#[test]
fn truncated_importance_sampling_agrees_with_autograd() {
    let torch = json(golden("autograd.json"));
    let streams: Vec<Streams> =
        torch["completions"].as_array().unwrap().iter().map(Streams::read).collect();
    let kl = Kl { beta: 0.0, estimator: KlEstimator::K3 };
    let objective = Objective { surrogate: Surrogate::Truncated { cap: 1.5 }, kl };
    check("truncated", &batch(&streams, &objective, Reduction::TokenMean), &torch["truncated"]);
}

#[test]
fn mpo_agrees_with_autograd() {
    let torch = &json(golden("autograd.json"))["mpo"];
    let pairs = torch["pairs"].as_array().unwrap();
    let totals: Counts = pairs.iter().map(|_| Counts::pair()).sum();
    let mut parts = [0.0; 4];
    for pair in pairs {
        let (chosen, rejected) = (numbers(&pair["chosen"]), numbers(&pair["rejected"]));
        let read = Pair {
            chosen: &chosen,
            rejected: &rejected,
            reference_chosen: number(&pair["reference_chosen"]),
            reference_rejected: number(&pair["reference_rejected"]),
        };
        let terms = mpo(&read, number(&torch["beta"]), number(&torch["shift"]), MpoWeights::PAPER);
        let all = [terms.preference, terms.quality, terms.generation, terms.total];
        for (part, term) in parts.iter_mut().zip(all) {
            *part += totals.mean(term).value;
        }
        let total = totals.mean(terms.total);
        let flat = |slope: f64, n: usize| vec![slope as f32; n];
        assert_close(
            "chosen",
            &flat(total.chosen, chosen.len()),
            &numbers(&pair["chosen_gradient"]),
            F32,
        );
        assert_close(
            "rejected",
            &flat(total.rejected, rejected.len()),
            &numbers(&pair["rejected_gradient"]),
            F32,
        );
    }
    let want = ["preference", "quality", "generation", "loss"].map(|name| number(&torch[name]));
    assert_close("parts", &parts, &want, Tolerance::relative(1e-9));
}

#[test]
fn mpo_of_the_golden_checkpoint() {
    let want = &json(golden("internvl_six_b.json"))["mpo"];
    // The file holds sums of log-probs, and the loss of the chosen tokens gives their number.
    let sum = number(&want["chosen_logp"]);
    let num_tokens = (-sum / number(&want["generation_loss"])).round() as usize;
    let chosen = vec![(sum / num_tokens as f64) as f32; num_tokens];
    let pair = Pair {
        chosen: &chosen,
        rejected: &[number(&want["rejected_logp"]) as f32],
        reference_chosen: number(&want["reference_chosen_logp"]),
        reference_rejected: number(&want["reference_rejected_logp"]),
    };
    let beta = number(&want["beta"]);
    let (h_c, h_r) = pair.rewards(beta);
    let shift = RewardShift::default().updated(&[h_c, h_r]).mean;
    let terms = mpo(&pair, beta, shift, MpoWeights::PAPER);
    let got = [
        shift,
        terms.preference.value,
        terms.quality.value,
        terms.generation.value,
        terms.total.value,
    ];
    let names = [
        "reward_shift_after_first_update",
        "preference_loss",
        "quality_loss",
        "generation_loss",
        "loss",
    ];
    let tolerance = Tolerance { absolute: 2e-6, relative: 1e-5 };
    assert_close("mpo", &got, &names.map(|name| number(&want[name])), tolerance);
}

#[test]
fn grpo_of_the_golden_checkpoint() {
    let want = &json(golden("internvl_six_b.json"))["grpo"];
    let arrays = Golden::open(golden("internvl_six_b.safetensors"));
    let stream = |i: usize, name: &str| arrays.f32(&format!("grpo.completion{i}.{name}"));
    let advantages = numbers(&want["advantages"]);
    let mut streams: Vec<Streams> = vec![];
    for (i, &advantage) in advantages.iter().enumerate() {
        let (log_probs, old, reference) =
            (stream(i, "logps"), stream(i, "old_logps"), stream(i, "ref_logps"));
        streams.push(Streams { log_probs, old, reference, advantage: f64::from(advantage) });
    }
    let clip = Clip { low: number(&want["epsilon"]), high: number(&want["epsilon"]), dual: None };
    let kl = Kl { beta: number(&want["beta"]), estimator: KlEstimator::K3 };
    let objective = Objective { surrogate: Surrogate::Clipped(clip), kl };
    let (loss, _) = batch(&streams, &objective, Reduction::SequenceMean);
    let tolerance = Tolerance { absolute: 1e-6, relative: 1e-4 };
    assert_close("clipped", &[loss], &[number(&want["clipped_loss_with_kl"])], tolerance);

    let totals: Counts =
        streams.iter().map(|s| Counts::sequence(s.log_probs.len(), Reduction::SequenceMean)).sum();
    let on_policy: f64 = streams
        .iter()
        .map(|s| {
            let completion = Completion { old: None, reference: None, ..s.completion() };
            let objective = Objective { kl: Kl { beta: 0.0, ..kl }, ..objective };
            Reduction::SequenceMean.reduce(&grpo(&completion, &objective).terms, &totals).value
        })
        .sum();
    assert_close("on policy", &[on_policy], &[number(&want["on_policy_loss_beta0"])], tolerance);
}
