//! Every backward function against finite differences of its forward function.

use std::ops::Range;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tensor::ops::{self, AdamW, Gelu, Want};
use tensor::{DType, Heads, RotaryTable, Span, Tensor, Weight};

/// Values in −1..1.
fn random(shape: &[usize], seed: u64) -> Tensor {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let len = shape.iter().product();
    let values = (0..len).map(|_| (rng.next_u32() >> 8) as f32 / (1 << 23) as f32 - 1.0);
    Tensor::from_vec(values.collect(), shape)
}

fn weight(rows: &Tensor) -> Weight {
    Weight::pack(rows.as_slice(), rows.rows(), rows.cols(), DType::F32)
}

fn dot(a: &Tensor, b: &Tensor) -> f64 {
    assert_eq!(a.shape(), b.shape());
    let pairs = a.as_slice().iter().zip(b.as_slice());
    pairs.map(|(&a, &b)| f64::from(a) * f64::from(b)).sum()
}

/// `a + h·b`.
fn shifted(a: &Tensor, b: &Tensor, h: f32) -> Tensor {
    let values = a.as_slice().iter().zip(b.as_slice()).map(|(a, b)| a + h * b);
    Tensor::from_vec(values.collect(), a.shape())
}

/// Checks `backward(inputs, dy)`, one gradient per input, against the change of `⟨dy, forward⟩`
/// along random directions.
fn check(
    what: &str,
    inputs: &[Tensor],
    forward: impl Fn(&[Tensor]) -> Tensor,
    backward: impl Fn(&[Tensor], &Tensor) -> Vec<Tensor>,
) {
    const STEP: f32 = 4e-3;
    let dy = random(forward(inputs).shape(), 1000);
    let gradients = backward(inputs, &dy);
    assert_eq!(gradients.len(), inputs.len());
    for (i, gradient) in gradients.iter().enumerate() {
        for seed in 0..3 {
            let direction = random(inputs[i].shape(), 2000 + seed);
            let along = |h: f32| {
                let mut inputs = inputs.to_vec();
                inputs[i] = shifted(&inputs[i], &direction, h);
                dot(&forward(&inputs), &dy)
            };
            let measured = (along(STEP) - along(-STEP)) / (2.0 * f64::from(STEP));
            let computed = dot(gradient, &direction);
            let size = dot(gradient, gradient).sqrt();
            let error = (measured - computed).abs() / size;
            assert!(
                error < 2e-3,
                "{what}, input {i}: {measured} measured, {computed}, size {size}"
            );
        }
    }
}

#[test]
fn linear() {
    let inputs = [random(&[7, 70], 1), random(&[66, 70], 2), random(&[66], 3)];
    check(
        "linear",
        &inputs,
        |x| ops::linear(&x[0], &weight(&x[1]), Some(&x[2])),
        |x, dy| {
            let (mut dw, mut db) = (Tensor::zeros(x[1].shape()), Tensor::zeros(x[2].shape()));
            ops::weight_gradient(dy, &x[0], &mut dw);
            ops::bias_gradient(dy, &mut db);
            vec![ops::linear_backward(dy, &weight(&x[1])), dw, db]
        },
    );
    let dy = random(&[7, 66], 4);
    let mut twice = ops::linear_backward(&dy, &weight(&inputs[1]));
    let once = twice.clone();
    ops::linear_backward_add(&dy, &weight(&inputs[1]), &mut twice);
    let rest = shifted(&twice, &once, -2.0);
    assert!(rest.as_slice().iter().all(|v| v.abs() < 1e-4));
}

#[test]
fn norms() {
    let inputs = [random(&[5, 37], 1), random(&[37], 2)];
    check(
        "rms norm",
        &inputs,
        |x| ops::rms_norm(&x[0], &x[1], 1e-5),
        |x, dy| {
            let mut dw = Tensor::zeros(x[1].shape());
            vec![ops::rms_norm_backward(dy, &x[0], &x[1], 1e-5, Some(&mut dw)), dw]
        },
    );
    let inputs = [random(&[5, 37], 1), random(&[37], 2), random(&[37], 3)];
    check(
        "layer norm",
        &inputs,
        |x| ops::layer_norm(&x[0], &x[1], &x[2], 1e-5),
        |x, dy| {
            let (mut dw, mut db) = (Tensor::zeros(x[1].shape()), Tensor::zeros(x[2].shape()));
            let grads = Some((&mut dw, &mut db));
            vec![ops::layer_norm_backward(dy, &x[0], &x[1], 1e-5, grads), dw, db]
        },
    );
}

