//! Shapes and constants of a decoder-only language model: Llama, Qwen2, Qwen3.
//!
//! The three differ by flags alone: biases, per-head RMSNorm of queries and keys, head width.

use serde_json::{Value, json};
use tensor::Heads;

use super::keys::Keys;
use crate::Error;
use crate::rope::{Rope, RopeScaling};

/// The families of language models whose blocks this crate computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// Llama, and what shares its blocks (SmolLM2).
    Llama,
    /// Qwen2 and Qwen2.5: query, key and value have a bias.
    Qwen2,
    /// Qwen3: queries and keys are normalised per head.
    Qwen3,
}

/// The seven linear layers of a block, in the order of computation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Linear {
    /// Queries, `[heads * head_dim, hidden]`.
    Query,
    /// Keys, `[kv_heads * head_dim, hidden]`.
    Key,
    /// Values, `[kv_heads * head_dim, hidden]`.
    Value,
    /// Attention output, `[hidden, heads * head_dim]`.
    Output,
    /// SwiGLU's gate, `[intermediate, hidden]`.
    Gate,
    /// SwiGLU's other half, `[intermediate, hidden]`.
    Up,
    /// Back to the residual stream, `[hidden, intermediate]`.
    Down,
}

/// Shapes and constants of a language model.
#[derive(Clone, Debug, PartialEq)]
pub struct LlmConfig {
    /// Which family's names and defaults the checkpoint follows.
    pub family: Family,
    /// Width of the residual stream.
    pub hidden_size: usize,
    /// Width of the SwiGLU.
    pub intermediate_size: usize,
    /// Number of blocks.
    pub num_layers: usize,
    /// Query heads, key/value heads and their width.
    pub heads: Heads,
    /// Rows of the embedding table. Where `config.json` differs from the tensor (padding dropped by a
    /// resize), the reader of the checkpoint sets this to the tensor's rows.
    pub vocab_size: usize,
    /// Longest context, in tokens.
    pub max_positions: usize,
    /// Epsilon of every RMSNorm.
    pub rms_norm_eps: f32,
    /// Rotary embedding.
    pub rope: Rope,
    /// Whether query, key and value projections have a bias.
    pub qkv_bias: bool,
    /// Whether the attention output projection has a bias.
    pub output_bias: bool,
    /// Whether the three MLP projections have a bias.
    pub mlp_bias: bool,
    /// Whether queries and keys pass an RMSNorm per head before rotary.
    pub qk_norm: bool,
    /// Whether the head is the embedding table.
    pub tied_head: bool,
}

impl Family {
    /// `model_type` in `config.json`, which is also GGUF's architecture name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Llama => "llama",
            Self::Qwen2 => "qwen2",
            Self::Qwen3 => "qwen3",
        }
    }

    /// The class that transformers and vLLM load it with.
    pub fn architecture(self) -> &'static str {
        match self {
            Self::Llama => "LlamaForCausalLM",
            Self::Qwen2 => "Qwen2ForCausalLM",
            Self::Qwen3 => "Qwen3ForCausalLM",
        }
    }

    fn parse(name: &str) -> Option<Self> {
        [Self::Llama, Self::Qwen2, Self::Qwen3].into_iter().find(|family| family.name() == name)
    }
}

impl Linear {
    /// All seven.
    pub const ALL: [Self; 7] =
        [Self::Query, Self::Key, Self::Value, Self::Output, Self::Gate, Self::Up, Self::Down];

    /// Its name inside a block of the checkpoint, such as `self_attn.q_proj`.
    pub fn path(self) -> &'static str {
        match self {
            Self::Query => "self_attn.q_proj",
            Self::Key => "self_attn.k_proj",
            Self::Value => "self_attn.v_proj",
            Self::Output => "self_attn.o_proj",
            Self::Gate => "mlp.gate_proj",
            Self::Up => "mlp.up_proj",
            Self::Down => "mlp.down_proj",
        }
    }

    /// `[out, in]` of its weight.
    pub fn shape(self, config: &LlmConfig) -> [usize; 2] {
        let (hidden, wide) = (config.hidden_size, config.intermediate_size);
        let query = config.heads.query * config.heads.dim;
        let key_value = config.heads.key_value * config.heads.dim;
        match self {
            Self::Query => [query, hidden],
            Self::Key | Self::Value => [key_value, hidden],
            Self::Output => [hidden, query],
            Self::Gate | Self::Up => [wide, hidden],
            Self::Down => [hidden, wide],
        }
    }

    /// Whether it has a bias.
    pub fn has_bias(self, config: &LlmConfig) -> bool {
        match self {
            Self::Query | Self::Key | Self::Value => config.qkv_bias,
            Self::Output => config.output_bias,
            Self::Gate | Self::Up | Self::Down => config.mlp_bias,
        }
    }
}

