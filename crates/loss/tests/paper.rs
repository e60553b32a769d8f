//! Each test proves one sentence of a paper, and says which.

use std::f64::consts::LN_2;

use loss::*;

const CLIP: Clip = Clip { low: 0.2, high: 0.2, dual: None };
const NO_KL: Kl = Kl { beta: 0.0, estimator: KlEstimator::K3 };
const OBJECTIVE: Objective = Objective { surrogate: Surrogate::Clipped(CLIP), kl: NO_KL };

fn close(got: f64, want: f64) {
    assert!((got - want).abs() < 5e-7 * want.abs().max(1.0), "got {got}, want {want}");
}

/// Completion of one token whose ratio is `ratio`.
fn one_token(ratio: f64, advantage: f64, surrogate: Surrogate) -> (f64, f64) {
    let old = [-(ratio.ln()) as f32];
    let completion = Completion {
        log_probs: &[0.0],
        old: Some(&old),
        reference: None,
        sampled: None,
        advantage,
    };
    let terms = grpo(&completion, &Objective { surrogate, ..OBJECTIVE }).terms;
    (terms.values[0], terms.slopes[0])
}

/// A pair with the given log-ratios whose chosen completion has 50 tokens and log-prob `chosen`.
fn pair(tokens: &[f32], chosen: f64, log_ratios: (f64, f64)) -> Pair<'_> {
    Pair {
        chosen: tokens,
        rejected: &[-7.0],
        reference_chosen: chosen - log_ratios.0,
        reference_rejected: -7.0 - log_ratios.1,
    }
}

// R1V (arXiv:2504.05599), section 2, through InternVL's `loss_reduction`:
// L = Σ_k Σ_t n_k^{-1/2} CE_kt / Σ_k Σ_t n_k^{-1/2}
#[test]
fn sft_square_reduction_weighs_a_sample_by_the_root_of_its_length() {
    let (long, short): (&[f32], &[f32]) = (&[-1.0, -2.0, -3.0, -2.0], &[-5.0]);
    let cases = [
        (Reduction::TokenMean, (8.0 + 5.0) / 5.0),
        (Reduction::SequenceMean, (8.0 / 4.0 + 5.0) / 2.0),
        (Reduction::SquareRootMean, (8.0 / 2.0 + 5.0) / (2.0 + 1.0)),
    ];
    for (reduction, want) in cases {
        let totals = Counts::sequence(4, reduction) + Counts::sequence(1, reduction);
        let value = |tokens| reduction.reduce(&sft(tokens), &totals).value;
        close(value(long) + value(short), want);
    }
}

// Skywork-VL Reward (arXiv:2505.07263), equation 1: −log σ(r(x, y+) − r(x, y−))
#[test]
fn bradley_terry_is_the_log_odds_of_the_right_order() {
    close(bradley_terry(1.5, 1.5).value, LN_2);
    close(bradley_terry(1.940_036_5, 0.892_418_6).value, 0.300_676_5);
    let term = bradley_terry(3.0, 1.0);
    close(term.chosen, -0.119_202_9);
    close(term.chosen + term.rejected, 0.0);
}

// R1V2 (arXiv:2504.16656), section 3.2: "π_θ starts from π_0", so at step 0 both log-ratios are zero.
#[test]
fn mpo_at_step_zero() {
    let tokens = [-2.0; 50];
    let terms = mpo(&pair(&tokens, -100.0, (0.0, 0.0)), 0.1, 0.0, MpoWeights::PAPER);
    close(terms.preference.value, LN_2);
    close(terms.quality.value, 1.386_294);
    close(terms.generation.value, 2.0);
    close(terms.total.value, 2.831_777);
}

// R1V2, equations 2 to 5, after the policy has moved.
#[test]
fn mpo_is_the_weighted_sum_of_its_parts() {
    let tokens = [-1.8; 50];
    let pair = pair(&tokens, f64::from(-1.8f32) * 50.0, (10.0, -20.0));
    let (chosen, rejected) = pair.rewards(0.1);
    close(chosen, 1.0);
    close(rejected, -2.0);
    let shift = RewardShift::default().updated(&[chosen, rejected]);
    close(shift.mean, -0.5);
    let terms = mpo(&pair, 0.1, shift.mean, MpoWeights::PAPER);
    close(terms.preference.value, 0.048_587);
    close(terms.quality.value, 0.402_827);
    close(terms.generation.value, 1.8);
    close(terms.total.value, 1.919_435);
    let MpoTerms { preference, quality, generation, total } = terms;
    assert_eq!(preference * 0.8 + quality * 0.2 + generation * 1.0, total);
    assert_eq!((preference, quality), (dpo(&pair, 0.1), bco(&pair, 0.1, shift.mean)));
}

