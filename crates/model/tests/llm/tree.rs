//! A prefix shared by branches equals the branches one by one, forward and backward.

use model::llm::{Keep, Llm, LlmTraining};
use model::pack::Pack;
use tensor::{DType, Gradients, Tensor};
use testkit::{Tolerance, assert_close, assert_close_by_norm};

use crate::common::{CASES, backward, load, log_probs, sequences, uneven};

fn all_gradients(llm: &Llm) -> Gradients {
    let parameters = llm.parameters(LlmTraining::Full);
    Gradients::new(parameters.into_iter().map(|p| (p.name, p.shape)))
}

/// Branches of the first tree: the fourth parts from the first after four tokens, the last is the first again.
const FIRST: usize = 5;

/// Three trees with five, two and one branches in one pack, and the same as eight packs.
fn packs(case: &str) -> (Pack, Vec<Pack>) {
    let [a, b] = sequences(case);
    let twin = [&b[..4], &a[20..23]].concat();
    let opening = [&a[..10], &b[30..33]].concat();
    let trees: [(&[u32], Vec<&[u32]>); 3] = [
        (&a[..13], vec![&b[..7], &b[7..8], &b[8..20], &twin, &b[..7]]),
        (&b[20..26], vec![&a[..5], &a[30..39]]),
        // Opens as the first tree does.
        (&opening, vec![&b[3..9]]),
    ];
    let mut shared = Pack::new();
    let mut single = Vec::new();
    for (prefix, branches) in trees {
        shared.push_tree(prefix, &[], &branches);
        for branch in branches {
            single.push(Pack::new());
            single.last_mut().unwrap().push_tree(prefix, &[], &[branch]);
        }
    }
    (shared, single)
}

#[test]
fn log_probs_of_a_tree() {
    for case in CASES {
        let llm = load(case, DType::F32);
        let (shared, single) = packs(case);
        let want: Vec<f32> = single.iter().flat_map(|pack| log_probs(&llm, pack)).collect();
        assert_close(case, &log_probs(&llm, &shared), &want, Tolerance::absolute(2e-5));
    }
}

#[test]
fn gradients_of_a_tree() {
    for case in CASES {
        let llm = load(case, DType::F32);
        let (shared, single) = packs(case);
        let weights = uneven(shared.targets.len());
        let (mut got, mut want) = (all_gradients(&llm), all_gradients(&llm));
        let dx = backward(&llm, &shared, &weights, Keep::All, &mut got);

        let mut first = 0;
        let mut prefix = vec![0.0; 13 * dx.cols()];
        for (i, pack) in single.iter().enumerate() {
            let weights = &weights[first..first + pack.targets.len()];
            first += pack.targets.len();
            let dx = backward(&llm, pack, weights, Keep::All, &mut want);
            let shared = if i < FIRST { 13 } else { 10 };
            if i < FIRST || i == 7 {
                let rows = &dx.as_slice()[..shared * dx.cols()];
                prefix.iter_mut().zip(rows).for_each(|(sum, &part)| *sum += part);
            }
        }
        assert_close_by_norm("prefix", &dx.as_slice()[..prefix.len()], &prefix, 1e-5);
        for ((name, got), (_, want)) in got.iter().zip(want.iter()) {
            assert_close_by_norm(name, got.as_slice(), want.as_slice(), 1e-5);
        }
    }
}

#[test]
fn only_rows_with_targets_are_computed_to_the_end() {
    for case in CASES {
        let llm = load(case, DType::F32);
        let (pack, _) = packs(case);
        let rows = pack.layout.outputs.clone().unwrap();
        let mut full = pack.layout.clone();
        full.outputs = None;
        let hidden = llm.forward(llm.embed(&pack.ids), &pack.layout);
        let all = llm.forward(llm.embed(&pack.ids), &full);
        let want: Vec<f32> = rows.iter().flat_map(|&row| all.row(row).to_vec()).collect();
        assert_close(case, hidden.as_slice(), &want, Tolerance::absolute(1e-5));

        let mut grads = [all_gradients(&llm), all_gradients(&llm)];
        let [picked, whole] = &mut grads;
        let (_, tape) = llm.forward_train(llm.embed(&pack.ids), &pack.layout, Keep::All);
        let got =
            llm.backward(tape, &Tensor::from_vec(uneven(hidden.len()), hidden.shape()), picked);
        let (_, tape) = llm.forward_train(llm.embed(&pack.ids), &full, Keep::Inputs);
        let mut dhidden = Tensor::zeros(all.shape());
        for (i, &row) in rows.iter().enumerate() {
            let width = hidden.cols();
            dhidden.row_mut(row).copy_from_slice(&uneven(hidden.len())[i * width..][..width]);
        }
        let want = llm.backward(tape, &dhidden, whole);
        assert_close_by_norm(case, got.as_slice(), want.as_slice(), 1e-5);
        for ((name, got), (_, want)) in picked.iter().zip(whole.iter()) {
            assert_close_by_norm(name, got.as_slice(), want.as_slice(), 1e-5);
        }
    }
}
