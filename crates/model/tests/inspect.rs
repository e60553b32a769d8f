//! Summaries of folders, and estimates of memory.

use std::path::PathBuf;

use model::config::VlmConfig;
use model::inspect::{ImageSummary, Inspection, Memory, Shapes, Workload, inspect, num_trainable};
use model::llm::Keep;
use model::lora::LoraConfig;
use model::reward_model::RewardModel;
use model::value_head::HeadLayout;
use model::vlm::{Trainable, Vlm};
use model::weights::Stored;
use tensor::DType;

const WORKLOAD: Workload = Workload {
    num_tokens: 100,
    num_tiles: 3,
    image_rows: None,
    dtype: DType::F32,
    keep: Keep::Inputs,
    lora_rank: 2,
    grow_head: false,
};

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
    let tiles =
        ImageSummary::Tiles { tile_size: 56, unshuffle: 2, tokens_per_tile: 4, feature_size: 256 };
    assert_eq!(found.images, Some(tiles));
    assert_eq!(found.context_length, Some(4096));
    assert_eq!(found.special_tokens.last().unwrap(), &("<IMG_CONTEXT>".to_owned(), 427));
    assert_eq!(found.trains.len(), 6);
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
            assert_eq!(num_trainable(&(&config).into(), setting, 2), held, "{case}, {setting}");
        }
    }
}

#[test]
fn memory_follows_what_is_asked() {
    let config = VlmConfig::read(&golden("internvl-six-b")).unwrap();
    let shapes = Shapes::from(&config);
    let inference = Memory::inference(&shapes, &WORKLOAD);
    // Three layers of keys and values, two heads of 16.
    assert_eq!(inference.cache, 100 * 3 * 2 * 2 * 16 * 4);
    assert_eq!(inference.weights, 1_381_376);
    let half = Memory::inference(&shapes, &Workload { dtype: DType::Bf16, ..WORKLOAD });
    assert!(half.weights < inference.weights * 6 / 10 && half.weights > inference.weights / 2);
    let train = |setting, workload: &Workload| Memory::training(&shapes, setting, workload);
    let adapter = train(Trainable::Adapter, &WORKLOAD);
    assert_eq!(adapter.optimizer, 4 * 4 * 21_120);
    assert!(train(Trainable::AdapterLlm, &WORKLOAD).total() > adapter.total());
    assert!(train(Trainable::AdapterVision, &WORKLOAD).activations > adapter.activations);
    let all = train(Trainable::Adapter, &Workload { keep: Keep::All, ..WORKLOAD });
    assert!(all.activations > adapter.activations);
    let long = train(Trainable::Adapter, &Workload { num_tokens: 200, ..WORKLOAD });
    assert!(long.activations > adapter.activations * 3 / 2);
}

