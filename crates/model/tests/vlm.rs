//! The assembled model against transformers' InternVL: features, logits, log-probs, loss,
//! gradients, greedy tokens; and its folders written and read back.

use std::path::{Path, PathBuf};

use model::cache::KvCache;
use model::layout::Layout;
use model::llm::Keep;
use model::pack::{Pack, image_slots};
use model::parameter::Parameter;
use model::vlm::{Images, Pass, Trainable, Vlm, stack};
use model::weights::{Checkpoint, Stored};
use safetensors::SafeTensors;
use tensor::{DType, Gradients, Span, Tensor};
use testkit::{Golden, Tolerance, assert_close, assert_close_by_norm};

const PASS: Pass = Pass { temperature: 1.0, keep: Keep::Inputs };

fn golden(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(path)
}

fn reference(case: &str) -> Golden {
    Golden::open(golden(case).join("reference.safetensors"))
}

fn open(case: &str) -> Vlm {
    Vlm::load(&golden(case), DType::F32).expect("golden file")
}

fn tensor(golden: &Golden, name: &str) -> Tensor {
    Tensor::from_vec(golden.f32(name), &golden.shape(name))
}

/// Token ids, stored as I32 or I64.
fn ids(case: &str, name: &str) -> Vec<u32> {
    let bytes = std::fs::read(golden(case).join("reference.safetensors")).expect("golden file");
    let file = SafeTensors::deserialize(&bytes).expect("golden file");
    let view = file.tensor(name).expect("golden file");
    let width = view.data().len() / view.shape().iter().product::<usize>();
    view.data().chunks_exact(width).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
}

fn gradients(parameters: Vec<Parameter>) -> Gradients {
    Gradients::new(parameters.into_iter().map(|p| (p.name, p.shape)))
}

/// Minus one over the number of targets: the gradient of the mean cross-entropy.
fn mean_loss(num_targets: usize) -> Vec<f32> {
    vec![-1.0 / num_targets as f32; num_targets]
}

/// The six-b case: its prompt with three tiles, and the answer as a branch.
fn six_b_pack(vlm: &Vlm) -> Pack {
    let prompt = ids("internvl-six-b", "input_ids");
    let answer = ids("internvl-six-b", "answer_ids");
    let mut pack = Pack::new();
    pack.push_tree(
        &prompt,
        &image_slots(&prompt, vlm.image_token.expect("golden file"), 0),
        &[&answer],
    );
    pack
}

#[test]
fn features_and_logits() {
    for case in ["internvl-six-b", "internvl-layer-norm"] {
        let (vlm, reference) = (open(case), reference(case));
        let features = vlm.features(&tensor(&reference, "pixel_values")).unwrap();
        let projected = vlm.project(&features);
        assert_close(
            case,
            projected.as_slice(),
            &reference.f32("image_features"),
            Tolerance::absolute(1e-4),
        );
        let prompt = ids(case, "input_ids");
        let image_token = vlm.image_token.unwrap_or(60);
        let slots = image_slots(&prompt, image_token, 0);
        assert_eq!(slots.len(), projected.rows());
        let x = vlm.embed(&prompt, &slots, Some(&projected)).unwrap();
        let hidden = vlm.llm.forward(x, &Layout::causal(prompt.len()));
        let logits = vlm.llm.logits(&hidden);
        assert_close(case, logits.as_slice(), &reference.f32("logits"), Tolerance::absolute(1e-4));
    }
}

#[test]
fn tiles_computed_apart_are_the_same_features() {
    let (vlm, reference) = (open("internvl-six-b"), reference("internvl-six-b"));
    let pixels = tensor(&reference, "pixel_values");
    let all = vlm.features(&pixels).unwrap();
    let tile = pixels.len() / 3;
    let apart: Vec<Tensor> = (0..3)
        .map(|i| {
            let values = pixels.as_slice()[i * tile..][..tile].to_vec();
            vlm.features(&Tensor::from_vec(values, &[1, 3, 56, 56])).unwrap()
        })
        .collect();
    assert_eq!(stack(&apart.iter().collect::<Vec<_>>()), all);
}

