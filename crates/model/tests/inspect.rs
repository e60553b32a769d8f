//! Summaries of folders, and estimates of memory.

use std::path::PathBuf;

use model::config::VlmConfig;
use model::inspect::{Inspection, Memory, Workload, inspect, num_trainable};
use model::llm::Keep;
use model::lora::LoraConfig;
use model::vlm::{Trainable, Vlm};
use tensor::DType;

const WORKLOAD: Workload =
    Workload { num_tokens: 100, num_tiles: 3, dtype: DType::F32, keep: Keep::Inputs, lora_rank: 2 };

fn golden(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(path)
}

fn look(case: &str) -> Inspection {
    inspect(&golden(case), &WORKLOAD).expect("golden case")
}

#[test]
fn a_whole_model() {
    let found = look("internvl-six-b");
    assert_eq!(found.architecture, "SkyworkR1VChatModel");
    let kinds: Vec<_> = found.parts.iter().map(|p| (p.part, p.kind.as_str())).collect();
    assert_eq!(kinds, [("vision", "intern_vit_6b"), ("adapter", "mlp1"), ("llm", "qwen2")]);
    assert_eq!(found.bytes, 1_381_376, "the index's total_size");
    assert_eq!(found.num_parameters * 4, 1_381_376);
    assert_eq!(found.parts[1].num_parameters, 2 * 256 + 256 * 64 + 64 + 64 * 64 + 64);
    let images = found.images.unwrap();
    assert_eq!((images.tile_size, images.tokens_per_tile, images.feature_size), (56, 4, 256));
    assert_eq!(found.context_length, Some(4096));
    assert_eq!(found.special_tokens.last().unwrap(), &("<IMG_CONTEXT>".to_owned(), 427));
    assert_eq!(found.trains.len(), 4);
    let mixed = look("internvl-layer-norm");
    assert_eq!(mixed.parts[0].dtypes.keys().collect::<Vec<_>>(), ["F16"]);
    assert_eq!(mixed.parts[2].dtypes.keys().collect::<Vec<_>>(), ["BF16"]);
}

#[test]
fn parts_alone() {
    for (case, part, kind) in [
        ("dinov2", "vision", "dinov2"),
        ("siglip", "vision", "siglip_vision_model"),
        ("llama-tied", "llm", "llama"),
        ("qwen2-untied", "llm", "qwen2"),
        ("qwen3-tied", "llm", "qwen3"),
    ] {
        let found = look(case);
        assert_eq!(found.parts.len(), 1, "{case}");
        assert_eq!((found.parts[0].part, found.parts[0].kind.as_str()), (part, kind));
        assert!(found.images.is_none() && found.trains.is_empty());
        assert_eq!(found.context_length.is_some(), part == "llm");
    }
}

#[test]
fn parameters_that_train_are_those_of_the_model() {
    for case in ["internvl-six-b", "internvl-layer-norm"] {
        let config = VlmConfig::read(&golden(case)).unwrap();
        let mut vlm = Vlm::load(&golden(case), DType::F32).unwrap();
        vlm.llm.add_lora(LoraConfig { rank: 2, alpha: 4.0 }, 0);
        for setting in Trainable::ALL {
            let held = vlm.parameters(setting).iter().map(|p| p.values.len()).sum::<usize>();
            assert_eq!(num_trainable(&config, setting, 2), held, "{case}, {setting}");
        }
    }
}

#[test]
fn memory_follows_what_is_asked() {
    let config = VlmConfig::read(&golden("internvl-six-b")).unwrap();
    let inference = Memory::inference(&config, &WORKLOAD);
    // Three layers of keys and values, two heads of 16.
    assert_eq!(inference.cache, 100 * 3 * 2 * 2 * 16 * 4);
    assert_eq!(inference.weights, 1_381_376);
    let half = Memory::inference(&config, &Workload { dtype: DType::Bf16, ..WORKLOAD });
    assert!(half.weights < inference.weights * 6 / 10 && half.weights > inference.weights / 2);
    let train = |setting, workload: &Workload| Memory::training(&config, setting, workload);
    let adapter = train(Trainable::Adapter, &WORKLOAD);
    assert_eq!(adapter.optimizer, 4 * 4 * 21_120);
    assert!(train(Trainable::AdapterLlm, &WORKLOAD).total() > adapter.total());
    assert!(train(Trainable::AdapterVision, &WORKLOAD).activations > adapter.activations);
    let all = train(Trainable::Adapter, &Workload { keep: Keep::All, ..WORKLOAD });
    assert!(all.activations > adapter.activations);
    let long = train(Trainable::Adapter, &Workload { num_tokens: 200, ..WORKLOAD });
    assert!(long.activations > adapter.activations * 3 / 2);
}

#[test]
fn a_checkpoint_that_does_not_fit_its_configuration_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let from = golden("dinov2");
    std::fs::copy(from.join("model.safetensors"), folder.path().join("model.safetensors")).unwrap();
    let text = std::fs::read_to_string(from.join("config.json")).unwrap();
    let fewer = text.replace("\"num_hidden_layers\": 3", "\"num_hidden_layers\": 2");
    std::fs::write(folder.path().join("config.json"), fewer).unwrap();
    let error = inspect(folder.path(), &WORKLOAD).unwrap_err().to_string();
    assert!(
        error.contains("18 tensors have no place in this model: vision_model.encoder"),
        "{error}"
    );
}