impl LlmConfig {
    /// Reads the content of a `config.json` (or its `llm_config`), in the spellings of old and new
    /// releases of transformers.
    ///
    /// # Errors
    ///
    /// When a key is missing or malformed, when heads do not divide, or when the model needs
    /// something this program does not compute: another family, another activation, a sliding
    /// window, another rotary scaling.
    pub fn from_json(config: &Value) -> Result<Self, Error> {
        Self::from_json_at(config, "")
    }

    /// As [`from_json`](Self::from_json), for an object nested under `path` (such as
    /// `llm_config.`), which error messages then name.
    ///
    /// # Errors
    ///
    /// As [`from_json`](Self::from_json).
    pub fn from_json_at(config: &Value, path: &str) -> Result<Self, Error> {
        let keys = Keys::new(config, path);
        let family = family(&keys)?;
        refuse_unknown_mathematics(&keys, family)?;
        let attention_bias = keys.opt_bool("attention_bias")?.unwrap_or(false);
        Ok(Self {
            family,
            hidden_size: positive(&keys, "hidden_size")?,
            intermediate_size: positive(&keys, "intermediate_size")?,
            num_layers: positive(&keys, "num_hidden_layers")?,
            heads: heads(&keys)?,
            vocab_size: positive(&keys, "vocab_size")?,
            max_positions: positive(&keys, "max_position_embeddings")?,
            rms_norm_eps: keys.f64("rms_norm_eps")? as f32,
            rope: rope(&keys)?,
            qkv_bias: family == Family::Qwen2 || attention_bias,
            output_bias: family != Family::Qwen2 && attention_bias,
            mlp_bias: family == Family::Llama && keys.opt_bool("mlp_bias")?.unwrap_or(false),
            qk_norm: family == Family::Qwen3,
            tied_head: keys.opt_bool("tie_word_embeddings")?.unwrap_or(false),
        })
    }

    /// The `config.json` of this model, readable by old and new releases of transformers.
    pub fn to_json(&self) -> Value {
        let mut config = json!({
            "architectures": [self.family.architecture()],
            "model_type": self.family.name(),
            "hidden_act": "silu",
            "hidden_size": self.hidden_size,
            "intermediate_size": self.intermediate_size,
            "num_hidden_layers": self.num_layers,
            "num_attention_heads": self.heads.query,
            "num_key_value_heads": self.heads.key_value,
            "head_dim": self.heads.dim,
            "vocab_size": self.vocab_size,
            "max_position_embeddings": self.max_positions,
            "rms_norm_eps": shortest(self.rms_norm_eps),
            "rope_theta": self.rope.theta,
            "rope_scaling": scaling_to_json(&self.rope.scaling),
            "tie_word_embeddings": self.tied_head,
        });
        if self.family == Family::Qwen2 {
            config["use_sliding_window"] = json!(false);
        } else {
            config["attention_bias"] = json!(self.qkv_bias);
        }
        if self.family == Family::Llama {
            config["mlp_bias"] = json!(self.mlp_bias);
        }
        config
    }

    /// Name and shape of every tensor of the checkpoint, in its order. `prefix` is what precedes
    /// `model.` and `lm_head.`: empty for a plain language model, `language_model.` inside InternVL.
    pub fn tensors(&self, prefix: &str) -> Vec<(String, Vec<usize>)> {
        let table = vec![self.vocab_size, self.hidden_size];
        let mut tensors = vec![(format!("{prefix}model.embed_tokens.weight"), table.clone())];
        for layer in 0..self.num_layers {
            self.block_tensors(&format!("{prefix}model.layers.{layer}"), &mut tensors);
        }
        tensors.push((format!("{prefix}model.norm.weight"), vec![self.hidden_size]));
        if !self.tied_head {
            tensors.push((format!("{prefix}lm_head.weight"), table));
        }
        tensors
    }