#[test]
fn branches_that_agree_share_rows_and_add_up() {
    let case = "internvl-six-b";
    let (vlm, reference) = (open(case), reference(case));
    let features = vlm.features(&tensor(&reference, "pixel_values")).unwrap();
    let (prompt, answer) = (ids(case, "input_ids"), ids(case, "answer_ids"));
    let slots = image_slots(&prompt, vlm.image_token.expect("golden file"), 0);
    let once = six_b_pack(&vlm);
    let mut pack = Pack::new();
    pack.push_tree(&prompt, &slots, &[&answer, &answer[..2], &answer]);
    assert_eq!((pack.len(), pack.targets.len()), (once.len(), 2 * answer.len() + 2));
    // A quarter of the loss on the first copy, the rest on the second.
    let mean = -1.0 / answer.len() as f32;
    let shares = [(0.25, answer.len()), (0.0, 2), (0.75, answer.len())];
    let dlogp: Vec<f32> = shares.iter().flat_map(|&(share, len)| vec![share * mean; len]).collect();
    let images = Images::Features(&features);
    let mut grads = gradients(vlm.parameters(Trainable::Adapter));
    let scored = vlm.forward_backward(&pack, images, PASS, |_| dlogp, &mut grads).unwrap();
    let want = reference.f32("answer_logprobs");
    let want = [&want, &want[..2], &want].concat();
    assert_close("log-probs", &scored.log_prob, &want, Tolerance::absolute(1e-4));
    for (name, grad) in grads.iter() {
        assert_close_by_norm(name, grad.as_slice(), &reference.f32(&format!("grad.{name}")), 1e-3);
    }
}

#[test]
fn log_probs_loss_and_adapter_gradients() {
    let case = "internvl-six-b";
    let (vlm, reference) = (open(case), reference(case));
    let info = testkit::json(golden(case).join("reference.json"));
    let pixels = tensor(&reference, "pixel_values");
    let features = vlm.features(&pixels).unwrap();
    let pack = six_b_pack(&vlm);
    for images in [Images::Pixels(&pixels), Images::Features(&features)] {
        let scored = vlm.log_probs(&pack, images, 1.0).unwrap();
        let want = reference.f32("answer_logprobs");
        assert_close("log-probs", &scored.log_prob, &want, Tolerance::absolute(1e-4));
        let mut grads = gradients(vlm.parameters(Trainable::Adapter));
        let trained =
            vlm.forward_backward(&pack, images, PASS, |s| mean_loss(s.log_prob.len()), &mut grads);
        let trained = trained.unwrap();
        assert_close("training", &trained.log_prob, &want, Tolerance::absolute(1e-4));
        let sum: f64 = trained.log_prob.iter().map(|&value| f64::from(value)).sum();
        let loss = -sum / info["num_answer_tokens"].as_f64().unwrap();
        let want = info["sft_loss_mean_over_answer_tokens"].as_f64().unwrap();
        assert!((loss - want).abs() < 1e-4 * want, "loss {loss}, want {want}");
        assert_eq!(grads.len(), 6);
        for (name, grad) in grads.iter() {
            let want = reference.f32(&format!("grad.{name}"));
            assert_close_by_norm(name, grad.as_slice(), &want, 1e-3);
        }
    }
}

/// What rounding takes from the adapter's gradient: 8 bits a few hundredths of so small a model.
#[test]
fn adapter_gradients_through_rounded_weights() {
    let case = "internvl-six-b";
    let reference = reference(case);
    let pixels = tensor(&reference, "pixel_values");
    let features = open(case).features(&pixels).unwrap();
    for (dtype, tolerance) in [(DType::Bf16, 0.02), (DType::Int8, 0.08)] {
        let vlm = Vlm::load(&golden(case), dtype).unwrap();
        let mut grads = gradients(vlm.parameters(Trainable::Adapter));
        let (pack, images) = (six_b_pack(&vlm), Images::Features(&features));
        let loss = |s: &tensor::ops::LogProbs| mean_loss(s.log_prob.len());
        vlm.forward_backward(&pack, images, PASS, loss, &mut grads).unwrap();
        for (name, grad) in grads.iter() {
            let want = reference.f32(&format!("grad.{name}"));
            assert_close_by_norm(name, grad.as_slice(), &want, tolerance);
        }
    }
}