// R1V2, section 3.2: δ is "the moving average of past rewards"; InternVL: the mean of all batch means.
#[test]
fn reward_shift_is_the_mean_of_all_batch_means() {
    let mut shift = RewardShift::default();
    let mut seen = vec![];
    for rewards in [&[0.5, -0.5][..], &[-1.0, 0.0], &[], &[1.0]] {
        shift = shift.updated(rewards);
        seen.push(shift.mean);
    }
    let want = [0.0, -0.25, -0.25, 1.0 / 6.0];
    seen.iter().zip(want).for_each(|(&got, want)| close(got, want));
    assert_eq!(shift.num_updates, 3);
}

// R1V2, equation 8, minimised: −1/G Σ_i 1/|y_i| Σ_t min[ρÂ, clip(ρ)Â]
#[test]
fn grpo_averages_tokens_then_completions() {
    let reduction = Reduction::SequenceMean;
    let totals = Counts::sequence(3, reduction) + Counts::sequence(1, reduction);
    let loss = |log_probs: &[f32], advantage| {
        let completion =
            Completion { log_probs, old: None, reference: None, sampled: None, advantage };
        reduction.reduce(&grpo(&completion, &OBJECTIVE).terms, &totals)
    };
    let (long, short) = (loss(&[-1.0, -2.0, -3.0], 1.0), loss(&[-4.0], -0.5));
    close(long.value + short.value, -(1.0 - 0.5) / 2.0);
    assert_eq!(long.gradient, [-1.0 / 6.0; 3]);
    assert_eq!(short.gradient, [0.25]);
}

// R1V2, equation 8: clip(ρ, 1−ε, 1+ε) bounds what one completion can gain, never what it can lose.
#[test]
fn the_clip_is_pessimistic() {
    let surrogate = Surrogate::Clipped(CLIP);
    let cases = [
        // (ρ, Â, loss, slope)
        (1.0, 2.0, -2.0, -2.0),
        (1.5, 2.0, -2.4, 0.0),
        (0.5, 2.0, -1.0, -1.0),
        (0.5, -2.0, 1.6, 0.0),
        (1.5, -2.0, 3.0, 3.0),
        (9.0, -2.0, 18.0, 18.0),
        (9.0, 0.0, 0.0, 0.0),
    ];
    for (ratio, advantage, value, slope) in cases {
        let got = one_token(ratio, advantage, surrogate);
        close(got.0, value);
        assert!((got.1 - slope).abs() < 1e-5, "{ratio} {advantage}: {got:?}");
    }
}

// DAPO (arXiv:2503.14476): ε_high above ε_low leaves room to raise unlikely tokens.
#[test]
fn the_upper_clip_may_be_higher() {
    let surrogate = Surrogate::Clipped(Clip { high: 0.35, ..CLIP });
    close(one_token(1.3, 1.0, surrogate).0, -1.3);
    close(one_token(1.5, 1.0, surrogate).0, -1.35);
    close(one_token(0.5, -1.0, surrogate).0, 0.8);
}

// Dual-clip PPO (arXiv:1912.09729): for Â < 0 the loss is min(−cÂ, max(−ρÂ, −clip(ρ)Â)).
#[test]
fn the_dual_clip_bounds_a_negative_advantage() {
    let surrogate = Surrogate::Clipped(Clip { dual: Some(3.0), ..CLIP });
    assert_eq!(one_token(9.0, -2.0, surrogate), (6.0, 0.0));
    close(one_token(2.0, -2.0, surrogate).0, 4.0);
    close(one_token(0.5, -2.0, surrogate).0, 1.6);
    close(one_token(9.0, 2.0, surrogate).0, -2.4);
}