    /// Number of parameters, the head counted once if it is tied.
    pub fn num_parameters(&self) -> usize {
        self.tensors("").iter().map(|(_, shape)| shape.iter().product::<usize>()).sum()
    }

    /// Bytes that one block's tape takes for `rows` tokens: queries, keys and values (twice where a
    /// norm follows), attention's output, the residual stream and the SwiGLU's two halves.
    pub fn block_tape_bytes(&self, rows: usize) -> usize {
        self.attention_tape_bytes(rows) + self.wide_bytes(rows)
    }

    /// The SwiGLU's two halves of it.
    pub(crate) fn wide_bytes(&self, rows: usize) -> usize {
        rows * 2 * self.intermediate_size * size_of::<f32>()
    }

    /// All of it but them.
    pub(crate) fn attention_tape_bytes(&self, rows: usize) -> usize {
        let query = self.heads.query * self.heads.dim;
        let key = self.heads.key_value * self.heads.dim;
        let before_norm = if self.qk_norm { query + key } else { 0 };
        let attention = 2 * query + 2 * key + before_norm + self.heads.query;
        rows * (attention + self.hidden_size) * size_of::<f32>()
    }

    fn block_tensors(&self, block: &str, tensors: &mut Vec<(String, Vec<usize>)>) {
        for norm in ["input_layernorm", "post_attention_layernorm"] {
            tensors.push((format!("{block}.{norm}.weight"), vec![self.hidden_size]));
        }
        for linear in Linear::ALL {
            let (path, shape) = (linear.path(), linear.shape(self));
            tensors.push((format!("{block}.{path}.weight"), shape.to_vec()));
            if linear.has_bias(self) {
                tensors.push((format!("{block}.{path}.bias"), vec![shape[0]]));
            }
        }
        if self.qk_norm {
            for norm in ["q_norm", "k_norm"] {
                tensors.push((format!("{block}.self_attn.{norm}.weight"), vec![self.heads.dim]));
            }
        }
    }
}

fn family(keys: &Keys) -> Result<Family, Error> {
    let name = keys.opt_str("model_type")?.ok_or_else(|| keys.missing("model_type"))?;
    Family::parse(name).ok_or_else(|| keys.wrong("model_type", name, "llama, qwen2 or qwen3"))
}

/// Refuses what would silently give other numbers.
fn refuse_unknown_mathematics(keys: &Keys, family: Family) -> Result<(), Error> {
    let activation = keys.opt_str("hidden_act")?.unwrap_or("silu");
    if activation != "silu" {
        return Err(keys.wrong("hidden_act", activation, "silu"));
    }
    if let Some(types) = keys.get("layer_types").and_then(Value::as_array) {
        if let Some(other) = types.iter().find(|kind| kind.as_str() != Some("full_attention")) {
            return Err(keys.wrong("layer_types", other, "full_attention in every layer"));
        }
        return Ok(());
    }
    // Qwen's switch; layers below `max_window_layers` see everything even with the window on.
    let window_on = match family {
        Family::Llama => keys.get("sliding_window").is_some(),
        Family::Qwen2 | Family::Qwen3 => {
            keys.opt_bool("use_sliding_window")?.unwrap_or(false)
                && keys.opt_usize("max_window_layers")?.unwrap_or(0)
                    < keys.usize("num_hidden_layers")?
        }
    };
    if window_on {
        let window = keys.get("sliding_window").map_or("on".to_owned(), Value::to_string);
        return Err(keys.wrong("sliding_window", window, "no sliding window"));
    }
    Ok(())
}

fn positive(keys: &Keys, key: &str) -> Result<usize, Error> {
    match keys.usize(key)? {
        0 => Err(keys.wrong(key, 0, "a positive number")),
        value => Ok(value),
    }
}