#[test]
fn gradients_of_everything() {
    let case = "internvl-layer-norm";
    let (vlm, reference) = (open(case), reference(case));
    let sequence = ids(case, "input_ids");
    let supervised: Vec<bool> = (0..sequence.len()).map(|i| i >= 15).collect();
    let mut pack = Pack::new();
    pack.push_sequence(&sequence, &image_slots(&sequence, 60, 0), &supervised);
    let pixels = tensor(&reference, "pixel_values");
    let mut all = vlm.parameters(Trainable::AdapterVision);
    all.extend(vlm.llm.parameters(Trainable::AdapterLlm.llm()));
    for keep in [Keep::Inputs, Keep::All] {
        let mut grads = gradients(all.clone());
        let pass = Pass { keep, ..PASS };
        let loss = |s: &tensor::ops::LogProbs| mean_loss(s.log_prob.len());
        let images = Images::Pixels(&pixels);
        let scored = vlm.forward_backward(&pack, images, pass, loss, &mut grads).unwrap();
        let mean = -scored.log_prob.iter().sum::<f32>() / scored.log_prob.len() as f32;
        let want = reference.f32("loss_from_token_15")[0];
        assert!((mean - want).abs() < 1e-4 * want, "loss {mean}, want {want}");
        let named = reference.names();
        assert_eq!(grads.len(), named.iter().filter(|name| name.starts_with("grad.")).count());
        for (name, grad) in grads.iter() {
            let want = reference.f32(&format!("grad.{name}"));
            let step = (grad.len() / 256).max(1);
            let got: Vec<f32> = grad.as_slice().iter().step_by(step).copied().collect();
            // A key's bias has no influence under a softmax: its gradient is rounding.
            match name.ends_with("k_proj.bias") {
                true => assert_close(name, &got, &want, Tolerance::absolute(1e-5)),
                false => assert_close_by_norm(name, &got, &want, 1e-3),
            }
        }
    }
}

#[test]
fn greedy_tokens_with_a_cache() {
    let case = "internvl-six-b";
    let (vlm, reference) = (open(case), reference(case));
    let prompt = ids(case, "input_ids");
    let want = ids(case, "greedy_ids");
    let projected = vlm.project(&vlm.features(&tensor(&reference, "pixel_values")).unwrap());
    let slots = image_slots(&prompt, vlm.image_token.unwrap(), 0);
    let mut cache = KvCache::new(vlm.llm.config(), prompt.len() + want.len());
    let mut x = vlm.embed(&prompt, &slots, Some(&projected)).unwrap();
    let mut seen = 0;
    let mut got = Vec::new();
    while got.len() < want.len() {
        let rows = x.rows();
        let span = Span { queries: 0..rows, past: vec![], own: 0..seen + rows, causal: true };
        let layout = Layout {
            positions: (seen..seen + rows).map(|p| p as u32).collect(),
            spans: vec![span],
            slots: (seen..seen + rows).collect(),
            outputs: Some(vec![rows - 1]),
            ..Layout::default()
        };
        let logits = vlm.llm.logits(&vlm.llm.extend(x, &layout, &mut cache)).to_vec();
        let best = (0..logits.len()).max_by(|&a, &b| logits[a].total_cmp(&logits[b])).unwrap();
        got.push(best as u32);
        seen += rows;
        x = vlm.embed(&got[got.len() - 1..], &[], None).unwrap();
    }
    assert_eq!(got, want);
}

#[test]
fn text_alone_leaves_the_adapter_untouched() {
    let vlm = open("internvl-six-b");
    let mut pack = Pack::new();
    pack.push_tree(&[1, 2, 3], &[], &[&[4, 5]]);
    let mut grads = gradients(vlm.parameters(Trainable::Adapter));
    let scored = vlm.forward_backward(&pack, Images::None, PASS, |_| vec![1.0; 2], &mut grads);
    assert_eq!(scored.unwrap().log_prob.len(), pack.targets.len());
    assert!(grads.iter().all(|(_, grad)| grad.as_slice().iter().all(|&value| value == 0.0)));
    let mut grads = gradients(vlm.parameters(Trainable::AdapterLlm));
    let scored = vlm.forward_backward(&pack, Images::None, PASS, |_| vec![1.0; 2], &mut grads);
    assert_eq!(scored.unwrap().log_prob.len(), pack.targets.len());
    let head = grads.get("language_model.lm_head.weight").unwrap();
    assert!(head.as_slice().iter().any(|&value| value != 0.0));
}

#[test]
fn a_pack_without_targets_asks_for_nothing() {
    let vlm = open("internvl-six-b");
    let mut pack = Pack::new();
    pack.push_sequence(&[1, 2, 3], &[], &[false; 3]);
    let mut grads = gradients(vlm.parameters(Trainable::AdapterLlm));
    let scored = vlm.forward_backward(&pack, Images::None, PASS, |_| vec![], &mut grads).unwrap();
    assert!(scored.log_prob.is_empty());
    assert!(vlm.log_probs(&pack, Images::None, 1.0).unwrap().entropy.is_empty());
}

