//! Gradients of every parameter: finite differences, recompute, accumulation, freezing.

use model::llm::{Keep, Llm, LlmTraining};
use model::lora::LoraConfig;
use model::pack::Pack;
use model::parameter::Parameter;
use tensor::{DType, Gradients};
use testkit::assert_close_by_norm;

use crate::common::{CASES, backward, load, log_probs, sequences, uneven};

fn pack(case: &str) -> Pack {
    let [a, b] = sequences(case);
    let mut pack = Pack::new();
    pack.push_tree(&a[..9], &[], &[&b[..4], &b[4..10]]);
    let marks: Vec<bool> = (0..12).map(|i| i % 3 > 0).collect();
    pack.push_sequence(&b[10..22], &[], &marks);
    pack
}

fn gradients(parameters: &[Parameter]) -> Gradients {
    Gradients::new(parameters.iter().map(|p| (p.name.clone(), p.shape.clone())))
}

fn loss(llm: &Llm, pack: &Pack) -> f64 {
    let weights = uneven(pack.targets.len());
    log_probs(llm, pack).iter().zip(weights).map(|(&l, w)| f64::from(l) * f64::from(w)).sum()
}

/// Moves one parameter by `step` along `direction`.
fn moved(llm: &mut Llm, parameter: &Parameter, direction: &[f64], step: f64, pack: &Pack) -> f64 {
    let values: Vec<f32> = parameter
        .values
        .iter()
        .zip(direction)
        .map(|(&v, d)| (f64::from(v) + step * d) as f32)
        .collect();
    llm.set_parameters(|name| (name == parameter.name).then_some(&values[..]));
    loss(llm, pack)
}

/// The gradient's own direction with an uneven one mixed in, of length 1.
fn direction(gradient: &[f32]) -> Vec<f64> {
    let norm = |v: &[f64]| v.iter().map(|x| x * x).sum::<f64>().sqrt();
    let mut along: Vec<f64> = gradient.iter().map(|&g| f64::from(g)).collect();
    let (size, count) = (norm(&along), along.len() as f64);
    for (i, value) in along.iter_mut().enumerate() {
        *value = *value / size + ((i * 2_654_435_761 % 1000) as f64 / 500.0 - 1.0) / count.sqrt();
    }
    let size = norm(&along);
    along.iter().map(|x| x / size).collect()
}

fn check_all(llm: &mut Llm, parameters: &[Parameter], pack: &Pack, case: &str) {
    let mut grads = gradients(parameters);
    backward(llm, pack, &uneven(pack.targets.len()), Keep::Inputs, &mut grads);
    for parameter in parameters {
        let gradient = grads.get(&parameter.name).unwrap().as_slice();
        let direction = direction(gradient);
        let want: f64 = gradient.iter().zip(&direction).map(|(&g, d)| f64::from(g) * d).sum();
        let size: f64 = gradient.iter().map(|&g| f64::from(g).powi(2)).sum::<f64>().sqrt();
        let step = 2e-3 / size.max(0.1);
        let up = moved(llm, parameter, &direction, step, pack);
        let down = moved(llm, parameter, &direction, -step, pack);
        moved(llm, parameter, &direction, 0.0, pack);
        let got = (up - down) / (2.0 * step);
        let off = (got - want).abs() / size;
        assert!(off < 1e-2, "{case} {}: {got} by differences, {want} computed", parameter.name);
    }
}

#[test]
fn every_parameter_by_finite_differences() {
    for case in CASES {
        let mut llm = load(case, DType::F32);
        let parameters = llm.parameters(LlmTraining::Full);
        check_all(&mut llm, &parameters, &pack(case), case);
    }
}

#[test]
fn low_rank_terms_by_finite_differences() {
    for case in CASES {
        let mut llm = load(case, DType::F32);
        llm.add_lora(LoraConfig { rank: 2, alpha: 3.0 }, 5);
        let values = shaken(&llm);
        llm.set_parameters(|name| values.iter().find(|p| p.name == name).map(|p| &p.values[..]));
        check_all(&mut llm, &values, &pack(case), case);
    }
}

/// The low-rank parameters with B away from zero, where A has a gradient.
fn shaken(llm: &Llm) -> Vec<Parameter> {
    let mut parameters = llm.parameters(LlmTraining::Lora);
    for parameter in parameters.iter_mut().filter(|p| p.name.contains("lora_B")) {
        let len = parameter.values.len();
        parameter.values = uneven(len).iter().map(|v| v * 0.3).collect();
    }
    parameters
}

