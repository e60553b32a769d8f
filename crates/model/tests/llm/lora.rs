//! Low-rank terms against PEFT, merged, and through the disk.

use model::layout::Layout;
use model::llm::{Keep, Llm, LlmTraining};
use model::lora::LoraConfig;
use model::pack::Pack;
use tensor::{DType, Gradients};
use testkit::{Golden, Tolerance, assert_close, assert_close_by_norm};

use crate::common::{backward, load, path};

fn golden() -> (Llm, Golden, Vec<u32>) {
    let mut llm = load("qwen3-tied", DType::F32);
    llm.load_lora(&path("qwen3-lora")).unwrap();
    let reference = Golden::open(path("qwen3-lora/reference.safetensors"));
    let ids = reference.i64("input_ids").iter().map(|&id| u32::try_from(id).unwrap()).collect();
    (llm, reference, ids)
}

fn logits(llm: &Llm, ids: &[u32]) -> Vec<f32> {
    llm.logits(&llm.forward(llm.embed(ids), &Layout::causal(ids.len()))).to_vec()
}

#[test]
fn logits_and_gradients_agree_with_peft() {
    let (llm, reference, ids) = golden();
    let want = reference.f32("logits");
    assert_close("logits", &logits(&llm, &ids), &want, Tolerance::absolute(1e-4));

    let mut pack = Pack::new();
    pack.push_sequence(&ids, &[], &vec![true; ids.len()]);
    let parameters = llm.parameters(LlmTraining::Lora);
    let mut grads = Gradients::new(parameters.into_iter().map(|p| (p.name, p.shape)));
    backward(&llm, &pack, &vec![1.0; pack.targets.len()], Keep::All, &mut grads);
    let mut compared = 0;
    for name in reference.names().iter().filter_map(|name| name.strip_prefix("grad.")) {
        let want = reference.f32(&format!("grad.{name}"));
        assert_close_by_norm(name, grads.get(name).unwrap().as_slice(), &want, 1e-3);
        compared += 1;
    }
    assert_eq!(compared, 14);
}

#[test]
fn merged_terms_compute_the_same() {
    let (mut llm, reference, ids) = golden();
    llm.merge_lora();
    assert!(llm.parameters(LlmTraining::Lora).is_empty());
    let want = reference.f32("logits");
    assert_close("logits", &logits(&llm, &ids), &want, Tolerance::absolute(1e-4));
}

#[test]
fn saved_terms_come_back() {
    let (llm, _, ids) = golden();
    let folder = tempfile::tempdir().unwrap();
    llm.save_lora(folder.path(), "some-model").unwrap();
    let mut again = load("qwen3-tied", DType::F32);
    again.load_lora(folder.path()).unwrap();
    assert_eq!(llm.parameters(LlmTraining::Lora), again.parameters(LlmTraining::Lora));
    assert_eq!(logits(&llm, &ids), logits(&again, &ids));
    let config = testkit::json(folder.path().join("adapter_config.json"));
    assert_eq!((&config["r"], &config["lora_alpha"]), (&3.into(), &5.0.into()));
    let error = load("qwen3-tied", DType::F32).save_lora(folder.path(), "").unwrap_err();
    assert!(error.to_string().contains("no low-rank terms"), "{error}");
}

#[test]
fn a_fresh_term_changes_nothing() {
    let mut llm = load("llama-tied", DType::F32);
    let ids: Vec<u32> = (5..30).collect();
    let before = logits(&llm, &ids);
    llm.add_lora(LoraConfig { rank: 4, alpha: 8.0 }, 11);
    assert_eq!(before, logits(&llm, &ids));
    let parameters = llm.parameters(LlmTraining::Lora);
    assert_eq!(parameters.len(), 2 * 7 * 3);
    let (a, b) = (&parameters[0], &parameters[1]);
    assert_eq!((&a.shape, &b.shape), (&vec![4, 64], &vec![64, 4]));
    assert!(a.values.iter().all(|v| v.abs() <= 0.125) && a.values.iter().any(|v| v.abs() > 0.1));
    // Another layer's draws are other draws; the same seed's are the same.
    assert_ne!(a.values, parameters[2].values);
    let mut again = load("llama-tied", DType::F32);
    again.add_lora(LoraConfig { rank: 4, alpha: 8.0 }, 11);
    assert_eq!(parameters, again.parameters(LlmTraining::Lora));
}
