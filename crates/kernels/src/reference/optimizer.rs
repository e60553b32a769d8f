//! AdamW and the sums the engine asks for.

use crate::optimizer::AdamW;

/// One AdamW update (arXiv:1711.05101, algorithm 2, with the learning rate inside the decay).
pub fn adamw(value: &mut [f32], gradient: &[f32], state: (&mut [f32], &mut [f32]), rule: &AdamW) {
    let (first, second) = state;
    let (b1, b2) = (f64::from(rule.beta1), f64::from(rule.beta2));
    let (lr, decay) = (f64::from(rule.lr), f64::from(rule.weight_decay));
    let step = rule.step as i32;
    let (fix1, fix2) = (1.0 - b1.powi(step), 1.0 - b2.powi(step));
    for i in 0..value.len() {
        let g = f64::from(gradient[i]);
        let m = b1 * f64::from(first[i]) + (1.0 - b1) * g;
        let v = b2 * f64::from(second[i]) + (1.0 - b2) * g * g;
        let update = (m / fix1) / ((v / fix2).sqrt() + f64::from(rule.eps));
        value[i] = (f64::from(value[i]) * (1.0 - lr * decay) - lr * update) as f32;
        (first[i], second[i]) = (m as f32, v as f32);
    }
}

/// `Σ x²`.
pub fn sum_squares(x: &[f32]) -> f64 {
    x.iter().map(|&x| f64::from(x) * f64::from(x)).sum()
}
