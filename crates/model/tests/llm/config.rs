//! Reading and writing configurations.

use model::config::LlmConfig;
use model::config::llm::Family;
use model::rope::{Rope, RopeScaling};
use serde_json::{Value, json};
use testkit::{Tolerance, assert_close};

use crate::common::{CASES, config, load, path};

/// SmolLM2-135M's configuration in the spelling of old releases.
fn smollm2() -> Value {
    json!({
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_act": "silu",
        "hidden_size": 576, "intermediate_size": 1536, "num_hidden_layers": 30,
        "num_attention_heads": 9, "num_key_value_heads": 3, "max_position_embeddings": 8192,
        "rms_norm_eps": 1e-5, "rope_theta": 100000, "rope_scaling": null, "vocab_size": 49152,
        "tie_word_embeddings": true, "torch_dtype": "bfloat16", "attention_bias": false
    })
}

fn with(changes: Value) -> Value {
    let mut config = smollm2();
    let Value::Object(changes) = changes else { panic!("changes are an object") };
    for (key, value) in changes {
        config[key] = value;
    }
    config
}

fn error(changes: Value) -> String {
    LlmConfig::from_json(&with(changes)).unwrap_err().to_string()
}

#[test]
fn old_and_new_spellings_are_one() {
    let old = LlmConfig::from_json(&smollm2()).unwrap();
    assert_eq!((old.heads.query, old.heads.key_value, old.heads.dim), (9, 3, 64));
    assert_eq!(old.rope, Rope { theta: 100_000.0, scaling: RopeScaling::None });
    assert!(old.tied_head && !old.qkv_bias && !old.output_bias && !old.qk_norm);
    assert_eq!(old.num_parameters(), 134_515_008);
    let mut new = with(json!({
        "rope_parameters": {"rope_theta": 100000.0, "rope_type": "default"}, "dtype": "bfloat16"
    }));
    for key in ["rope_theta", "rope_scaling", "torch_dtype"] {
        new.as_object_mut().unwrap().remove(key);
    }
    assert_eq!(LlmConfig::from_json(&new).unwrap(), old);
    assert_eq!(LlmConfig::from_json(&old.to_json()).unwrap(), old);
}

#[test]
fn rotary_scalings() {
    let read = |changes| LlmConfig::from_json(&with(changes)).unwrap();
    let scaling = |changes| read(changes).rope.scaling;
    // InternVL3's; it acts beyond the context only.
    let dynamic = scaling(json!({"rope_scaling": {"type": "dynamic", "factor": 2.0}}));
    assert_eq!(dynamic, RopeScaling::Dynamic { factor: 2.0 });
    let linear =
        json!({"rope_parameters": {"rope_type": "linear", "factor": 4, "rope_theta": 1e4}});
    assert_eq!(read(linear.clone()).rope.theta, 1e4);
    assert_eq!(scaling(linear), RopeScaling::Linear { factor: 4.0 });
    let llama3 = json!({"rope_scaling": {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0,
        "high_freq_factor": 4.0, "original_max_position_embeddings": 8192}});
    assert_eq!(scaling(llama3.clone()), RopeScaling::llama3(8.0));
    let config = read(llama3);
    assert_eq!(LlmConfig::from_json(&config.to_json()).unwrap(), config);
    let yarn = error(json!({"rope_scaling": {"rope_type": "yarn", "factor": 4.0}}));
    assert_eq!(
        yarn,
        "config: `rope_scaling.rope_type` is yarn, expected default, linear, dynamic or llama3"
    );
}

/// Numbers from transformers 5.23's `ROPE_INIT_FUNCTIONS`, head width 16.
#[test]
fn inverse_frequencies() {
    let check = |theta, scaling, want: &[f64]| {
        let got = Rope { theta, scaling }.inverse_frequencies(16);
        assert_close("frequencies", &got, want, Tolerance::relative(1e-6));
    };
    check(
        5e5,
        RopeScaling::llama3(8.0),
        &[
            1.0,
            0.193_922_758_102_417,
            0.037_606_030_702_590_94,
            0.007_292_665_075_510_74,
            0.000_524_846_022_017_300_1,
            3.428_102_354_519_069e-5,
            6.647_869_668_086_059e-6,
            1.289_173_155_782_919e-6,
        ],
    );
    check(
        1e4,
        RopeScaling::Linear { factor: 4.0 },
        &[
            0.25,
            0.079_056_940_972_805,
            0.025_000_000_372_529_03,
            0.007_905_694_656_074_047,
            0.002_499_999_944_120_645_5,
            0.000_790_569_465_607_404_7,
            0.000_250_000_011_874_362_8,
            7.905_694_656_074_047e-5,
        ],
    );
}

