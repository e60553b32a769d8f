//! Every operation on a card against its plain twin. The card is emulated: the kernels are the same.

use kernels::cuda::linear::Matrix;
use kernels::cuda::{
    Arithmetic, Buffer, Card, activation, elementwise, head, linear, norm, optimizer, rotary, rows,
};
use kernels::head::Want;
use kernels::optimizer::AdamW;
use kernels::reference;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use testkit::assert_close_by_norm;

/// How far sums in f32 may be from sums in f64.
const LIMIT: f64 = 2e-6;

struct Test {
    card: Card,
    rng: ChaCha8Rng,
}

impl Test {
    fn new() -> Self {
        Self {
            card: Card::emulated(8 << 30).expect("a C++ compiler"),
            rng: ChaCha8Rng::seed_from_u64(7),
        }
    }

    fn values(&mut self, len: usize) -> Vec<f32> {
        (0..len).map(|_| self.rng.random_range(-2.0..2.0)).collect()
    }

    fn up(&self, values: &[f32]) -> Buffer {
        Buffer::upload(&self.card, values)
    }

    fn matrix(&self, arithmetic: Arithmetic, values: &[f32]) -> Matrix {
        let mut matrix = Matrix::scratch(&self.card.with(arithmetic), values.len());
        matrix.write(0, values);
        matrix
    }
}

/// Values as bf16 holds them.
fn rounded(values: &[f32]) -> Vec<f32> {
    values.iter().map(|&value| half::bf16::from_f32(value).to_f32()).collect()
}

#[test]
fn value_by_value() {
    let mut test = Test::new();
    let (x, y, z) = (test.values(1000), test.values(1000), test.values(1000));
    let (a, b, dy) = (test.up(&x), test.up(&y), test.up(&z));
    let mut sum = a.clone();
    elementwise::add(&mut sum, &b);
    elementwise::scale(&mut sum, 0.5);
    let want: Vec<f32> = x.iter().zip(&y).map(|(x, y)| (x + y) * 0.5).collect();
    assert_eq!(sum.download(), want);
    let factors = test.up(&y[..8]);
    let mut scaled = a.clone();
    elementwise::scale_rows(&mut scaled, &factors);
    let want: Vec<f32> = x.iter().enumerate().map(|(i, x)| x * y[i / 125]).collect();
    assert_eq!(scaled.download(), want);
    elementwise::scale_columns(&a, &factors, &mut scaled);
    let want: Vec<f32> = x.iter().enumerate().map(|(i, x)| x * y[i % 8]).collect();
    assert_eq!(scaled.download(), want);
    let (mut up, mut two) = (test.up(&[0.0; 1000]), test.up(&[0.0; 1000]));
    let mut want = [vec![0.0; 1000], vec![0.0; 1000]];
    activation::swiglu(&a, &b, &mut up);
    reference::activation::swiglu(&x, &y, &mut want[0]);
    assert_close_by_norm("swiglu", &up.download(), &want[0], LIMIT);
    activation::swiglu_backward(&dy, (&a, &b), (&mut up, &mut two));
    let [one, other] = &mut want;
    reference::activation::swiglu_backward(&z, (&x, &y), (one, other));
    assert_close_by_norm("gate", &up.download(), &want[0], LIMIT);
    assert_close_by_norm("up", &two.download(), &want[1], LIMIT);
}

#[test]
fn gelu_both_ways() {
    let mut test = Test::new();
    let (mut x, z) = (test.values(1000), test.values(1000));
    x[..4].copy_from_slice(&[-9.0, -5.0, 0.0, 12.0]);
    let (a, dy) = (test.up(&x), test.up(&z));
    let (mut y, mut want) = (test.up(&[0.0; 1000]), vec![0.0; 1000]);
    type Forward = (fn(&Buffer, &mut Buffer), fn(&[f32], &mut [f32]));
    let forward: [Forward; 2] = [
        (activation::gelu_erf, reference::activation::gelu_erf),
        (activation::gelu_tanh, reference::activation::gelu_tanh),
    ];
    for (ours, plain) in forward {
        ours(&a, &mut y);
        plain(&x, &mut want);
        assert_close_by_norm("gelu", &y.download(), &want, LIMIT);
    }
    type Backward = (fn(&Buffer, &Buffer, &mut Buffer), fn(&[f32], &[f32], &mut [f32]));
    let backward: [Backward; 2] = [
        (activation::gelu_erf_backward, reference::activation::gelu_erf_backward),
        (activation::gelu_tanh_backward, reference::activation::gelu_tanh_backward),
    ];
    for (ours, plain) in backward {
        ours(&dy, &a, &mut y);
        plain(&z, &x, &mut want);
        assert_close_by_norm("gelu's gradient", &y.download(), &want, LIMIT);
    }
}

