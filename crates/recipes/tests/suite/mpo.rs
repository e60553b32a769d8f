//! The golden case of mixed preference optimisation: two branches of one prompt through the model.

use loss::{MpoWeights, Pair, RewardShift, mpo};
use model::llm::Keep;
use model::pack::{Pack, image_slots};
use model::vlm::{Images, Pass, Trainable};
use preprocess::Processor;
use tensor::{Gradients, Tensor};
use testkit::{Golden, assert_close_by_norm};

use crate::common::{golden, golden_sample, model, vlm};

fn sum(log_probs: &[f32]) -> f64 {
    log_probs.iter().copied().map(f64::from).sum()
}

#[test]
fn loss_and_adapter_gradients_are_the_references() {
    let losses = Golden::open(golden("recipes/tests/golden/losses.safetensors"));
    let case = testkit::json(golden("recipes/tests/golden/losses.json"))["mpo"].clone();
    let number = |key: &str| case[key].as_f64().unwrap();
    let processor = Processor::load(&model()).unwrap();
    let sample = serde_json::from_value(golden_sample()).unwrap();
    let base = golden("preprocess/tests/golden/internvl-six-b");
    let prompt = processor.prompt(&sample, &base).unwrap();
    let [chosen, rejected] = ["chosen", "rejected"]
        .map(|key| processor.completion(case[key].as_str().unwrap()).unwrap());
    let mut policy = vlm();
    let slots = image_slots(&prompt.ids, policy.image_token.unwrap(), 0);
    let mut pack = Pack::new();
    pack.push_tree(&prompt.ids, &slots, &[&chosen, &rejected]);
    let [chosen, rejected] = [0, 1].map(|branch: usize| pack.sequences[branch].clone());
    let pixels = prompt.images[0].pixel_values().unwrap();
    let features = policy.features(&Tensor::from_vec(pixels, &[3, 3, 56, 56])).unwrap();
    let images = Images::Features(&features);

    let check = |key: &str, got: f64| {
        let want = number(key);
        assert!((got - want).abs() < 1e-4 * want.abs(), "{key}: {got}, want {want}");
    };
    let reference = policy.log_probs(&pack, images, 1.0).unwrap().log_prob;
    let reference_chosen = sum(&reference[chosen.clone()]);
    let reference_rejected = sum(&reference[rejected.clone()]);
    check("reference_chosen_logp", reference_chosen);
    check("reference_rejected_logp", reference_rejected);

    let adapter: Vec<_> = policy.parameters(Trainable::Adapter);
    let trained: Vec<(String, Vec<f32>)> = adapter
        .iter()
        .map(|p| (p.name.clone(), losses.f32(&format!("policy.{}", p.name))))
        .collect();
    policy.set_parameters(|name| trained.iter().find(|(n, _)| n == name).map(|(_, v)| &v[..]));
    let mut gradients = Gradients::new(adapter.into_iter().map(|p| (p.name, p.shape)));
    let dlogp = |scored: &tensor::ops::LogProbs| {
        let (chosen, rejected) = (&scored.log_prob[chosen], &scored.log_prob[rejected]);
        check("chosen_logp", sum(chosen));
        check("rejected_logp", sum(rejected));
        let pair = Pair { chosen, rejected, reference_chosen, reference_rejected };
        let beta = number("beta");
        let rewards = pair.rewards(beta);
        let shift = RewardShift::default().updated(&[rewards.0, rewards.1]);
        let want = number("reward_shift_after_first_update");
        assert!((shift.mean - want).abs() < 1e-5, "shift {}, want {want}", shift.mean);
        let terms = mpo(&pair, beta, shift.mean, MpoWeights::PAPER);
        check("preference_loss", terms.preference.value);
        check("quality_loss", terms.quality.value);
        check("generation_loss", terms.generation.value);
        check("loss", terms.total.value);
        let repeat = |slope: f64, tokens: &[f32]| vec![slope as f32; tokens.len()];
        [repeat(terms.total.chosen, chosen), repeat(terms.total.rejected, rejected)].concat()
    };
    let pass = Pass { temperature: 1.0, keep: Keep::All };
    policy.forward_backward(&pack, images, pass, dlogp, &mut gradients).unwrap();
    for (name, gradient) in gradients.iter() {
        let want = losses.f32(&format!("mpo.grad.{name}"));
        assert_close_by_norm(name, gradient.as_slice(), &want, 1e-3);
    }
}
