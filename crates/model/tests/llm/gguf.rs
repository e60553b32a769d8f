//! A golden model written as GGUF computes the same.

use std::path::Path;

use gguf::Gguf;
use model::config::LlmConfig;
use model::config::gguf::from_gguf;
use model::config::llm::Family;
use model::layout::Layout;
use model::llm::{Llm, LlmTraining};
use model::parameter::Parameter;
use model::rope::RopeScaling;
use model::vlm::Vlm;
use tensor::DType;

use crate::common::{config, load, sequences};

/// A GGUF file in the making: metadata and tensors, in the order they are added.
#[derive(Default)]
struct Writer {
    metadata: Vec<Vec<u8>>,
    tensors: Vec<(String, Vec<usize>, Vec<f32>)>,
}

fn string(text: &str) -> Vec<u8> {
    [&(text.len() as u64).to_le_bytes()[..], text.as_bytes()].concat()
}

impl Writer {
    fn put(&mut self, key: &str, kind: u32, value: &[u8]) {
        self.metadata.push([&string(key)[..], &kind.to_le_bytes(), value].concat());
    }

    fn u32(&mut self, key: &str, value: usize) {
        self.put(key, 4, &u32::try_from(value).unwrap().to_le_bytes());
    }

    fn f32(&mut self, key: &str, value: f32) {
        self.put(key, 6, &value.to_le_bytes());
    }

    fn tensor(&mut self, name: &str, shape: &[usize], values: &[f32]) {
        self.tensors.push((name.to_owned(), shape.to_vec(), values.to_vec()));
    }

    fn write(&self, path: &Path) {
        let mut file = b"GGUF".to_vec();
        file.extend(3u32.to_le_bytes());
        file.extend((self.tensors.len() as u64).to_le_bytes());
        file.extend((self.metadata.len() as u64).to_le_bytes());
        self.metadata.iter().for_each(|entry| file.extend(entry));
        let mut content = Vec::new();
        for (name, shape, values) in &self.tensors {
            file.extend(string(name));
            file.extend(u32::try_from(shape.len()).unwrap().to_le_bytes());
            shape.iter().rev().for_each(|&n| file.extend((n as u64).to_le_bytes()));
            file.extend(0u32.to_le_bytes());
            file.extend((content.len() as u64).to_le_bytes());
            content.extend(values.iter().flat_map(|v| v.to_le_bytes()));
            content.resize(content.len().next_multiple_of(32), 0);
        }
        file.resize(file.len().next_multiple_of(32), 0);
        file.extend(content);
        std::fs::write(path, file).unwrap();
    }
}

/// The golden model's metadata as llama.cpp's converter writes it.
fn metadata(config: &LlmConfig) -> Writer {
    let arch = config.family.name();
    let mut writer = Writer::default();
    writer.put("general.architecture", 8, &string(arch));
    let key = |name: &str| format!("{arch}.{name}");
    writer.u32(&key("block_count"), config.num_layers);
    writer.u32(&key("context_length"), config.max_positions);
    writer.u32(&key("embedding_length"), config.hidden_size);
    writer.u32(&key("feed_forward_length"), config.intermediate_size);
    writer.u32(&key("attention.head_count"), config.heads.query);
    writer.u32(&key("attention.head_count_kv"), config.heads.key_value);
    writer.u32(&key("attention.key_length"), config.heads.dim);
    writer.f32(&key("attention.layer_norm_rms_epsilon"), config.rms_norm_eps);
    writer.f32(&key("rope.freq_base"), config.rope.theta as f32);
    writer
}

fn gguf_name(name: &str) -> String {
    let renamed = [
        ("model.layers.", "blk."),
        ("model.embed_tokens", "token_embd"),
        ("model.norm", "output_norm"),
        ("lm_head", "output"),
        ("input_layernorm", "attn_norm"),
        ("post_attention_layernorm", "ffn_norm"),
        ("self_attn.o_proj", "attn_output"),
        ("self_attn.", "attn_"),
        ("mlp.", "ffn_"),
        ("_proj", ""),
    ];
    renamed.iter().fold(name.to_owned(), |name, (from, to)| name.replace(from, to))
}

