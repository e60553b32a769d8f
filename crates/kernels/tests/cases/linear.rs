//! Linear layers.

use super::{close, random, same_on_any_threads};
use kernels::linear;
use kernels::packed::{Packed, Storage};
use kernels::reference;

/// Rows, inputs, outputs: tile and panel edges, depths around the block, one of everything.
const SHAPES: [(usize, usize, usize); 14] = [
    (1, 1, 1),
    (1, 576, 192),
    (2, 3, 65),
    (3, 129, 63),
    (5, 64, 128),
    (6, 128, 64),
    (7, 127, 130),
    (8, 257, 1),
    (13, 40, 200),
    (64, 33, 66),
    (127, 65, 70),
    (130, 20, 190),
    (257, 70, 9),
    (300, 300, 100),
];

const STORAGES: [Storage; 4] = [Storage::F32, Storage::Bf16, Storage::Int8, Storage::Int4];

pub(crate) fn forward() {
    for (i, (rows, inputs, outputs)) in SHAPES.into_iter().enumerate() {
        let (x, w) = (random(rows * inputs, i as u64), random(outputs * inputs, 99));
        let b = random(outputs, 7);
        for storage in STORAGES {
            let weight = Packed::pack(&w, outputs, inputs, storage);
            let is_rounded = matches!(storage, Storage::Int8 | Storage::Int4);
            let met = if is_rounded { reference::linear::rounded(&x, inputs) } else { x.clone() };
            for bias in [None, Some(&b[..])] {
                let (mut y, mut slow) = (vec![f32::NAN; rows * outputs], vec![0.0; rows * outputs]);
                linear::forward(&x, &weight, bias, &mut y);
                reference::linear::forward(&met, &weight.unpack(), bias, inputs, &mut slow);
                close(&y, &slow, 2e-6, &format!("{rows}×{inputs}×{outputs} {storage:?}"));
            }
        }
    }
}

pub(crate) fn backward() {
    for (i, (rows, inputs, outputs)) in SHAPES.into_iter().enumerate() {
        let (dy, w) = (random(rows * outputs, i as u64), random(outputs * inputs, 98));
        for storage in STORAGES {
            let weight = Packed::pack(&w, outputs, inputs, storage);
            let mut slow = vec![0.0; rows * inputs];
            reference::linear::backward(&dy, &weight.unpack(), inputs, &mut slow);
            let what = format!("{rows}×{inputs}×{outputs} {storage:?}");
            let mut dx = vec![f32::NAN; rows * inputs];
            linear::backward(&dy, &weight, &mut dx);
            close(&dx, &slow, 2e-6, &what);
            linear::backward_add(&dy, &weight, &mut dx);
            let twice: Vec<f32> = slow.iter().map(|v| v * 2.0).collect();
            close(&dx, &twice, 2e-6, &what);
        }
    }
}

pub(crate) fn weight_gradient() {
    for (i, (rows, inputs, outputs)) in SHAPES.into_iter().enumerate() {
        let (dy, x) = (random(rows * outputs, i as u64), random(rows * inputs, 97));
        let mut fast = random(outputs * inputs, 3);
        let mut slow = fast.clone();
        linear::weight_gradient(&dy, &x, inputs, &mut fast);
        reference::linear::weight_gradient(&dy, &x, inputs, &mut slow);
        close(&fast, &slow, 2e-6, &format!("{rows}×{inputs}×{outputs}"));
    }
    let mut untouched = vec![1.0; 6];
    linear::weight_gradient(&[], &[], 3, &mut untouched);
    assert_eq!(untouched, [1.0; 6], "no rows, no gradient");
}

