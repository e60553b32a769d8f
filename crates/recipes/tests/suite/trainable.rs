//! What trains changes, nothing else does, and what was trained can be taken up.

use std::collections::{BTreeMap, BTreeSet};

use model::vlm::{Trainable, Vlm};
use recipes::config::Recipe;
use recipes::policy::{Policy, load_trained};
use recipes::run::Watch;
use recipes::sft::{SftConfig, sft};

use crate::common::{Place, quoted, samples, values, vlm};

/// Every value of a model that can train.
fn everything(vlm: &Vlm) -> BTreeMap<String, Vec<f32>> {
    Trainable::ALL.into_iter().flat_map(|trainable| values(vlm, trainable)).collect()
}

fn run(trainable: &str, keys: &[(&str, &str)]) -> (Place, Policy) {
    let mut place = Place::new(&samples()).with("trainable", trainable).with("max_steps", 2);
    place.set(keys);
    let policy = sft(&place.config(&[]), Watch::nobody()).unwrap();
    (place, policy)
}

#[test]
fn each_setting_changes_exactly_its_tensors() {
    for trainable in Trainable::ALL {
        for recompute in ["false", "true"] {
            let keys = [("gradient_checkpointing", recompute)];
            let (place, policy) = run(&trainable.to_string(), &keys);
            let (mut before, after) = (vlm(), everything(&policy.vlm));
            if let Some(lora) = policy.vlm.llm.lora() {
                before.llm.add_lora(lora, 42);
            }
            let before = everything(&before);
            assert_eq!(before.len(), after.len());
            let changed: BTreeSet<&String> =
                after.keys().filter(|&name| after[name] != before[name]).collect();
            let saved = place.trained(2);
            assert_eq!(changed, saved.keys().collect(), "{trainable}");
            assert!(saved.iter().all(|(name, values)| after[name] == *values), "{trainable}");
        }
    }
}

#[test]
fn recomputation_changes_no_bit() {
    for trainable in Trainable::ALL {
        let [kept, recomputed] = ["false", "true"].map(|recompute| {
            let keys = [("gradient_checkpointing", recompute)];
            run(&trainable.to_string(), &keys).0.trained(2)
        });
        assert_eq!(kept, recomputed, "{trainable}");
    }
}

#[test]
fn a_trained_checkpoint_can_be_taken_up() {
    for trainable in Trainable::ALL {
        let (place, policy) = run(&trainable.to_string(), &[]);
        let checkpoint = place.path("out/checkpoint-2");
        for path in [checkpoint.clone(), checkpoint.join("trainable.safetensors")] {
            let mut loaded = vlm();
            let mut names = load_trained(&mut loaded, &path).unwrap();
            names.sort();
            assert_eq!(names, place.trained(2).into_keys().collect::<Vec<_>>());
            assert_eq!(loaded.llm.lora(), policy.vlm.llm.lora());
            assert_eq!(everything(&loaded), everything(&policy.vlm), "{trainable}");
        }
        let next = Place::new(&samples())
            .with("trainable", trainable)
            .with("learning_rate", 0)
            .with("max_steps", 1)
            .with("adapter_name_or_path", quoted(&checkpoint));
        sft(&next.config(&[]), Watch::nobody()).unwrap();
        assert_eq!(next.trained(1), place.trained(2), "{trainable}");
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let (place, _) = run("adapter+lora", &[("lora_r", "3"), ("lora_alpha", "5")]);
    let checkpoint = quoted(&place.path("out/checkpoint-2"));
    let refusal = |keys: &[(&str, &str)]| {
        let next = Place::new(&samples()).with("adapter_name_or_path", &checkpoint);
        let config: SftConfig = next.with("max_steps", 1).config(keys);
        config.validate().unwrap();
        sft(&config, Watch::nobody()).map(drop).unwrap_err().to_string()
    };
    let message = refusal(&[("trainable", "adapter+lora"), ("lora_r", "8")]);
    assert!(message.starts_with("lora_r = 8: expected the value of the low-rank"), "{message}");
    let message = refusal(&[("trainable", "adapter+lora"), ("lora_alpha", "6")]);
    assert!(message.starts_with("lora_alpha = 6"), "{message}");
    let message = refusal(&[("trainable", "adapter")]);
    assert!(message.contains("adapter_name_or_path") && message.contains("trainable"), "{message}");
    std::fs::remove_file(place.path("out/checkpoint-2/lora.json")).unwrap();
    let message = refusal(&[("trainable", "adapter+lora")]);
    assert!(message.contains("lora.json"), "{message}");
}
