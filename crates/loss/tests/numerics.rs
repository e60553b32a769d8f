//! Gradients by finite differences, parts against the whole, and inputs at the edge.

use loss::*;
use testkit::check_gradient;

/// Log-probs and this step are multiples of 2⁻¹², so rounding to f32 is exact.
const STEP: f64 = 1.0 / 4096.0;

const KL: Kl = Kl { beta: 0.04, estimator: KlEstimator::K3 };

fn grid(x: f64) -> f32 {
    ((x / STEP).round() * STEP) as f32
}

/// Log-probs that differ from token to token, the same on every run.
fn stream(n: usize, phase: f64) -> Vec<f32> {
    (0..n).map(|t| grid(-1.5 + (t as f64 * 1.7 + phase).sin())).collect()
}

fn widen(x: &[f32]) -> Vec<f64> {
    x.iter().copied().map(f64::from).collect()
}

fn narrow(x: &[f64]) -> Vec<f32> {
    x.iter().map(|&x| x as f32).collect()
}

const REDUCTIONS: [Reduction; 4] = [
    Reduction::TokenMean,
    Reduction::SequenceMean,
    Reduction::SquareRootMean,
    Reduction::FixedLength(16),
];

fn objective(estimator: KlEstimator) -> Objective {
    let clip = Clip { low: 0.2, high: 0.28, dual: Some(2.0) };
    Objective { surrogate: Surrogate::Clipped(clip), kl: Kl { estimator, ..KL } }
}

#[test]
fn token_losses_by_finite_differences() {
    let (log_probs, old, reference) = (stream(7, 0.0), stream(7, 0.4), stream(7, 2.0));
    for reduction in REDUCTIONS {
        let totals = Counts::sequence(7, reduction) + Counts::sequence(3, reduction);
        let loss = |x: &[f64]| reduction.reduce(&sft(&narrow(x)), &totals);
        let at = widen(&log_probs);
        check_gradient(|x| loss(x).value, &at, &widen(&loss(&at).gradient), STEP, 1e-7);
        // With a given `old` the weight of another sampler's tokens is a number, below its cap or at it.
        let drawn_with = stream(7, 1.1);
        let sampler = Sampled { log_probs: &drawn_with, cap: 1.2 };
        for (advantage, sampled) in [(1.4, None), (-0.6, None), (1.4, Some(sampler))] {
            for estimator in [KlEstimator::K1, KlEstimator::K3] {
                let loss = |x: &[f64]| {
                    let log_probs = &narrow(x);
                    let completion = Completion {
                        log_probs,
                        old: Some(&old),
                        reference: Some(&reference),
                        sampled,
                        advantage,
                    };
                    reduction.reduce(&grpo(&completion, &objective(estimator)).terms, &totals)
                };
                check_gradient(|x| loss(x).value, &at, &widen(&loss(&at).gradient), STEP, 1e-6);
            }
        }
    }
}