/// A row's result has the same bits alone, in a batch of any size, and on any number of threads.
pub(crate) fn batch_invariant() {
    let (rows, inputs, outputs) = (300, 300, 200);
    let x = random(rows * inputs, 1);
    for storage in STORAGES {
        let weight = Packed::pack(&random(inputs * outputs, 2), outputs, inputs, storage);
        let forward = |x: &[f32]| {
            let mut y = vec![0.0; x.len() / inputs * outputs];
            linear::forward(x, &weight, None, &mut y);
            y
        };
        let backward = |dy: &[f32]| {
            let mut dx = vec![0.0; dy.len() / outputs * inputs];
            linear::backward(dy, &weight, &mut dx);
            dx
        };
        let y = forward(&x);
        let dx = backward(&y);
        for batch in [1, 2, 5, 8, 11, 16, 129] {
            for (x, y) in x.chunks(batch * inputs).zip(y.chunks(batch * outputs)).take(3) {
                assert_eq!(forward(x), y, "forward, {batch} at a time, {storage:?}");
            }
            for (dy, dx) in y.chunks(batch * outputs).zip(dx.chunks(batch * inputs)).take(3) {
                assert_eq!(backward(dy), dx, "backward, {batch} at a time, {storage:?}");
            }
        }
        same_on_any_threads("linear layers", || [forward(&x), backward(&y)].concat());
    }
}

/// Values out of all range stay out of range; zeros and the smallest values are no trouble.
pub(crate) fn bytes_at_extremes() {
    let (inputs, outputs) = (70, 66);
    for storage in [Storage::Int8, Storage::Int4] {
        let weight = Packed::pack(&random(inputs * outputs, 2), outputs, inputs, storage);
        let forward = |x: &[f32]| {
            let mut y = vec![f32::NAN; outputs];
            linear::forward(x, &weight, None, &mut y);
            y
        };
        assert_eq!(forward(&vec![0.0; inputs]), vec![0.0; outputs]);
        assert!(forward(&vec![1e-40; inputs]).iter().all(|y| y.abs() < 1e-37));
        assert!(forward(&vec![1e35; inputs]).iter().all(|y| y.is_finite()));
        for odd in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let mut x = random(inputs, 5);
            x[40] = odd;
            assert!(forward(&x).iter().all(|y| !y.is_finite()), "{odd}");
        }
    }
    for storage in [Storage::Int8, Storage::Int4] {
        let flat = Packed::pack(&[0.5; 64], 2, 32, storage).unpack();
        assert!(flat.iter().all(|w| (w - 0.5).abs() < 2e-3), "{storage:?}: {flat:?}");
        assert_eq!(Packed::pack(&[0.0; 64], 2, 32, storage).unpack(), [0.0; 64]);
        let mut odd = [0.5; 64];
        odd[40] = f32::NAN;
        let odd = Packed::pack(&odd, 2, 32, storage).unpack();
        assert!(odd[..32].iter().all(|w| w.is_finite()) && odd[32..].iter().all(|w| w.is_nan()));
    }
}

pub(crate) fn packing() {
    for (outputs, inputs) in [(1, 1), (64, 3), (65, 7), (200, 33)] {
        let rows = random(outputs * inputs, 11);
        let packed = Packed::pack(&rows, outputs, inputs, Storage::F32);
        assert_eq!(packed.unpack(), rows);
        let rounded: Vec<f32> = rows.iter().map(|&w| half::bf16::from_f32(w).to_f32()).collect();
        assert_eq!(Packed::pack(&rows, outputs, inputs, Storage::Bf16).unpack(), rounded);
        for (storage, steps) in [(Storage::Int8, 254.0), (Storage::Int4, 15.0)] {
            let packed = Packed::pack(&rows, outputs, inputs, storage);
            let kept = packed.unpack();
            // Half a step of the widest block, and what half precision takes from scale and minimum.
            let most = 1.0 / steps + 1e-3;
            assert!(rows.iter().zip(&kept).all(|(w, k)| (w - k).abs() <= most), "{storage:?}");
            assert_eq!(Packed::pack(&kept, outputs, inputs, storage).unpack(), kept, "{storage:?}");
            let mut row = vec![0.0; inputs];
            packed.copy_row(outputs - 1, &mut row);
            assert_eq!(row, kept[(outputs - 1) * inputs..]);
        }
    }
}