#[test]
fn what_would_give_other_numbers_is_refused() {
    for (changes, message) in [
        (
            json!({"model_type": "gpt2"}),
            "config: `model_type` is gpt2, expected llama, qwen2 or qwen3",
        ),
        (json!({"hidden_act": "gelu"}), "config: `hidden_act` is gelu, expected silu"),
        (
            json!({"sliding_window": 4096}),
            "config: `sliding_window` is 4096, expected no sliding window",
        ),
        (
            json!({"model_type": "qwen2", "use_sliding_window": true, "max_window_layers": 28, "sliding_window": 9}),
            "config: `sliding_window` is 9, expected no sliding window",
        ),
        (
            json!({"layer_types": ["full_attention", "sliding_attention"]}),
            "config: `layer_types` is \"sliding_attention\", expected full_attention in every layer",
        ),
        (
            json!({"num_key_value_heads": 4}),
            "config: `num_key_value_heads` is 4, expected a divisor of the 9 attention heads",
        ),
        (
            json!({"hidden_size": 577}),
            "config: `hidden_size` is 577, expected a multiple of the 9 attention heads",
        ),
        (json!({"head_dim": 7}), "config: `head_dim` is 7, expected an even number"),
        (json!({"vocab_size": null}), "config: `vocab_size` is missing"),
        (
            json!({"hidden_size": "wide"}),
            "config: `hidden_size` is \"wide\", expected a whole number",
        ),
        (
            json!({"num_hidden_layers": 0}),
            "config: `num_hidden_layers` is 0, expected a positive number",
        ),
    ] {
        assert_eq!(error(changes), message);
    }
    let qwen =
        json!({"model_type": "qwen2", "use_sliding_window": false, "sliding_window": 131072});
    assert!(LlmConfig::from_json(&with(qwen)).is_ok());
    let nested =
        LlmConfig::from_json_at(&json!({"model_type": "qwen2"}), "llm_config.").unwrap_err();
    assert_eq!(nested.to_string(), "config: `llm_config.hidden_size` is missing");
}

/// Qwen2.5-32B, whose parameters were counted by others.
#[test]
fn parameters_are_counted() {
    let config = LlmConfig::from_json(&json!({
        "model_type": "qwen2", "hidden_size": 5120, "intermediate_size": 27648,
        "num_hidden_layers": 64, "num_attention_heads": 40, "num_key_value_heads": 8,
        "max_position_embeddings": 131072, "rms_norm_eps": 1e-5, "rope_theta": 1e6,
        "vocab_size": 152064, "tie_word_embeddings": false
    }));
    assert_eq!(config.unwrap().num_parameters(), 32_763_876_352);
}

#[test]
fn tensors_are_those_of_the_checkpoint() {
    for case in CASES {
        let checkpoint = model::weights::Checkpoint::open(&path(case)).unwrap();
        let stored: Vec<_> =
            checkpoint.tensors().into_iter().map(|tensor| (tensor.name, tensor.shape)).collect();
        let mut named = config(case).tensors("");
        named.sort();
        assert_eq!(named, stored, "{case}");
        let llm = load(case, tensor::DType::F32);
        let mut parts: Vec<_> =
            llm.parts().iter().map(|(name, part)| (name.clone(), part.shape())).collect();
        parts.sort();
        assert_eq!(parts, stored, "{case}");
    }
    assert_eq!(config("qwen2-untied").family, Family::Qwen2);
    let inside = &config("qwen2-untied").tensors("language_model.")[0].0;
    assert_eq!(inside, "language_model.model.embed_tokens.weight");
}
