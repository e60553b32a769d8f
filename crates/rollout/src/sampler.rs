//! From one row of logits to one token: penalty, temperature, top-k, top-p, one draw.
//!
//! The order and the meaning of the filters are those of transformers' `generate`. A draw is a pure
//! function of (seed, stream, position), so neither the batch a sequence happens to sit in, nor the
//! number of threads, nor a resume changes a token.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use serde::{Deserialize, Serialize};

use crate::Error;

/// How a token is chosen from the model's distribution.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sampling {
    /// Logits are divided by it; 0 takes the most probable token (of equals the lowest id).
    pub temperature: f32,
    /// Keep the `top_k` most probable tokens and all that tie with the last; 0 keeps all.
    pub top_k: usize,
    /// Keep the smallest set of most probable tokens that holds this much probability; 1 keeps all.
    pub top_p: f32,
    /// CTRL's penalty P on tokens already in prompt or output: z ← z/P if z > 0, else z·P.
    ///
    /// Keskar et al., arXiv:1909.05858, section 4.1, with the sign rule of transformers.
    pub repetition_penalty: f32,
    /// Seed of all draws.
    pub seed: u64,
}

impl Sampling {
    /// The most probable token each time.
    pub fn greedy() -> Self {
        Self { temperature: 0.0, top_k: 0, top_p: 1.0, repetition_penalty: 1.0, seed: 0 }
    }

    /// Draws from the model's own distribution at `temperature`.
    pub fn at_temperature(temperature: f32, seed: u64) -> Self {
        Self { temperature, seed, ..Self::greedy() }
    }

    /// Refuses values outside their range, naming the key and the value.
    pub fn validate(&self) -> Result<(), Error> {
        let check = |holds: bool, key, value: f32, expected| {
            if holds { Ok(()) } else { Err(Error::Setting { key, value, expected }) }
        };
        let finite = f32::is_finite;
        check(
            finite(self.temperature) && self.temperature >= 0.0,
            "temperature",
            self.temperature,
            "at least 0",
        )?;
        check(self.top_p > 0.0 && self.top_p <= 1.0, "top_p", self.top_p, "above 0 and at most 1")?;
        let penalty = self.repetition_penalty;
        // Far from these, logits are no longer finite.
        let is_sound = (0.01..=100.0).contains(&penalty);
        check(is_sound, "repetition_penalty", penalty, "from 0.01 to 100")
    }
}

/// Names one draw: which sample it belongs to and how many draws that sample made before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Draw {
    /// The sample: every completion of a run has its own.
    pub stream: u64,
    /// The token's place in the completion, from 0.
    pub position: u64,
}

impl Draw {
    /// A number in [0, 1), always the same for the same seed and draw.
    pub fn uniform(self, seed: u64) -> f64 {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(self.stream);
        rng.set_word_pos(2 * u128::from(self.position));
        (rng.next_u64() >> 11) as f64 * (0.5f64).powi(53)
    }
}

/// A chosen token.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Choice {
    /// The token.
    pub token: u32,
    /// Its natural log-probability under the unfiltered model distribution at temperature 1.
    pub logprob: f32,
}

/// What one token is chosen by.
#[derive(Clone, Copy, Debug)]
pub struct Rules<'a> {
    /// The filters, and the seed of the draw.
    pub sampling: &'a Sampling,
    /// Tokens that are never chosen.
    pub banned: &'a [u32],
    /// The distinct tokens of prompt and output, which the repetition penalty knows.
    pub seen: &'a [u32],
    /// The name of the draw.
    pub draw: Draw,
}

/// Chooses tokens; holds the scratch space that a choice needs.
#[derive(Clone, Debug, Default)]
pub struct Sampler {
    /// Filtered logits, then unnormalised probabilities: one for each token of the vocabulary.
    weights: Vec<f32>,
    unordered: Vec<f32>,
    ranked: Vec<u32>,
}