#[test]
fn rotary() {
    let table = RotaryTable::new(&[0, 3, 500], &[1.0, 0.3, 0.01], 1.0);
    let turned = |x: &Tensor| {
        let mut x = x.clone();
        ops::rotary(&mut x, 6, &table);
        x
    };
    let x = random(&[3, 12], 1);
    check(
        "rotary",
        std::slice::from_ref(&x),
        |x| turned(&x[0]),
        |_, dy| {
            let mut dx = dy.clone();
            ops::rotary_backward(&mut dx, 6, &table);
            vec![dx]
        },
    );
    assert_eq!(turned(&x).row(0), x.row(0), "position 0 is not turned");
    let length = |x: &Tensor| dot(x, x);
    assert!((length(&turned(&x)) - length(&x)).abs() < 1e-5);
}

/// A prompt with two branches beside a plain causal run and a run that sees itself whole.
fn spans() -> Vec<Span> {
    let prompt = 0..9;
    let span = |own: Range<usize>, past: Vec<Range<usize>>, causal| Span {
        queries: own.clone(),
        past,
        own,
        causal,
    };
    vec![
        span(prompt.clone(), vec![], true),
        span(9..14, vec![prompt.clone()], true),
        span(14..17, vec![prompt], true),
        span(17..22, vec![], true),
        span(22..26, vec![], false),
    ]
}

#[test]
fn attention() {
    let heads = Heads { query: 6, key_value: 2, dim: 10 };
    let spans = spans();
    let inputs = [random(&[26, 60], 1), random(&[26, 20], 2), random(&[26, 20], 3)];
    check(
        "attention",
        &inputs,
        |x| ops::attention(&x[0], &x[1], &x[2], &spans, heads).out,
        |x, dy| {
            let attended = ops::attention(&x[0], &x[1], &x[2], &spans, heads);
            let inputs = (&x[0], &x[1], &x[2]);
            let (dq, dk, dv) = ops::attention_backward(dy, inputs, &attended, &spans, heads);
            vec![dq, dk, dv]
        },
    );
}

/// Decoding a token at a time from a cache gives what one causal run gives.
#[test]
fn decoding_repeats_the_run() {
    let heads = Heads { query: 4, key_value: 2, dim: 16 };
    let (q, k, v) = (random(&[20, 64], 1), random(&[20, 32], 2), random(&[20, 32], 3));
    let (prompt, whole) =
        (0..12, [Span { queries: 0..20, past: vec![], own: 0..20, causal: true }]);
    let run = ops::attention(&q, &k, &v, &whole, heads).out;
    for i in 12..20 {
        let step =
            [Span { queries: 0..1, past: vec![prompt.clone()], own: 12..i + 1, causal: true }];
        let row = ops::attention(&ops::gather_rows(&q, &[i]), &k, &v, &step, heads).out;
        let error = row.as_slice().iter().zip(run.row(i)).map(|(a, b)| (a - b).abs());
        assert!(error.fold(0.0, f32::max) < 1e-6, "token {i}");
    }
}

#[test]
fn activations() {
    let inputs = [random(&[9, 21], 1), random(&[9, 21], 2)];
    check(
        "swiglu",
        &inputs,
        |x| ops::swiglu(&x[0], &x[1]),
        |x, dy| {
            let (dgate, dup) = ops::swiglu_backward(dy, &x[0], &x[1]);
            vec![dgate, dup]
        },
    );
    for kind in [Gelu::Erf, Gelu::Tanh] {
        let mut x = random(&[9, 21], 3);
        ops::scale(&mut x, 3.0);
        check(
            "gelu",
            &[x],
            |x| ops::gelu(&x[0], kind),
            |x, dy| vec![ops::gelu_backward(dy, &x[0], kind)],
        );
    }
}

