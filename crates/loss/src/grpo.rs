//! The policy-gradient loss of group-relative policy optimisation.

use crate::kl::{Kl, LOG_RATIO_LIMIT};
use crate::reduction::{Term, Terms};

/// The log-probs of one completion, one for each of its tokens, and its advantage.
#[derive(Clone, Copy, Debug)]
pub struct Completion<'a> {
    /// `log π_θ` under the policy being trained.
    pub log_probs: &'a [f32],
    /// `log π_old` under the policy that drew the completion. `None` when that is the policy being
    /// trained: the ratio is then 1, its denominator the detached numerator.
    pub old: Option<&'a [f32]>,
    /// `log π_ref` under the frozen reference; needed when the penalty's `beta` is not zero.
    pub reference: Option<&'a [f32]>,
    /// Where another engine, or the same model in fewer bits, drew the tokens.
    pub sampled: Option<Sampled<'a>>,
    /// `Â`, the same for all tokens.
    pub advantage: f64,
}

/// Tokens drawn by something that is not quite `π_old`: a server, quantised weights, an earlier version.
///
/// The policy's part of a token's loss is multiplied by `min(π_old / π_sampler, cap)`, a constant to the gradient:
/// truncated importance sampling ("Your efficient RL framework secretly brings you off-policy RL training",
/// F. Yao et al., 2025; `vllm_importance_sampling_cap` in TRL). The penalty is not.
#[derive(Clone, Copy, Debug)]
pub struct Sampled<'a> {
    /// `log π_sampler`, one for each token.
    pub log_probs: &'a [f32],
    /// The largest weight.
    pub cap: f64,
}

/// What is minimised for each token.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Objective {
    /// How the importance ratio enters.
    pub surrogate: Surrogate,
    /// The penalty for leaving the reference.
    pub kl: Kl,
}

/// How the importance ratio `ρ = π_θ / π_old` of a token enters the loss.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Surrogate {
    /// The clipped surrogate of PPO: a token that has moved far enough stops pushing.
    Clipped(Clip),
    /// Truncated importance sampling: a token keeps pushing with the weight `min(ρ, cap)`, which is
    /// a constant to the gradient. For buffered completions whose policy is some steps old.
    Truncated {
        /// The largest weight.
        cap: f64,
    },
}

/// The bounds of [`Surrogate::Clipped`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Clip {
    /// `ε_low`: the ratio is clipped below `1 − ε_low`.
    pub low: f64,
    /// `ε_high`: the ratio is clipped above `1 + ε_high`.
    pub high: f64,
    /// Dual clip `c > 1`: with a negative advantage the loss is at most `−c·Â` (arXiv:1912.09729;
    /// `clip_ratio_c` in verl, `delta` in TRL).
    pub dual: Option<f64>,
}

/// The unreduced loss of one completion, and what is logged about it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PolicyTerms {
    /// One term per token.
    pub terms: Terms,
    /// Tokens with a negative advantage whose ratio is below `1 − ε_low`.
    pub num_clipped_low: usize,
    /// Tokens with a positive advantage whose ratio is above `1 + ε_high`.
    pub num_clipped_high: usize,
    /// Tokens held by the dual clip or by the cap on the weight.
    pub num_capped: usize,
    /// The estimated divergence from the reference, summed over the tokens; zero without one.
    pub kl: f64,
    /// The weights of [`Sampled`], summed over the tokens; their number where there is no other sampler.
    pub importance: f64,
}