impl Sampler {
    /// Chooses one token from a row of logits.
    ///
    /// Logits that are not finite, or a vocabulary that is banned as a whole, are an error.
    pub fn choose(&mut self, logits: &[f32], rules: &Rules<'_>) -> Result<Choice, Error> {
        let Rules { sampling, banned, seen, draw } = *rules;
        let log_sum = log_sum_exp(logits);
        if !log_sum.is_finite() {
            return Err(Error::NotFinite { stream: draw.stream, position: draw.position });
        }
        self.penalise(logits, seen, sampling.repetition_penalty);
        self.ban(banned);
        let best = argmax(&self.weights).ok_or(Error::NothingToChoose)?;
        let token = if sampling.temperature == 0.0 {
            best
        } else {
            let total = self.filter(sampling, best);
            self.pick(draw.uniform(sampling.seed) * total)
        };
        Ok(Choice { token: token as u32, logprob: (f64::from(logits[token]) - log_sum) as f32 })
    }

    fn penalise(&mut self, logits: &[f32], seen: &[u32], penalty: f32) {
        self.weights.clear();
        self.weights.extend_from_slice(logits);
        if penalty != 1.0 {
            for &token in seen {
                if let Some(z) = self.weights.get_mut(token as usize) {
                    *z = if *z > 0.0 { *z / penalty } else { *z * penalty };
                }
            }
        }
    }

    fn ban(&mut self, banned: &[u32]) {
        for &token in banned {
            if let Some(z) = self.weights.get_mut(token as usize) {
                *z = f32::NEG_INFINITY;
            }
        }
    }

    /// Turns logits into what the filters leave of the probabilities, times a constant; returns their sum.
    fn filter(&mut self, sampling: &Sampling, best: usize) -> f64 {
        self.keep_top_k(sampling.top_k);
        let total = self.exponentiate(best, sampling.temperature);
        self.keep_top_p(total, f64::from(sampling.top_p))
    }

    fn keep_top_k(&mut self, k: usize) {
        let n = self.weights.len();
        if k == 0 || k >= n {
            return;
        }
        self.unordered.clone_from(&self.weights);
        let (_, &mut threshold, _) = self.unordered.select_nth_unstable_by(n - k, f32::total_cmp);
        self.weights.iter_mut().filter(|z| **z < threshold).for_each(|z| *z = f32::NEG_INFINITY);
    }

    /// Turns logits into probabilities times a constant; returns their sum.
    fn exponentiate(&mut self, best: usize, temperature: f32) -> f64 {
        let max = self.weights[best];
        self.weights.iter_mut().for_each(|z| *z = ((*z - max) / temperature).exp());
        sum(&self.weights)
    }

    /// Zeroes the tokens outside the nucleus; returns the sum of what stays.
    ///
    /// Holtzman et al., arXiv:1904.09751. A token stays while the tokens before it hold less than
    /// `top_p`, so the first always stays.
    fn keep_top_p(&mut self, total: f64, top_p: f64) -> f64 {
        if top_p >= 1.0 {
            return total;
        }
        // Tokens below this share hold at most 1 - top_p together: none of them can stay, and the
        // sort is over the few others.
        let floor = ((1.0 - top_p) * total / self.weights.len() as f64) as f32;
        let weights = &self.weights;
        self.ranked.clear();
        self.ranked.extend((0..weights.len() as u32).filter(|&i| weights[i as usize] >= floor));
        self.ranked.sort_unstable_by(|&a, &b| {
            weights[b as usize].total_cmp(&weights[a as usize]).then(a.cmp(&b))
        });
        let mut kept = 0.0;
        let mut num_kept = 0;
        while num_kept < self.ranked.len() && (num_kept == 0 || kept < top_p * total) {
            kept += f64::from(weights[self.ranked[num_kept] as usize]);
            num_kept += 1;
        }
        self.zero_all_but_first(num_kept);
        sum(&self.weights)
    }

    fn zero_all_but_first(&mut self, num_kept: usize) {
        let stays: Vec<_> = self.ranked[..num_kept]
            .iter()
            .map(|&i| (i as usize, self.weights[i as usize]))
            .collect();
        self.weights.fill(0.0);
        stays.into_iter().for_each(|(i, weight)| self.weights[i] = weight);
    }

    /// The token at which the running sum of weights, in order of ids, passes `mark`.
    fn pick(&self, mark: f64) -> usize {
        let mut passed = 0.0;
        let mut last = 0;
        for (i, &weight) in self.weights.iter().enumerate().filter(|(_, w)| **w > 0.0) {
            passed += f64::from(weight);
            last = i;
            if passed > mark {
                break;
            }
        }
        last
    }
}