#[test]
fn inputs_that_do_not_fit_are_errors() {
    let vlm = open("internvl-six-b");
    let pack = six_b_pack(&vlm);
    let score = |pack: &Pack, images: Images| {
        vlm.log_probs(pack, images, 1.0).map(drop).unwrap_err().to_string()
    };
    assert!(score(&pack, Images::None).starts_with("image slot: "));
    let few = Tensor::zeros(&[11, 256]);
    assert!(score(&pack, Images::Features(&few)).ends_with("among 71 rows, 11 features"));
    let mut strange = Pack::new();
    strange.push_tree(&[1, 432], &[], &[&[1]]);
    let message = "token id: 432 is outside the model's vocabulary of 432";
    assert_eq!(score(&strange, Images::None), message);
    let mut strange = Pack::new();
    strange.push_tree(&[1], &[], &[&[432]]);
    assert_eq!(score(&strange, Images::None), message);
    let features = Tensor::zeros(&[12, 256]);
    let mut grads = gradients(vlm.parameters(Trainable::AdapterVision));
    let error = vlm
        .forward_backward(&pack, Images::Features(&features), PASS, |_| vec![], &mut grads)
        .map(drop)
        .unwrap_err();
    assert!(error.to_string().contains("pixels are needed"), "{error}");
    let mut grads = gradients(vlm.parameters(Trainable::Adapter));
    let error = vlm
        .forward_backward(&pack, Images::Features(&features), PASS, |_| vec![], &mut grads)
        .map(drop)
        .unwrap_err();
    assert_eq!(error.to_string(), "gradient of the log-probs: 0 values for 29 targets");
}

fn all_tensors(folder: &Path) -> Vec<(String, Vec<usize>, Vec<f32>)> {
    let mut checkpoint = Checkpoint::open(folder).expect("golden file");
    let listed = checkpoint.tensors();
    let mut take = |name: String, shape: Vec<usize>| {
        let values = checkpoint.take(&name, &shape).expect("golden file");
        (name, shape, values)
    };
    listed.into_iter().map(|stored| take(stored.name, stored.shape)).collect()
}

#[test]
fn a_saved_folder_is_the_same_model() {
    for case in ["internvl-six-b", "internvl-layer-norm"] {
        let folder = tempfile::tempdir().unwrap();
        open(case).save(folder.path(), Stored::F32).unwrap();
        assert_eq!(all_tensors(folder.path()), all_tensors(&golden(case)));
        let again = Vlm::load(folder.path(), DType::F32).unwrap();
        let mut config = open(case).json;
        config["torch_dtype"] = "float32".into();
        assert_eq!(again.json, config);
        assert_eq!(again.image_token, open(case).image_token);
    }
}

#[test]
fn an_adapter_file_carries_the_adapter_alone() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("adapter.safetensors");
    let mut vlm = open("internvl-six-b");
    let original = vlm.parameters(Trainable::Adapter);
    vlm.save_adapter(&file).unwrap();
    let twice = |name: &str| original.iter().find(|p| p.name == name).map(|p| doubled(&p.values));
    let values: Vec<(String, Vec<f32>)> =
        original.iter().map(|p| (p.name.clone(), twice(&p.name).unwrap())).collect();
    vlm.set_parameters(|name| values.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_slice()));
    assert_eq!(vlm.parameters(Trainable::Adapter)[0].values, doubled(&original[0].values));
    vlm.load_adapter(&file).unwrap();
    assert_eq!(vlm.parameters(Trainable::Adapter), original);
    let error = open("internvl-layer-norm").load_adapter(&file).unwrap_err().to_string();
    assert!(error.contains("tensor `mlp1.0.weight` has shape [256]"), "{error}");
    assert!(error.contains("implies [192]"), "{error}");
}

fn doubled(values: &[f32]) -> Vec<f32> {
    values.iter().map(|value| 2.0 * value).collect()
}

#[test]
fn settings_of_what_trains() {
    let mut vlm = open("internvl-six-b");
    for (text, expected) in [("adapter", 6), ("adapter+vision", 49), ("adapter+llm", 45)] {
        let setting: Trainable = text.parse().unwrap();
        assert_eq!(setting.to_string(), text);
        assert_eq!(vlm.parameters(setting).len(), expected, "{text}");
    }
    assert_eq!(vlm.parameters(Trainable::AdapterLora).len(), 6);
    vlm.llm.add_lora(model::lora::LoraConfig { rank: 2, alpha: 4.0 }, 1);
    assert_eq!(vlm.parameters(Trainable::AdapterLora).len(), 6 + 3 * 7 * 2);
    let folder = tempfile::tempdir().unwrap();
    let error = vlm.save(folder.path(), Stored::F32).unwrap_err().to_string();
    assert!(error.contains("must be merged"), "{error}");
    let error = "head".parse::<Trainable>().unwrap_err().to_string();
    assert!(
        error.contains("expected adapter, adapter+llm, adapter+vision, adapter+lora"),
        "{error}"
    );
}