// Truncated importance sampling (CISPO, arXiv:2506.13585): the weight is bounded, the gradient is not cut.
#[test]
fn a_truncated_weight_keeps_its_gradient() {
    let surrogate = Surrogate::Truncated { cap: 2.0 };
    for (ratio, advantage, want) in
        [(1.5, 2.0, -3.0), (9.0, 2.0, -4.0), (9.0, -2.0, 4.0), (0.5, -2.0, 1.0)]
    {
        let (value, slope) = one_token(ratio, advantage, surrogate);
        close(value, want);
        close(slope, want);
    }
}

// R1V2, text of section 3.3: "augmented with a KL-penalty" — which equation 8 leaves out.
#[test]
fn the_penalty_pulls_towards_the_reference() {
    let completion = Completion {
        log_probs: &[-1.0],
        old: None,
        reference: Some(&[-2.0]),
        sampled: None,
        advantage: 0.0,
    };
    let kl = Kl { beta: 0.04, estimator: KlEstimator::K3 };
    let out = grpo(&completion, &Objective { kl, ..OBJECTIVE });
    close(out.kl, 0.367_879);
    close(out.terms.values[0], 0.04 * 0.367_879);
    assert!(out.terms.slopes[0] > 0.0, "the token is likelier than under the reference");
}

// R1V2, section 3.3: "groups uniformly right or wrong give zero advantage" and teach nothing.
#[test]
fn no_advantage_no_gradient() {
    let completion = Completion {
        log_probs: &[-1.0; 3],
        old: None,
        reference: None,
        sampled: None,
        advantage: 0.0,
    };
    let totals = Counts::sequence(3, Reduction::SequenceMean);
    let loss = Reduction::SequenceMean.reduce(&grpo(&completion, &OBJECTIVE).terms, &totals);
    assert_eq!((loss.value, loss.gradient), (0.0, vec![0.0; 3]));
}

#[test]
fn clipped_tokens_are_counted_by_side() {
    let old = [0.0f32, 1.0, -1.0];
    let surrogate = Surrogate::Clipped(Clip { dual: Some(2.0), ..CLIP });
    let count = |advantage| {
        let completion = Completion {
            log_probs: &[0.0; 3],
            old: Some(&old),
            reference: None,
            sampled: None,
            advantage,
        };
        let out = grpo(&completion, &Objective { surrogate, ..OBJECTIVE });
        (out.num_clipped_low, out.num_clipped_high, out.num_capped)
    };
    assert_eq!(count(1.0), (0, 1, 0));
    assert_eq!(count(-1.0), (1, 0, 1));
}

// F. Yao et al. (2025): the policy's part is weighted by min(π_old / π_sampler, cap), the penalty is not.
#[test]
fn tokens_of_another_sampler_are_weighted_and_the_weight_is_capped() {
    let (log_probs, reference) = ([-1.0f32, -1.0], [-1.5f32, -1.5]);
    let drawn_with = [-1.0 - 0.3f32.ln(), -1.0 - 9.0f32.ln()];
    let sampled = Some(Sampled { log_probs: &drawn_with, cap: 2.0 });
    let kl = Kl { beta: 0.1, estimator: KlEstimator::K3 };
    let of = |sampled| {
        let completion = Completion {
            log_probs: &log_probs,
            old: None,
            reference: Some(&reference),
            sampled,
            advantage: 1.5,
        };
        grpo(&completion, &Objective { kl, ..OBJECTIVE })
    };
    let (own, other) = (of(None), of(sampled));
    let penalty = own.terms.values[0] + 1.5;
    for (t, weight) in [0.3, 2.0].into_iter().enumerate() {
        close(other.terms.values[t], -1.5 * weight + penalty);
        close(other.terms.slopes[t] - own.terms.slopes[t], 1.5 * (1.0 - weight));
    }
    close(own.importance, 2.0);
    close(other.importance, 2.3);
    // Where the update is no longer the first, the weight stays that of the policy it began with.
    let old = [-1.1f32, -1.1];
    let completion = Completion {
        log_probs: &log_probs,
        old: Some(&old),
        reference: None,
        sampled: Some(Sampled { log_probs: &old, cap: 2.0 }),
        advantage: 1.5,
    };
    let terms = grpo(&completion, &OBJECTIVE).terms;
    close(terms.values[0], -1.5 * (0.1f64).exp());
}