/// Index of the largest value, the first of equals; none if no value is above -inf.
fn argmax(values: &[f32]) -> Option<usize> {
    let mut best = None;
    let mut max = f32::NEG_INFINITY;
    for (i, &value) in values.iter().enumerate() {
        if value > max {
            (best, max) = (Some(i), value);
        }
    }
    best
}

fn sum(values: &[f32]) -> f64 {
    values.iter().map(|&v| f64::from(v)).sum()
}

/// ln Σ exp(zᵢ), the normaliser of the raw distribution; not finite if any logit is NaN or +inf.
fn log_sum_exp(logits: &[f32]) -> f64 {
    let max = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let total: f64 = logits.iter().map(|&z| f64::from((z - max).exp())).sum();
    f64::from(max) + total.ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOGITS: [f32; 12] =
        [3.082, -0.587, -4.358, 1.137, -2.169, -2.797, 0.807, 1.676, -1.439, -0.807, -1.193, 0.364];

    /// The distribution that the filters leave over the tokens.
    fn filtered(sampling: &Sampling, seen: &[u32]) -> Vec<f64> {
        let mut sampler = Sampler::default();
        sampler.penalise(&LOGITS, seen, sampling.repetition_penalty);
        let best = argmax(&sampler.weights).unwrap();
        let total = sampler.filter(sampling, best);
        sampler.weights.iter().map(|&w| f64::from(w) / total).collect()
    }

    fn check(penalty: f32, temperature: f32, top_k: usize, top_p: f32, expected: [f64; 12]) {
        let sampling = Sampling { temperature, top_k, top_p, repetition_penalty: penalty, seed: 0 };
        let found = filtered(&sampling, &[1, 4, 7]);
        for (token, (f, e)) in found.iter().zip(expected).enumerate() {
            assert!((f - e).abs() < 2e-6, "{sampling:?} token {token}: {f} instead of {e}");
        }
    }

    // transformers 5.23, with `seen = torch.tensor([[1, 4, 4, 7]])` and x = LOGITS:
    //   x = RepetitionPenaltyLogitsProcessor(penalty)(seen, x); x = TemperatureLogitsWarper(t)(seen, x)
    //   x = TopKLogitsWarper(k)(seen, x); x = TopPLogitsWarper(p)(seen, x); x.softmax(-1)
    // each only when it is not the identity.
    #[test]
    fn filters_equal_those_of_transformers() {
        #[rustfmt::skip]
        let cases = [
            (1.3, 1.0, 0, 1.0, [0.644725, 0.013787, 0.000379, 0.092187, 0.001763, 0.001804, 0.066276, 0.107346, 0.007013, 0.013195, 0.008969, 0.042556]),
            (1.0, 0.7, 0, 1.0, [0.787757, 0.004169, 0.000019, 0.048941, 0.000435, 0.000177, 0.030545, 0.105701, 0.001234, 0.003045, 0.001754, 0.016221]),
            (1.0, 1.0, 5, 1.0, [0.642297, 0.0, 0.0, 0.09184, 0.0, 0.0, 0.066026, 0.157441, 0.0, 0.0, 0.0, 0.042396]),
            (1.0, 1.0, 0, 0.8, [0.720404, 0.0, 0.0, 0.103009, 0.0, 0.0, 0.0, 0.176587, 0.0, 0.0, 0.0, 0.0]),
            (1.2, 0.6, 6, 0.9, [0.943154, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.056846, 0.0, 0.0, 0.0, 0.0]),
            (1.0, 1.0, 0, 0.01, [1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]),
            (1.1, 2.0, 3, 0.5, [1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]),
        ];
        for (penalty, temperature, top_k, top_p, expected) in cases {
            check(penalty, temperature, top_k, top_p, expected);
        }
    }

    fn choose(logits: &[f32], sampling: &Sampling, banned: &[u32], position: u64) -> Choice {
        let draw = Draw { stream: 3, position };
        Sampler::default().choose(logits, &Rules { sampling, banned, seen: &[], draw }).unwrap()
    }

    #[test]
    fn greedy_takes_the_lowest_id_of_equals_and_reports_the_raw_log_prob() {
        let choice = choose(&[1.0, 2.0, 2.0, 0.0], &Sampling::greedy(), &[], 0);
        assert_eq!(choice.token, 1);
        // 2 - ln(e + 2e² + 1)
        assert!((choice.logprob - (-0.917_576)).abs() < 1e-5, "{}", choice.logprob);
    }

    #[test]
    fn filters_do_not_change_the_reported_log_prob() {
        let narrow = Sampling { top_k: 1, ..Sampling::at_temperature(0.3, 1) };
        let plain = choose(&LOGITS, &Sampling::greedy(), &[], 0);
        assert_eq!(choose(&LOGITS, &narrow, &[], 0), plain);
    }

    #[test]
    fn banned_tokens_never_come() {
        assert_eq!(choose(&LOGITS, &Sampling::greedy(), &[0, 7], 0).token, 3);
        let sampling = Sampling::at_temperature(5.0, 1);
        assert!((0..500).all(|i| ![0, 7].contains(&choose(&LOGITS, &sampling, &[0, 7], i).token)));
        let all: Vec<u32> = (0..12).collect();
        let draw = Draw { stream: 0, position: 0 };
        let rules = Rules { sampling: &sampling, banned: &all, seen: &[], draw };
        let result = Sampler::default().choose(&LOGITS, &rules);
        assert!(matches!(result, Err(Error::NothingToChoose)));
    }

    #[test]
    fn frequencies_follow_the_probabilities() {
        let sampling = Sampling::at_temperature(1.0, 7);
        let expected = filtered(&sampling, &[]);
        let num = 20_000;
        let mut counts = [0; 12];
        (0..num).for_each(|i| counts[choose(&LOGITS, &sampling, &[], i).token as usize] += 1);
        for (count, p) in counts.iter().zip(expected) {
            let sigma = (num as f64 * p * (1.0 - p)).sqrt();
            assert!((f64::from(*count) - num as f64 * p).abs() < 4.0 * sigma + 1.0);
        }
    }

    #[test]
    fn a_draw_depends_on_nothing_but_its_name() {
        let draw = |stream, position| Draw { stream, position }.uniform(5);
        let first: Vec<f64> = (0..8).map(|i| draw(1, i)).collect();
        let again: Vec<f64> = (0..8).rev().map(|i| draw(1, i)).rev().collect();
        assert_eq!(first, again);
        assert!((0..8).all(|i| draw(2, i) != first[i as usize]));
        assert!(first.iter().all(|u| (0.0..1.0).contains(u)));
    }

    #[test]
    fn extreme_and_broken_logits() {
        let far = [100.0, -100.0, 99.0];
        assert!(choose(&far, &Sampling::at_temperature(0.01, 0), &[], 0).logprob.is_finite());
        for broken in [f32::NAN, f32::INFINITY] {
            let draw = Draw { stream: 9, position: 4 };
            let rules = Rules { sampling: &FLAT, banned: &[], seen: &[], draw };
            let result = Sampler::default().choose(&[0.0, broken, 1.0], &rules);
            assert!(matches!(result, Err(Error::NotFinite { stream: 9, position: 4 })));
        }
    }

    const FLAT: Sampling =
        Sampling { temperature: 1.0, top_k: 0, top_p: 1.0, repetition_penalty: 1.0, seed: 0 };

    #[test]
    fn settings_out_of_range_are_named() {
        let wrong = [
            (Sampling { temperature: -1.0, ..FLAT }, "temperature is -1, expected at least 0"),
            (Sampling { top_p: 0.0, ..FLAT }, "top_p is 0, expected above 0 and at most 1"),
            (
                Sampling { repetition_penalty: 0.0, ..FLAT },
                "repetition_penalty is 0, expected from 0.01 to 100",
            ),
        ];
        for (sampling, message) in wrong {
            assert_eq!(sampling.validate().unwrap_err().to_string(), message);
        }
        assert!(Sampling { temperature: f32::NAN, ..FLAT }.validate().is_err());
        for repetition_penalty in [1e-39, 101.0, f32::INFINITY, f32::NAN] {
            assert!(Sampling { repetition_penalty, ..FLAT }.validate().is_err());
        }
        assert!(FLAT.validate().is_ok());
    }
}
