//! The log-probability head.

use super::{close, random, same_on_any_threads};
use kernels::head::{LogProbs, Want, log_probs, weight_gradient};
use kernels::packed::{Packed, Storage};
use kernels::reference;

/// Rows, inputs, vocabulary: blocks, panels and parts of every kind.
const SHAPES: [(usize, usize, usize); 10] = [
    (0, 5, 7),
    (1, 1, 1),
    (1, 64, 3000),
    (3, 40, 65),
    (7, 130, 2049),
    (8, 33, 128),
    (129, 20, 300),
    (130, 64, 1100),
    (515, 12, 200),
    (40, 576, 1000),
];

struct Problem {
    hidden: Vec<f32>,
    head: Packed,
    targets: Vec<u32>,
    dlogp: Vec<f32>,
    temperature: f32,
}

impl Problem {
    fn new((rows, inputs, vocabulary): (usize, usize, usize), size: f32, storage: Storage) -> Self {
        let mut hidden = random(rows * inputs, 1);
        hidden.iter_mut().for_each(|x| *x *= size);
        let weights = random(vocabulary * inputs, 2);
        let targets = (0..rows).map(|r| (r * 7919 % vocabulary) as u32).collect();
        let head = Packed::pack(&weights, vocabulary, inputs, storage);
        Self { hidden, head, targets, dlogp: random(rows, 3), temperature: 0.7 }
    }

    fn fast(&self, want: Want) -> LogProbs {
        log_probs(&self.hidden, &self.head, &self.targets, self.temperature, want)
    }

    fn slow(&self) -> LogProbs {
        let (rows, inputs) = (self.head.unpack(), self.head.inputs());
        reference::head::log_probs(&self.hidden, &rows, inputs, &self.targets, self.temperature)
    }

    fn weight_gradient(&self) -> Vec<f32> {
        let mut gradient = random(self.head.outputs() * self.head.inputs(), 4);
        let inputs = (&self.hidden[..], &self.head);
        weight_gradient(inputs, &self.targets, self.temperature, &self.dlogp, &mut gradient);
        gradient
    }

    fn slow_weight_gradient(&self) -> Vec<f32> {
        let mut gradient = random(self.head.outputs() * self.head.inputs(), 4);
        let (rows, targets) = (self.head.unpack(), &self.targets);
        let inputs = (&self.hidden[..], &rows[..]);
        reference::head::weight_gradient(
            inputs,
            targets,
            self.temperature,
            &self.dlogp,
            &mut gradient,
        );
        gradient
    }
}

pub(crate) fn like_the_slow_twin() {
    for shape in SHAPES {
        for storage in [Storage::F32, Storage::Bf16] {
            let problem = Problem::new(shape, 0.5, storage);
            let what = format!("{shape:?} {storage:?}");
            let (fast, slow) = (problem.fast(Want::Gradient), problem.slow());
            close(&fast.log_prob, &slow.log_prob, 1e-5, &what);
            close(&fast.entropy, &slow.entropy, 1e-5, &what);
            let (fast, slow) = (fast.gradient.expect("wanted"), slow.gradient.expect("wanted"));
            close(&fast, &slow, 1e-5, &what);
            let plain = problem.fast(Want::LogProbs);
            assert!(plain.gradient.is_none());
            assert_eq!(plain.log_prob, problem.fast(Want::Gradient).log_prob, "{what}");
        }
    }
}

pub(crate) fn gradient_of_the_weights() {
    for shape in SHAPES {
        let problem = Problem::new(shape, 0.5, Storage::F32);
        let what = format!("{shape:?}");
        close(&problem.weight_gradient(), &problem.slow_weight_gradient(), 2e-6, &what);
    }
}

/// Logits up to some ten thousands either way.
pub(crate) fn extreme_logits() {
    for shape in SHAPES {
        let problem = Problem::new(shape, 1e4, Storage::F32);
        let what = format!("{shape:?}");
        let (fast, slow) = (problem.fast(Want::Gradient), problem.slow());
        close(&fast.log_prob, &slow.log_prob, 1e-5, &what);
        assert!(fast.entropy.iter().chain(&fast.log_prob).all(|v| v.is_finite()), "{what}");
        assert!(fast.entropy.iter().all(|&entropy| entropy >= 0.0), "{what}");
        let (fast, slow) = (fast.gradient.expect("wanted"), slow.gradient.expect("wanted"));
        close(&fast, &slow, 2e-2, &what);
        assert!(problem.weight_gradient().iter().all(|v| v.is_finite()), "{what}");
    }
}

/// Tokens alike: exact answers.
pub(crate) fn even_distribution() {
    for logit in [0.0, 1e4, -1e4] {
        let head = Packed::pack(&[logit; 1000], 1000, 1, Storage::F32);
        let all = log_probs(&[1.0], &head, &[999], 1.0, Want::Gradient);
        close(&all.log_prob, &[-(1000.0_f32.ln())], 1e-6, "log-probability");
        close(&all.entropy, &[1000.0_f32.ln()], 1e-6, "entropy");
        assert!(all.gradient.expect("wanted")[0].abs() <= 1e-6 * f32::abs(logit));
    }
}

pub(crate) fn any_threads() {
    for shape in SHAPES {
        let problem = Problem::new(shape, 0.5, Storage::F32);
        same_on_any_threads(&format!("{shape:?}"), || {
            let all = problem.fast(Want::Gradient);
            let gradient = all.gradient.expect("wanted");
            [all.log_prob, all.entropy, gradient, problem.weight_gradient()].concat()
        });
    }
}

/// A row's results have the same bits alone and among others.
pub(crate) fn company_changes_nothing() {
    let mut problem = Problem::new((300, 40, 1500), 0.5, Storage::F32);
    let all = problem.fast(Want::Gradient);
    let (hidden, targets) = (problem.hidden.clone(), problem.targets.clone());
    for row in [0, 7, 149, 150, 299] {
        problem.hidden = hidden[row * 40..][..40].to_vec();
        problem.targets = vec![targets[row]];
        let alone = problem.fast(Want::Gradient);
        assert_eq!((alone.log_prob[0], alone.entropy[0]), (all.log_prob[row], all.entropy[row]));
        let gradient = &all.gradient.as_ref().expect("wanted")[row * 40..][..40];
        assert_eq!(alone.gradient.expect("wanted"), gradient);
    }
}

pub(crate) fn not_a_number_stays() {
    let mut problem = Problem::new((3, 40, 500), 0.5, Storage::F32);
    problem.hidden[45] = f32::NAN;
    let all = problem.fast(Want::Gradient);
    assert!(all.log_prob[1].is_nan() && all.entropy[1].is_nan());
    assert!(all.log_prob[0].is_finite() && all.entropy[2].is_finite());
}

pub(crate) fn target_outside() {
    let mut problem = Problem::new((3, 4, 50), 0.5, Storage::F32);
    problem.targets[1] = 50;
    let attempt = std::panic::catch_unwind(|| problem.fast(Want::LogProbs));
    assert!(attempt.is_err());
}
