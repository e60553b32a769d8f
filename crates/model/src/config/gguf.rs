//! The configuration of a language model that came as a GGUF file.
//!
//! GGUF metadata is translated to the keys of `config.json`, so that both sources pass the same
//! checks, and the model can be written back as a Hugging Face folder.

use gguf::Gguf;
use serde_json::{Value, json};

use super::llm::{Family, LlmConfig};
use crate::Error;
use crate::rope::{Rope, RopeScaling};

/// Reads metadata and tensor list of a GGUF file.
///
/// # Errors
///
/// When a key is missing or of another type, or the model is of a kind that
/// [`LlmConfig::from_json`] refuses.
pub fn from_gguf(file: &Gguf) -> Result<LlmConfig, Error> {
    LlmConfig::from_json_at(&to_json(file)?, "gguf metadata as ")
}

fn to_json(file: &Gguf) -> Result<Value, Error> {
    let arch = file.architecture()?;
    let key = |name: &str| format!("{arch}.{name}");
    let heads = file.u32(&key("attention.head_count"))?;
    let optional = |name: &str| file.metadata(&key(name)).and_then(gguf::Value::as_u32);
    let has = |name: &str| file.tensors().iter().any(|tensor| tensor.name == name);
    let table = file.tensors().iter().find(|tensor| tensor.name == "token_embd.weight");
    let table = table.ok_or_else(|| Error::MissingTensor {
        name: "token_embd.weight".to_owned(),
        path: file.path().to_owned(),
    })?;
    let theta = file.metadata(&key("rope.freq_base")).and_then(gguf::Value::as_f32);
    let theta = f64::from(theta.unwrap_or(10_000.0));
    let head_dim = optional("attention.key_length");
    let hidden = file.u32(&key("embedding_length"))?;
    let width = head_dim.unwrap_or(hidden / heads.max(1)) as usize;
    let eps: f64 = file
        .f32(&key("attention.layer_norm_rms_epsilon"))?
        .to_string()
        .parse()
        .expect("a float prints as a float");
    Ok(json!({
        "model_type": arch,
        "hidden_size": hidden,
        "intermediate_size": file.u32(&key("feed_forward_length"))?,
        "num_hidden_layers": file.u32(&key("block_count"))?,
        "num_attention_heads": heads,
        "num_key_value_heads": optional("attention.head_count_kv").unwrap_or(heads),
        "head_dim": head_dim,
        "vocab_size": table.shape[0],
        "max_position_embeddings": file.u32(&key("context_length"))?,
        "rms_norm_eps": eps,
        "rope_theta": theta,
        "rope_scaling": rope_scaling(file, arch, theta, width)?,
        "attention_bias": arch != Family::Qwen2.name() && has("blk.0.attn_q.bias"),
        "tie_word_embeddings": !has("output.weight"),
    }))
}

/// GGUF names linear scaling by key, and hides Llama 3's ramp in a tensor of divisors.
fn rope_scaling(file: &Gguf, arch: &str, theta: f64, head_dim: usize) -> Result<Value, Error> {
    if file.tensors().iter().any(|tensor| tensor.name == "rope_freqs.weight") {
        let (_, divisors) = file.read("rope_freqs.weight")?;
        return llama3_ramp(&divisors, theta, head_dim);
    }
    let key = format!("{arch}.rope.scaling.type");
    match file.metadata(&key).and_then(gguf::Value::as_str) {
        None | Some("none") => Ok(Value::Null),
        Some("linear") => {
            let factor = file.f32(&format!("{arch}.rope.scaling.factor"))?;
            Ok(json!({"rope_type": "linear", "factor": factor}))
        }
        Some(other) => {
            let expected = "none or linear".to_owned();
            Err(Error::WrongValue { key, value: other.to_owned(), expected })
        }
    }
}

/// Recognises the published Llama 3.1 and 3.2 ramps, whose only free number is the factor.
fn llama3_ramp(divisors: &[f32], theta: f64, head_dim: usize) -> Result<Value, Error> {
    let factor = f64::from(divisors.iter().copied().fold(1.0, f32::max));
    let plain = Rope { theta, scaling: RopeScaling::None }.inverse_frequencies(head_dim);
    let ramp = Rope { theta, scaling: RopeScaling::llama3(factor) }.inverse_frequencies(head_dim);
    let agrees = divisors.len() == plain.len()
        && plain.iter().zip(&ramp).zip(divisors).all(|((plain, stretched), &divisor)| {
            (plain / stretched - f64::from(divisor)).abs() <= 1e-3 * f64::from(divisor)
        });
    if !agrees {
        return Err(Error::WrongValue {
            key: "rope_freqs.weight".to_owned(),
            value: format!("{divisors:?}"),
            expected: "the frequency divisors of Llama 3.1 or 3.2".to_owned(),
        });
    }
    Ok(super::llm::scaling_to_json(&RopeScaling::llama3(factor)))
}