#[test]
fn scales_and_rows() {
    check(
        "layer scale",
        &[random(&[6, 19], 1), random(&[19], 2)],
        |x| ops::scale_columns(&x[0], &x[1]),
        |x, dy| {
            let mut dv = Tensor::zeros(x[1].shape());
            vec![ops::scale_columns_backward(dy, &x[0], &x[1], Some(&mut dv)), dv]
        },
    );
    let rows = [4, 0, 4, 2];
    check(
        "gather",
        &[random(&[5, 3], 1)],
        |x| ops::gather_rows(&x[0], &rows),
        |x, dy| {
            let mut dx = Tensor::zeros(x[0].shape());
            ops::scatter_add_rows(&mut dx, &rows, dy);
            vec![dx]
        },
    );
    let mut table = Tensor::zeros(&[3, 2]);
    ops::write_rows(&mut table, &[2, 0], &random(&[2, 2], 1));
    assert_eq!((table.row(2), table.row(1)), (random(&[2, 2], 1).row(0), &[0.0, 0.0][..]));
    let mut x = random(&[2, 2], 1);
    ops::scale_rows(&mut x, &[2.0, 0.0]);
    assert_eq!(x.row(1), [0.0, 0.0]);
}

#[test]
fn head() {
    let targets = [3, 0, 129, 64, 7];
    let temperature = 0.7;
    let inputs = [random(&[5, 24], 1), random(&[130, 24], 2)];
    let log_probs =
        |x: &[Tensor], want| ops::log_probs(&x[0], &weight(&x[1]), &targets, temperature, want);
    check(
        "head",
        &inputs,
        |x| Tensor::from_vec(log_probs(x, Want::LogProbs).log_prob, &[5, 1]),
        |x, dy| {
            let mut dx = log_probs(x, Want::Gradient).gradient.unwrap();
            ops::scale_rows(&mut dx, dy.as_slice());
            let mut dw = Tensor::zeros(x[1].shape());
            let head = weight(&x[1]);
            let dlogp = dy.as_slice();
            ops::log_probs_weight_gradient(&x[0], &head, &targets, temperature, dlogp, &mut dw);
            vec![dx, dw]
        },
    );
}

/// The two ways to a token's log-probability agree: the head's, and a softmax of the logits.
#[test]
fn head_is_a_softmax_of_logits() {
    let (hidden, rows) = (random(&[4, 24], 1), random(&[130, 24], 2));
    let head = weight(&rows);
    let logits = ops::linear(&hidden, &head, None);
    let got = ops::log_probs(&hidden, &head, &[1, 20, 100, 129], 1.0, Want::LogProbs);
    for (i, target) in [1, 20, 100, 129].into_iter().enumerate() {
        let row: Vec<f64> = logits.row(i).iter().map(|&l| f64::from(l)).collect();
        let total = row.iter().map(|l| l.exp()).sum::<f64>().ln();
        assert!((f64::from(got.log_prob[i]) - (row[target] - total)).abs() < 1e-6);
        let entropy: f64 = row.iter().map(|l| -(l - total).exp() * (l - total)).sum();
        assert!((f64::from(got.entropy[i]) - entropy).abs() < 1e-6);
    }
}

/// Two steps by hand: with constant gradients the bias corrections cancel, and each step moves
/// by the learning rate.
#[test]
fn adamw() {
    let (mut value, grad) = (random(&[10], 1), random(&[10], 2));
    let before = value.clone();
    let (mut m, mut v) = (Tensor::zeros(&[10]), Tensor::zeros(&[10]));
    for step in 1..=2 {
        let rule =
            AdamW { lr: 0.01, beta1: 0.9, beta2: 0.999, eps: 1e-12, weight_decay: 0.0, step };
        ops::adamw(&mut value, &grad, &mut m, &mut v, &rule);
    }
    for i in 0..10 {
        let moved = value.as_slice()[i] - before.as_slice()[i];
        assert!((moved + 0.02 * grad.as_slice()[i].signum()).abs() < 1e-6, "{moved}");
    }
    assert!((ops::sum_squares(&grad) - dot(&grad, &grad)).abs() < 1e-12);
    assert!(ops::all_finite(&value));
}