/// Group-relative policy optimisation of one completion, unreduced.
///
/// ```text
/// ℓ_t = −min(ρ_t Â, clip(ρ_t, 1 − ε_low, 1 + ε_high) Â) + β k_t,    ρ_t = exp(log π_θ − log π_old)
/// ```
///
/// Paper: DeepSeekMath (arXiv:2402.03300); equation 8 of R1V2 (arXiv:2504.16656), which prints
/// neither the minus sign nor the penalty its text speaks of; `ε_low ≠ ε_high` after DAPO
/// (arXiv:2503.14476). Departs from the papers: `log ρ` is held to ±20, and the average over
/// tokens and completions is the caller's: [`SequenceMean`](crate::Reduction::SequenceMean)
/// reproduces equation 8.
///
/// Shapes: the streams of `completion` and the terms all have one entry per token.
///
/// # Panics
/// When the streams differ in length, or `beta` is not zero and there is no reference.
pub fn grpo(completion: &Completion<'_>, objective: &Objective) -> PolicyTerms {
    let Completion { log_probs, old, reference, sampled, advantage } = *completion;
    let Objective { surrogate, kl } = *objective;
    assert!(reference.is_some() || kl.beta == 0.0, "a penalty of {} needs a reference", kl.beta);
    for stream in [old, reference, sampled.map(|s| s.log_probs)].into_iter().flatten() {
        assert_eq!(stream.len(), log_probs.len(), "log-probs of one completion");
    }
    let mut out = PolicyTerms::default();
    for (t, &log_prob) in log_probs.iter().enumerate() {
        let log_prob = f64::from(log_prob);
        let old = old.map(|old| f64::from(old[t]));
        let ratio = ratio(log_prob, old);
        let mut term = match surrogate {
            Surrogate::Clipped(clip) => clipped(ratio, advantage, clip, &mut out),
            Surrogate::Truncated { cap } => truncated(ratio.value, advantage, cap, &mut out),
        };
        let weight = sampled.map_or(1.0, |sampled| {
            let drawn_with = f64::from(sampled.log_probs[t]);
            importance(old.unwrap_or(log_prob) - drawn_with, sampled.cap)
        });
        out.importance += weight;
        term.value *= weight;
        term.slope *= weight;
        if let Some(reference) = reference {
            let divergence = kl.estimator.term(log_prob, f64::from(reference[t]));
            out.kl += divergence.value;
            term.value += kl.beta * divergence.value;
            term.slope += kl.beta * divergence.slope;
        }
        out.terms.push(term);
    }
    out
}

/// `ρ` and its derivative, which is `ρ` again, or nothing where `log ρ` is held.
fn ratio(log_prob: f64, old: Option<f64>) -> Term {
    let log_ratio = old.map_or(0.0, |old| log_prob - old);
    let held = log_ratio.clamp(-LOG_RATIO_LIMIT, LOG_RATIO_LIMIT);
    let value = held.exp();
    Term { value, slope: if held == log_ratio { value } else { 0.0 } }
}

/// `min(e^d, cap)`.
fn importance(difference: f64, cap: f64) -> f64 {
    difference.clamp(-LOG_RATIO_LIMIT, LOG_RATIO_LIMIT).exp().min(cap)
}

fn clipped(ratio: Term, advantage: f64, clip: Clip, out: &mut PolicyTerms) -> Term {
    let free = Term { value: -ratio.value * advantage, slope: -ratio.slope * advantage };
    let bounded = -ratio.value.clamp(1.0 - clip.low, 1.0 + clip.high) * advantage;
    if bounded > free.value {
        out.num_clipped_low += usize::from(advantage < 0.0);
        out.num_clipped_high += usize::from(advantage > 0.0);
        return Term { value: bounded, slope: 0.0 };
    }
    match clip.dual {
        Some(dual) if advantage < 0.0 && free.value > -dual * advantage => {
            out.num_capped += 1;
            Term { value: -dual * advantage, slope: 0.0 }
        }
        _ => free,
    }
}

/// The weight is detached, so the derivative is that of `weight · log π_θ`.
fn truncated(ratio: f64, advantage: f64, cap: f64, out: &mut PolicyTerms) -> Term {
    out.num_capped += usize::from(ratio > cap);
    let value = -ratio.min(cap) * advantage;
    Term { value, slope: value }
}