#[test]
fn norms() {
    let mut test = Test::new();
    for (rows, cols) in [(1, 1), (3, 8), (7, 100), (2, 1000)] {
        let (x, dy) = (test.values(rows * cols), test.values(rows * cols));
        let (weight, bias) = (test.values(cols), test.values(cols));
        let [a, d, w, b] = [&x, &dy, &weight, &bias].map(|values| test.up(values));
        let (mut y, mut want) = (test.up(&vec![0.0; rows * cols]), vec![0.0; rows * cols]);
        norm::rms_norm(&a, &w, 1e-5, &mut y);
        reference::norm::rms_norm(&x, &weight, 1e-5, &mut want);
        assert_close_by_norm("rms norm", &y.download(), &want, LIMIT);
        norm::layer_norm(&a, &w, &b, 1e-5, &mut y);
        reference::norm::layer_norm(&x, &weight, &bias, 1e-5, &mut want);
        // One column has no spread: what is left of it is rounding.
        assert_close_by_norm("layer norm", &y.download(), &want, LIMIT);
        let (mut dw, mut db) = (test.up(&weight), test.up(&bias));
        let (mut want_dw, mut want_db) = (weight.clone(), bias.clone());
        norm::rms_norm_backward((&d, &a), &w, 1e-5, &mut y, Some(&mut dw));
        reference::norm::rms_norm_backward((&dy, &x), &weight, 1e-5, &mut want, Some(&mut want_dw));
        assert_close_by_norm("its gradient", &dw.download(), &want_dw, LIMIT);
        if cols > 1 {
            assert_close_by_norm("its gradient", &y.download(), &want, 1e-5);
        }
        norm::layer_norm_backward((&d, &a), &w, 1e-5, &mut y, Some((&mut dw, &mut db)));
        let grads = Some((&mut want_dw[..], &mut want_db[..]));
        reference::norm::layer_norm_backward((&dy, &x), &weight, 1e-5, &mut want, grads);
        assert_close_by_norm("weight", &dw.download(), &want_dw, LIMIT);
        assert_close_by_norm("bias", &db.download(), &want_db, LIMIT);
        if cols > 1 {
            assert_close_by_norm("its gradient", &y.download(), &want, 1e-5);
        }
    }
}

#[test]
fn rotation_there_and_back() {
    let mut test = Test::new();
    let (rows, heads, dim) = (5, 3, 8);
    let (x, angles) = (test.values(rows * heads * dim), test.values(rows * dim / 2));
    let [cos, sin] = [f32::cos, f32::sin].map(|f| angles.iter().map(|&a| f(a)).collect::<Vec<_>>());
    let (mut turned, c, s) = (test.up(&x), test.up(&cos), test.up(&sin));
    let mut want = x.clone();
    for direction in [1.0, -1.0] {
        rotary::rotate(&mut turned, dim, &c, &s, direction);
        reference::rotary::rotate(&mut want, dim, &cos, &sin, direction);
        assert_close_by_norm("rotated", &turned.download(), &want, LIMIT);
    }
    assert_close_by_norm("back", &turned.download(), &x, LIMIT);
}

#[test]
fn rows_move() {
    let mut test = Test::new();
    let (x, y) = (test.values(6 * 5), test.values(4 * 5));
    let at = rows::indices(&test.card, [5, 0, 2, 0].into_iter(), 6);
    let picked = rows::gather(&test.up(&x), &at, 5);
    let want: Vec<f32> = [5, 0, 2, 0].iter().flat_map(|&r| x[r * 5..][..5].to_vec()).collect();
    assert_eq!(picked.download(), want);
    let halves = test.matrix(Arithmetic::Bf16, &x);
    assert_eq!(rows::gather_matrix(&halves, &at, 5).download(), rounded(&want));
    let (mut sum, mut want) = (test.up(&x), x.clone());
    rows::scatter_add(&mut sum, &at, &test.up(&y));
    for (i, row) in [5, 0, 2, 0].into_iter().enumerate() {
        (0..5).for_each(|c| want[row * 5 + c] += y[i * 5 + c]);
    }
    assert_close_by_norm("sums", &sum.download(), &want, LIMIT);
    let at = rows::indices(&test.card, [1, 3].into_iter(), 6);
    rows::write(&mut sum, &at, &test.up(&y[..10]));
    assert_eq!(sum.download()[5..10], y[..5]);
    assert_eq!(sum.download()[15..20], y[5..10]);
    let mut sums = test.up(&y[..5]);
    elementwise::column_sums(&test.up(&x), None, &mut sums);
    let total = |c: usize| y[c] + x.iter().skip(c).step_by(5).sum::<f32>();
    assert_close_by_norm("columns", &sums.download(), &[0, 1, 2, 3, 4].map(total), LIMIT);
}