#[test]
fn pair_losses_by_finite_differences() {
    let (chosen, rejected) = (stream(4, 0.0), stream(6, 1.0));
    let at = widen(&[chosen.clone(), rejected.clone()].concat());
    let losses: [fn(&Pair<'_>) -> PairTerm; 3] =
        [|p| dpo(p, 0.3), |p| bco(p, 0.3, 0.2), |p| mpo(p, 0.3, 0.2, MpoWeights::PAPER).total];
    for loss in losses {
        let term = |x: &[f64]| {
            let x = narrow(x);
            let (chosen, rejected) = x.split_at(4);
            loss(&Pair { chosen, rejected, reference_chosen: -5.0, reference_rejected: -11.0 })
        };
        let gradient = [vec![term(&at).chosen; 4], vec![term(&at).rejected; 6]].concat();
        check_gradient(|x| term(x).value, &at, &gradient, STEP, 1e-7);
    }
    let term = bradley_terry(0.7, 1.9);
    let value = |x: &[f64]| bradley_terry(x[0], x[1]).value;
    check_gradient(value, &[0.7, 1.9], &[term.chosen, term.rejected], STEP, 1e-7);
}

#[test]
fn two_parts_equal_one_batch() {
    // Micro-batches of unequal length: a mean of means would differ.
    let sequences = [stream(1, 0.0), stream(9, 1.0), stream(2, 2.0), stream(4, 3.0), vec![]];
    for reduction in REDUCTIONS {
        let count = |part: &[Vec<f32>]| {
            part.iter().map(|s| Counts::sequence(s.len(), reduction)).sum::<Counts>()
        };
        let whole = count(&sequences);
        let (first, second) = sequences.split_at(1);
        assert_eq!(count(first) + count(second), whole, "{reduction:?}");
        let value = |part: &[Vec<f32>]| {
            part.iter().map(|s| reduction.reduce(&sft(s), &whole).value).sum::<f64>()
        };
        let (parts, batch) = (value(first) + value(second), value(&sequences));
        assert!((parts - batch).abs() < 1e-12, "{reduction:?}: {parts} {batch}");
        let mean_of_means = |part: &[Vec<f32>]| {
            let own = count(part);
            part.iter().map(|s| reduction.reduce(&sft(s), &own).value).sum::<f64>()
        };
        let wrong = (mean_of_means(first) + mean_of_means(second)) / 2.0;
        assert!((wrong - batch).abs() > 1e-3, "{reduction:?}: the test must be able to fail");
    }
}

#[test]
fn pairs_add_up_to_their_mean() {
    let terms = [bradley_terry(1.0, 0.0), bradley_terry(-2.0, 0.5), bradley_terry(0.3, 0.2)];
    let totals: Counts = terms.iter().map(|_| Counts::pair()).sum();
    let mean: f64 = terms.iter().map(|&t| totals.mean(t).value).sum();
    assert!((mean - terms.iter().map(|t| t.value).sum::<f64>() / 3.0).abs() < 1e-12);
}

#[test]
fn extreme_log_probs_stay_finite() {
    for far in [100.0f32, -100.0] {
        for advantage in [3.0, -3.0] {
            for surrogate in [
                Surrogate::Clipped(Clip { low: 0.2, high: 0.2, dual: None }),
                Surrogate::Truncated { cap: 2.0 },
            ] {
                let completion = Completion {
                    log_probs: &[-0.0],
                    old: Some(&[far]),
                    reference: Some(&[far]),
                    sampled: None,
                    advantage,
                };
                let terms = grpo(&completion, &Objective { surrogate, kl: KL }).terms;
                let loss =
                    Reduction::TokenMean.reduce(&terms, &Counts::sequence(1, Reduction::TokenMean));
                assert!(
                    loss.value.is_finite() && loss.gradient[0].is_finite(),
                    "{far} {advantage} {loss:?}"
                );
            }
        }
    }
}

#[test]
fn extreme_scores_stay_exact() {
    assert_eq!(bradley_terry(100.0, -100.0).value, (-200f64).exp());
    assert_eq!(
        bradley_terry(-100.0, 100.0),
        PairTerm { value: 200.0, chosen: -1.0, rejected: 1.0 }
    );
    let pair = Pair {
        chosen: &[-100.0],
        rejected: &[100.0],
        reference_chosen: 0.0,
        reference_rejected: 0.0,
    };
    let terms = mpo(&pair, 1.0, 0.0, MpoWeights::PAPER);
    assert_eq!(terms.total.value, 0.8 * 200.0 + 0.2 * 200.0 + 100.0);
    assert_eq!(terms.quality, PairTerm { value: 200.0, chosen: -1.0, rejected: 1.0 });
}

#[test]
fn an_empty_mask_is_no_loss() {
    for reduction in REDUCTIONS {
        let none = Counts::sequence(0, reduction);
        assert_eq!(none, Counts::default());
        assert_eq!(reduction.reduce(&sft(&[]), &none), Loss::default());
        // a sequence that its totals forgot cannot divide by zero either
        assert_eq!(reduction.reduce(&sft(&[-1.0]), &none).value, 0.0);
    }
    let empty = Pair { chosen: &[], rejected: &[], reference_chosen: 0.0, reference_rejected: 0.0 };
    assert_eq!(mpo(&empty, 0.1, 0.0, MpoWeights::PAPER).generation.value, 0.0);
    assert_eq!(Counts::default().mean(bradley_terry(0.0, 0.0)).value, 0.0);
}

#[test]
#[should_panic(expected = "a penalty of 0.04 needs a reference")]
fn a_penalty_without_a_reference_is_refused() {
    let completion = Completion {
        log_probs: &[-1.0],
        old: None,
        reference: None,
        sampled: None,
        advantage: 1.0,
    };
    grpo(&completion, &objective(KlEstimator::K3));
}

#[test]
#[should_panic(expected = "log-probs of one completion")]
fn streams_of_unequal_length_are_refused() {
    let completion = Completion {
        log_probs: &[-1.0],
        old: Some(&[-1.0, -2.0]),
        reference: Some(&[-1.0]),
        sampled: None,
        advantage: 1.0,
    };
    grpo(&completion, &objective(KlEstimator::K3));
}