#[test]
fn recompute_gives_the_same_bits() {
    for case in CASES {
        let (llm, pack) = (load(case, DType::F32), pack(case));
        let parameters = llm.parameters(LlmTraining::Full);
        let weights = uneven(pack.targets.len());
        let bytes = llm.tape_bytes(&pack.layout, Keep::Inputs);
        let some = Keep::Budget(bytes + llm.config().block_tape_bytes(pack.len()));
        assert!(llm.tape_bytes(&pack.layout, some) > bytes);
        assert!(llm.tape_bytes(&pack.layout, some) < llm.tape_bytes(&pack.layout, Keep::All));

        let mut kept = gradients(&parameters);
        let dx = backward(&llm, &pack, &weights, Keep::All, &mut kept);
        for keep in [Keep::Inputs, some, Keep::Budget(0), Keep::Budget(usize::MAX)] {
            let mut again = gradients(&parameters);
            let other = backward(&llm, &pack, &weights, keep, &mut again);
            assert_eq!(dx.as_slice(), other.as_slice(), "{case} {keep:?}");
            for ((name, kept), (_, again)) in kept.iter().zip(again.iter()) {
                assert_eq!(kept.as_slice(), again.as_slice(), "{case} {keep:?} {name}");
            }
        }
    }
}

/// More rows than go through the wide layers at a time where nothing of them is kept.
#[test]
fn a_frozen_model_in_parts_gives_the_same_bits() {
    for case in CASES {
        let llm = load(case, DType::F32);
        let mut pack = Pack::new();
        for _ in 0..50 {
            pack.push_sequence(&sequences(case)[1][..30], &[], &[true; 30]);
        }
        assert!(pack.len() > 1024, "{} rows", pack.len());
        let weights = uneven(pack.targets.len());
        let [kept, again] = [Keep::All, Keep::Inputs]
            .map(|keep| backward(&llm, &pack, &weights, keep, &mut Gradients::default()));
        assert_eq!(kept.as_slice(), again.as_slice(), "{case}");
    }
}

#[test]
fn two_packs_add_up_to_one() {
    for case in CASES {
        let llm = load(case, DType::F32);
        let parameters = llm.parameters(LlmTraining::Full);
        let [a, b] = sequences(case);
        let (mut both, mut one, mut two) = (Pack::new(), Pack::new(), Pack::new());
        for pack in [&mut both, &mut one] {
            pack.push_tree(&a[..9], &[], &[&b[..4], &b[4..10]]);
        }
        for pack in [&mut both, &mut two] {
            pack.push_sequence(&b[10..30], &[], &[true; 20]);
        }
        let weights = uneven(both.targets.len());
        let (first, second) = weights.split_at(one.targets.len());
        let (mut whole, mut parts) = (gradients(&parameters), gradients(&parameters));
        backward(&llm, &both, &weights, Keep::All, &mut whole);
        backward(&llm, &one, first, Keep::All, &mut parts);
        backward(&llm, &two, second, Keep::Inputs, &mut parts);
        for ((name, whole), (_, parts)) in whole.iter().zip(parts.iter()) {
            assert_close_by_norm(name, whole.as_slice(), parts.as_slice(), 1e-5);
        }
    }
}

#[test]
fn freezing_changes_no_other_gradient() {
    for case in CASES {
        let (llm, pack) = (load(case, DType::F32), pack(case));
        let weights = uneven(pack.targets.len());
        let all = llm.parameters(LlmTraining::Full);
        let mut full = gradients(&all);
        let dx = backward(&llm, &pack, &weights, Keep::All, &mut full);
        for chosen in ["", "layers.1.", "q_proj.", "down_proj.weight", "norm", "bias", "embed"] {
            let some: Vec<Parameter> = all
                .iter()
                .filter(|p| !chosen.is_empty() && p.name.contains(chosen))
                .cloned()
                .collect();
            let mut grads = gradients(&some);
            let frozen = backward(&llm, &pack, &weights, Keep::All, &mut grads);
            assert_eq!(dx.as_slice(), frozen.as_slice(), "{case}, training {chosen:?}");
            for (name, got) in grads.iter() {
                assert_eq!(got.as_slice(), full.get(name).unwrap().as_slice(), "{case} {name}");
            }
        }
    }
}