#[test]
fn products() {
    let mut test = Test::new();
    for (rows, inputs, outputs) in [(1, 8, 3), (8, 40, 70), (5, 7, 9), (33, 24, 17)] {
        let (x, weight) = (test.values(rows * inputs), test.values(outputs * inputs));
        let (bias, dy) = (test.values(outputs), test.values(rows * outputs));
        for arithmetic in [Arithmetic::F32, Arithmetic::Bf16] {
            let halves = arithmetic == Arithmetic::Bf16;
            let as_seen = |values: &[f32]| if halves { rounded(values) } else { values.to_vec() };
            // Few rows are not rounded: reading them costs nothing.
            let few = rows <= 8 && inputs % 8 == 0;
            let x_seen = if few { x.clone() } else { as_seen(&x) };
            let (w, b) = (test.matrix(arithmetic, &weight), test.up(&bias));
            let a = test.up(&x);
            let y = linear::forward(&a, &w, Some(&b), inputs);
            let mut want = vec![0.0; rows * outputs];
            reference::linear::forward(&x_seen, &as_seen(&weight), Some(&bias), inputs, &mut want);
            assert_close_by_norm("product", &y.download(), &want, LIMIT);
            let (d, mut dx, mut want) = (test.up(&dy), a.clone(), x.clone());
            linear::backward(&d, &w, &mut dx, inputs, true);
            reference::linear::backward(&as_seen(&dy), &as_seen(&weight), inputs, &mut want);
            assert_close_by_norm("gradient of rows", &dx.download(), &want, LIMIT);
            let a = Buffer::upload(&test.card.with(arithmetic), &x);
            let (mut dw, mut want) = (test.up(&weight), weight.clone());
            linear::weight_gradient(&d, &a, inputs, &mut dw);
            reference::linear::weight_gradient(&as_seen(&dy), &as_seen(&x), inputs, &mut want);
            assert_close_by_norm("gradient of a matrix", &dw.download(), &want, LIMIT);
        }
    }
}

#[test]
fn the_head_agrees_over_pieces_of_the_vocabulary() {
    let mut test = Test::new();
    let (rows, inputs, vocabulary) = (3, 8, 8192 + 50);
    let (hidden, weight) = (test.values(rows * inputs), test.values(vocabulary * inputs));
    let (targets, dlogp) = ([8200, 0, 8191], test.values(rows));
    for (arithmetic, limit) in [(Arithmetic::F32, 1e-5), (Arithmetic::Bf16, 1e-2)] {
        let halves = arithmetic == Arithmetic::Bf16;
        let as_seen = |values: &[f32]| if halves { rounded(values) } else { values.to_vec() };
        let (x, w) = (test.up(&hidden), test.matrix(arithmetic, &weight));
        let got = head::log_probs(&x, &w, &targets, 0.7, Want::Gradient);
        let (hidden, weight) = (as_seen(&hidden), as_seen(&weight));
        let want = reference::head::log_probs(&hidden, &weight, inputs, &targets, 0.7);
        assert_close_by_norm("log-probs", &got.log_prob, &want.log_prob, 1e-5);
        assert_close_by_norm("entropies", &got.entropy, &want.entropy, 1e-5);
        let gradient = got.gradient.unwrap().download();
        assert_close_by_norm("gradient", &gradient, &want.gradient.unwrap(), limit);
        let (mut dw, mut want) = (test.up(&vec![0.0; weight.len()]), vec![0.0; weight.len()]);
        head::weight_gradient((&x, &w), &targets, 0.7, &dlogp, &mut dw);
        reference::head::weight_gradient((&hidden, &weight), &targets, 0.7, &dlogp, &mut want);
        assert_close_by_norm("gradient of the matrix", &dw.download(), &want, limit);
    }
}

#[test]
fn a_step_of_adamw() {
    let mut test = Test::new();
    let rule = AdamW { lr: 1e-2, beta1: 0.9, beta2: 0.99, eps: 1e-8, weight_decay: 0.1, step: 3 };
    let [value, gradient, first] = [(); 3].map(|()| test.values(500));
    let second: Vec<f32> = test.values(500).iter().map(|v| v.abs()).collect();
    let [mut v, g, mut m, mut s] = [&value, &gradient, &first, &second].map(|x| test.up(x));
    optimizer::adamw(&mut v, &g, (&mut m, &mut s), &rule);
    let (mut value, mut first, mut second) = (value, first, second);
    reference::optimizer::adamw(&mut value, &gradient, (&mut first, &mut second), &rule);
    assert_close_by_norm("value", &v.download(), &value, LIMIT);
    assert_close_by_norm("first moment", &m.download(), &first, LIMIT);
    assert_close_by_norm("second moment", &s.download(), &second, LIMIT);
    let got = optimizer::sum_squares(&g);
    assert!((got - reference::optimizer::sum_squares(&gradient)).abs() < 1e-9 * got);
    assert!(optimizer::all_finite(&g));
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let mut spoilt = gradient.clone();
        spoilt[333] = bad;
        assert!(!optimizer::all_finite(&test.up(&spoilt)));
    }
}

#[test]
fn memory_comes_back() {
    let test = Test::new();
    let before = test.card.memory();
    let held = test.up(&[1.0; 5000]);
    assert!(test.card.memory().free < before.free);
    drop(held);
    assert_eq!(test.card.memory(), before);
    assert_eq!(Buffer::<f32>::zeros(&test.card, 5000).download(), [0.0; 5000]);
}

#[test]
#[should_panic(expected = "has no room")]
fn too_much_is_said() {
    Buffer::<f32>::scratch(&Test::new().card, 4 << 30);
}