/// llama.cpp stores Llama's query and key rows for interleaved rotary: the two halves of a head
/// row by row in turn.
fn interleaved(parameter: &Parameter, heads: usize) -> Vec<f32> {
    let width = parameter.shape.get(1).copied().unwrap_or(1);
    let dim = parameter.shape[0] / heads;
    let row = |n: usize| {
        let (head, i) = (n / dim, n % dim);
        let from = head * dim + i / 2 + (i % 2) * dim / 2;
        &parameter.values[from * width..][..width]
    };
    (0..parameter.shape[0]).flat_map(row).copied().collect()
}

fn written(case: &str, path: &Path) {
    let (config, llm) = (config(case), load(case, DType::F32));
    let mut writer = metadata(&config);
    for parameter in llm.parameters(LlmTraining::Full) {
        let heads = match &parameter.name {
            _ if config.family != Family::Llama => None,
            name if name.contains("q_proj") => Some(config.heads.query),
            name if name.contains("k_proj") => Some(config.heads.key_value),
            _ => None,
        };
        let values = match heads {
            Some(heads) => interleaved(&parameter, heads),
            None => parameter.values.clone(),
        };
        writer.tensor(&gguf_name(&parameter.name), &parameter.shape, &values);
    }
    writer.write(path);
}

#[test]
fn a_gguf_model_is_the_same_model() {
    for case in crate::common::CASES {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.gguf");
        written(case, &path);
        let read = from_gguf(&Gguf::open(&path).unwrap()).unwrap();
        assert_eq!(read, config(case), "{case}");
        let [ids, _] = sequences(case);
        let hidden = |llm: &Llm| llm.forward(llm.embed(&ids), &Layout::causal(ids.len())).to_vec();
        for place in [folder.path(), &path] {
            let vlm = Vlm::load_language_model(place, DType::F32).unwrap();
            assert!(vlm.images.is_none());
            assert_eq!(hidden(&vlm.llm), hidden(&load(case, DType::F32)), "{case}");
        }
    }
}

#[test]
fn rotary_scalings_of_gguf() {
    let golden = config("llama-tied");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.gguf");
    let scaling = |fill: &dyn Fn(&mut Writer)| {
        let mut writer = metadata(&golden);
        writer.tensor("token_embd.weight", &[2, 64], &[0.0; 128]);
        fill(&mut writer);
        writer.write(&path);
        from_gguf(&Gguf::open(&path).unwrap()).map(|config| config.rope.scaling)
    };
    let linear = scaling(&|writer| {
        writer.put("llama.rope.scaling.type", 8, &string("linear"));
        writer.f32("llama.rope.scaling.factor", 4.0);
    });
    assert_eq!(linear.unwrap(), RopeScaling::Linear { factor: 4.0 });

    let plain = golden.rope.inverse_frequencies(16);
    let mut stretched = golden.rope.clone();
    stretched.scaling = RopeScaling::llama3(32.0);
    let ramp = stretched.inverse_frequencies(16);
    let divisors: Vec<f32> = plain.iter().zip(ramp).map(|(p, r)| (p / r) as f32).collect();
    let read = scaling(&|writer| writer.tensor("rope_freqs.weight", &[8], &divisors));
    assert_eq!(read.unwrap(), RopeScaling::llama3(32.0));

    let unknown = scaling(&|writer| writer.tensor("rope_freqs.weight", &[8], &[3.0; 8]));
    assert!(unknown.unwrap_err().to_string().contains("rope_freqs.weight"));
    let yarn = scaling(&|writer| writer.put("llama.rope.scaling.type", 8, &string("yarn")));
    let message = "config: `llama.rope.scaling.type` is yarn, expected none or linear";
    assert_eq!(yarn.unwrap_err().to_string(), message);
}