/// R1V and R1V2 as their recipes in `runs/` state their memory.
#[test]
fn memory_at_the_size_of_the_papers() {
    let config = VlmConfig::from_json(serde_json::json!({
        "model_type": "skywork_chat",
        "downsample_ratio": 0.5,
        "force_image_size": 448,
        "min_dynamic_patch": 1,
        "max_dynamic_patch": 12,
        "use_thumbnail": true,
        "ps_version": "v2",
        "select_layer": -1,
        "llm_config": {
            "model_type": "qwen2", "hidden_size": 5120, "intermediate_size": 27648,
            "num_hidden_layers": 64, "num_attention_heads": 40, "num_key_value_heads": 8,
            "rms_norm_eps": 1e-5, "rope_theta": 1e6, "max_position_embeddings": 131_072,
            "vocab_size": 152_064, "tie_word_embeddings": false, "hidden_act": "silu",
        },
        "vision_config": {
            "model_type": "intern_vit_6b", "hidden_size": 3200, "num_hidden_layers": 45,
            "num_attention_heads": 25, "intermediate_size": 12800, "image_size": 448,
            "patch_size": 14, "qkv_bias": false, "qk_normalization": true,
            "norm_type": "rms_norm", "layer_norm_eps": 1e-6, "hidden_act": "gelu",
        },
    }));
    let config = config.unwrap();
    assert_eq!(num_trainable(&(&config).into(), Trainable::Adapter, 0), 91_786_240);
    // Rows of a micro-batch, and gigabytes in all.
    for (num_tokens, expected) in [(11_592, 97.9), (16_384, 105.5), (68_936, 189.3)] {
        let workload =
            Workload { num_tokens, num_tiles: 13, dtype: DType::Bf16, lora_rank: 0, ..WORKLOAD };
        let memory = Memory::training(&(&config).into(), Trainable::Adapter, &workload);
        let total = memory.total() as f64 / 1e9;
        assert!((total - expected).abs() < 0.1, "{num_tokens} rows: {total:.1} GB, {memory:?}");
        assert!((memory.weights as f64 / 1e9 - 77.0).abs() < 0.1, "{memory:?}");
    }
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

#[test]
fn a_reward_model_of_either_layout() {
    let found = look("reward-tiny");
    assert_eq!(found.architecture, "Qwen2_5_VLForConditionalGeneration");
    let kinds: Vec<_> = found.parts.iter().map(|p| (p.part, p.kind.as_str())).collect();
    let [vision, adapter] = [("vision", "qwen2_5_vl"), ("adapter", "merger")];
    assert_eq!(kinds, [vision, adapter, ("llm", "qwen2"), ("value head", "v_head.summary")]);
    assert_eq!(found.parts[3].num_parameters, 65);
    assert!(found.judges && found.inference.unwrap().cache == 0);
    let patches =
        ImageSummary::Patches { patch_size: 14, merge_size: 2, window_size: 56, feature_size: 192 };
    assert_eq!(found.images, Some(patches));
    // The model that is loaded has as many parameters, and as many train.
    let mut model = RewardModel::load(&golden("reward-tiny"), DType::F32).unwrap();
    model.vlm.llm.add_lora(LoraConfig { rank: 2, alpha: 4.0 }, 0);
    assert!(found.trains.len() == 5);
    for trains in &found.trains {
        let parameters = model.parameters(trains.setting.parse().unwrap());
        let held: usize = parameters.iter().map(|parameter| parameter.values.len()).sum();
        assert_eq!(trains.num_parameters, held, "{}", trains.setting);
    }
    // The same with its head among the weights, and without one.
    let folder = tempfile::tempdir().unwrap();
    let RewardModel { vlm, head } = RewardModel::load(&golden("reward-tiny"), DType::F32).unwrap();
    vlm.save(&folder.path().join("base"), Stored::F32).unwrap();
    let base = inspect(&folder.path().join("base"), &WORKLOAD).unwrap();
    assert!(!base.judges && base.parts.len() == 3 && base.inference.unwrap().cache > 0);
    assert_eq!(base.num_parameters + 65, found.num_parameters);
    let mut score = RewardModel { vlm, head };
    score.head.set_parameters(|name| name.ends_with("bias").then_some(&[0.0][..]));
    score.head = score.head.in_layout(HeadLayout::Score).unwrap();
    score.save(&folder.path().join("score"), Stored::F32).unwrap();
    let score = inspect(&folder.path().join("score"), &WORKLOAD).unwrap();
    assert_eq!((score.parts[3].kind.as_str(), score.parts[3].num_parameters), ("score", 64));
    // A language model alone judges text.
    let text = look("qwen2-untied");
    let grown = Workload { grow_head: true, ..WORKLOAD };
    let grown = inspect(&golden("qwen2-untied"), &grown).unwrap();
    assert!(text.inference.is_none() && grown.inference.is_some() && grown.judges);
}

#[test]
fn memory_of_patches_follows_the_largest_image() {
    let rows = |image_rows| {
        let workload = Workload { image_rows, ..WORKLOAD };
        inspect(&golden("reward-tiny"), &workload).unwrap().trains.remove(0).memory
    };
    assert_eq!(rows(None), rows(Some(100)));
    assert!(rows(Some(1000)).activations > rows(Some(10)).activations);
    assert_eq!(rows(Some(1000)).weights, rows(Some(10)).weights);
}
