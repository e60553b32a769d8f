//! Log-probability, entropy and gradient of chosen tokens, with all logits of a row at hand.

use crate::head::LogProbs;
use crate::reference::linear::dot;

/// Log-probabilities of `targets` under `softmax(hidden·Wᵀ / T)`, with entropies and the
/// gradient `(W[target] − E_p[W]) / T` of each log-probability with respect to its hidden row.
///
/// `hidden` is `[rows, inputs]`, `weight` `[vocabulary, inputs]`.
pub fn log_probs(
    hidden: &[f32],
    weight: &[f32],
    inputs: usize,
    targets: &[u32],
    temperature: f32,
) -> LogProbs {
    let mut all = LogProbs { log_prob: vec![], entropy: vec![], gradient: Some(vec![]) };
    for (x, &target) in hidden.chunks_exact(inputs).zip(targets) {
        let log_p = log_softmax(x, weight, temperature);
        all.log_prob.push(log_p[target as usize] as f32);
        all.entropy.push(-log_p.iter().map(|l| l.exp() * l.max(-1e30)).sum::<f64>() as f32);
        let gradient = (0..inputs).map(|i| {
            let mean: f64 = log_p
                .iter()
                .enumerate()
                .map(|(o, l)| l.exp() * f64::from(weight[o * inputs + i]))
                .sum();
            let chosen = f64::from(weight[target as usize * inputs + i]);
            ((chosen - mean) / f64::from(temperature)) as f32
        });
        all.gradient.get_or_insert_default().extend(gradient);
    }
    all
}

/// Adds `Σ_rows dlogp·∂logp/∂W` to `gradient` `[vocabulary, inputs]`.
pub fn weight_gradient(
    (hidden, weight): (&[f32], &[f32]),
    targets: &[u32],
    temperature: f32,
    dlogp: &[f32],
    gradient: &mut [f32],
) {
    let inputs = hidden.len() / targets.len().max(1);
    for (row, &target) in targets.iter().enumerate() {
        let x = &hidden[row * inputs..][..inputs];
        let log_p = log_softmax(x, weight, temperature);
        for (o, l) in log_p.iter().enumerate() {
            let chosen = f64::from(u8::from(o == target as usize));
            let dlogit = f64::from(dlogp[row]) * (chosen - l.exp()) / f64::from(temperature);
            for (i, &x) in x.iter().enumerate() {
                gradient[o * inputs + i] += (dlogit * f64::from(x)) as f32;
            }
        }
    }
}

fn log_softmax(x: &[f32], weight: &[f32], temperature: f32) -> Vec<f64> {
    let logits = weight.chunks_exact(x.len()).map(|w| dot(x, w) / f64::from(temperature));
    let logits: Vec<f64> = logits.collect();
    let top = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let total = top + logits.iter().map(|l| (l - top).exp()).sum::<f64>().ln();
    logits.iter().map(|l| l - total).collect()
}