fn heads(keys: &Keys) -> Result<Heads, Error> {
    let query = positive(keys, "num_attention_heads")?;
    let key_value = keys.opt_usize("num_key_value_heads")?.unwrap_or(query);
    if key_value == 0 || query % key_value != 0 {
        let expected = format!("a divisor of the {query} attention heads");
        return Err(keys.wrong("num_key_value_heads", key_value, &expected));
    }
    let dim = match keys.opt_usize("head_dim")? {
        Some(dim) => dim,
        None => {
            let hidden = keys.usize("hidden_size")?;
            if hidden % query != 0 {
                let expected = format!("a multiple of the {query} attention heads");
                return Err(keys.wrong("hidden_size", hidden, &expected));
            }
            hidden / query
        }
    };
    if dim == 0 || dim % 2 != 0 {
        return Err(keys.wrong("head_dim", dim, "an even number"));
    }
    Ok(Heads { query, key_value, dim })
}

/// Old configs have `rope_theta` and `rope_scaling`, new ones both in `rope_parameters`.
fn rope(keys: &Keys) -> Result<Rope, Error> {
    let none = Value::Null;
    let new = keys.get("rope_parameters");
    let nested = new.or_else(|| keys.get("rope_scaling")).unwrap_or(&none);
    let inner = Keys::new(nested, if new.is_some() { "rope_parameters." } else { "rope_scaling." });
    let theta = inner.opt_f64("rope_theta")?.or(keys.opt_f64("rope_theta")?).unwrap_or(10_000.0);
    let share = inner.opt_f64("partial_rotary_factor")?.unwrap_or(1.0);
    if share != 1.0 {
        return Err(inner.wrong("partial_rotary_factor", share, "1"));
    }
    Ok(Rope { theta, scaling: scaling(&inner, keys)? })
}

/// M-RoPE's share of the frequencies for each axis; they must be all of them.
fn sections(inner: &Keys, keys: &Keys) -> Result<Option<RopeScaling>, Error> {
    const KEY: &str = "mrope_section";
    let Some(value) = inner.get(KEY) else { return Ok(None) };
    let half = heads(keys)?.dim / 2;
    let listed = value.as_array().into_iter().flatten();
    let listed: Vec<usize> = listed.filter_map(|n| n.as_u64().map(|n| n as usize)).collect();
    match <[usize; 3]>::try_from(listed) {
        Ok(sections) if sections.iter().sum::<usize>() == half => {
            Ok(Some(RopeScaling::Axes { sections }))
        }
        _ => Err(inner.wrong(KEY, value, &format!("three numbers whose sum is {half}"))),
    }
}

fn scaling(inner: &Keys, outer: &Keys) -> Result<RopeScaling, Error> {
    if let Some(axes) = sections(inner, outer)? {
        return Ok(axes);
    }
    let kind = inner.opt_str("rope_type")?.or(inner.opt_str("type")?).unwrap_or("default");
    match kind {
        "default" => Ok(RopeScaling::None),
        "linear" => Ok(RopeScaling::Linear { factor: inner.f64("factor")? }),
        "dynamic" => Ok(RopeScaling::Dynamic { factor: inner.f64("factor")? }),
        "llama3" => Ok(RopeScaling::Llama3 {
            factor: inner.f64("factor")?,
            low_freq_factor: inner.f64("low_freq_factor")?,
            high_freq_factor: inner.f64("high_freq_factor")?,
            original_context: match inner.opt_f64("original_max_position_embeddings")? {
                Some(context) => context,
                None => outer.f64("max_position_embeddings")?,
            },
        }),
        other => Err(inner.wrong("rope_type", other, "default, linear, dynamic or llama3")),
    }
}

pub(super) fn scaling_to_json(scaling: &RopeScaling) -> Value {
    match scaling {
        RopeScaling::None => Value::Null,
        RopeScaling::Linear { factor } => json!({"rope_type": "linear", "factor": factor}),
        RopeScaling::Dynamic { factor } => json!({"rope_type": "dynamic", "factor": factor}),
        RopeScaling::Axes { sections } => json!({"type": "mrope", "mrope_section": sections}),
        RopeScaling::Llama3 { factor, low_freq_factor, high_freq_factor, original_context } => {
            json!({
                "rope_type": "llama3",
                "factor": factor,
                "low_freq_factor": low_freq_factor,
                "high_freq_factor": high_freq_factor,
                "original_max_position_embeddings": *original_context as u64,
            })
        }
    }
}

/// The shortest decimal of an `f32`, so that `1e-6` is not written as `9.99999997e-7`.
fn shortest(value: f32) -> f64 {
    value.to_string().parse().expect("a float prints as a float")
}
